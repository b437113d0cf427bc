//! Products with formats that are rare, or whose codes come from tables: some rows at a time are expanded to codes of 8 bits
//! and multiplied like other small integers, so that memory holds the weights as they are stored.
//!
//! Cost: one pass over the weights, whose codes are written and read once more in the cache.

use rayon::prelude::*;

use super::blocks::{Block, Expanded, LARGEST_BLOCK, MOST_SCALES};
use super::matrix::Matrix;

/// Weights that are expanded together: they stay in the second cache of a core or two.
const EXPANDED_WEIGHTS: usize = 1 << 19;
/// Rows are expanded in multiples of this, a task of the product.
const ROWS: usize = 64;

/// How [`Expanded`] weights, `[rows, columns]`, are multiplied: `y = x wᵀ`.
type Multiply = fn(&Matrix<'_>, &[f32], &mut [f32]);

/// `y = x wᵀ`: `x` is `[batch, columns]`, `y` is `[batch, rows]`.
pub(super) fn product<B: Block>(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32], multiply: Multiply) {
    let (rows, columns) = (matrix.rows, matrix.columns);
    let batch = x.len() / columns;
    // Formats of smaller blocks may leave the last block of a row incomplete; zeros complete it, and the inputs' too.
    let padded = columns.next_multiple_of(Expanded::WEIGHTS);
    let inputs: Vec<f32>;
    let x = if padded == columns {
        x
    } else {
        let row = |row: &[f32]| [row, &vec![0.0; padded - columns]].concat();
        inputs = x.chunks_exact(columns).flat_map(row).collect();
        &inputs
    };
    let row_bytes = padded / Expanded::WEIGHTS * Expanded::BYTES;
    let at_once = (EXPANDED_WEIGHTS / padded).next_multiple_of(ROWS).min(rows);
    let mut bytes = vec![0u8; at_once * row_bytes];
    let mut outputs = vec![0.0f32; at_once * batch];
    for first in (0..rows).step_by(at_once) {
        let count = at_once.min(rows - first);
        let bytes = &mut bytes[..count * row_bytes];
        bytes.par_chunks_exact_mut(row_bytes).enumerate().for_each(|(row, bytes)| {
            expand::<B>(matrix.rows_at(first + row, 1), bytes);
        });
        let outputs = &mut outputs[..count * batch];
        multiply(&Matrix { rows: count, columns: padded, bytes: &*bytes, ..*matrix }, x, outputs);
        for (y, outputs) in y.chunks_exact_mut(rows).zip(outputs.chunks_exact(count)) {
            y[first..][..count].copy_from_slice(outputs);
        }
    }
}

/// One row.
fn expand<B: Block>(row: &[u8], expanded: &mut [u8]) {
    let mut codes = [0u8; LARGEST_BLOCK];
    let (mut scales, mut minima) = ([0.0f32; MOST_SCALES], [0.0f32; MOST_SCALES]);
    let in_one = Expanded::WEIGHTS / B::WEIGHTS;
    for (blocks, to) in row.chunks(in_one * B::BYTES).zip(expanded.chunks_exact_mut(Expanded::BYTES)) {
        let (to_codes, to_scales) = to.split_at_mut(Expanded::WEIGHTS);
        for (i, block) in blocks.chunks_exact(B::BYTES).enumerate() {
            B::codes(block, &mut codes);
            B::scales(block, &mut scales, &mut minima);
            for (to, code) in to_codes[i * B::WEIGHTS..].iter_mut().zip(&codes[..B::WEIGHTS]) {
                *to = (i32::from(*code) - B::OFFSET + Expanded::OFFSET) as u8;
            }
            let to_scales = &mut to_scales.as_chunks_mut::<4>().0[i * B::WEIGHTS / Expanded::SPAN..];
            for (half, to) in to_scales[..B::WEIGHTS / Expanded::SPAN].iter_mut().enumerate() {
                *to = scales[half * Expanded::SPAN / B::SPAN].to_le_bytes();
            }
        }
    }
}
