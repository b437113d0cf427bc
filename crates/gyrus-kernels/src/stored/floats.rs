//! Products with weights that are floats of 32 or 16 bits.
//!
//! Those of 16 bits are widened to 32 in the cache: a row at a time for a few inputs, which is memory-bound, otherwise
//! a block of rows for all inputs. Cost: that of [`crate::dense::linear::linear`].

use super::{Format, Matrix};
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_scratch};
use crate::dense::{dot, linear};
use half::{bf16, f16};

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
    if let Some(weights) = as_floats(matrix) {
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
    if let Some(weights) = as_floats(matrix) {
        return linear::linear_in_tiles(x, weights, (batch, columns, rows), y);
    }
    let mut widened = vec![0.0f32; BLOCK_ROWS.min(rows) * columns];
    let mut outputs = vec![0.0f32; BLOCK_ROWS.min(rows) * batch];
    for first in (0..rows).step_by(BLOCK_ROWS) {
        let count = BLOCK_ROWS.min(rows - first);
        let (weights, outputs) = (&mut widened[..count * columns], &mut outputs[..count * batch]);
        let block = Matrix { rows: count, bytes: matrix.rows_at(first, count), ..*matrix };
        super::dequantize(&block, weights);
        linear::linear_in_tiles(x, weights, (batch, columns, count), outputs);
        for (y, outputs) in y.chunks_exact_mut(rows).zip(outputs.chunks_exact(count)) {
            y[first..][..count].copy_from_slice(outputs);
        }
    }
}

/// The weights in place, if they are stored as this machine's floats and suitably aligned.
pub(super) fn as_floats<'a>(matrix: &Matrix<'a>) -> Option<&'a [f32]> {
    if matrix.format != Format::F32 || cfg!(target_endian = "big") {
        return None;
    }
    // SAFETY: every bit pattern is a float.
    let (before, floats, after) = unsafe { matrix.bytes.align_to::<f32>() };
    (before.is_empty() && after.is_empty()).then_some(floats)
}

/// The weights as 32-bit floats.
pub(super) fn widen(format: Format, bytes: &[u8], values: &mut [f32]) {
    match format {
        Format::F16 => {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx") && is_x86_feature_detected!("f16c") {
                // SAFETY: the features were detected.
                return unsafe { widen_halves(bytes, values) };
            }
            widen_one_by_one(bytes, values);
        }
        Format::BF16 => vectorized(
            #[inline(always)]
            || {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = bf16::from_le_bytes(*bytes).to_f32();
                }
            },
        ),
        _ => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
    }
}

/// 16-bit floats as 32-bit ones, on any machine.
fn widen_one_by_one(bytes: &[u8], values: &mut [f32]) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = f16::from_le_bytes(*bytes).to_f32();
    }
}

/// 16-bit floats as 32-bit ones, eight at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn widen_halves(bytes: &[u8], values: &mut [f32]) {
    use core::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (eights, rest) = bytes.as_chunks::<16>();
    let (to_eights, to_rest) = values.as_chunks_mut::<8>();
    for (bytes, values) in eights.iter().zip(to_eights) {
        // SAFETY: the slices are as long as the registers.
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())))
        };
    }
    widen_one_by_one(rest, to_rest);
}
