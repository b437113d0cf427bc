//! A matrix of stored weights, wherever its bytes lie.

use super::format::Format;
use crate::error::{Error, Result};

/// A matrix `[rows, columns]` in one of the formats, at any address.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Views `bytes` as a matrix.
    ///
    /// # Errors
    /// If a row is not a whole number of blocks, or `bytes` is not exactly as long as the shape says.
    pub fn new(format: Format, rows: usize, columns: usize, bytes: &'a [u8]) -> Result<Self> {
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
        if self.format != Format::F32 || cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: every bit pattern is a float.
        let (before, floats, after) = unsafe { self.bytes.align_to::<f32>() };
        (before.is_empty() && after.is_empty()).then_some(floats)
    }

    /// Bytes of one row.
    pub(super) fn row_bytes(&self) -> usize {
        // Rows of no columns have no bytes; otherwise the constructor has checked that this divides.
        self.bytes.len().checked_div(self.rows).unwrap_or(0)
    }

    /// The bytes of some rows.
    pub(super) fn rows_at(&self, first: usize, count: usize) -> &'a [u8] {
        &self.bytes[first * self.row_bytes()..][..count * self.row_bytes()]
    }
}
