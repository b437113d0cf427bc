//! Weights as the files of language models store them, and products with them.
//!
//! `y[b][r] = sum_c w[r][c] * x[b][c]`, where `w` lies in memory exactly as ggml's formats prescribe: row after row,
//! each a chain of blocks of small integers with a scale (`w = scale * code`, for [`Format::Q4_K`]
//! `scale * code - minimum`). Nothing is unpacked or rearranged beforehand, so a matrix can be a part of a mapped file.
//! The inputs are rounded to 8 bits, 32 of them sharing a scale, so that products of blocks are sums of integers.
//!
//! Sources: `ggml-common.h` and `ggml-quants.c` of llama.cpp for the layouts; Dettmers et al. 2022 (arXiv:2208.07339)
//! for products in 8 bits. Cost: one pass over the weights per few rows of `x`; a single row is memory-bound.
//!
//! Where to look: `blocks` takes each format's blocks apart, `quantizers` makes them; `integers` and `floats` multiply,
//! with `avx2`, `avx512`, `neon` and `tiles` as the inner loops of `integers`; [`low_rank`] adds trainable adapters to
//! frozen weights.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod floats;
mod integers;
pub mod low_rank;
#[cfg(target_arch = "aarch64")]
mod neon;
mod quantizers;
#[cfg(target_arch = "x86_64")]
mod tiles;

use rayon::prelude::*;

pub use quantizers::quantize;

use crate::Error;
use crate::base::parallel::CHUNK;

/// How the weights of a matrix are stored; the names are ggml's.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// Blocks of 32 weights: a 16-bit scale, 8 bits per weight.
    Q8_0,
    /// Blocks of 32 weights: a 16-bit scale, 4 bits per weight.
    Q4_0,
    /// Blocks of 256 weights: scales and minima of 6 bits for each 32, 4 bits per weight.
    Q4_K,
    /// Blocks of 256 weights: scales of 8 bits for each 16, 6 bits per weight.
    Q6_K,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 7] =
        [Format::F32, Format::F16, Format::BF16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K];

    /// Weights per block; a row is a whole number of blocks.
    #[must_use]
    pub fn block_weights(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => 1,
            Format::Q8_0 | Format::Q4_0 => 32,
            Format::Q4_K | Format::Q6_K => 256,
        }
    }

    /// Bytes per block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::BF16 => 2,
            Format::Q8_0 => 2 + 32,
            Format::Q4_0 => 2 + 16,
            Format::Q4_K => 2 + 2 + 12 + 128,
            Format::Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes of a row of `columns` weights; `None` if that is not a whole number of blocks, or too many.
    #[must_use]
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let blocks =
            columns.is_multiple_of(self.block_weights()).then_some(columns / self.block_weights())?;
        blocks.checked_mul(self.block_bytes())
    }

    /// The name in ggml, in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::BF16 => "BF16",
            Format::Q8_0 => "Q8_0",
            Format::Q4_0 => "Q4_0",
            Format::Q4_K => "Q4_K",
            Format::Q6_K => "Q6_K",
        }
    }
}

/// A matrix `[rows, columns]` in one of the formats, at any address.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    format: Format,
    rows: usize,
    columns: usize,
    bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Views `bytes` as a matrix.
    ///
    /// # Errors
    /// If a row is not a whole number of blocks, or `bytes` is not exactly as long as the shape says.
    pub fn new(format: Format, rows: usize, columns: usize, bytes: &'a [u8]) -> Result<Self, Error> {
        let row = format.row_bytes(columns).ok_or(Error::Columns { format, columns })?;
        if row.checked_mul(rows) != Some(bytes.len()) {
            return Err(Error::Bytes { format, rows, columns, bytes: bytes.len() });
        }
        Ok(Matrix { format, rows, columns, bytes })
    }

    /// A matrix of floats with rows of `columns`.
    ///
    /// # Panics
    /// If `floats` is not a whole number of rows.
    #[must_use]
    pub fn of_floats(floats: &'a [f32], columns: usize) -> Self {
        assert!(columns > 0 && floats.len().is_multiple_of(columns), "whole rows");
        // SAFETY: floats are plain bytes, four each.
        let bytes = unsafe { core::slice::from_raw_parts(floats.as_ptr().cast::<u8>(), size_of_val(floats)) };
        Matrix { format: Format::F32, rows: floats.len() / columns, columns, bytes }
    }

    /// How the weights are stored.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Rows: outputs of a product.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: inputs of a product.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The bytes, row by row.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Some of its rows.
    ///
    /// # Panics
    /// If it has fewer.
    pub(crate) fn row_range(&self, first: usize, count: usize) -> Self {
        Matrix { rows: count, bytes: self.rows_at(first, count), ..*self }
    }

    /// The weights in place, if they are stored as this machine's floats and suitably aligned.
    #[must_use]
    pub fn as_floats(&self) -> Option<&'a [f32]> {
        floats::as_floats(self)
    }

    /// Bytes of one row.
    fn row_bytes(&self) -> usize {
        // Rows of no columns have no bytes; otherwise the constructor has checked that this divides.
        self.bytes.len().checked_div(self.rows).unwrap_or(0)
    }

    /// The bytes of some rows.
    fn rows_at(&self, first: usize, count: usize) -> &'a [u8] {
        &self.bytes[first * self.row_bytes()..][..count * self.row_bytes()]
    }
}

