//! Attention of an encoder: `softmax(scale * q kᵀ) v` within each head (Vaswani et al. 2017), where every token of a
//! sequence sees every other.
//!
//! Sequences of different lengths are packed one after another, so padding costs nothing. Cost: `4 * head_width`
//! operations for each head and pair of tokens of a sequence. A task is one head of one sequence; its keys are
//! transposed and its values copied once, so that both products run along vectors, for eight queries at a time.

use crate::base::math::exp;
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_aligned_scratch};

/// Queries that share a pass over keys and values.
const ROWS: usize = 8;
/// Numbers per vector.
const LANES: usize = 16;
/// Operations below which everything stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 18;

/// The heads, and the scale of their scores.
#[derive(Clone, Copy, Debug)]
pub struct EncoderAttention {
    /// Heads.
    pub heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Factor of the scores.
    pub scale: f32,
}

/// Attention within each of the packed sequences, which have `lengths` tokens: `query_key_value` is
/// `[tokens, 3, heads, head_width]`, `out` is `[tokens, heads, head_width]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn encoder_attention(
    shape: &EncoderAttention,
    lengths: &[usize],
    query_key_value: &[f32],
    out: &mut [f32],
) {
    let EncoderAttention { heads, head_width, .. } = *shape;
    let width = heads * head_width;
    let tokens: usize = lengths.iter().sum();
    assert!(head_width > 0, "a head has elements");
    assert_eq!(
        query_key_value.len(),
        tokens * 3 * width,
        "query_key_value is [tokens, 3, heads, head_width]"
    );
    assert_eq!(out.len(), tokens * width, "out is [tokens, heads, head_width]");
    let starts = lengths.iter().scan(0, |end, length| {
        let start = *end;
        *end += length;
        Some((start, *length))
    });
    let sequences: Vec<(usize, usize)> = starts.filter(|(_, length)| *length > 0).collect();
    let operations: usize = lengths.iter().map(|length| 4 * length * length * width).sum();
    let target = SharedMut(out.as_mut_ptr());
    for_each_task(sequences.len() * heads, operations < SERIAL_OPERATIONS, |task| {
        let ((first, length), head) = (sequences[task / heads], task % heads);
        let head = Head { shape, length, rows: &query_key_value[first * 3 * width..], head };
        let (columns, value_width) = (length.next_multiple_of(LANES), head_width.next_multiple_of(LANES));
        with_aligned_scratch(head_width * columns + length * value_width + ROWS * columns, |scratch| {
            let (keys, rest) = scratch.split_at_mut(head_width * columns);
            let (values, scores) = rest.split_at_mut(length * value_width);
            vectorized(
                #[inline(always)]
                || {
                    head.gather(keys, values);
                    for row in (0..length).step_by(ROWS) {
                        let rows = ROWS.min(length - row);
                        head.score(row, rows, keys, scores);
                        let shares = head.softmax(scores);
                        for chunk in (0..value_width).step_by(LANES) {
                            let blended = head.blend(scores, values, chunk);
                            let count = LANES.min(head_width - chunk);
                            for (i, (blended, share)) in blended.iter().zip(shares).take(rows).enumerate() {
                                let at = (first + row + i) * width + head.head * head_width + chunk;
                                // SAFETY: only this task writes this head of this sequence.
                                let out = unsafe { target.slice(at, count) };
                                out.iter_mut().zip(blended).for_each(|(out, value)| *out = value * share);
                            }
                        }
                    }
                },
            );
        });
    });
}

/// One head of one sequence.
struct Head<'a> {
    shape: &'a EncoderAttention,
    /// Tokens.
    length: usize,
    /// The sequence's rows, `[length, 3, heads, head_width]`.
    rows: &'a [f32],
    head: usize,
}

