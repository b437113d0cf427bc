//! A ReLU that saturates and is quantized to steps.
//!
//! `y = λ/L · clip(⌈x L/λ − ½⌉, 0, L)`: the quantization-clip-floor-shift activation of Bu et al. 2022
//! (arXiv:2303.04347), with halves rounded down so that it agrees with a neuron that fires strictly above its
//! threshold. The straight-through gradient is that of `clip(x, 0, λ)`. Memory-bound.

use crate::base::parallel::{SharedMut, for_each_chunk, for_each_task, vectorized};

/// Floats per partial sum of the threshold's gradient.
const PART: usize = 1 << 12;

/// The smallest threshold. Training may push the parameter below it, where the quotient would overflow.
pub const SMALLEST_THRESHOLD: f32 = 1e-4;

/// The number of steps of `threshold / levels` in a value.
#[inline(always)]
pub(crate) fn steps_in(x: f32, levels: f32, scale: f32) -> f32 {
    (x * scale - 0.5).ceil().clamp(0.0, levels)
}

/// The activation, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn quantized_relu(levels: usize, threshold: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y are equally long");
    let threshold = threshold.max(SMALLEST_THRESHOLD);
    let levels = levels as f32;
    let (scale, unit) = (levels / threshold, threshold / levels);
    for_each_chunk(y, |start, y| {
        let x = &x[start..][..y.len()];
        vectorized(
            #[inline(always)]
            || y.iter_mut().zip(x).for_each(|(y, x)| *y = unit * steps_in(*x, levels, scale)),
        );
    });
}

/// Gradients of [`quantized_relu`]: `dx = dy` where `0 ≤ x ≤ λ`, else 0; returns the threshold's gradient.
///
/// # Panics
/// If the lengths differ.
pub fn quantized_relu_backward(levels: usize, threshold: f32, x: &[f32], dy: &[f32], dx: &mut [f32]) -> f32 {
    assert!(x.len() == dx.len() && dy.len() == dx.len(), "all are equally long");
    let threshold = threshold.max(SMALLEST_THRESHOLD);
    let levels = levels as f32;
    let scale = levels / threshold;
    let mut sums = vec![0.0f32; dx.len().div_ceil(PART)];
    let (to_sums, to_dx) = (SharedMut(sums.as_mut_ptr()), SharedMut(dx.as_mut_ptr()));
    let count = dx.len();
    for_each_task(sums.len(), count < 1 << 14, |part| {
        let (start, length) = (part * PART, PART.min(count - part * PART));
        // SAFETY: each task has its own part.
        let dx = unsafe { core::slice::from_raw_parts_mut(to_dx.get().add(start), length) };
        let (x, dy) = (&x[start..][..length], &dy[start..][..length]);
        let mut lanes = [0.0f32; 16];
        vectorized(
            #[inline(always)]
            || {
                for ((dx, x), dy) in dx.chunks_mut(16).zip(x.chunks(16)).zip(dy.chunks(16)) {
                    for (((dx, x), dy), sum) in dx.iter_mut().zip(x).zip(dy).zip(&mut lanes) {
                        let inside = *x >= 0.0 && *x <= threshold;
                        *dx = if inside { *dy } else { 0.0 };
                        let straight = if inside { x / threshold } else { 0.0 };
                        *sum += dy * (steps_in(*x, levels, scale) / levels - straight);
                    }
                }
            },
        );
        // SAFETY: as above.
        unsafe { *to_sums.get().add(part) = lanes.iter().sum() };
    });
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::values;

    #[test]
    fn steps_and_saturation() {
        let mut y = [0.0; 8];
        // Steps of 0.5 up to 2; halves round down.
        quantized_relu(4, 2.0, &[-1.0, 0.0, 0.25, 0.26, 0.75, 0.76, 1.9, 9.0], &mut y);
        assert_eq!(y, [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn gradients_are_straight_through() {
        let x: Vec<f32> = values(10_000, 1).iter().map(|x| 2.0 * x).collect();
        let dy = values(10_000, 2);
        let mut dx = vec![0.0; x.len()];
        let threshold = 0.8f32;
        let got = quantized_relu_backward(4, threshold, &x, &dy, &mut dx);
        let mut expected = 0.0f64;
        for ((x, dy), dx) in x.iter().zip(&dy).zip(&dx) {
            let inside = (0.0..=threshold).contains(x);
            assert_eq!(*dx, if inside { *dy } else { 0.0 });
            let level = (f64::from(*x) * 4.0 / f64::from(threshold) - 0.5).ceil().clamp(0.0, 4.0) / 4.0;
            let straight = if inside { f64::from(*x) / f64::from(threshold) } else { 0.0 };
            expected += f64::from(*dy) * (level - straight);
        }
        assert!((f64::from(got) - expected).abs() < 1e-2, "{got} is not {expected}");
    }
}
