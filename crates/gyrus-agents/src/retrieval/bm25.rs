//! BM25 over tantivy's postings, with parameters of one's own: tantivy's own scorer has `k1 = 1.2`, `b = 0.75` built in.
//!
//! ```text
//! score(d) = sum over words w of the query:  ln(1 + (N - n + 0.5) / (n + 0.5)) * f / (f + k1 (1 - b + b l / L))
//! ```
//!
//! `N` passages, `n` of them with `w`, which stands `f` times in `d`; `l` words in `d`, `L` on average (Robertson and Zaragoza 2009,
//! in Lucene's form; lengths above 40 are rounded as Lucene rounds them). Cost: one pass over the postings of the words.

use tantivy::postings::Postings;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocAddress, DocSet, Searcher, TERMINATED, Term};

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25 {
    /// How fast repeated words stop to matter.
    pub k1: f32,
    /// How much the length matters.
    pub b: f32,
}

impl Default for Bm25 {
    /// Anserini's, which suit passages.
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4 }
    }
}

impl Bm25 {
    /// The best passages for these words (a word may stand several times), best first; those alike in the order of `key`.
    pub(super) fn search(
        self,
        searcher: &Searcher,
        field: Field,
        words: &[String],
        top: usize,
    ) -> tantivy::Result<Vec<(u64, f32, DocAddress)>> {
        let mut weights: Vec<(&str, f32)> = Vec::new();
        for word in words {
            match weights.iter_mut().find(|(known, _)| known == word) {
                Some((_, count)) => *count += 1.0,
                None => weights.push((word, 1.0)),
            }
        }
        let segments = searcher.segment_readers();
        let passages: f32 = segments.iter().map(|segment| segment.num_docs() as f32).sum();
        let (mut tokens, mut lengths) = (0u64, 0u64);
        for segment in segments {
            tokens += segment.inverted_index(field)?.total_num_tokens();
            lengths += u64::from(segment.max_doc());
        }
        let average = (tokens as f32 / lengths.max(1) as f32).max(1.0);
        for (word, weight) in &mut weights {
            let count = frequency(searcher, field, word)? as f32;
            *weight *= (1.0 + (passages - count + 0.5) / (count + 0.5)).ln();
        }
        // The part of the denominator that depends on the length, for each of the 256 lengths that are told apart.
        let norms: Vec<f32> = (0..=255u8)
            .map(|id| {
                let length = tantivy::fieldnorm::FieldNormReader::id_to_fieldnorm(id) as f32;
                self.k1 * (1.0 - self.b + self.b * length / average)
            })
            .collect();
        let mut found = Vec::new();
        for (ordinal, segment) in (0u32..).zip(segments) {
            let inverted = segment.inverted_index(field)?;
            let lengths = segment.get_fieldnorms_reader(field)?;
            let mut scores = vec![0.0f32; segment.max_doc() as usize];
            let mut touched = Vec::new();
            for (word, weight) in &weights {
                let term = Term::from_field_text(field, word);
                let Some(mut postings) = inverted.read_postings(&term, IndexRecordOption::WithFreqs)? else {
                    continue;
                };
                let mut passage = postings.doc();
                while passage != TERMINATED {
                    let frequency = postings.term_freq() as f32;
                    let norm = norms[usize::from(lengths.fieldnorm_id(passage))];
                    let score = &mut scores[passage as usize];
                    if *score == 0.0 {
                        touched.push(passage);
                    }
                    *score += weight * frequency / (frequency + norm);
                    passage = postings.advance();
                }
            }
            touched.retain(|passage| !segment.is_deleted(*passage));
            // A few more than asked for, since those alike are ordered by their keys only then.
            let limit = touched.len().min(top.saturating_add(64));
            if limit > 0 && limit < touched.len() {
                let order = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]);
                touched.select_nth_unstable_by(limit - 1, order);
                let least = scores[touched[limit - 1] as usize];
                touched.retain(|passage| scores[*passage as usize] >= least);
            }
            let keys = segment.fast_fields().u64("key")?;
            for passage in touched {
                let key = keys.first(passage).unwrap_or_default();
                found.push((key, scores[passage as usize], DocAddress::new(ordinal, passage)));
            }
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(top);
        Ok(found)
    }
}

/// How many living passages hold a word.
fn frequency(searcher: &Searcher, field: Field, word: &str) -> tantivy::Result<u32> {
    let term = Term::from_field_text(field, word);
    let mut count = 0;
    for segment in searcher.segment_readers() {
        let inverted = segment.inverted_index(field)?;
        if !segment.has_deletes() {
            count += inverted.doc_freq(&term)?;
            continue;
        }
        let Some(mut postings) = inverted.read_postings(&term, IndexRecordOption::Basic)? else { continue };
        let mut passage = postings.doc();
        while passage != TERMINATED {
            count += u32::from(!segment.is_deleted(passage));
            passage = postings.advance();
        }
    }
    Ok(count)
}
