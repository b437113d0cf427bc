//! Products with stored weights: which algorithm multiplies which format.

use super::blocks::{Expanded, by_format};
use super::format::Format;
use super::matrix::Matrix;
use super::{expanded, floats, integers};

/// `y = x wᵀ` by the faster of two algorithms: `x` is `[batch, columns]`, `y` is `[batch, rows]`.
///
/// # Panics
/// If `x` and `y` are not whole rows, or not of the same batch.
pub fn matmul(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let batch = x.len() / matrix.columns.max(1);
    let few = if matrix.format.is_float() { floats::are_few(batch) } else { integers::are_few(batch) };
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
    by_format!(matrix.format, B => integers::few::<B>(matrix, x, y),
        expanded => expanded::product::<B>(matrix, x, y, integers::few::<Expanded>),
        floats => floats::few(matrix, x, y))
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
    by_format!(matrix.format, B => integers::many::<B>(matrix, x, y),
        expanded => expanded::product::<B>(matrix, x, y, integers::many::<Expanded>),
        floats => floats::many(matrix, x, y))
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
