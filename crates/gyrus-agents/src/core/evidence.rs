//! What a run found: texts with the hash of their content and the place they came from. Models name evidence by its id, and
//! only the program turns ids into links.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use gyrus_files::hexadecimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Names a piece of evidence: `E12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EvidenceId(pub u32);

impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{}", self.0)
    }
}

impl FromStr for EvidenceId {
    type Err = String;

    /// `E12`, also `[E12]` and `e12`.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim().trim_start_matches('[').trim_end_matches(']').trim_start_matches(['E', 'e']);
        digits.parse().map(Self).map_err(|_| format!("'{text}' names no evidence"))
    }
}

/// What evidence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceKind {
    /// A passage of a document.
    Document,
    /// A passage of a page of the web.
    Web,
    /// The result of a query.
    Result,
    /// A calculation of numbers of other evidence.
    Calculation,
}

/// Evidence as a tool hands it over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What it is.
    pub kind: EvidenceKind,
    /// The file or address.
    pub source: String,
    /// The title of the source.
    pub title: Option<String>,
    /// Where in the source, such as `line 12`; may be empty.
    pub place: String,
    /// The first byte of the text in the text of its source.
    pub start: usize,
    /// The text.
    pub text: String,
    /// For a calculation, what it is made of.
    pub derived_from: Vec<EvidenceId>,
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its name.
    pub id: EvidenceId,
    /// The SHA-256 of its text.
    pub sha256: String,
    /// What the tool handed over.
    #[serde(flatten)]
    pub draft: Draft,
}

/// The evidence of a run.
#[derive(Clone, Debug, Default)]
pub struct EvidenceStore {
    all: Vec<Evidence>,
    known: HashMap<(String, usize, String), EvidenceId>,
}

impl EvidenceStore {
    /// Keeps evidence; the same text of the same place has one name. Also whether it is new.
    pub fn add(&mut self, draft: Draft) -> (EvidenceId, bool) {
        let sha256 = hexadecimal(&Sha256::digest(draft.text.as_bytes()));
        let key = (draft.source.clone(), draft.start, sha256.clone());
        if let Some(id) = self.known.get(&key) {
            return (*id, false);
        }
        let id = EvidenceId(u32::try_from(self.all.len() + 1).unwrap_or(u32::MAX));
        self.known.insert(key, id);
        self.all.push(Evidence { id, sha256, draft });
        (id, true)
    }

    /// Evidence by its name.
    #[must_use]
    pub fn get(&self, id: EvidenceId) -> Option<&Evidence> {
        self.all.get((id.0 as usize).checked_sub(1)?)
    }

    /// All of it, in the order in which it was found.
    #[must_use]
    pub fn all(&self) -> &[Evidence] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_one_name() {
        let draft = |text: &str, start| Draft {
            kind: EvidenceKind::Document,
            source: "a.md".to_owned(),
            title: None,
            place: String::new(),
            start,
            text: text.to_owned(),
            derived_from: Vec::new(),
        };
        let mut store = EvidenceStore::default();
        assert_eq!(store.add(draft("x", 0)), (EvidenceId(1), true));
        assert_eq!(store.add(draft("x", 9)), (EvidenceId(2), true));
        assert_eq!(store.add(draft("x", 0)), (EvidenceId(1), false));
        assert_eq!(store.get(EvidenceId(2)).unwrap().draft.start, 9);
        assert!(store.get(EvidenceId(0)).is_none() && store.get(EvidenceId(3)).is_none());
        assert_eq!("[E7]".parse(), Ok(EvidenceId(7)));
        assert!("https://x".parse::<EvidenceId>().is_err());
    }
}
