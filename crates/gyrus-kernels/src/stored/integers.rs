//! Products with weights that are small integers.
//!
//! A span of weights and inputs, each with one scale, is an exact dot product of integers:
//! `y = sum over spans of scale_w * scale_x * sum(code_w * code_x)`, minus `minimum * sum(x)` where there are minima.
//! The order of each output's sum does not depend on the tasks. Many inputs go through [tiles](super::tiles) where the
//! machine supports them.

use super::activations::{self, Activations, Order};
use super::blocks::{Block, LARGEST_BLOCK, MOST_SCALES};
use super::matrix::Matrix;
#[cfg(target_arch = "aarch64")]
use super::neon;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, tiles};
use crate::base::parallel::{SharedMut, for_each_task};

/// Bytes of weights per task.
const TASK_BYTES: usize = 1 << 16;
/// Bytes of weights below which a product of one row stays on one thread.
const SERIAL_BYTES: usize = 1 << 15;

/// A format with all implementations.
#[cfg(target_arch = "x86_64")]
pub(super) trait Multiply: Block + avx512::Registers + avx2::Halves {}
#[cfg(target_arch = "x86_64")]
impl<B: Block + avx512::Registers + avx2::Halves> Multiply for B {}
/// A format with all implementations.
#[cfg(not(target_arch = "x86_64"))]
pub(super) trait Multiply: Block {}
#[cfg(not(target_arch = "x86_64"))]
impl<B: Block> Multiply for B {}

/// Whether [`few`] is faster for so many inputs.
pub(super) fn are_few(batch: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        return batch < tiles::FEWEST;
    }
    let _ = batch;
    true
}

/// `y = x wᵀ` for whole rows, row by row.
pub(super) fn few<B: Multiply>(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let (dots, order) = ways::<B>().next().unwrap_or((dots::<B>, Order::Plain));
    product_by(dots, &Activations::of::<B>(x, matrix.columns, order), matrix, y);
}

/// `y = x wᵀ` for whole rows, in tiles where the machine supports them.
pub(super) fn many<B: Multiply>(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        // SAFETY: the features were detected.
        return unsafe { tiles::product::<B>(matrix, x, y) };
    }
    few::<B>(matrix, x, y);
}

/// [`few`] with a given implementation.
fn product_by(dots: Dots, x: &Activations, matrix: &Matrix<'_>, y: &mut [f32]) {
    let (rows, batch) = (matrix.rows, x.batch());
    let rows_of_task = (TASK_BYTES / matrix.row_bytes().max(1)).max(1);
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(rows.div_ceil(rows_of_task), matrix.bytes.len() * batch < SERIAL_BYTES, |task| {
        let first = task * rows_of_task;
        let count = rows_of_task.min(rows - first);
        // SAFETY: only this task writes these outputs of each input.
        let put =
            |b: usize, row: usize, value: f32| unsafe { *target.get().add(b * rows + first + row) = value };
        dots(matrix.rows_at(first, count), x, &put);
    });
}

/// Multiplies whole rows of weights with all inputs, and passes each result on with its input and row.
type Dots = fn(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32));

/// This machine's implementations, the fastest first, and the order of inputs that each needs.
fn ways<B: Multiply>() -> impl Iterator<Item = (Dots, Order)> {
    let plain = |dots: Dots| (dots, Order::Plain);
    #[cfg(target_arch = "x86_64")]
    let vectors = {
        let order = if B::JOINED { Order::Halves } else { Order::Plain };
        let avx512 = avx512::available().then_some((avx512_dots::<B> as Dots, order));
        avx512.into_iter().chain(avx2::available().then_some(plain(avx2_dots::<B>)))
    };
    #[cfg(target_arch = "aarch64")]
    let vectors = [plain(neon::dots::<B>)].into_iter();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let vectors = [].into_iter();
    vectors.chain([plain(dots::<B>)])
}

/// With AVX2.
#[cfg(target_arch = "x86_64")]
fn avx2_dots<B: Multiply>(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32)) {
    // SAFETY: chosen on a machine that has it, with whole rows.
    unsafe { avx2::dots::<B>(weights, x, put) };
}

/// With AVX-512, four inputs at a time.
#[cfg(target_arch = "x86_64")]
fn avx512_dots<B: Multiply>(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32)) {
    let mut first = 0;
    while first < x.batch() {
        let rest = x.batch() - first;
        // SAFETY: chosen on a machine that has it, with whole rows.
        unsafe {
            if rest >= 4 {
                avx512::dots::<B, 4>(weights, x, first, |n, row, value| put(first + n, row, value));
                first += 4;
            } else if rest >= 2 {
                avx512::dots::<B, 2>(weights, x, first, |n, row, value| put(first + n, row, value));
                first += 2;
            } else {
                avx512::dots::<B, 1>(weights, x, first, |n, row, value| put(first + n, row, value));
                first += 1;
            }
        }
    }
}

/// On any machine.
fn dots<B: Block>(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32)) {
    let row_bytes = x.columns / B::WEIGHTS * B::BYTES;
    for (row, weights) in weights.chunks_exact(row_bytes).enumerate() {
        for b in 0..x.batch() {
            put(b, row, dot::<B>(weights, x.row(b)));
        }
    }
}

