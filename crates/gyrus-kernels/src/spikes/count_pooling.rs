//! Max pooling for spiking layers whose spikes are floats and may be signed: it pools their counts.
//!
//! Cost: one maximum pooling per step.

use crate::base::parallel::{SharedMut, for_each_task};
use crate::convolution::pooling::{Pooling, max_pool, max_pool_backward};

/// Max pooling of spike counts over time: each window emits the change of the largest spike count in it (negative only
/// with signed spikes), so that at every step the counts of its output are the maxima of the counts of its input.
///
/// `x` and `y` are time-major, `[steps · batch, ...]`; `shape.batch` is that of one step.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn count_max_pool(shape: &Pooling, steps: usize, x: &[f32], y: &mut [f32]) {
    let (image, out) = (shape.input_len() / shape.batch.max(1), shape.output_len() / shape.batch.max(1));
    assert_eq!(x.len(), steps * shape.input_len(), "x is [steps * batch, height, width, channels]");
    assert_eq!(y.len(), steps * shape.output_len(), "y is [steps * batch, out_height, out_width, channels]");
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(shape.batch, false, |b| {
        let mut counts = vec![0.0f32; image];
        let mut largest = vec![0.0f32; out];
        let mut now = vec![0.0f32; out];
        let one = Pooling { batch: 1, ..*shape };
        for step in 0..steps {
            let row = step * shape.batch + b;
            counts.iter_mut().zip(&x[row * image..][..image]).for_each(|(count, x)| *count += x);
            max_pool(&one, &counts, &mut now);
            // SAFETY: each task has its own images.
            let y = unsafe { core::slice::from_raw_parts_mut(target.get().add(row * out), out) };
            for ((y, now), largest) in y.iter_mut().zip(&now).zip(&mut largest) {
                *y = now - *largest;
                *largest = *now;
            }
        }
    });
}

/// Gradient of [`count_max_pool`] for its input: `dx` as long as `x`, from `dy`, as long as `y`.
///
/// With the counts `n(t)` of a window's inputs and their maximum `m(t)`, `y(t) = m(t) − m(t−1)`; so `m(t)` has the
/// gradient `dy(t) − dy(t+1)`, which goes to the count that equals it ([`max_pool_backward`]) and from there to all
/// inputs up to `t`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn count_max_pool_backward(shape: &Pooling, steps: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let (image, out) = (shape.input_len() / shape.batch.max(1), shape.output_len() / shape.batch.max(1));
    assert_eq!(x.len(), steps * shape.input_len(), "x is [steps * batch, height, width, channels]");
    assert_eq!(
        dy.len(),
        steps * shape.output_len(),
        "dy is [steps * batch, out_height, out_width, channels]"
    );
    assert_eq!(dx.len(), x.len(), "dx is [steps * batch, height, width, channels]");
    let target = SharedMut(dx.as_mut_ptr());
    for_each_task(shape.batch, false, |b| {
        let mut counts = vec![0.0f32; image];
        let mut largest = vec![0.0f32; out];
        let mut change = vec![0.0f32; out];
        let mut of_step = vec![0.0f32; image];
        let mut sum = vec![0.0f32; image];
        let one = Pooling { batch: 1, ..*shape };
        let row = |step: usize| step * shape.batch + b;
        for step in 0..steps {
            counts.iter_mut().zip(&x[row(step) * image..][..image]).for_each(|(count, x)| *count += x);
        }
        for step in (0..steps).rev() {
            // Becomes `dy(t) − dy(t+1)`: `change` holds the later one, negated.
            let dy = &dy[row(step) * out..][..out];
            change.iter_mut().zip(dy).for_each(|(change, dy)| *change += dy);
            max_pool(&one, &counts, &mut largest);
            max_pool_backward(&one, &counts, &largest, &change, &mut of_step);
            // SAFETY: each task has its own images.
            let dx = unsafe { target.slice(row(step) * image, image) };
            for ((dx, sum), of_step) in dx.iter_mut().zip(&mut sum).zip(&of_step) {
                *sum += of_step;
                *dx = *sum;
            }
            counts.iter_mut().zip(&x[row(step) * image..][..image]).for_each(|(count, x)| *count -= x);
            change.iter_mut().zip(dy).for_each(|(change, dy)| *change = -dy);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::values;

    #[test]
    fn counts_of_the_spiking_maximum_are_maxima_of_counts() {
        let shape = Pooling {
            batch: 2,
            height: 4,
            width: 5,
            channels: 3,
            kernel: [2, 3],
            stride: [2, 1],
            padding: [0, 0, 1, 0],
        };
        let steps = 7;
        // Signed spikes.
        let x: Vec<f32> = values(steps * shape.input_len(), 3).iter().map(|x| (1.6 * x).round()).collect();
        let mut y = vec![0.0; steps * shape.output_len()];
        count_max_pool(&shape, steps, &x, &mut y);
        let mut counts = vec![0.0; shape.input_len()];
        let mut outs = vec![0.0; shape.output_len()];
        for step in 0..steps {
            counts.iter_mut().zip(&x[step * shape.input_len()..]).for_each(|(c, x)| *c += x);
            outs.iter_mut().zip(&y[step * shape.output_len()..]).for_each(|(c, y)| *c += y);
            let mut expected = vec![0.0; shape.output_len()];
            max_pool(&shape, &counts, &mut expected);
            assert_eq!(outs, expected);
        }
    }

    #[test]
    fn the_gradient_of_the_spiking_maximum_is_that_of_finite_differences() {
        let shape = Pooling {
            batch: 2,
            height: 4,
            width: 3,
            channels: 2,
            kernel: [2, 2],
            stride: [2, 1],
            padding: [0; 4],
        };
        let steps = 5;
        // No two counts of a window are equal, so that the maximum has a derivative.
        let x = values(steps * shape.input_len(), 5);
        let dy = values(steps * shape.output_len(), 6);
        let loss = |x: &[f32]| -> f64 {
            let mut y = vec![0.0; dy.len()];
            count_max_pool(&shape, steps, x, &mut y);
            y.iter().zip(&dy).map(|(y, dy)| f64::from(*y) * f64::from(*dy)).sum()
        };
        let mut dx = vec![f32::NAN; x.len()];
        count_max_pool_backward(&shape, steps, &x, &dy, &mut dx);
        for (at, dx) in dx.iter().enumerate() {
            let moved = |by: f32| {
                let mut x = x.clone();
                x[at] += by;
                loss(&x)
            };
            let expected = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!((expected - f64::from(*dx)).abs() < 2e-3, "{at}: {dx} is not {expected}");
        }
    }
}
