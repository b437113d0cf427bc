//! Integrate-and-fire neurons with signed spikes ("ST-BIF", You et al. 2024, arXiv:2406.03470), over their whole time
//! axis.
//!
//! With `S` the sum of all input so far, added to a start value per neuron, and `k` the net count of its own spikes, a
//! neuron fires at each step
//!
//! `z = sign(clip(⌈S / θ − ½⌉, 0, levels) − k)`
//!
//! and `k` grows by `z`. It thus fires toward the level that
//! [`quantized_relu`](crate::dense::quantized_relu::quantized_relu) gives for `S`, computed by the same instructions:
//! once `S` is constant, `k` reaches that level after at most `levels` steps and stays there. Memory-bound; a task
//! keeps its neurons' state in the cache.

use super::chunk::Broken;
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_scratch};
use crate::dense::quantized_relu::steps_in;

/// Neurons per task, at most.
const BLOCK: usize = 1024;
/// Neurons times steps below which a layer stays on one thread.
const SERIAL_UPDATES: usize = 1 << 14;

/// A layer of such neurons over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedShape {
    /// Time steps.
    pub steps: usize,
    /// Samples.
    pub batch: usize,
    /// Neurons of a sample.
    pub neurons: usize,
    /// Whether there is input at the first step only: `x` is then `[batch, neurons]`, else `[steps * batch, neurons]`.
    pub once: bool,
    /// The largest net count of spikes.
    pub levels: usize,
    /// Input per spike, θ.
    pub threshold: f32,
}

/// Runs a layer; `y`, `[steps * batch, neurons]`, receives its spikes −1, 0 and 1. `start` is `[neurons]`.
///
/// Returns the first step and neuron whose sum is not finite, if any.
///
/// # Panics
/// If a slice is not as long as the shape says.
pub fn signed_integrate_and_fire(
    shape: SignedShape,
    start: &[f32],
    x: &[f32],
    y: &mut [f32],
) -> Option<(usize, usize)> {
    let SignedShape { steps, batch, neurons, once, levels, threshold } = shape;
    let rows = if once { batch } else { steps * batch };
    assert_eq!(
        x.len(),
        rows * neurons,
        "x is [steps * batch, neurons], or [batch, neurons] if it comes once"
    );
    assert_eq!(y.len(), steps * batch * neurons, "y is [steps * batch, neurons]");
    assert_eq!(start.len(), neurons, "start is [neurons]");
    let (levels, scale) = (levels as f32, threshold.recip());
    let blocks = neurons.div_ceil(BLOCK);
    let target = SharedMut(y.as_mut_ptr());
    let broken = Broken::default();
    for_each_task(batch * blocks, steps * batch * neurons < SERIAL_UPDATES, |task| {
        let (b, first) = (task / blocks, task % blocks * BLOCK);
        let length = BLOCK.min(neurons - first);
        with_scratch(2 * length, |scratch| {
            let (sums, counts) = scratch.split_at_mut(length);
            sums.copy_from_slice(&start[first..][..length]);
            counts.fill(0.0);
            for step in 0..steps {
                let row = step * batch + b;
                // SAFETY: each task has its own neurons.
                let y = unsafe { target.slice(row * neurons + first, length) };
                if !once || step == 0 {
                    let x = &x[row * neurons + first..][..length];
                    sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                    if sums.iter().any(|sum| !sum.is_finite()) {
                        broken.note(step, b, first, sums);
                    }
                }
                vectorized(
                    #[inline(always)]
                    || {
                        for ((y, sum), count) in y.iter_mut().zip(&*sums).zip(&mut *counts) {
                            *y = (steps_in(*sum, levels, scale) - *count).clamp(-1.0, 1.0);
                            *count += *y;
                        }
                    },
                );
            }
        });
    });
    broken.place()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::quantized_relu::quantized_relu;
    use crate::oracle::values;

    /// The rule as written by [`You et al.`](self), neuron by neuron: up while `S > (k + ½) θ`, down while
    /// `S ≤ (k − ½) θ`.
    fn oracle(shape: SignedShape, start: &[f32], x: &[f32]) -> Vec<f32> {
        let SignedShape { steps, batch, neurons, once, levels, threshold } = shape;
        let mut y = vec![0.0; steps * batch * neurons];
        for (b, n) in (0..batch).flat_map(|b| (0..neurons).map(move |n| (b, n))) {
            let (mut sum, mut k) = (start[n], 0i32);
            for step in 0..steps {
                if !once || step == 0 {
                    sum += x[(step * batch + b) * neurons + n];
                }
                let z = if k < levels as i32 && sum > (k as f32 + 0.5) * threshold {
                    1
                } else if k > 0 && sum <= (k as f32 - 0.5) * threshold {
                    -1
                } else {
                    0
                };
                k += z;
                y[(step * batch + b) * neurons + n] = z as f32;
            }
        }
        y
    }

    #[test]
    fn spikes_are_those_of_the_rule() {
        for (once, neurons, levels) in [(false, 1, 3), (true, 37, 4), (false, 1030, 1), (false, 5, 8)] {
            // A power of two, so that the rule's products and the kernel's quotients are exact and agree at ties too.
            let shape = SignedShape { steps: 9, batch: 3, neurons, once, levels, threshold: 0.25 };
            let rows = if once { 3 } else { 27 };
            // Multiples of 1/8: half thresholds occur often.
            let grid = |x: Vec<f32>| -> Vec<f32> { x.iter().map(|x| (x * 8.0).round() / 8.0).collect() };
            let (x, start) = (grid(values(rows * neurons, 1)), grid(values(neurons, 2)));
            let mut y = vec![9.0; 27 * neurons];
            assert_eq!(signed_integrate_and_fire(shape, &start, &x, &mut y), None);
            assert_eq!(y, oracle(shape, &start, &x), "{shape:?}");
        }
    }

    #[test]
    fn counts_settle_at_the_level_of_the_quantized_activation() {
        let (batch, neurons, levels, threshold) = (2, 50, 5, 0.3f32);
        let shape = SignedShape { steps: levels, batch, neurons, once: true, levels, threshold };
        let x: Vec<f32> = values(batch * neurons, 7).iter().map(|x| 2.0 * x).collect();
        let mut y = vec![0.0; levels * batch * neurons];
        signed_integrate_and_fire(shape, &vec![0.0; neurons], &x, &mut y);
        let mut expected = vec![0.0; x.len()];
        // A level of 1 has the threshold 1 / θ in the units of x / θ.
        let scaled: Vec<f32> = x.iter().map(|x| x * threshold.recip()).collect();
        quantized_relu(levels, levels as f32, &scaled, &mut expected);
        for (index, expected) in expected.iter().enumerate() {
            let count: f32 = (0..levels).map(|step| y[step * batch * neurons + index]).sum();
            assert_eq!(count, *expected, "{index}");
        }
    }

    #[test]
    fn a_sum_that_is_no_number_is_told() {
        let shape = SignedShape { steps: 3, batch: 2, neurons: 2, once: false, levels: 2, threshold: 1.0 };
        let mut x = vec![0.5; 12];
        x[7] = f32::INFINITY;
        let mut y = vec![0.0; 12];
        assert_eq!(signed_integrate_and_fire(shape, &[0.0, 0.0], &x, &mut y), Some((1, 1)));
    }
}
