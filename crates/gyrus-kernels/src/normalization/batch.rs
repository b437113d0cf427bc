//! Batch normalization (Ioffe and Szegedy 2015).
//!
//! `x` is `[rows, channels]`, channels last; for images a row is a pixel. With mean and variance of each channel over
//! the rows: `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`.
//!
//! A few channels would make short loops, so per-channel arrays are first repeated to at least `WIDE` floats.
//! Statistics are summed in `f32` over one cache-sized chunk, about its own mean, and joined in `f64` (Chan et al.
//! 1983). Cost: two or three passes over memory.

use super::inverse_std;
use crate::base::parallel::{CHUNK, SharedMut, for_each_task, vectorized, with_scratch};
use crate::dense::elementwise::{Activation, activation_in_place};

/// Length in floats, about, to which per-channel arrays are repeated.
const WIDE: usize = 256;

/// Mean and variance (divided by the count, not the count minus one) of each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics<'a> {
    /// `[channels]`
    pub mean: &'a [f32],
    /// `[channels]`
    pub variance: &'a [f32],
}

/// How often a per-channel array is repeated to make loops long.
fn repeats(channels: usize) -> usize {
    (WIDE / channels).max(1)
}

fn repeat(values: impl Iterator<Item = f32> + Clone, channels: usize) -> Vec<f32> {
    let count = repeats(channels);
    let mut wide = Vec::with_capacity(count * channels);
    for _ in 0..count {
        wide.extend(values.clone());
    }
    wide
}

/// Floats per task: whole repeats.
fn task_len(channels: usize) -> usize {
    let wide = repeats(channels) * channels;
    wide * (CHUNK / wide).max(1)
}

/// Adds up the repeats of a wide array in its first `channels`.
fn fold(wide: &mut [f32], channels: usize) {
    let (first, rest) = wide.split_at_mut(channels);
    for repeat in rest.chunks_exact(channels) {
        first.iter_mut().zip(repeat).for_each(|(a, b)| *a += b);
    }
}

/// Writes the mean and variance of each channel of `[rows, channels]` to `mean` and `variance`, both `[channels]`.
///
/// # Panics
/// If `x` is empty or not whole rows, or the results are not equally long.
pub fn batch_statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let channels = mean.len();
    assert_eq!(variance.len(), channels, "mean and variance are equally long");
    assert!(channels > 0 && !x.is_empty() && x.len().is_multiple_of(channels), "x is [rows, channels]");
    let wide = repeats(channels) * channels;
    let length = task_len(channels);
    let tasks = x.len().div_ceil(length);
    // Per task: its mean, then the sum of squares about it.
    with_scratch(tasks * 2 * wide, |parts| {
        let target = SharedMut(parts.as_mut_ptr());
        for_each_task(tasks, x.len() <= 2 * CHUNK, |task| {
            let x = &x[task * length..x.len().min((task + 1) * length)];
            // SAFETY: each task has its own part.
            let part =
                unsafe { core::slice::from_raw_parts_mut(target.get().add(task * 2 * wide), 2 * wide) };
            part.fill(0.0);
            let (sums, squares) = part.split_at_mut(wide);
            vectorized(
                #[inline(always)]
                || {
                    for x in x.chunks(wide) {
                        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                    }
                },
            );
            fold(sums, channels);
            let scale = channels as f32 / x.len() as f32;
            sums[..channels].iter_mut().for_each(|sum| *sum *= scale);
            for start in (channels..wide).step_by(channels) {
                sums.copy_within(..channels, start);
            }
            vectorized(
                #[inline(always)]
                || {
                    for x in x.chunks(wide) {
                        for ((square, mean), x) in squares.iter_mut().zip(&*sums).zip(x) {
                            let d = x - mean;
                            *square += d * d;
                        }
                    }
                },
            );
            fold(squares, channels);
        });
        for channel in 0..channels {
            let (mut count, mut total_mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
            for task in 0..tasks {
                let part = &parts[task * 2 * wide..];
                let part_len = length.min(x.len() - task * length);
                let part_count = (part_len / channels) as f64;
                let delta = f64::from(part[channel]) - total_mean;
                let total = count + part_count;
                total_mean += delta * part_count / total;
                squares += f64::from(part[wide + channel]) + delta * delta * count * part_count / total;
                count = total;
            }
            mean[channel] = total_mean as f32;
            variance[channel] = (squares / count) as f32;
        }
    });
}

/// The parameters of [`batch_norm`] besides the statistics.
#[derive(Clone, Copy)]
pub struct BatchNorm<'a> {
    /// Scale, `[channels]`.
    pub gamma: &'a [f32],
    /// Shift, `[channels]`.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
    /// Applied to the results, after `residual` is added.
    pub activation: Option<Activation>,
}

