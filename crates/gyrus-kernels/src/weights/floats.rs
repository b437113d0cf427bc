//! Products with weights that are floats of 32 or 16 bits.

use half::{bf16, f16};

use super::{Format, Matrix};
use crate::parallel::{SharedMut, for_each_task, with_scratch};

/// Bytes of weights that one task takes.
const TASK_BYTES: usize = 1 << 16;

/// `y = x wᵀ`, with whole rows of both.
pub(super) fn product(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let (rows, columns) = (matrix.rows, matrix.columns);
    let batch = x.len() / columns;
    let rows_of_task = (TASK_BYTES / matrix.row_bytes().max(1)).max(1);
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(rows.div_ceil(rows_of_task), false, |task| {
        with_scratch(columns, |weights| {
            for row in task * rows_of_task..rows.min((task + 1) * rows_of_task) {
                widen(matrix.format, matrix.rows_at(row, 1), weights);
                for b in 0..batch {
                    let sum = weights.iter().zip(&x[b * columns..]).map(|(w, x)| w * x).sum();
                    // SAFETY: this task alone writes these outputs of each row of the batch.
                    unsafe { *target.get().add(b * rows + row) = sum };
                }
            }
        });
    });
}

/// The weights as 32-bit floats.
pub(super) fn widen(format: Format, bytes: &[u8], values: &mut [f32]) {
    match format {
        Format::F16 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = f16::from_le_bytes(*bytes).to_f32();
            }
        }
        Format::BF16 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        _ => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
    }
}
