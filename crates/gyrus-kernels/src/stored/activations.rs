//! The inputs of a product, rounded to 8 bits.
//!
//! `x ≈ scale * code`, 32 values sharing `scale = max |x| / 127`.

use super::blocks::Block;
use crate::base::parallel::{SharedMut, for_each_task, vectorized};

/// Values that share a scale.
pub(super) const SPAN: usize = 32;
/// Values of the shortest sums, for minima of weights that belong to half a span.
pub(super) const HALF: usize = SPAN / 2;
/// Values whose codes are summed together by the 8-bit dot products.
pub(super) const QUAD: usize = 4;
/// Values below which rounding stays on one thread.
const SERIAL_VALUES: usize = 1 << 15;
/// Rows are padded with zeros to a multiple of this, which the dot products take at a time.
pub(super) const GROUP: usize = 256;

/// The contents of one vector or cache line, aligned so that no read touches two.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line<T>(pub(super) T);

/// Codes in a line.
pub(super) const LINE: usize = 64;

/// The order of the codes of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The order of the values.
    Plain,
    /// In each 128 values, first the first halves of the four spans, then the second halves.
    Halves,
}

/// Rows of codes: `[batch, columns]`, padded to whole groups.
pub(super) struct Activations {
    /// Values of a row.
    pub(super) columns: usize,
    /// Values of a row and its padding.
    padded: usize,
    codes: Vec<Line<[i8; LINE]>>,
    scales: Vec<f32>,
    starts: Vec<Line<[i32; LINE / QUAD]>>,
    sums: Vec<f32>,
    /// Values of each sum: [`SPAN`] or [`HALF`].
    summed: usize,
}

/// One padded row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// The rounded values, -127 ..= 127: `[padded / LINE]`.
    pub(super) codes: &'a [Line<[i8; LINE]>],
    /// The factor of each [`SPAN`] of codes: `[padded / SPAN]`.
    pub(super) scales: &'a [f32],
    /// Minus the weights' offset times the sum of each [`QUAD`] of codes: the start of dot products with codes of
    /// weights. `[padded / LINE]`.
    pub(super) starts: &'a [Line<[i32; LINE / QUAD]>],
    /// Scale times the sum of its codes, the factor of a minimum of the weights: one for each span of the weights.
    pub(super) sums: &'a [f32],
}

impl Activations {
    /// Rounds `x`, `[batch, columns]`, for weights of this format.
    pub(super) fn of<B: Block>(x: &[f32], columns: usize, order: Order) -> Self {
        Self::new(x, columns, B::OFFSET, order, if B::MINIMA { B::SPAN } else { SPAN })
    }

    /// Rounds `x`, `[batch, columns]`, for weights whose zero has the code `offset`, with sums of `summed` values.
    ///
    /// `starts` is always in the order of the values.
    fn new(x: &[f32], columns: usize, offset: i32, order: Order, summed: usize) -> Self {
        let batch = x.len() / columns;
        let padded = columns.next_multiple_of(GROUP);
        let length = batch * padded;
        let mut codes = vec![Line([0i8; LINE]); length / LINE];
        let mut scales = vec![0.0f32; length / SPAN];
        let mut starts = vec![Line([0i32; LINE / QUAD]); length / LINE];
        let mut sums = vec![0.0f32; length / summed];
        let (to_codes, to_scales) = (SharedMut(codes.as_mut_ptr()), SharedMut(scales.as_mut_ptr()));
        let (to_starts, to_sums) = (SharedMut(starts.as_mut_ptr()), SharedMut(sums.as_mut_ptr()));
        for_each_task(batch, x.len() < SERIAL_VALUES, |row| {
            // SAFETY: each task has its own row.
            let (codes, scales, starts, sums) = unsafe {
                (
                    to_codes.slice(row * padded / LINE, padded / LINE),
                    to_scales.slice(row * padded / SPAN, padded / SPAN),
                    to_starts.slice(row * padded / LINE, padded / LINE),
                    to_sums.slice(row * padded / summed, padded / summed),
                )
            };
            vectorized(
                #[inline(always)]
                || {
                    let (spans, _) = x[row * columns..][..columns].as_chunks::<SPAN>();
                    for (i, span) in spans.iter().enumerate() {
                        let (line, half) = (i / 2, i % 2);
                        let codes = &mut codes[line].0.as_chunks_mut::<SPAN>().0[half];
                        let starts = &mut starts[line].0.as_chunks_mut::<{ SPAN / QUAD }>().0[half];
                        scales[i] = round(span, codes);
                        let mut halves = [0; 2];
                        for (q, (quad, start)) in codes.as_chunks::<QUAD>().0.iter().zip(starts).enumerate() {
                            let of_quad: i32 = quad.iter().map(|&code| i32::from(code)).sum();
                            *start = -offset * of_quad;
                            halves[q * QUAD / HALF] += of_quad;
                        }
                        if summed == SPAN {
                            sums[i] = scales[i] * (halves[0] + halves[1]) as f32;
                        } else {
                            sums[2 * i] = scales[i] * halves[0] as f32;
                            sums[2 * i + 1] = scales[i] * halves[1] as f32;
                        }
                    }
                    if order == Order::Halves {
                        codes.as_chunks_mut().0.iter_mut().for_each(order_halves);
                    }
                },
            );
        });
        Activations { columns, padded, codes, scales, starts, sums, summed }
    }