/// `y = f(gamma (x - mean) / sqrt(variance + epsilon) + beta + residual?)`, with the activation `f`, if any.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn batch_norm(
    norm: BatchNorm<'_>,
    statistics: Statistics<'_>,
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    let channels = norm.gamma.len();
    assert!(
        channels > 0 && x.len() == y.len() && x.len().is_multiple_of(channels),
        "x and y are [rows, channels]"
    );
    assert!(norm.beta.len() == channels && statistics.mean.len() == channels, "one value per channel");
    assert!(residual.is_none_or(|r| r.len() == x.len()), "the residual is as long as x");
    let scale = (0..channels).map(|c| norm.gamma[c] * inverse_std(statistics.variance[c], norm.epsilon));
    let scale: Vec<f32> = scale.collect();
    let shift = (0..channels).map(|c| norm.beta[c] - statistics.mean[c] * scale[c]);
    let shift = repeat(shift, channels);
    let scale = repeat(scale.iter().copied(), channels);
    let (wide, length) = (scale.len(), task_len(channels));
    let (lowest, highest) = limits(norm.activation).unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(x.len().div_ceil(length), x.len() <= 2 * CHUNK, |task| {
        let start = task * length;
        let x = &x[start..x.len().min(start + length)];
        // SAFETY: each task has its own chunk.
        let y = unsafe { core::slice::from_raw_parts_mut(target.get().add(start), x.len()) };
        let residual = residual.map(|r| &r[start..][..x.len()]);
        vectorized(
            #[inline(always)]
            || {
                for (i, (x, y)) in x.chunks(wide).zip(y.chunks_mut(wide)).enumerate() {
                    let scaled =
                        x.iter().zip(&scale).zip(&shift).map(|((x, scale), shift)| x * scale + shift);
                    let cut = |v: f32| if v < lowest { lowest } else { v };
                    let cut = |v: f32| if cut(v) > highest { highest } else { cut(v) };
                    match residual {
                        None => y.iter_mut().zip(scaled).for_each(|(y, v)| *y = cut(v)),
                        Some(r) => {
                            let r = &r[i * wide..][..x.len()];
                            y.iter_mut().zip(scaled).zip(r).for_each(|((y, v), r)| *y = cut(v + r));
                        }
                    }
                }
            },
        );
        if let (Some(f), None) = (norm.activation, limits(norm.activation)) {
            activation_in_place(f, y);
        }
    });
}

/// Between what an activation cuts; `None` for those that do more than that, and for no activation.
fn limits(activation: Option<Activation>) -> Option<(f32, f32)> {
    match activation {
        Some(Activation::Relu) => Some((0.0, f32::INFINITY)),
        Some(Activation::Relu6) => Some((0.0, 6.0)),
        _ => None,
    }
}

/// Where the gradients of [`batch_norm`] go.
pub struct BatchNormGradients<'a> {
    /// As long as `x`.
    pub input: &'a mut [f32],
    /// As long as `x`, if there was a residual.
    pub residual: Option<&'a mut [f32]>,
    /// `[channels]`
    pub gamma: &'a mut [f32],
    /// `[channels]`
    pub beta: &'a mut [f32],
}

