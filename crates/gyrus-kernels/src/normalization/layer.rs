//! Layer normalization (Ba et al. 2016).
//!
//! `x` is `[rows, channels]`. With mean and variance of each row over its channels:
//! `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`. Cost: two or three passes over memory.

use super::inverse_std;
use crate::base::parallel::{CHUNK, SharedMut, for_each_task, vectorized, with_scratch};
use crate::base::sums::sum_of;

/// Layer normalization of each row of `[rows, channels]`; `gamma` and `beta` are `[channels]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, y: &mut [f32]) {
    let channels = gamma.len();
    assert!(
        channels > 0 && x.len() == y.len() && x.len().is_multiple_of(channels),
        "x and y are [rows, channels]"
    );
    assert_eq!(beta.len(), channels, "beta is [channels]");
    let length = channels * (CHUNK / channels).max(1);
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(x.len().div_ceil(length), x.len() <= 2 * CHUNK, |task| {
        let start = task * length;
        let x = &x[start..x.len().min(start + length)];
        // SAFETY: each task has its own chunk.
        let y = unsafe { core::slice::from_raw_parts_mut(target.get().add(start), x.len()) };
        vectorized(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
                    let (mean, inverse) = row_statistics(x, epsilon);
                    for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = (x - mean) * inverse * gamma + beta;
                    }
                }
            },
        );
    });
}

#[inline(always)]
fn row_statistics(x: &[f32], epsilon: f32) -> (f32, f32) {
    let scale = 1.0 / x.len() as f32;
    let mean = sum_of([x], |[x]| x) * scale;
    let variance = sum_of([x], |[x]| (x - mean) * (x - mean)) * scale;
    (mean, inverse_std(variance, epsilon))
}

/// Gradients of [`layer_norm`] for its input, `gamma` and `beta`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn layer_norm_backward(
    x: &[f32],
    gamma: &[f32],
    epsilon: f32,
    dy: &[f32],
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let channels = gamma.len();
    assert!(channels > 0 && x.len() == dy.len() && x.len() == dx.len(), "x, dy and dx are [rows, channels]");
    assert!(x.len().is_multiple_of(channels) && dgamma.len() == channels && dbeta.len() == channels);
    let length = channels * (CHUNK / channels).max(1);
    let tasks = x.len().div_ceil(length);
    let target = SharedMut(dx.as_mut_ptr());
    with_scratch(tasks * 2 * channels, |parts| {
        let parts_pointer = SharedMut(parts.as_mut_ptr());
        for_each_task(tasks, x.len() <= 2 * CHUNK, |task| {
            let start = task * length;
            let x = &x[start..x.len().min(start + length)];
            let dy = &dy[start..][..x.len()];
            // SAFETY: each task has its own chunk and part.
            let (dx, part) = unsafe {
                (
                    core::slice::from_raw_parts_mut(target.get().add(start), x.len()),
                    core::slice::from_raw_parts_mut(
                        parts_pointer.get().add(task * 2 * channels),
                        2 * channels,
                    ),
                )
            };
            part.fill(0.0);
            let (dgamma, dbeta) = part.split_at_mut(channels);
            vectorized(
                #[inline(always)]
                || {
                    let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
                    for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(channels)) {
                        let (mean, inverse) = row_statistics(x, epsilon);
                        let scale = 1.0 / channels as f32;
                        let sum_g = sum_of([dy, gamma], |[dy, gamma]| dy * gamma) * scale;
                        let term = |[dy, gamma, x]: [f32; 3]| dy * gamma * (x - mean) * inverse;
                        let sum_gx = sum_of([dy, gamma, x], term) * scale;
                        let inputs = x.iter().zip(dy).zip(gamma).zip(dx);
                        for ((((x, dy), gamma), dx), (dgamma, dbeta)) in
                            inputs.zip(dgamma.iter_mut().zip(&mut *dbeta))
                        {
                            let normalized = (x - mean) * inverse;
                            *dx = inverse * (dy * gamma - sum_g - normalized * sum_gx);
                            *dgamma += dy * normalized;
                            *dbeta += dy;
                        }
                    }
                },
            );
        });
        for channel in 0..channels {
            dgamma[channel] = parts.chunks_exact(2 * channels).map(|p| p[channel]).sum();
            dbeta[channel] = parts.chunks_exact(2 * channels).map(|p| p[channels + channel]).sum();
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{assert_close, narrow, values};

    proptest! {
        #[test]
        fn layer_norm_matches_the_definition(rows in 1usize..20, channels in 2usize..70) {
            let x: Vec<f32> = values(rows * channels, 1).iter().map(|x| x * 3.0 + 5.0).collect();
            let (gamma, beta, dy) = (values(channels, 2), values(channels, 3), values(x.len(), 4));
            let mut y = vec![f32::NAN; x.len()];
            layer_norm(&x, &gamma, &beta, 1e-5, &mut y);
            let naive = |x: &[f64]| -> Vec<f64> {
                x.chunks(channels).flat_map(|row| {
                    let mean = row.iter().sum::<f64>() / channels as f64;
                    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channels as f64;
                    let (gamma, beta) = (&gamma, &beta);
                    row.iter().enumerate().map(move |(c, x)| {
                        (x - mean) / (variance + 1e-5).sqrt() * f64::from(gamma[c]) + f64::from(beta[c])
                    }).collect::<Vec<_>>()
                }).collect()
            };
            let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let expected = naive(&wide);
            assert_close(&y, &narrow(&expected), 1e-4);
            let mut dx = vec![f32::NAN; x.len()];
            let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
            layer_norm_backward(&x, &gamma, 1e-5, &dy, &mut dx, &mut dgamma, &mut dbeta);
            let loss = |x: &[f64]| -> f64 { naive(x).iter().zip(&dy).map(|(y, g)| y * f64::from(*g)).sum() };
            for at in [0, x.len() / 2, x.len() - 1] {
                let mut moved = wide.clone();
                moved[at] += 1e-5;
                let up = loss(&moved);
                moved[at] -= 2e-5;
                let slope = (up - loss(&moved)) / 2e-5;
                prop_assert!((f64::from(dx[at]) - slope).abs() < 2e-3 * slope.abs().max(1.0));
            }
            for c in 0..channels {
                let column: f32 = dy.iter().skip(c).step_by(channels).sum();
                prop_assert!((dbeta[c] - column).abs() < 1e-4);
                let product: f64 = (0..rows).map(|r| {
                    let at = r * channels + c;
                    f64::from(dy[at]) * (expected[at] - f64::from(beta[c])) / f64::from(gamma[c])
                }).sum();
                prop_assert!((f64::from(dgamma[c]) - product).abs() < 1e-3 * product.abs().max(1.0));
            }
        }
    }
}