impl Head<'_> {
    /// The query (0), key (1) or value (2) of a token.
    #[inline(always)]
    fn part(&self, token: usize, part: usize) -> &[f32] {
        let EncoderAttention { heads, head_width, .. } = *self.shape;
        &self.rows[((token * 3 + part) * heads + self.head) * head_width..][..head_width]
    }

    /// Keys as `[head_width, columns]`, values as `[length, value_width]`, both padded with zeros.
    #[inline(always)]
    fn gather(&self, keys: &mut [f32], values: &mut [f32]) {
        let columns = keys.len() / self.shape.head_width;
        let value_width = values.len() / self.length;
        keys.fill(0.0);
        values.fill(0.0);
        for token in 0..self.length {
            for (i, key) in self.part(token, 1).iter().enumerate() {
                keys[i * columns + token] = *key;
            }
            values[token * value_width..][..self.shape.head_width].copy_from_slice(self.part(token, 2));
        }
    }

    /// Scores of `rows` tokens from `row` on: `[ROWS, columns]`.
    #[inline(always)]
    fn score(&self, row: usize, rows: usize, keys: &[f32], scores: &mut [f32]) {
        let columns = scores.len() / ROWS;
        let queries: [&[f32]; ROWS] = core::array::from_fn(|i| self.part(row + i.min(rows - 1), 0));
        for chunk in (0..columns).step_by(LANES) {
            let mut sums = [[0.0f32; LANES]; ROWS];
            for i in 0..self.shape.head_width {
                let key: &[f32; LANES] =
                    keys[i * columns + chunk..].first_chunk().expect("columns are padded");
                for (sums, query) in sums.iter_mut().zip(&queries) {
                    for lane in 0..LANES {
                        sums[lane] = query[i].mul_add(key[lane], sums[lane]);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                let to = &mut scores[i * columns + chunk..][..LANES];
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to = self.shape.scale * sum);
            }
        }
    }

    /// Exponentials of the scores, and the inverse sum of each row.
    #[inline(always)]
    fn softmax(&self, scores: &mut [f32]) -> [f32; ROWS] {
        let columns = scores.len() / ROWS;
        core::array::from_fn(|i| {
            let (row, padding) = scores[i * columns..][..columns].split_at_mut(self.length);
            padding.fill(f32::NEG_INFINITY);
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut lanes = [0.0f32; LANES];
            let (chunks, _) = scores[i * columns..][..columns].as_chunks_mut::<LANES>();
            for chunk in chunks {
                for lane in 0..LANES {
                    // The exponential saturates, so padding must be set to zero explicitly.
                    let score = chunk[lane] - largest;
                    chunk[lane] = if score < -80.0 { 0.0 } else { exp(score) };
                    lanes[lane] += chunk[lane];
                }
            }
            1.0 / lanes.iter().sum::<f32>()
        })
    }

    /// One vector of the values, weighted by each row of scores.
    #[inline(always)]
    fn blend(&self, scores: &[f32], values: &[f32], chunk: usize) -> [[f32; LANES]; ROWS] {
        let (columns, value_width) = (scores.len() / ROWS, values.len() / self.length);
        let mut sums = [[0.0f32; LANES]; ROWS];
        for token in 0..self.length {
            let value: &[f32; LANES] =
                values[token * value_width + chunk..].first_chunk().expect("values are padded");
            for (i, sums) in sums.iter_mut().enumerate() {
                let score = scores[i * columns + token];
                for lane in 0..LANES {
                    sums[lane] = score.mul_add(value[lane], sums[lane]);
                }
            }
        }
        sums
    }
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
            heads in 1usize..5, head_width in 1usize..40, lengths in prop::collection::vec(0usize..50, 0..5),
            scale in 0.1f32..4.0,
        ) {
            let shape = EncoderAttention { heads, head_width, scale };
            let tokens: usize = lengths.iter().sum();
            let x = values(tokens * 3 * heads * head_width, 1);
            let mut out = vec![f32::NAN; tokens * heads * head_width];
            encoder_attention(&shape, &lengths, &x, &mut out);
            assert_close(&out, &oracle::attention::encoder_attention(&shape, &lengths, &x), 2e-5);
        }
    }

    #[test]
    fn a_sequence_has_the_same_bits_alone_and_in_a_batch_for_any_number_of_threads() {
        let shape = EncoderAttention { heads: 6, head_width: 24, scale: 0.2 };
        let lengths = [33, 7, 128];
        let row = 3 * shape.heads * shape.head_width;
        let x = values(168 * row, 2);
        let run = |x: &[f32], lengths: &[usize]| {
            let mut out = vec![0.0; x.len() / 3];
            encoder_attention(&shape, lengths, x, &mut out);
            out
        };
        let together = run(&x, &lengths);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| run(&x, &lengths)) == together);
        }
        assert!(run(&x[33 * row..40 * row], &[7]) == together[33 * row / 3..40 * row / 3]);
    }
}
