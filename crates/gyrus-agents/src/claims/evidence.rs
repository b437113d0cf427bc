//! Claims of answers beside the evidence that they name.

use serde::{Deserialize, Serialize};

use super::tokens::{TokenKind, tokens};
use super::verify::{Verdict, is_quote, verify_with};
use crate::core::{EvidenceId, EvidenceStore, calculate};

/// A claim with what a check made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgment {
    /// The claim.
    pub text: String,
    /// The evidence that it names and that exists.
    pub cites: Vec<EvidenceId>,
    /// What it names that does not exist.
    pub invented: Vec<String>,
    /// Calculations that it rests on, and their results.
    pub calculations: Vec<(String, f64)>,
    /// What the check found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Judges a claim that names evidence by ids, as a model wrote them. The results of `expressions` count as numbers of the evidence
/// where all their operands do.
#[must_use]
pub fn judged(text: &str, names: &[String], expressions: &[String], store: &EvidenceStore) -> Judgment {
    let mut cites: Vec<EvidenceId> = Vec::new();
    let mut invented = Vec::new();
    for name in names {
        match name.parse::<EvidenceId>() {
            Ok(id) if store.get(id).is_some() => {
                if !cites.contains(&id) {
                    cites.push(id);
                }
            }
            _ => invented.push(name.clone()),
        }
    }
    let texts: Vec<&str> =
        cites.iter().filter_map(|id| store.get(*id)).map(|found| found.draft.text.as_str()).collect();
    let mut calculations = Vec::new();
    for expression in expressions {
        let numbers = tokens(expression).into_iter().filter(|token| token.kind == TokenKind::Number);
        let known = numbers.into_iter().all(|number| {
            let operand = &expression[number.start..number.end];
            // 100 and 1 turn shares into percents and back.
            matches!(operand, "100" | "1") || texts.iter().any(|text| holds(text, operand))
        });
        if let (true, Ok(value)) = (known, calculate(expression)) {
            calculations.push((expression.clone(), value));
        }
    }
    let results: Vec<f64> = calculations.iter().map(|row| row.1).collect();
    let verdict = verify_with(text, &texts, &results);
    Judgment { text: text.to_owned(), cites, invented, calculations, verdict }
}

/// Whether a text holds this number.
fn holds(text: &str, number: &str) -> bool {
    let form = |token: &str| token.trim_end_matches('%').to_owned();
    let wanted = tokens(number).first().map(|token| form(&token.form));
    is_quote(number, text) || tokens(text).iter().any(|token| Some(form(&token.form)) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Draft, EvidenceKind};

    #[test]
    fn calculations_count_where_their_numbers_are_known() {
        let mut store = EvidenceStore::default();
        store.add(Draft {
            kind: EvidenceKind::Document,
            source: "a".to_owned(),
            title: None,
            place: String::new(),
            start: 0,
            text: "Sales rose from 40 to 50 units in May.".to_owned(),
            derived_from: Vec::new(),
        });
        let judge = |text: &str, ids: &[&str], expressions: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            judged(text, &owned(ids), &owned(expressions), &store)
        };
        let claim = "Sales rose by 25 % in May.";
        assert!(judge(claim, &["E1"], &["(50 - 40) / 40 * 100"]).verdict.is_supported());
        assert!(!judge(claim, &["E1"], &[]).verdict.is_supported());
        assert!(!judge(claim, &["E1"], &["(55 - 44) / 44 * 100"]).verdict.is_supported());
        let forged = judge("Sales rose from 40 to 50 units in May.", &["E1", "E9", "https://made.up"], &[]);
        assert_eq!((forged.cites.len(), forged.invented.len()), (1, 2));
        assert!(forged.verdict.is_supported());
        assert!(!judge("Sales rose.", &["E9"], &[]).verdict.is_supported());
    }
}
