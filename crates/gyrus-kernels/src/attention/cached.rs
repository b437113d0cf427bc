//! Attention of new tokens to cached keys and values: `softmax(scale * q kᵀ) v` within each head (Vaswani et al. 2017),
//! with groups of query heads that share a key head (Ainslie et al. 2023), a sliding window and a soft cap.
//!
//! Cost: `4 * head_width` operations for each query head, new token and visible position. A task is one key head and a
//! few tokens of one sequence, so keys are read once for the whole group of query heads. Only one task's scores are
//! kept. A token's result depends only on what it sees, not on the tokens computed beside it.

use pulp::{Arch, Simd, WithSimd};

use crate::base::math::{exp, tanh};
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::sums::LANES;

/// Rows of scores held by one task: one per token and query head.
const ROWS: usize = 16;
/// Positions whose keys are used for all rows while they are in the first-level cache.
const POSITIONS: usize = 32;
/// Operations below which everything stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 16;

/// The shape of an attention layer.
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
    /// How many positions a token sees, including itself.
    pub window: Option<usize>,
}

/// The new tokens of one sequence, and its cache.
#[derive(Debug)]
pub struct CachedSequence<'a> {
    /// `[tokens, heads, head_width]`
    pub queries: &'a [f32],
    /// `[positions, key_value_heads, head_width]`; the last `tokens` positions are those of the new tokens.
    pub keys: &'a [f32],
    /// Same shape as `keys`.
    pub values: &'a [f32],
    /// The result: `[tokens, heads, head_width]`
    pub out: &'a mut [f32],
}

/// Attention of each sequence's new tokens to its cache.
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
        assert_eq!(sequence.out.len(), sequence.queries.len(), "out has the shape of queries");
        assert_eq!(sequence.keys.len(), positions * key_row, "keys are [positions, heads, head_width]");
        assert_eq!(sequence.values.len(), sequence.keys.len(), "values have the shape of keys");
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
        // The block's first token sees the positions from here on.
        let end = positions - all_tokens + first + 1;
        let from = shape.window.map_or(0, |window| end.saturating_sub(window));
        let span = end + tokens - 1 - from;
        with_scratch(tokens * group * span, |scores| {
            let out = targets[index];
            Arch::new().dispatch(Task { shape, sequence, first, tokens, head, from, span, scores, out });
        });
    });
}

/// Some tokens of one sequence, and one key head.
struct Task<'a> {
    shape: &'a AttentionShape,
    sequence: &'a CachedSequence<'a>,
    first: usize,
    tokens: usize,
    head: usize,
    from: usize,
    span: usize,
    /// `[tokens * group, span]`
    scores: &'a mut [f32],
    /// Only this task writes the query heads of this key head for these tokens.
    out: SharedMut,
}

impl WithSimd for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let AttentionShape { heads, key_value_heads, head_width, .. } = *self.shape;
        let group = heads / key_value_heads;
        let mut task = self;
        task.score(simd);
        for token in 0..task.tokens {
            for member in 0..group {
                let seen = task.seen(token);
                let start = ((task.first + token) * heads + task.head * group + member) * head_width;
                // SAFETY: only this task writes the query heads of this key head for these tokens.
                let out = unsafe { task.out.slice(start, head_width) };
                task.blend(simd, token * group + member, seen, out);
            }
        }
    }
}