/// `y = x wᵀ` by the faster of two algorithms: `x` is `[batch, columns]`, `y` is `[batch, rows]`.
///
/// # Panics
/// If `x` and `y` are not whole rows, or not of the same batch.
pub fn matmul(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let batch = x.len() / matrix.columns.max(1);
    let few = match matrix.format {
        Format::F32 | Format::F16 | Format::BF16 => floats::are_few(batch),
        Format::Q8_0 | Format::Q4_0 | Format::Q4_K | Format::Q6_K => integers::are_few(batch),
    };
    if few { matmul_few(matrix, x, y) } else { matmul_many(matrix, x, y) }
}

/// [`matmul`] by the algorithm for a few inputs, which is memory-bound.
///
/// A row of `y` has the same bits whatever other rows are computed with it, but not those of [`matmul_many`].
///
/// # Panics
/// As [`matmul`].
pub fn matmul_few(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    if is_nothing(matrix, x, y) {
        return;
    }
    match matrix.format {
        Format::F32 | Format::F16 | Format::BF16 => floats::few(matrix, x, y),
        Format::Q8_0 => integers::few::<blocks::Q8_0>(matrix, x, y),
        Format::Q4_0 => integers::few::<blocks::Q4_0>(matrix, x, y),
        Format::Q4_K => integers::few::<blocks::Q4_K>(matrix, x, y),
        Format::Q6_K => integers::few::<blocks::Q6_K>(matrix, x, y),
    }
}

/// [`matmul`] by the algorithm for many inputs, which is bound by arithmetic.
///
/// A row of `y` has the same bits whatever other rows are computed with it, but not those of [`matmul_few`].
///
/// # Panics
/// As [`matmul`].
pub fn matmul_many(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    if is_nothing(matrix, x, y) {
        return;
    }
    match matrix.format {
        Format::F32 | Format::F16 | Format::BF16 => floats::many(matrix, x, y),
        Format::Q8_0 => integers::many::<blocks::Q8_0>(matrix, x, y),
        Format::Q4_0 => integers::many::<blocks::Q4_0>(matrix, x, y),
        Format::Q4_K => integers::many::<blocks::Q4_K>(matrix, x, y),
        Format::Q6_K => integers::many::<blocks::Q6_K>(matrix, x, y),
    }
}

/// Checks the shapes. Returns whether there is nothing to multiply; `y` is then zero.
fn is_nothing(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) -> bool {
    let (rows, columns) = (matrix.rows, matrix.columns);
    if columns == 0 || rows == 0 {
        assert!(x.is_empty() || columns > 0, "x is [batch, columns]");
        y.fill(0.0);
        return true;
    }
    assert!(x.len().is_multiple_of(columns), "x is [batch, columns]");
    assert_eq!(y.len(), x.len() / columns * rows, "y is [batch, rows]");
    x.is_empty()
}

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
    match format {
        Format::F32 | Format::F16 | Format::BF16 => floats::widen(format, bytes, values),
        Format::Q8_0 => blocks::dequantize::<blocks::Q8_0>(bytes, values),
        Format::Q4_0 => blocks::dequantize::<blocks::Q4_0>(bytes, values),
        Format::Q4_K => blocks::dequantize::<blocks::Q4_K>(bytes, values),
        Format::Q6_K => blocks::dequantize::<blocks::Q6_K>(bytes, values),
    }
}
