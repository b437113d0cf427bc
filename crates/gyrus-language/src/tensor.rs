//! A stored tensor: its numbers stay in the file's format, in memory of our own or in the mapped file, and are read by
//! the kernels as they are. Cost of keeping one: nothing but what is stored.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use gyrus_kernels::stored::{self, Format, Matrix};
use memmap2::Mmap;

use crate::{Error, Result};

/// A part of a mapped file, or memory of our own.
#[derive(Clone)]
pub struct Bytes {
    source: Arc<Source>,
    range: Range<usize>,
}

enum Source {
    Mapped(Mmap),
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
}

impl Bytes {
    /// A whole file, mapped into memory: pages are read when they are first used.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be opened or mapped.
    pub fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        if !file.metadata().map_err(|source| Error::io(path, source))?.is_file() {
            return Err(Error::mismatch(path, "something that is no file", "a file"));
        }
        // SAFETY: the mapping is read only and lives as long as the numbers do. Who overwrites a model in place while
        // it is in use gets other numbers, or a bus error where the file was made shorter; writers replace files
        // instead, as all of ours do.
        #[allow(unsafe_code)]
        let mapped = unsafe { Mmap::map(&file) }.map_err(|source| Error::io(path, source))?;
        let range = 0..mapped.len();
        Ok(Self { source: Arc::new(Source::Mapped(mapped)), range })
    }

    /// The bytes in `range`, counted within these; nothing where it exceeds them.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let range = self.range.start + range.start..self.range.start + range.end;
        Some(Self { source: self.source.clone(), range })
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        let all = match &*self.source {
            Source::Mapped(mapped) => mapped,
            Source::Floats(floats) => bytemuck::cast_slice(floats),
            Source::Bytes(bytes) => bytes,
        };
        &all[self.range.clone()]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Vec<f32>> for Bytes {
    fn from(floats: Vec<f32>) -> Self {
        let range = 0..floats.len() * size_of::<f32>();
        Self { source: Arc::new(Source::Floats(floats)), range }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { source: Arc::new(Source::Bytes(bytes)), range }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.range.len())
    }
}

/// A stored tensor, row-major.
#[derive(Clone, Debug)]
pub struct Tensor {
    format: Format,
    shape: Vec<usize>,
    bytes: Bytes,
}

impl Tensor {
    /// A tensor over stored numbers; nothing where there are more or fewer bytes than the shape says, or a row is no
    /// whole number of blocks.
    #[must_use]
    pub fn new(format: Format, shape: Vec<usize>, bytes: Bytes) -> Option<Self> {
        let columns = shape.last().copied().unwrap_or(1);
        let rows =
            shape.iter().rev().skip(1).try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
        Matrix::new(format, rows, columns, bytes.as_slice()).ok()?;
        // Kernels read floats in place, which must lie on their boundaries.
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
    /// If there are more or fewer than the shape says.
    #[must_use]
    pub fn of_floats(shape: Vec<usize>, floats: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), floats.len(), "as many floats as the shape says");
        Self { format: Format::F32, shape, bytes: floats.into() }
    }

    /// How its numbers are stored.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its bytes, as they are stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The same bytes, shared.
    #[must_use]
    pub fn storage(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The same numbers in another format; itself where a row is no whole number of that format's blocks.
    #[must_use]
    pub fn to_format(&self, format: Format) -> Self {
        let columns = self.columns();
        let quantized = stored::quantize(format, &self.floats(), columns);
        let tensor = quantized.ok().and_then(|bytes| Self::new(format, self.shape.clone(), bytes.into()));
        tensor.unwrap_or_else(|| self.clone())
    }

    /// Numbers in a row: the last extent.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Rows of all leading extents together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// All its numbers.
    #[must_use]
    pub fn floats(&self) -> Vec<f32> {
        let mut floats = vec![0.0; self.rows() * self.columns()];
        if let Some(matrix) = self.matrix() {
            stored::dequantize(&matrix, &mut floats);
        }
        floats
    }

    /// Writes row `row` into `to`.
    ///
    /// # Panics
    /// If there is no such row, or `to` is not as long as one.
    pub fn row(&self, row: usize, to: &mut [f32]) {
        if let Some(matrix) = self.matrix() {
            stored::dequantize_row(&matrix, row, to);
        }
    }

    /// What the kernels take; there always is one, because the shape was checked when the tensor was made.
    fn matrix(&self) -> Option<Matrix<'_>> {
        Matrix::new(self.format, self.rows(), self.columns(), self.bytes()).ok()
    }

    /// Some of its rows, over the same memory.
    ///
    /// # Panics
    /// If it has fewer rows.
    #[must_use]
    pub fn row_range(&self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows(), "rows within the tensor");
        let length = self.bytes().len() / self.rows().max(1);
        let range = self.bytes.range.start + rows.start * length..self.bytes.range.start + rows.end * length;
        let bytes = Bytes { source: self.bytes.source.clone(), range };
        Self { format: self.format, shape: vec![rows.len(), self.columns()], bytes }
    }

    /// `y = x wᵀ` with these numbers as `w`, `[outputs, inputs]`: `x` is `[rows, inputs]`, `y` `[rows, outputs]`.
    ///
    /// # Panics
    /// If a slice is not as long as its shape says.
    pub fn product(&self, x: &[f32], y: &mut [f32]) {
        if let Some(matrix) = self.matrix() {
            stored::product(&matrix, x, y);
        }
    }

    /// [`Self::product`], of whose rows the first `many` go the way of many inputs and the others the way of a few: a row
    /// then has the same bits whatever rows are beside it.
    ///
    /// # Panics
    /// As [`Self::product`], and if there are fewer rows.
    pub(crate) fn product_by_rows(&self, x: &[f32], y: &mut [f32], many: usize) {
        let Some(matrix) = self.matrix() else { return };
        let (of_many, of_few) = x.split_at(many * self.columns());
        let (to_many, to_few) = y.split_at_mut(many * self.rows());
        stored::product_of_many(&matrix, of_many, to_many);
        stored::product_of_few(&matrix, of_few, to_few);
    }
}
