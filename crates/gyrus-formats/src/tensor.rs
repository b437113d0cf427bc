//! A stored tensor: its numbers stay in the file's format, mapped or in memory, and the kernels read them as they are.
//! Keeping one costs nothing beyond the stored bytes.

use std::ops::Range;

use gyrus_kernels::stored::{self, Format, Matrix};

use crate::Bytes;

/// A stored tensor, row-major.
#[derive(Clone, Debug)]
pub struct Tensor {
    format: Format,
    shape: Vec<usize>,
    bytes: Bytes,
}

impl Tensor {
    /// A tensor over stored numbers; `None` if the number of bytes does not match the shape, or a row is not a whole
    /// number of blocks.
    #[must_use]
    pub fn new(format: Format, shape: Vec<usize>, bytes: Bytes) -> Option<Self> {
        let columns = shape.last().copied().unwrap_or(1);
        let rows =
            shape.iter().rev().skip(1).try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
        Matrix::new(format, rows, columns, bytes.as_slice()).ok()?;
        // Kernels read floats in place, so these must be aligned.
        let misplaced =
            format == Format::F32 && bytemuck::try_cast_slice::<u8, f32>(bytes.as_slice()).is_err();
        let bytes = if misplaced {
            let (chunks, _) = bytes.as_slice().as_chunks::<4>();
            Bytes::from(chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>())
        } else {
            bytes
        };
        Some(Self { format, shape, bytes })
    }

    /// A tensor of floats.
    ///
    /// # Panics
    /// If their number does not match the shape.
    #[must_use]
    pub fn of_floats(shape: Vec<usize>, floats: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), floats.len(), "as many floats as the shape has elements");
        Self { format: Format::F32, shape, bytes: floats.into() }
    }

    /// The format of its numbers.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its bytes, as stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The same bytes, shared.
    #[must_use]
    pub fn storage(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The same numbers in another format; unchanged if a row is not a whole number of that format's blocks.
    #[must_use]
    pub fn to_format(&self, format: Format) -> Self {
        let columns = self.columns();
        let quantized = stored::quantize(format, &self.floats(), columns);
        let tensor = quantized.ok().and_then(|bytes| Self::new(format, self.shape.clone(), bytes.into()));
        tensor.unwrap_or_else(|| self.clone())
    }

    /// Length of a row: the last dimension.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of rows: the product of all other dimensions.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// All its numbers as 32-bit floats.
    #[must_use]
    pub fn floats(&self) -> Vec<f32> {
        let mut floats = vec![0.0; self.rows() * self.columns()];
        if let Some(matrix) = self.matrix() {
            stored::dequantize(&matrix, &mut floats);
        }
        floats
    }

    /// Writes row `row` into `to` as 32-bit floats.
    ///
    /// # Panics
    /// If there is no such row, or `to` has another length than a row.
    pub fn row(&self, row: usize, to: &mut [f32]) {
        if let Some(matrix) = self.matrix() {
            stored::dequantize_row(&matrix, row, to);
        }
    }

    /// What the kernels take; always `Some`, because the shape was checked when the tensor was made.
    fn matrix(&self) -> Option<Matrix<'_>> {
        Matrix::new(self.format, self.rows(), self.columns(), self.bytes()).ok()
    }

    /// Some of its rows, sharing the same memory.
    ///
    /// # Panics
    /// If the range exceeds its rows.
    #[must_use]
    pub fn row_range(&self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows(), "rows within the tensor");
        let length = self.bytes().len() / self.rows().max(1);
        let bytes = self.bytes.within(rows.start * length..rows.end * length);
        Self { format: self.format, shape: vec![rows.len(), self.columns()], bytes }
    }

    /// The linear layer `y = x wᵀ` with this tensor as `w`, `[outputs, inputs]`: `x` is `[rows, inputs]`, `y`
    /// `[rows, outputs]`.
    ///
    /// # Panics
    /// If the length of a slice does not match its shape.
    pub fn linear(&self, x: &[f32], y: &mut [f32]) {
        if let Some(matrix) = self.matrix() {
            stored::matmul(&matrix, x, y);
        }
    }

    /// [`Self::linear`], computing the first `many` rows with the kernel for many rows and the others with the kernel for a
    /// few: the bits of a row then do not depend on the rows beside it.
    ///
    /// # Panics
    /// As [`Self::linear`], and if there are fewer than `many` rows.
    pub fn linear_by_rows(&self, x: &[f32], y: &mut [f32], many: usize) {
        let Some(matrix) = self.matrix() else { return };
        let (of_many, of_few) = x.split_at(many * self.columns());
        let (to_many, to_few) = y.split_at_mut(many * self.rows());
        stored::matmul_many(&matrix, of_many, to_many);
        stored::matmul_few(&matrix, of_few, to_few);
    }
}
