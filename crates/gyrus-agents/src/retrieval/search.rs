//! A search: by words, by meaning, and both rankings fused.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::TextEncoder;
use super::bm25::Bm25;
use super::index::{Index, Passage};
use super::passages::sentences;
use super::update::normalized;
use super::words::Words;
use crate::{Error, Result};

/// Passages of each ranking that are fused.
const DEEP: usize = 1000;
/// The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009).
const FUSION: f64 = 60.0;

/// How a search is done.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// How many passages.
    pub top: usize,
    /// The parameters of the ranking by words.
    pub bm25: Bm25,
    /// Most passages of one source.
    pub per_source: usize,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { top: 10, bm25: Bm25::default(), per_source: 3 }
    }
}

/// A passage that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// BM25's score, or that of the fused ranking.
    pub score: f64,
    /// Its place in the ranking by words, from 1.
    pub words_rank: Option<usize>,
    /// Its place in the ranking by meaning, from 1.
    pub meaning_rank: Option<usize>,
    /// The passage.
    #[serde(flatten)]
    pub passage: Passage,
    /// The sentence that fits best, as bytes of the source's text.
    pub sentence: Range<usize>,
}

impl Hit {
    /// The sentence that fits best.
    #[must_use]
    pub fn quote(&self) -> &str {
        let range = self.sentence.start - self.passage.start..self.sentence.end - self.passage.start;
        self.passage.text.get(range).unwrap_or_default()
    }
}

/// Fuses rankings by the sum of `1 / (60 + rank)`, best first, those alike by their keys.
#[must_use]
pub fn fused(rankings: &[Vec<u64>]) -> Vec<(u64, f64)> {
    let mut scores: HashMap<u64, f64> = HashMap::new();
    for ranking in rankings {
        for (rank, key) in ranking.iter().enumerate() {
            *scores.entry(*key).or_default() += 1.0 / (FUSION + (rank + 1) as f64);
        }
    }
    let mut fused: Vec<(u64, f64)> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused
}

impl Index {
    /// The best passages for a query. With an encoder, whose vectors the index must have, by meaning as well.
    ///
    /// # Errors
    /// If the index cannot be read, its vectors are another encoder's, or the encoder fails.
    pub fn search(
        &self,
        query: &str,
        options: &SearchOptions,
        encoder: Option<&dyn TextEncoder>,
    ) -> Result<Vec<Hit>> {
        let mut words = Words::default();
        let terms = words.terms(query);
        let depth = if encoder.is_some() { DEEP } else { options.top.saturating_mul(8).max(64) };
        let found = options.bm25.search(&self.searcher, self.fields.text, &terms, depth);
        let by_words = found.map_err(|error| self.wrong(error))?;
        let mut addresses: HashMap<u64, _> =
            by_words.iter().map(|(key, _, address)| (*key, *address)).collect();
        let word_ranks: HashMap<u64, usize> =
            by_words.iter().enumerate().map(|(rank, found)| (found.0, rank + 1)).collect();
        let mut meaning_ranks: HashMap<u64, usize> = HashMap::new();
        let ranked: Vec<(u64, f64)> = match encoder {
            None => by_words.iter().map(|(key, score, _)| (*key, f64::from(*score))).collect(),
            Some(encoder) => {
                let by_meaning = self.by_meaning(query, encoder)?;
                for (rank, key) in by_meaning.iter().enumerate() {
                    meaning_ranks.insert(*key, rank + 1);
                    if let Some(address) = self.addresses.get(key) {
                        addresses.insert(*key, *address);
                    }
                }
                fused(&[by_words.iter().map(|found| found.0).collect(), by_meaning])
            }
        };
        let mut hits: Vec<Hit> = Vec::new();
        let mut of_source: HashMap<u64, usize> = HashMap::new();
        for (key, score) in ranked {
            if hits.len() >= options.top {
                break;
            }
            let Some(address) = addresses.get(&key) else { continue };
            let count = of_source.entry(super::index::source_of(key)).or_default();
            if *count >= options.per_source.max(1) {
                continue;
            }
            *count += 1;
            let passage = self.passage(key, *address)?;
            let sentence = best_sentence(&passage.text, &terms, &mut words);
            let sentence = passage.start + sentence.start..passage.start + sentence.end;
            let (words_rank, meaning_rank) =
                (word_ranks.get(&key).copied(), meaning_ranks.get(&key).copied());
            hits.push(Hit { score, words_rank, meaning_rank, passage, sentence });
        }
        Ok(hits)
    }

