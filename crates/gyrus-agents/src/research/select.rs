//! The sentences of the evidence that answer a question best, without any model: those that cover the most telling words, each
//! adding some that the others lack (maximal marginal relevance, Carbonell and Goldstein 1998).

use std::collections::{BTreeSet, HashMap};

use super::answer::Quote;
use crate::core::{EvidenceId, EvidenceKind, EvidenceStore};
use crate::retrieval::{Words, sentences};

/// What repeated words of the question count beside new ones.
const REPEATED: f64 = 0.3;
/// What the place in the search counts.
const RANK: f64 = 0.4;
/// The least score of a quote beside the best one.
const LEAST: f64 = 0.3;
/// The longest quote, in bytes.
const LONGEST: usize = 900;

struct Candidate {
    evidence: EvidenceId,
    range: std::ops::Range<usize>,
    terms: BTreeSet<String>,
    rank: f64,
}

/// The best quotes for words with weights (by their stems), at most `most`, best first.
#[must_use]
pub fn select_quotes(store: &EvidenceStore, weights: &HashMap<String, f64>, most: usize) -> Vec<Quote> {
    let mut words = Words::default();
    let mut candidates = Vec::new();
    for (place, evidence) in store.all().iter().enumerate() {
        let text = &evidence.draft.text;
        // A row of a database is one quote, whatever its cells hold.
        let is_row = evidence.draft.kind == EvidenceKind::Result;
        let ranges = if is_row { std::iter::once(0..text.len()).collect() } else { sentences(text) };
        for range in ranges {
            if range.len() > LONGEST
                || text[range.clone()].chars().filter(|letter| letter.is_alphabetic()).count() < 8
            {
                continue;
            }
            let mut terms = BTreeSet::new();
            words.each(&text[range.clone()], |term, _, _| {
                if weights.contains_key(term) {
                    terms.insert(term.to_owned());
                }
            });
            if !terms.is_empty() {
                candidates.push(Candidate {
                    evidence: evidence.id,
                    range,
                    terms,
                    rank: 1.0 / (place + 1) as f64,
                });
            }
        }
    }
    let total: f64 = weights.values().sum();
    let mut covered: BTreeSet<String> = BTreeSet::new();
    let mut quotes: Vec<Quote> = Vec::new();
    let mut best_score = None;
    while quotes.len() < most {
        let score = |candidate: &Candidate| {
            let weight = |term: &String| weights.get(term).copied().unwrap_or_default();
            let new: f64 = candidate.terms.iter().filter(|term| !covered.contains(*term)).map(weight).sum();
            let all: f64 = candidate.terms.iter().map(weight).sum();
            (new + REPEATED * all) / total.max(f64::MIN_POSITIVE)
                + RANK * candidate.rank * all / total.max(f64::MIN_POSITIVE)
        };
        let scored = candidates.iter().enumerate().map(|(at, candidate)| (score(candidate), at));
        let Some((value, at)) = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))) else { break };
        let first = *best_score.get_or_insert(value);
        if value < LEAST * first {
            break;
        }
        let candidate = candidates.swap_remove(at);
        candidates.sort_by_key(|other| (other.evidence, other.range.start));
        covered.extend(candidate.terms);
        let Some(quote) = Quote::of(store, candidate.evidence, Some(candidate.range)) else { continue };
        // The same sentence may stand in several sources.
        if !quotes.iter().any(|known| known.text == quote.text) {
            quotes.push(quote);
        }
    }
    quotes
}