/// Gradients of [`batch_norm`]. If `own`, the statistics are those of this batch and gradients go through them too;
/// otherwise they are constants. `activated` is the output if there is an activation, which is ReLU or ReLU6: for
/// others, first call [`activation_backward`](crate::dense::elementwise::activation_backward).
///
/// # Panics
/// If a slice is not as long as its shape says, or the activation is another one or without `activated`.
pub fn batch_norm_backward(
    norm: BatchNorm<'_>,
    statistics: Statistics<'_>,
    own: bool,
    x: &[f32],
    activated: Option<&[f32]>,
    dy: &[f32],
    gradients: BatchNormGradients<'_>,
) {
    let channels = norm.gamma.len();
    assert!(
        channels > 0 && x.len() == dy.len() && x.len().is_multiple_of(channels),
        "x and dy are [rows, channels]"
    );
    assert_eq!(gradients.input.len(), x.len(), "the input's gradient is as long as x");
    assert!(gradients.residual.as_ref().is_none_or(|r| r.len() == x.len()), "as long as x");
    assert!(gradients.gamma.len() == channels && gradients.beta.len() == channels, "one value per channel");
    let limits = limits(norm.activation);
    assert!(limits.is_some() == norm.activation.is_some(), "only ReLU and ReLU6 are fused into the gradient");
    assert!(activated.is_some() == limits.is_some(), "the gradient of a fused activation needs its output");
    let (lowest, highest) = limits.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    assert!(activated.is_none_or(|y| y.len() == x.len()), "the output is as long as x");
    let inverse: Vec<f32> = statistics.variance.iter().map(|&v| inverse_std(v, norm.epsilon)).collect();
    let mean = repeat(statistics.mean.iter().copied(), channels);
    let (wide, length) = (mean.len(), task_len(channels));
    let tasks = x.len().div_ceil(length);
    let serial = x.len() <= 2 * CHUNK;

    // First pass: the sums of g and of g (x - mean), where g is the gradient before the ReLU.
    with_scratch(tasks * 2 * wide, |parts| {
        let target = SharedMut(parts.as_mut_ptr());
        for_each_task(tasks, serial, |task| {
            let start = task * length;
            let x = &x[start..x.len().min(start + length)];
            let dy = &dy[start..][..x.len()];
            // SAFETY: each task has its own part.
            let part =
                unsafe { core::slice::from_raw_parts_mut(target.get().add(task * 2 * wide), 2 * wide) };
            part.fill(0.0);
            let (sums, products) = part.split_at_mut(wide);
            vectorized(
                #[inline(always)]
                || {
                    for (i, (x, dy)) in x.chunks(wide).zip(dy.chunks(wide)).enumerate() {
                        let sums = sums.iter_mut().zip(products.iter_mut()).zip(&mean);
                        match activated {
                            None => {
                                for ((((sum, product), mean), x), g) in sums.zip(x).zip(dy) {
                                    *sum += g;
                                    *product += g * (x - mean);
                                }
                            }
                            Some(y) => {
                                let y = &y[start + i * wide..][..x.len()];
                                for (((((sum, product), mean), x), g), y) in sums.zip(x).zip(dy).zip(y) {
                                    let g = *g;
                                    let g = if *y > lowest && *y < highest { g } else { 0.0 };
                                    *sum += g;
                                    *product += g * (x - mean);
                                }
                            }
                        }
                    }
                },
            );
            fold(sums, channels);
            fold(products, channels);
        });
        let total = |at: usize| -> f64 { (0..tasks).map(|t| f64::from(parts[t * 2 * wide + at])).sum() };
        for (channel, inverse) in inverse.iter().enumerate() {
            gradients.beta[channel] = total(channel) as f32;
            gradients.gamma[channel] = (total(wide + channel) * f64::from(*inverse)) as f32;
        }
    });

    // Second pass: dx = gamma / std * (g - sum(g) / n - normalized x * sum(g * normalized x) / n).
    // With constant statistics the last two terms vanish.
    let per_row = if own { channels as f32 / x.len() as f32 } else { 0.0 };
    let scale = repeat((0..channels).map(|c| norm.gamma[c] * inverse[c]), channels);
    let slope = repeat((0..channels).map(|c| inverse[c] * gradients.gamma[c] * per_row), channels);
    let offset = repeat(gradients.beta.iter().map(|b| b * per_row), channels);
    let input = SharedMut(gradients.input.as_mut_ptr());
    let residual = gradients.residual.map(|r| SharedMut(r.as_mut_ptr()));
    for_each_task(tasks, serial, |task| {
        let start = task * length;
        let x = &x[start..x.len().min(start + length)];
        let dy = &dy[start..][..x.len()];
        // SAFETY: each task has its own chunk of both gradients.
        let part = |p: SharedMut| unsafe { core::slice::from_raw_parts_mut(p.get().add(start), x.len()) };
        let masked = |dy: &[f32], i: usize, to: &mut [f32]| match activated {
            None => to.copy_from_slice(dy),
            Some(y) => {
                let y = &y[start + i * wide..][..dy.len()];
                for ((to, g), y) in to.iter_mut().zip(dy).zip(y) {
                    let g = *g;
                    *to = if *y > lowest && *y < highest { g } else { 0.0 };
                }
            }
        };
        let dx = part(input);
        let mut residual = residual.map(part);
        vectorized(
            #[inline(always)]
            || {
                for (i, (x, dy)) in x.chunks(wide).zip(dy.chunks(wide)).enumerate() {
                    let dx = &mut dx[i * wide..][..x.len()];
                    masked(dy, i, dx);
                    if let Some(residual) = &mut residual {
                        residual[i * wide..][..x.len()].copy_from_slice(dx);
                    }
                    let parameters = scale.iter().zip(&slope).zip(&offset).zip(&mean);
                    for ((dx, x), (((scale, slope), offset), mean)) in dx.iter_mut().zip(x).zip(parameters) {
                        *dx = scale * (*dx - offset - (x - mean) * slope);
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{assert_close, narrow, values};

    /// Batch normalization of `x` by the definition, in f64, with ReLU and residual.
    fn naive(x: &[f64], gamma: &[f32], beta: &[f32], residual: Option<&[f32]>, relu: bool) -> Vec<f64> {
        let channels = gamma.len();
        let rows = x.len() / channels;
        let mut y = vec![0.0; x.len()];
        for c in 0..channels {
            let column = |r: usize| x[r * channels + c];
            let mean = (0..rows).map(column).sum::<f64>() / rows as f64;
            let variance = (0..rows).map(|r| (column(r) - mean).powi(2)).sum::<f64>() / rows as f64;
            for r in 0..rows {
                let mut v =
                    (column(r) - mean) / (variance + 1e-5).sqrt() * f64::from(gamma[c]) + f64::from(beta[c]);
                v += residual.map_or(0.0, |x| f64::from(x[r * channels + c]));
                y[r * channels + c] = if relu { v.max(0.0) } else { v };
            }
        }
        y
    }

    proptest! {
        #[test]
        fn batch_norm_matches_the_definition(rows in 2usize..60, channels in 1usize..40, relu: bool, residual: bool) {
            let x: Vec<f32> = values(rows * channels, 1).iter().map(|x| x * 3.0 + 5.0).collect();
            let (gamma, beta) = (values(channels, 2), values(channels, 3));
            let (r, dy) = (values(x.len(), 4), values(x.len(), 5));
            let r = residual.then_some(&r[..]);
            let activation = relu.then_some(Activation::Relu);
            let norm = BatchNorm { gamma: &gamma, beta: &beta, epsilon: 1e-5, activation };
            let (mut mean, mut variance) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
            batch_statistics(&x, &mut mean, &mut variance);
            let statistics = Statistics { mean: &mean, variance: &variance };
            let mut y = vec![f32::NAN; x.len()];
            batch_norm(norm, statistics, &x, r, &mut y);
            let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let expected = naive(&wide, &gamma, &beta, r, relu);
            assert_close(&y, &narrow(&expected), 1e-4);

            let (mut dx, mut dr) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
            let gradients = BatchNormGradients {
                input: &mut dx, residual: residual.then_some(&mut dr[..]), gamma: &mut dgamma, beta: &mut dbeta,
            };
            batch_norm_backward(norm, statistics, true, &x, relu.then_some(&y[..]), &dy, gradients);
            // Finite differences of sum(dy * y) with the ReLU's mask held fixed.
            let mask: Vec<f64> = expected.iter().map(|&y| if !relu || y > 0.0 { 1.0 } else { 0.0 }).collect();
            let loss = |x: &[f64]| -> f64 {
                let y = naive(x, &gamma, &beta, r, false);
                y.iter().zip(&dy).zip(&mask).map(|((y, g), m)| y * f64::from(*g) * m).sum()
            };
            for at in [0, x.len() / 2, x.len() - 1] {
                let mut moved = wide.clone();
                moved[at] += 1e-5;
                let up = loss(&moved);
                moved[at] -= 2e-5;
                let slope = (up - loss(&moved)) / 2e-5;
                prop_assert!((f64::from(dx[at]) - slope).abs() < 2e-3 * slope.abs().max(1.0), "{} {}", dx[at], slope);
                if residual {
                    prop_assert!((f64::from(dr[at]) - f64::from(dy[at]) * mask[at]).abs() < 1e-6);
                }
            }
            let g: Vec<f64> = dy.iter().zip(&mask).map(|(g, m)| f64::from(*g) * m).collect();
            let expected_beta: Vec<f64> = (0..channels).map(|c| g.iter().skip(c).step_by(channels).sum()).collect();
            assert_close(&dbeta, &narrow(&expected_beta), 1e-4);
            let constant = BatchNormGradients {
                input: &mut dx, residual: None, gamma: &mut dgamma.clone(), beta: &mut dbeta.clone(),
            };
            batch_norm_backward(norm, statistics, false, &x, relu.then_some(&y[..]), &dy, constant);
            let expected_dx: Vec<f64> = g.iter().enumerate().map(|(i, g)| {
                let c = i % channels;
                g * f64::from(gamma[c]) / (f64::from(variance[c]) + 1e-5).sqrt()
            }).collect();
            assert_close(&dx, &narrow(&expected_dx), 1e-4);
            let unit = naive(&wide, &vec![1.0; channels], &vec![0.0; channels], None, false);
            let gx: Vec<f64> = g.iter().zip(&unit).map(|(g, x)| g * x).collect();
            let expected_gamma: Vec<f64> = (0..channels).map(|c| gx.iter().skip(c).step_by(channels).sum()).collect();
            assert_close(&dgamma, &narrow(&expected_gamma), 1e-3);
        }
    }

    #[test]
    fn statistics_survive_a_large_mean() {
        let x: Vec<f32> = (0..200_000).map(|i| 10_000.0 + (i % 2) as f32).collect();
        let (mut mean, mut variance) = ([0.0], [0.0]);
        batch_statistics(&x, &mut mean, &mut variance);
        assert!((mean[0] - 10_000.5).abs() < 1e-2, "{mean:?}");
        assert!((variance[0] - 0.25).abs() < 1e-3, "{variance:?}");
    }
}
