//! The input of a product rounded to 8 bits.
//!
//! `x ≈ scale * code`, 32 values sharing `scale = max |x| / 127`.

use pulp::Arch;

use crate::parallel::{SharedMut, for_each_task};

/// Values that share a scale.
pub(super) const SPAN: usize = 32;
/// Values whose codes are summed, as the 8-bit dot products do.
pub(super) const QUAD: usize = 4;
/// Values that one task rounds, at least.
const TASK: usize = 1 << 14;

/// Rows of codes: `[batch, columns]`.
pub(super) struct Activations {
    pub(super) columns: usize,
    /// `[batch, columns]`, -127 ..= 127.
    pub(super) codes: Vec<i8>,
    /// `[batch, columns / SPAN]`.
    pub(super) scales: Vec<f32>,
    /// Minus the weights' offset times the sum of each four codes: what a dot product with codes of weights starts from.
    /// `[batch, columns / QUAD]`.
    pub(super) starts: Vec<i32>,
    /// Scale times the sum of its codes: what a minimum of weights is multiplied with. `[batch, columns / SPAN]`.
    pub(super) sums: Vec<f32>,
}

impl Activations {
    /// Rounds `x`, `[batch, columns]`, for weights whose zero has the code `offset`.
    pub(super) fn new(x: &[f32], columns: usize, offset: i32) -> Self {
        let mut codes = vec![0i8; x.len()];
        let mut scales = vec![0.0f32; x.len() / SPAN];
        let mut starts = vec![0i32; x.len() / QUAD];
        let mut sums = vec![0.0f32; x.len() / SPAN];
        let (to_codes, to_scales) = (SharedMut(codes.as_mut_ptr()), SharedMut(scales.as_mut_ptr()));
        let (to_starts, to_sums) = (SharedMut(starts.as_mut_ptr()), SharedMut(sums.as_mut_ptr()));
        for_each_task(x.len().div_ceil(TASK), false, |task| {
            let first = task * TASK;
            let count = TASK.min(x.len() - first);
            // SAFETY: each task has a stretch of its own, a whole number of spans.
            let (codes, scales, starts, sums) = unsafe {
                (
                    to_codes.slice(first, count),
                    to_scales.slice(first / SPAN, count / SPAN),
                    to_starts.slice(first / QUAD, count / QUAD),
                    to_sums.slice(first / SPAN, count / SPAN),
                )
            };
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    let (spans, _) = x[first..][..count].as_chunks::<SPAN>();
                    let (codes, _) = codes.as_chunks_mut::<SPAN>();
                    let (starts, _) = starts.as_chunks_mut::<{ SPAN / QUAD }>();
                    for (i, span) in spans.iter().enumerate() {
                        scales[i] = round(span, &mut codes[i]);
                        let mut sum = 0;
                        for (quad, start) in codes[i].as_chunks::<QUAD>().0.iter().zip(&mut starts[i]) {
                            let of_quad: i32 = quad.iter().map(|&code| i32::from(code)).sum();
                            *start = -offset * of_quad;
                            sum += of_quad;
                        }
                        sums[i] = scales[i] * sum as f32;
                    }
                },
            );
        });
        Activations { columns, codes, scales, starts, sums }
    }

    /// The rows there are.
    pub(super) fn batch(&self) -> usize {
        self.codes.len().checked_div(self.columns).unwrap_or(0)
    }
}

/// Rounds the values that share a scale, and returns it.
#[inline(always)]
fn round(values: &[f32; SPAN], codes: &mut [i8; SPAN]) -> f32 {
    // Eight maxima side by side, which a vector holds.
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
        *code = (value * inverse).round_ties_even() as i8;
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
        let rounded = Activations::new(&x, 96, 8);
        assert_eq!(rounded.batch(), 2);
        for (i, x) in x.iter().enumerate() {
            let scale = rounded.scales[i / SPAN];
            let value = scale * f32::from(rounded.codes[i]);
            assert!((value - x).abs() <= 0.501 * scale, "{value} is not {x}");
        }
        assert_eq!((rounded.codes[5], rounded.scales[1]), (127, 0.0));
        let sum = |codes: &[i8]| codes.iter().map(|&code| i32::from(code)).sum::<i32>();
        assert_eq!(rounded.starts[3], -8 * sum(&rounded.codes[12..16]));
        assert_eq!(rounded.sums[2], rounded.scales[2] * sum(&rounded.codes[64..96]) as f32);
    }
}