/// One row of weights times one row of inputs.
fn dot<B: Block>(row: &[u8], x: activations::Row<'_>) -> f32 {
    let mut codes = [0u8; LARGEST_BLOCK];
    let (mut scales, mut minima) = ([0.0f32; MOST_SCALES], [0.0f32; MOST_SCALES]);
    let mut sum = 0.0;
    for (index, block) in row.chunks_exact(B::BYTES).enumerate() {
        B::codes(block, &mut codes);
        B::scales(block, &mut scales, &mut minima);
        for span in 0..B::WEIGHTS / B::SPAN {
            let at = index * B::WEIGHTS + span * B::SPAN;
            let (line, place) = (at / activations::LINE, at % activations::LINE);
            let starts = &x.starts[line].0[place / activations::QUAD..][..B::SPAN / activations::QUAD];
            let mut dot: i32 = starts.iter().sum();
            for (code, x) in codes[span * B::SPAN..][..B::SPAN].iter().zip(&x.codes[line].0[place..]) {
                dot += i32::from(*code) * i32::from(*x);
            }
            sum += scales[span] * x.scales[at / activations::SPAN] * dot as f32;
            if B::MINIMA {
                sum -= minima[span] * x.sums[at / B::SPAN];
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{self, values};
    use crate::stored::blocks::by_format;
    use crate::stored::{Format, quantize};

    /// All implementations that this machine supports, not only the fastest, against the oracle.
    fn check<B: Multiply>(format: Format) {
        for (batch, rows, columns) in [(1, 5, B::WEIGHTS), (7, 9, 3 * 256), (2, 300, 2 * 256 + B::WEIGHTS)] {
            // Include the extreme codes.
            let mut weights = values(rows * columns, 1);
            weights.iter_mut().step_by(7).for_each(|w| *w = w.signum());
            let mut x = values(batch * columns, 2);
            x.iter_mut().step_by(3).for_each(|x| *x = x.signum());
            let bytes = quantize(format, &weights, columns)
                .unwrap_or_else(|_| oracle::stored::blocks(format, rows, columns, 5));
            let matrix = Matrix::new(format, rows, columns, &bytes).unwrap();
            let expected = oracle::stored::matmul(format, &bytes, columns, &x);
            for (way, (dots, order)) in ways::<B>().enumerate() {
                let mut y = vec![f32::NAN; batch * rows];
                product_by(dots, &Activations::of::<B>(&x, columns, order), &matrix, &mut y);
                for (y, (sum, size)) in y.iter().zip(&expected) {
                    assert!(
                        (f64::from(*y) - sum).abs() <= 2e-6 * size,
                        "{format:?}, way {way}: {y} is not {sum}"
                    );
                }
            }
        }
    }

    #[test]
    fn all_ways_of_this_machine_match_the_oracle() {
        for format in Format::ALL {
            by_format!(format, B => check::<B>(format), expanded => assert_eq!(B::WEIGHTS, format.block_weights()), floats => ());
        }
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            ways::<crate::stored::blocks::Q8_0>().count(),
            1 + usize::from(avx2::available()) + usize::from(avx512::available())
        );
    }

    #[test]
    fn expanded_weights_are_multiplied_in_all_ways() {
        use crate::stored::blocks::{Expanded, IQ2_S, MXFP4};
        use crate::stored::expanded;
        let dots: Vec<_> = ways::<Expanded>().collect();
        for (way, _) in dots.iter().enumerate() {
            // A function per way, because the product takes plain functions.
            let multiply: fn(&Matrix<'_>, &[f32], &mut [f32]) = match way {
                0 => |matrix, x, y| by_way(0, matrix, x, y),
                1 => |matrix, x, y| by_way(1, matrix, x, y),
                _ => |matrix, x, y| by_way(2, matrix, x, y),
            };
            fn by_way(way: usize, matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
                let (dots, order) = ways::<Expanded>().nth(way).unwrap();
                product_by(dots, &Activations::of::<Expanded>(x, matrix.columns, order), matrix, y);
            }
            for (format, columns) in [(Format::IQ2_S, 512), (Format::MXFP4, 288)] {
                let (batch, rows) = (3, 70);
                let bytes = oracle::stored::blocks(format, rows, columns, 3);
                let matrix = Matrix::new(format, rows, columns, &bytes).unwrap();
                let x = values(batch * columns, 4);
                let mut y = vec![f32::NAN; batch * rows];
                match format {
                    Format::MXFP4 => expanded::product::<MXFP4>(&matrix, &x, &mut y, multiply),
                    _ => expanded::product::<IQ2_S>(&matrix, &x, &mut y, multiply),
                }
                for (y, (sum, size)) in y.iter().zip(oracle::stored::matmul(format, &bytes, columns, &x)) {
                    assert!(
                        (f64::from(*y) - sum).abs() <= 2e-6 * size,
                        "{format:?}, way {way}: {y} is not {sum}"
                    );
                }
            }
        }
    }
}
