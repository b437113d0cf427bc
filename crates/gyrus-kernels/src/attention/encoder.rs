//! Attention of an encoder: `softmax(scale * q kᵀ) v` within each head (Vaswani et al. 2017), where every token of a
//! sequence sees every other.
//!
//! Sequences of different lengths are packed one after another, so padding costs nothing. Cost: `4 * head_width`
//! operations for each head and pair of tokens of a sequence. A task is one head of one sequence; its keys and values are
//! packed once as panels of the register tile, for both products, between which a block of queries keeps its scores in the cache.

use pulp::{Arch, Simd, WithSimd};

use crate::base::math::exp;
use crate::base::parallel::{SharedMut, for_each_task, with_aligned_scratch};
use crate::base::tile::{Epilogue, PANEL, Runs, inner, with_tile};

/// Queries of a block: a multiple of every tile height.
const ROWS: usize = 48;
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
        let (columns, value_width) = (length.next_multiple_of(PANEL), head_width.next_multiple_of(PANEL));
        let lengths = [head_width * columns, length * value_width, ROWS * columns, ROWS * value_width];
        with_aligned_scratch(lengths.iter().sum(), |scratch| {
            let (keys, scratch) = scratch.split_at_mut(lengths[0]);
            let (values, scratch) = scratch.split_at_mut(lengths[1]);
            let (scores, blended) = scratch.split_at_mut(lengths[2]);
            head.pack(keys, values);
            for row in (0..length).step_by(ROWS) {
                let rows = ROWS.min(length - row);
                let mut shares = [0.0; ROWS];
                Arch::new().dispatch(Block {
                    head: &head,
                    rows: row..row + rows,
                    keys,
                    values,
                    scores: &mut *scores,
                    blended: &mut *blended,
                    shares: &mut shares,
                });
                for (i, share) in shares.iter().take(rows).enumerate() {
                    let at = (first + row + i) * width + head.head * head_width;
                    // SAFETY: only this task writes this head of this sequence.
                    let out = unsafe { target.slice(at, head_width) };
                    let blended = &blended[i * value_width..][..head_width];
                    out.iter_mut().zip(blended).for_each(|(out, value)| *out = value * share);
                }
            }
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

    /// Keys as panels of 16 tokens, `[head_width, 16]` each, values as panels of 16 elements, `[length, 16]` each, both padded with
    /// zeros.
    fn pack(&self, keys: &mut [f32], values: &mut [f32]) {
        let head_width = self.shape.head_width;
        for (index, panel) in keys.chunks_exact_mut(head_width * PANEL).enumerate() {
            let tokens = index * PANEL..self.length.min((index + 1) * PANEL);
            if tokens.len() < PANEL {
                panel.fill(0.0);
            }
            for (lane, token) in tokens.enumerate() {
                for (to, key) in panel.chunks_exact_mut(PANEL).zip(self.part(token, 1)) {
                    to[lane] = *key;
                }
            }
        }
        for (index, panel) in values.chunks_exact_mut(self.length * PANEL).enumerate() {
            let elements = index * PANEL..head_width.min((index + 1) * PANEL);
            for (token, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                let (to, padding) = to.split_at_mut(elements.len());
                to.copy_from_slice(&self.part(token, 2)[elements.clone()]);
                padding.fill(0.0);
            }
        }
    }

    /// Exponentials of the scores of one query, and their inverse sum.
    #[inline(always)]
    fn softmax(&self, row: &mut [f32]) -> f32 {
        for value in row.iter_mut() {
            *value *= self.shape.scale;
        }
        row[self.length..].fill(f32::NEG_INFINITY);
        let chunks = row.as_chunks_mut::<PANEL>().0;
        let mut largest = [f32::NEG_INFINITY; PANEL];
        for chunk in &*chunks {
            for (largest, score) in largest.iter_mut().zip(chunk) {
                *largest = if *score > *largest { *score } else { *largest };
            }
        }
        let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0.0f32; PANEL];
        for chunk in chunks {
            for (score, sum) in chunk.iter_mut().zip(&mut sums) {
                // The exponential saturates, so padding must be set to zero explicitly.
                let below = *score - largest;
                *score = if below < -80.0 { 0.0 } else { exp(below) };
                *sum += *score;
            }
        }
        1.0 / sums.iter().sum::<f32>()
    }
}

/// Some queries of a head.
struct Block<'a> {
    head: &'a Head<'a>,
    rows: core::ops::Range<usize>,
    keys: &'a [f32],
    values: &'a [f32],
    /// `[ROWS, columns]`
    scores: &'a mut [f32],
    /// Values blended by the exponentials, `[ROWS, value_width]`.
    blended: &'a mut [f32],
    /// What makes shares of the exponentials.
    shares: &'a mut [f32; ROWS],
}

impl WithSimd for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, block: Block<'_>) {
            let (head, head_width, length) = (block.head, block.head.shape.head_width, block.head.length);
            let (columns, value_width) = (block.scores.len() / ROWS, block.blended.len() / ROWS);
            let scores = block.scores.as_mut_ptr();
            let blended = block.blended.as_mut_ptr();
            // SAFETY: panels are as long as `pack` says; scores and blended values have a row for each query.
            unsafe {
                inner::<S, MR, NV, true, true>(
                    simd,
                    0..block.rows.len(),
                    |row| head.part(block.rows.start + row, 0).as_ptr(),
                    Runs { offsets: &[0], length: head_width },
                    (block.keys.as_ptr(), head_width * PANEL),
                    |row| scores.wrapping_add(row * columns),
                    (0, columns),
                    Epilogue::NONE,
                );
            }
            let rows = block.scores.chunks_exact_mut(columns).take(block.rows.len());
            for (row, share) in rows.zip(block.shares.iter_mut()) {
                *share = head.softmax(row);
            }
            let scores = block.scores.as_ptr();
            // SAFETY: as above.
            unsafe {
                inner::<S, MR, NV, true, true>(
                    simd,
                    0..block.rows.len(),
                    |row| scores.wrapping_add(row * columns),
                    Runs { offsets: &[0], length },
                    (block.values.as_ptr(), length * PANEL),
                    |row| blended.wrapping_add(row * value_width),
                    (0, value_width),
                    Epilogue::NONE,
                );
            }
        }
        with_tile!(simd, run(self));
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