    /// The number of rows.
    pub(super) fn batch(&self) -> usize {
        self.codes.len() / (self.padded / LINE)
    }

    /// One row.
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let of = |length: usize| row * length..(row + 1) * length;
        Row {
            codes: &self.codes[of(self.padded / LINE)],
            scales: &self.scales[of(self.padded / SPAN)],
            starts: &self.starts[of(self.padded / LINE)],
            sums: &self.sums[of(self.padded / self.summed)],
        }
    }
}

/// Reorders [`Order::Plain`] to [`Order::Halves`].
#[inline(always)]
fn order_halves(lines: &mut [Line<[i8; LINE]>; 2]) {
    let mut halves = [[[0i8; SPAN / 2]; 4]; 2];
    for (i, half) in lines.iter().flat_map(|line| line.0.as_chunks().0).enumerate() {
        halves[i % 2][i / 2] = *half;
    }
    for (line, halves) in lines.iter_mut().zip(&halves) {
        line.0.copy_from_slice(halves.as_flattened());
    }
}

/// Rounds the values that share a scale; returns the scale.
#[inline(always)]
fn round(values: &[f32; SPAN], codes: &mut [i8; SPAN]) -> f32 {
    // Eight maxima side by side, which fit in a vector.
    let mut largest = [0.0f32; 8];
    for eight in values.as_chunks::<8>().0 {
        for (largest, value) in largest.iter_mut().zip(eight) {
            *largest = largest.max(value.abs());
        }
    }
    let largest = largest.iter().fold(0.0f32, |a, &b| a.max(b));
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 127.0 / largest } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        // Adding this pushes the fraction out of the mantissa, whose lowest bits are then the rounded number.
        *code = (value * inverse + 12_582_912.0).to_bits() as i8;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::values;

    #[test]
    fn values_are_rounded_to_a_127th_of_the_largest() {
        let mut x = values(2 * 96, 1);
        x[5] = 40.0;
        x[32..64].fill(0.0);
        let rounded = Activations::new(&x, 96, 8, Order::Plain, SPAN);
        let halves = Activations::new(&x, 96, 8, Order::Plain, HALF);
        assert_eq!(rounded.batch(), 2);
        let rows = [rounded.row(0), rounded.row(1)];
        let code = |row: Row<'_>, i: usize| row.codes[i / LINE].0[i % LINE];
        for (i, x) in x.iter().enumerate() {
            let (row, i) = (rows[i / 96], i % 96);
            let value = row.scales[i / SPAN] * f32::from(code(row, i));
            assert!((value - x).abs() <= 0.501 * row.scales[i / SPAN], "{value} is not {x}");
        }
        assert_eq!((code(rows[0], 5), rows[0].scales[1]), (127, 0.0));
        for row in rows {
            let sum = |places: core::ops::Range<usize>| places.map(|i| i32::from(code(row, i))).sum::<i32>();
            assert_eq!(row.starts[0].0[3], -8 * sum(12..16));
            assert_eq!(row.sums[2], row.scales[2] * sum(64..96) as f32);
            assert_eq!(row.codes.len(), GROUP / LINE);
            assert!((96..GROUP).all(|i| code(row, i) == 0));
        }
        let sum: i32 = (80..96).map(|i| i32::from(code(rows[1], i))).sum();
        assert_eq!(halves.row(1).sums[5], rows[1].scales[2] * sum as f32);
    }
}
