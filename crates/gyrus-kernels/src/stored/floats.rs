//! Products with weights that are floats of 32 or 16 bits.
//!
//! Those of 16 bits are widened to 32 in the cache: a row at a time for a few inputs, which is memory-bound, otherwise
//! a block of rows for all inputs. Cost: that of [`crate::dense::linear::linear`].

use super::dequantize::dequantize;
use super::matrix::Matrix;
use super::widen::widen;
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::dense::{dot, linear};

/// Bytes of weights per task.
const TASK_BYTES: usize = 1 << 16;
/// Inputs up to which rows are multiplied one at a time, as in [`linear::linear`].
const FEW_INPUTS: usize = dot::FEW_ROWS;
/// Rows of weights that are widened together for more inputs.
const BLOCK_ROWS: usize = 512;

/// Whether [`few`] is faster for so many inputs.
pub(super) fn are_few(batch: usize) -> bool {
    batch <= FEW_INPUTS
}

/// `y = x wᵀ` for whole rows, with the weights in place.
pub(super) fn few(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let (rows, columns) = (matrix.rows, matrix.columns);
    if let Some(weights) = matrix.as_floats() {
        // So many inputs share each read of the weights.
        for (x, y) in x.chunks(FEW_INPUTS * columns).zip(y.chunks_mut(FEW_INPUTS * rows)) {
            linear::linear(x, weights, None, false, (x.len() / columns, columns, rows), y);
        }
        return;
    }
    let rows_of_task = (TASK_BYTES / matrix.row_bytes()).max(1);
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(rows.div_ceil(rows_of_task), matrix.bytes.len() < TASK_BYTES, |task| {
        with_scratch(columns, |weights| {
            for row in task * rows_of_task..rows.min((task + 1) * rows_of_task) {
                widen(matrix.format, matrix.rows_at(row, 1), weights);
                for (b, x) in x.chunks_exact(columns).enumerate() {
                    // SAFETY: only this task writes these outputs of each input.
                    unsafe { *target.get().add(b * rows + row) = dot::dot(weights, x) };
                }
            }
        });
    });
}

/// `y = x wᵀ` for whole rows, in tiles.
pub(super) fn many(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let (rows, columns) = (matrix.rows, matrix.columns);
    let batch = x.len() / columns;
    if let Some(weights) = matrix.as_floats() {
        return linear::linear_in_tiles(x, weights, (batch, columns, rows), y);
    }
    let mut widened = vec![0.0f32; BLOCK_ROWS.min(rows) * columns];
    let mut outputs = vec![0.0f32; BLOCK_ROWS.min(rows) * batch];
    for first in (0..rows).step_by(BLOCK_ROWS) {
        let count = BLOCK_ROWS.min(rows - first);
        let (weights, outputs) = (&mut widened[..count * columns], &mut outputs[..count * batch]);
        let block = Matrix { rows: count, bytes: matrix.rows_at(first, count), ..*matrix };
        dequantize(&block, weights);
        linear::linear_in_tiles(x, weights, (batch, columns, count), outputs);
        for (y, outputs) in y.chunks_exact_mut(rows).zip(outputs.chunks_exact(count)) {
            y[first..][..count].copy_from_slice(outputs);
        }
    }
}
