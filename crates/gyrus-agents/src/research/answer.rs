//! What a run answers.

use serde::{Deserialize, Serialize};

use crate::core::{EvidenceId, EvidenceStore};

/// How much is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// A few sentences.
    Brief,
    /// An answer.
    #[default]
    Answer,
    /// A report.
    Report,
}

impl Effort {
    /// Most quotes of an answer without a model.
    #[must_use]
    pub fn quotes(self) -> usize {
        match self {
            Self::Brief => 3,
            Self::Answer => 5,
            Self::Report => 14,
        }
    }

    /// Most searches of a plan, and rounds of them.
    #[must_use]
    pub fn searches(self) -> (usize, usize) {
        match self {
            Self::Brief => (2, 1),
            Self::Answer => (4, 2),
            Self::Report => (6, 4),
        }
    }

    /// Most claims of an answer.
    #[must_use]
    pub fn claims(self) -> usize {
        match self {
            Self::Brief => 3,
            Self::Answer => 8,
            Self::Report => 30,
        }
    }
}

/// A stretch of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The evidence.
    pub evidence: EvidenceId,
    /// Its source.
    pub source: String,
    /// The title of the source.
    pub title: Option<String>,
    /// Where in the source; may be empty.
    pub place: String,
    /// Its first byte in the text of the source.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// The words.
    pub text: String,
}

impl Quote {
    /// The whole of a piece of evidence, or the stretch `range` of its text.
    #[must_use]
    pub fn of(store: &EvidenceStore, id: EvidenceId, range: Option<std::ops::Range<usize>>) -> Option<Self> {
        let draft = &store.get(id)?.draft;
        let range = range.unwrap_or(0..draft.text.len());
        Some(Self {
            evidence: id,
            source: draft.source.clone(),
            title: draft.title.clone(),
            place: draft.place.clone(),
            start: draft.start + range.start,
            end: draft.start + range.end,
            text: draft.text.get(range)?.to_owned(),
        })
    }
}

/// A claim of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweredClaim {
    /// What it says.
    pub text: String,
    /// Whether the check found what can be checked in its quotes.
    pub is_verified: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Calculations that it rests on, and their results.
    pub calculations: Vec<(String, f64)>,
    /// Its quotes.
    pub quotes: Vec<Quote>,
}

/// What was not believed, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Claims without a quote that exists.
    pub claims: usize,
    /// Names of evidence that does not exist.
    pub citations: usize,
    /// Quotes that do not stand in their evidence.
    pub quotes: usize,
    /// Claims that passed the check only after the model was told what was wrong.
    pub repaired: usize,
}

/// The answer of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// The model that wrote it; none for quotes alone.
    pub model: Option<String>,
    /// Its claims; without a model each is a quote.
    pub claims: Vec<AnsweredClaim>,
    /// What was not found.
    pub not_found: Vec<String>,
    /// What was searched for.
    pub searches: Vec<String>,
    /// What was not believed.
    pub dropped: Dropped,
    /// Why the run ended.
    pub stopped: String,
    /// What a reader should know, one sentence each.
    pub notes: Vec<String>,
}