impl Task<'_> {
    /// The positions that a token of the block sees, counted from `from`.
    #[inline(always)]
    fn seen(&self, token: usize) -> (usize, usize) {
        let end = self.span + 1 - self.tokens + token;
        (self.shape.window.map_or(0, |window| end.saturating_sub(window)), end)
    }

    /// Scores of each row for each position that it sees.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S) {
        let AttentionShape { heads, key_value_heads, head_width, scale, softcap, .. } = *self.shape;
        let group = heads / key_value_heads;
        for block in (0..self.span).step_by(POSITIONS) {
            let block_end = self.span.min(block + POSITIONS);
            for token in 0..self.tokens {
                let (start, end) = self.seen(token);
                let (start, end) = (start.max(block), end.min(block_end));
                if start >= end {
                    continue;
                }
                for member in 0..group {
                    let query = (self.first + token) * heads + self.head * group + member;
                    let query = &self.sequence.queries[query * head_width..][..head_width];
                    let key = |position: usize| {
                        let key = (self.from + position) * key_value_heads + self.head;
                        &self.sequence.keys[key * head_width..][..head_width]
                    };
                    let row = (token * group + member) * self.span;
                    let scores = &mut self.scores[row + start..row + end];
                    let (fours, rest) = scores.as_chunks_mut::<4>();
                    let mut position = start;
                    for four in fours {
                        *four = dots(simd, query, core::array::from_fn(|i| key(position + i)));
                        position += 4;
                    }
                    for score in rest {
                        [*score] = dots(simd, query, [key(position)]);
                        position += 1;
                    }
                    match softcap {
                        None => scores.iter_mut().for_each(|score| *score *= scale),
                        Some(cap) => {
                            scores.iter_mut().for_each(|score| *score = cap * tanh(*score * scale / cap));
                        }
                    }
                }
            }
        }
    }

    /// Values weighted by the softmax of a row's scores for the positions `start .. end`, counted from `from`.
    #[inline(always)]
    fn blend<S: Simd>(&mut self, simd: S, row: usize, (start, end): (usize, usize), out: &mut [f32]) {
        let (stride, width) = (self.shape.key_value_heads * self.shape.head_width, self.shape.head_width);
        let scores = &mut self.scores[row * self.span..][start..end];
        let share = softmax(scores);
        let values = &self.sequence.values[(self.from + start) * stride + self.head * width..];
        let (vectors, rest) = S::as_mut_simd_f32s(out);
        let scaled = simd.splat_f32s(share);
        let (fours, ones) = vectors.as_chunks_mut::<4>();
        let mut column = 0;
        for four in fours {
            *four = weighted::<S, 4>(simd, scores, &values[column..], stride)
                .map(|sums| simd.mul_f32s(sums, scaled));
            column += 4 * S::F32_LANES;
        }
        for one in ones {
            let [sums] = weighted::<S, 1>(simd, scores, &values[column..], stride);
            *one = simd.mul_f32s(sums, scaled);
            column += S::F32_LANES;
        }
        for out in rest {
            let terms = scores.iter().zip(values[column..].iter().step_by(stride));
            *out = share * terms.fold(0.0f32, |sum, (weight, value)| weight.mul_add(*value, sum));
            column += 1;
        }
    }
}

/// Replaces scores by `exp(score - largest)` and returns the factor that makes them sum to one.
#[inline(always)]
fn softmax(scores: &mut [f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *lane = if *score > *lane { *score } else { *lane };
        }
    }
    let largest = rest.iter().chain(&lanes).copied().fold(f32::NEG_INFINITY, f32::max);
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
    1.0 / lanes.iter().sum::<f32>()
}

/// Dot products of a query with several keys; the order of each does not depend on the others.
#[inline(always)]
fn dots<S: Simd, const N: usize>(simd: S, query: &[f32], keys: [&[f32]; N]) -> [f32; N] {
    let (query, query_rest) = S::as_simd_f32s(query);
    let keys = keys.map(|key| S::as_simd_f32s(key));
    let mut sums = [simd.splat_f32s(0.0); N];
    for (index, query) in query.iter().enumerate() {
        for (sum, (key, _)) in sums.iter_mut().zip(&keys) {
            *sum = simd.mul_add_e_f32s(*query, key[index], *sum);
        }
    }
    let mut totals = sums.map(|sum| simd.reduce_sum_f32s(sum));
    for (index, query) in query_rest.iter().enumerate() {
        for (total, (_, key)) in totals.iter_mut().zip(&keys) {
            *total += query * key[index];
        }
    }
    totals
}

/// `sum over rows of weights[row] * values[row * stride ..]`, `N` vectors wide, in registers.
#[inline(always)]
fn weighted<S: Simd, const N: usize>(
    simd: S,
    weights: &[f32],
    values: &[f32],
    stride: usize,
) -> [S::f32s; N] {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (weight, row) in weights.iter().zip(values.chunks(stride)) {
        let weight = simd.splat_f32s(*weight);
        let (vectors, _) = S::as_simd_f32s(&row[..N * S::F32_LANES]);
        for (sum, vector) in sums.iter_mut().zip(vectors) {
            *sum = simd.mul_add_e_f32s(weight, *vector, *sum);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_matches_the_oracle(
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
                assert_close(out, &oracle::attention::attention_cached(&shape, queries, keys, values), 2e-5);
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
