//! Stored weights as 32-bit floats.

use rayon::prelude::*;

use super::blocks::{self, by_format};
use super::format::Format;
use super::matrix::Matrix;
use super::widen::widen;
use crate::base::parallel::CHUNK;

/// The weights of one row as floats: `values` is `[columns]`.
///
/// # Panics
/// If there is no such row, or `values` is not as long as one.
pub fn dequantize_row(matrix: &Matrix<'_>, row: usize, values: &mut [f32]) {
    assert!(row < matrix.rows, "row {row} of {}", matrix.rows);
    assert_eq!(values.len(), matrix.columns, "values is [columns]");
    dequantize_blocks(matrix.format, matrix.rows_at(row, 1), values);
}

/// The weights of all rows as floats: `values` is `[rows, columns]`.
///
/// # Panics
/// If `values` is not as long as the matrix.
pub fn dequantize(matrix: &Matrix<'_>, values: &mut [f32]) {
    assert_eq!(values.len(), matrix.rows * matrix.columns, "values is [rows, columns]");
    // A whole number of blocks of every format.
    let bytes = CHUNK / matrix.format.block_weights() * matrix.format.block_bytes();
    values.par_chunks_mut(CHUNK).zip(matrix.bytes.par_chunks(bytes)).for_each(|(values, bytes)| {
        dequantize_blocks(matrix.format, bytes, values);
    });
}

/// The weights of whole blocks as floats.
fn dequantize_blocks(format: Format, bytes: &[u8], values: &mut [f32]) {
    by_format!(format, B => blocks::dequantize::<B>(bytes, values),
        expanded => blocks::dequantize::<B>(bytes, values),
        floats => widen(format, bytes, values))
}
