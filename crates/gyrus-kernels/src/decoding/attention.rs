//! Attention of new tokens over cached keys and values: `softmax(scale * q kᵀ) v` within each head (Vaswani et al.
//! 2017), query heads in groups that share a key head (Ainslie et al. 2023), with a sliding window and a soft cap.
//!
//! Cost: `4 * head_width` operations for each query head, new token and position that it sees. A task is one key head
//! and a few tokens of one sequence, so keys are read once for the whole group of query heads. Scores are kept for one
//! task only. A token's result depends on what it sees alone, not on the tokens that are computed beside it.

use crate::elementwise::{exp, tanh};
use crate::lanes::{LANES, total};
use crate::parallel::{SharedMut, for_each_task, vectorized, with_scratch};

/// Rows of scores, a token's query head each, that one task holds.
const ROWS: usize = 16;
/// Positions whose keys are used for all rows while they are in the nearest cache.
const POSITIONS: usize = 32;
/// Operations below which all stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 16;

/// The shape of an attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, of which `heads` is a multiple.
    pub key_value_heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// `c` in `c * tanh(score / c)`.
    pub softcap: Option<f32>,
    /// How many positions a token sees, itself included.
    pub window: Option<usize>,
}

/// New tokens of one sequence, and what is cached of it.
#[derive(Debug)]
pub struct CachedSequence<'a> {
    /// `[tokens, heads, head_width]`
    pub queries: &'a [f32],
    /// `[positions, key_value_heads, head_width]`; the last `tokens` positions are the new tokens' own.
    pub keys: &'a [f32],
    /// As `keys`.
    pub values: &'a [f32],
    /// The result: `[tokens, heads, head_width]`
    pub out: &'a mut [f32],
}

/// Attention of each sequence's new tokens over its cache.
///
/// # Panics
/// If a slice is not as long as its shape says, or fewer positions are cached than there are tokens.
pub fn attention_cached(shape: &AttentionShape, sequences: &mut [CachedSequence<'_>]) {
    let AttentionShape { heads, key_value_heads, head_width, .. } = *shape;
    assert!(head_width > 0 && key_value_heads > 0, "a head has elements");
    assert!(heads.is_multiple_of(key_value_heads), "query heads come in groups");
    let (query_row, key_row) = (heads * head_width, key_value_heads * head_width);
    let group = heads / key_value_heads;
    let block = (ROWS / group).max(1);
    let mut tasks = Vec::new();
    let mut operations = 0;
    for (index, sequence) in sequences.iter().enumerate() {
        let (tokens, positions) = (sequence.queries.len() / query_row, sequence.keys.len() / key_row);
        assert_eq!(sequence.queries.len(), tokens * query_row, "queries are [tokens, heads, head_width]");
        assert_eq!(sequence.out.len(), sequence.queries.len(), "out is as queries");
        assert_eq!(sequence.keys.len(), positions * key_row, "keys are [positions, heads, head_width]");
        assert_eq!(sequence.values.len(), sequence.keys.len(), "values are as keys");
        assert!(tokens <= positions, "the new tokens are cached too");
        operations += tokens * positions * query_row;
        for first in (0..tokens).step_by(block) {
            tasks.extend((0..key_value_heads).map(|head| (index, first, block.min(tokens - first), head)));
        }
    }
    let targets: Vec<SharedMut> = sequences.iter_mut().map(|s| SharedMut(s.out.as_mut_ptr())).collect();
    let sequences = &*sequences;
    for_each_task(tasks.len(), operations < SERIAL_OPERATIONS, |task| {
        let (index, first, tokens, head) = tasks[task];
        let sequence = &sequences[index];
        let positions = sequence.keys.len() / key_row;
        let all_tokens = sequence.queries.len() / query_row;
        // The first token of the block sees from here.
        let end = positions - all_tokens + first + 1;
        let from = shape.window.map_or(0, |window| end.saturating_sub(window));
        let span = end + tokens - 1 - from;
        with_scratch(tokens * group * span, |scores| {
            vectorized(
                #[inline(always)]
                || {
                    let task = Task { shape, sequence, first, tokens, head, from, span };
                    task.score(scores);
                    for token in 0..tokens {
                        for member in 0..group {
                            let row = &mut scores[(token * group + member) * span..][..span];
                            let seen = task.seen(token);
                            let start = (first + token) * query_row + (head * group + member) * head_width;
                            // SAFETY: this task alone has this key head's query heads of these tokens.
                            let out = unsafe { targets[index].slice(start, head_width) };
                            task.blend(&mut row[seen.0..seen.1], from + seen.0, out);
                        }
                    }
                },
            );
        });
    });
}

/// Some tokens of one sequence and one key head.
struct Task<'a> {
    shape: &'a AttentionShape,
    sequence: &'a CachedSequence<'a>,
    first: usize,
    tokens: usize,
    head: usize,
    from: usize,
    span: usize,
}