    /// The keys of the passages whose meaning is closest.
    fn by_meaning(&self, query: &str, encoder: &dyn TextEncoder) -> Result<Vec<u64>> {
        let vectors = self.vectors.as_ref().filter(|vectors| !vectors.keys.is_empty());
        let name = encoder.name();
        let Some(vectors) = vectors.filter(|_| self.manifest.encoder.as_ref() == Some(&name)) else {
            let has = self.encoder().map_or("none".to_owned(), |other| format!("those of {other}"));
            return Err(self
                .wrong(format!("it has no vectors of {name}, but {has}; index the folder with this model")));
        };
        let row = encoder.embed(&[query]).map_err(Error::Request)?;
        if row.len() != vectors.width {
            return Err(self.wrong(format!(
                "its vectors have {} numbers, the model's {}",
                vectors.width,
                row.len()
            )));
        }
        Ok(vectors.closest(&normalized(&row), DEEP).into_iter().map(|found| found.0).collect())
    }

    /// The words of a query that an index knows by their stems, each once, with the weight that BM25 gives them.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn word_weights(&self, query: &str) -> Result<Vec<WordWeight>> {
        let mut found: Vec<WordWeight> = Vec::new();
        Words::default().each(query, |term, start, end| {
            if !found.iter().any(|known| known.term == term) {
                let word = query[start..end].to_owned();
                found.push(WordWeight { word, term: term.to_owned(), passages: 0, weight: 0.0 });
            }
        });
        let all = self.passages() as f64;
        for word in &mut found {
            let term = tantivy::Term::from_field_text(self.fields.text, &word.term);
            word.passages = self.searcher.doc_freq(&term).map_err(|error| self.wrong(error))?;
            let count = word.passages as f64;
            word.weight = (1.0 + (all - count + 0.5).max(0.0) / (count + 0.5)).ln();
        }
        Ok(found)
    }

    /// The words of a query that no passage holds.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn unknown_words(&self, query: &str) -> Result<Vec<String>> {
        let words = self.word_weights(query)?;
        Ok(words.into_iter().filter(|word| word.passages == 0).map(|word| word.word).collect())
    }
}

/// A word of a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordWeight {
    /// As it was written.
    pub word: String,
    /// As the index has it.
    pub term: String,
    /// Passages that hold it.
    pub passages: u64,
    /// How much it tells.
    pub weight: f64,
}

/// The sentence of a passage with the most words of the query; the earliest of those alike.
pub(crate) fn best_sentence(text: &str, terms: &[String], words: &mut Words) -> Range<usize> {
    let mut best = (0usize, 0..0);
    for range in sentences(text) {
        let mut seen: Vec<&String> = Vec::new();
        words.each(&text[range.clone()], |term, _, _| {
            if let Some(known) = terms.iter().find(|known| *known == term)
                && !seen.contains(&known)
            {
                seen.push(known);
            }
        });
        if seen.len() > best.0 || best.1.is_empty() {
            best = (seen.len(), range);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_are_fused_by_reciprocal_ranks() {
        let fused = fused(&[vec![1, 2, 3], vec![3, 1]]);
        let keys: Vec<u64> = fused.iter().map(|row| row.0).collect();
        assert_eq!(keys, [1, 3, 2]);
        assert!((fused[0].1 - (1.0 / 61.0 + 1.0 / 62.0)).abs() < 1e-12);
    }

    #[test]
    fn the_sentence_with_the_most_words_is_the_best() {
        let text = "Dogs bark. Cats sleep and purr. Cats purr.";
        let range = best_sentence(text, &["cat".to_owned(), "purr".to_owned()], &mut Words::default());
        assert_eq!(&text[range], "Cats sleep and purr.");
    }
}