impl Task<'_> {
    /// The positions that a token of the block sees, counted from `from`.
    #[inline(always)]
    fn seen(&self, token: usize) -> (usize, usize) {
        let end = self.span + 1 - self.tokens + token;
        (self.shape.window.map_or(0, |window| end.saturating_sub(window)), end)
    }

    /// Scores of each row with each position that it sees: `[tokens * group, span]`.
    #[inline(always)]
    fn score(&self, scores: &mut [f32]) {
        let AttentionShape { heads, key_value_heads, head_width, scale, softcap, .. } = *self.shape;
        let group = heads / key_value_heads;
        for block in (0..self.span).step_by(POSITIONS) {
            let block_end = self.span.min(block + POSITIONS);
            for token in 0..self.tokens {
                let (start, end) = self.seen(token);
                let (start, end) = (start.max(block), end.min(block_end));
                for member in 0..group {
                    let query = (self.first + token) * heads + self.head * group + member;
                    let query = &self.sequence.queries[query * head_width..][..head_width];
                    let row = (token * group + member) * self.span;
                    for position in start..end {
                        let key = (self.from + position) * key_value_heads + self.head;
                        let key = &self.sequence.keys[key * head_width..][..head_width];
                        let score = scale * dot(query, key);
                        scores[row + position] = match softcap {
                            Some(cap) => cap * tanh(score / cap),
                            None => score,
                        };
                    }
                }
            }
        }
    }

    /// Values weighted by the softmax of the scores, which are those of the positions from `first` on.
    #[inline(always)]
    fn blend(&self, scores: &mut [f32], first: usize, out: &mut [f32]) {
        let (stride, width) = (self.shape.key_value_heads * self.shape.head_width, self.shape.head_width);
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = scores.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for (lane, score) in lanes.iter_mut().zip(chunk) {
                *score = exp(*score - largest);
                *lane += *score;
            }
        }
        for (lane, score) in lanes.iter_mut().zip(rest) {
            *score = exp(*score - largest);
            *lane += *score;
        }
        let share = 1.0 / lanes.iter().sum::<f32>();
        out.fill(0.0);
        let values = &self.sequence.values[first * stride + self.head * width..];
        let mut weights = scores.chunks_exact(4);
        let mut position = 0;
        for weight in &mut weights {
            let row = |i: usize| &values[(position + i) * stride..][..width];
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            for i in 0..width {
                out[i] += weight[0] * a[i] + weight[1] * b[i] + weight[2] * c[i] + weight[3] * d[i];
            }
            position += 4;
        }
        for (i, weight) in weights.remainder().iter().enumerate() {
            let value = &values[(position + i) * stride..][..width];
            out.iter_mut().zip(value).for_each(|(out, value)| *out += weight * value);
        }
        out.iter_mut().for_each(|out| *out *= share);
    }
}

/// Dot product in interleaved chains, so that it vectorises.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for lane in 0..LANES {
            lanes[lane] = a[lane].mul_add(b[lane], lanes[lane]);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *lane += a * b;
    }
    total(lanes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_the_oracle(
            group in 1usize..5, key_value_heads in 1usize..4, head_width in 1usize..40,
            lengths in prop::collection::vec((1usize..20, 0usize..50), 1..4),
            window in prop::option::of(1usize..30), softcap in prop::option::of(0.5f32..4.0),
        ) {
            let heads = group * key_value_heads;
            let shape = AttentionShape { heads, key_value_heads, head_width, scale: 0.7, softcap, window };
            let inputs: Vec<_> = lengths.iter().map(|&(tokens, before)| {
                let cached = (tokens + before) * key_value_heads * head_width;
                (values(tokens * heads * head_width, 1), values(cached, 2), values(cached, 3))
            }).collect();
            let mut outs: Vec<_> = inputs.iter().map(|(queries, ..)| vec![f32::NAN; queries.len()]).collect();
            let mut sequences: Vec<_> = inputs.iter().zip(&mut outs).map(|((queries, keys, values), out)| {
                CachedSequence { queries, keys, values, out }
            }).collect();
            attention_cached(&shape, &mut sequences);
            for ((queries, keys, values), out) in inputs.iter().zip(&outs) {
                assert_close(out, &oracle::decoding::attention_cached(&shape, queries, keys, values), 2e-5);
            }
        }
    }

    #[test]
    fn tokens_one_by_one_have_the_same_bits_as_together_in_any_number_of_threads() {
        let (tokens, heads, key_value_heads, head_width) = (70, 6, 2, 24);
        for window in [None, Some(9)] {
            let shape =
                AttentionShape { heads, key_value_heads, head_width, scale: 0.3, softcap: None, window };
            let (row, key_row) = (heads * head_width, key_value_heads * head_width);
            let queries = values(tokens * row, 4);
            let (keys, cached) = (values(tokens * key_row, 5), values(tokens * key_row, 6));
            let mut together = vec![0.0; queries.len()];
            let all = |out: &mut [f32]| {
                attention_cached(
                    &shape,
                    &mut [CachedSequence { queries: &queries, keys: &keys, values: &cached, out }],
                );
            };
            all(&mut together);
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut again = vec![0.0; queries.len()];
                pool.install(|| all(&mut again));
                assert_eq!(together, again);
            }
            for token in 0..tokens {
                let mut out = vec![0.0; row];
                let seen = (token + 1) * key_row;
                attention_cached(
                    &shape,
                    &mut [CachedSequence {
                        queries: &queries[token * row..][..row],
                        keys: &keys[..seen],
                        values: &cached[..seen],
                        out: &mut out,
                    }],
                );
                assert_eq!(out, together[token * row..][..row], "token {token}");
            }
        }
    }
}
