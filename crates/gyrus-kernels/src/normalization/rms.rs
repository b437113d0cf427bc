//! Root-mean-square normalization (Zhang and Sennrich 2019) and its gradient.
//!
//! With `r = 1 / sqrt(mean(x²) + epsilon)` and `y = w x r`: `dx = r (w dy - x r² mean(w dy x))` and
//! `dw = sum over rows of dy x r`. Two passes over each row while it is in the first-level cache.

use crate::base::parallel::{CHUNK, SharedMut, for_each_rows, for_each_task, vectorized, with_scratch};
use crate::base::sums::sum_of;

/// `y = weight * x / sqrt(mean(x²) + epsilon)` for each row of `x`, `[rows, columns]`; `weight` is `[columns]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    let columns = weight.len();
    assert!(columns > 0 && x.len().is_multiple_of(columns), "x is [rows, columns]");
    assert_eq!(x.len(), y.len(), "y has the shape of x");
    for_each_rows(y, columns, |first, y| {
        let x = &x[first * columns..][..y.len()];
        vectorized(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
                    let inverse = 1.0 / (sum_of([x], |[x]| x * x) / columns as f32 + epsilon).sqrt();
                    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                        *y = x * inverse * weight;
                    }
                }
            },
        );
    });
}

/// Gradients of [`rms_norm`] for its input, `[rows, columns]`, and its weight, `[columns]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn rms_norm_backward(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    dy: &[f32],
    dx: &mut [f32],
    dweight: &mut [f32],
) {
    let columns = weight.len();
    assert!(columns > 0 && x.len().is_multiple_of(columns), "x is [rows, columns]");
    assert!(x.len() == dy.len() && x.len() == dx.len(), "dy and dx have the shape of x");
    assert_eq!(dweight.len(), columns, "dweight has the shape of the weight");
    let length = columns * (CHUNK / columns).max(1);
    let tasks = x.len().div_ceil(length);
    let target = SharedMut(dx.as_mut_ptr());
    with_scratch(tasks * columns, |parts| {
        let parts_target = SharedMut(parts.as_mut_ptr());
        for_each_task(tasks, x.len() <= 2 * CHUNK, |task| {
            let start = task * length;
            let x = &x[start..x.len().min(start + length)];
            let dy = &dy[start..][..x.len()];
            // SAFETY: each task has its own chunk and part.
            let (dx, part) =
                unsafe { (target.slice(start, x.len()), parts_target.slice(task * columns, columns)) };
            part.fill(0.0);
            vectorized(
                #[inline(always)]
                || {
                    let rows = x.chunks_exact(columns).zip(dy.chunks_exact(columns));
                    for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(columns)) {
                        let inverse = 1.0 / (sum_of([x], |[x]| x * x) / columns as f32 + epsilon).sqrt();
                        let dot = sum_of([x, dy, weight], |[x, dy, weight]| x * dy * weight);
                        let common = dot * inverse * inverse / columns as f32;
                        let inputs = x.iter().zip(dy).zip(weight);
                        for (((x, dy), weight), (dx, part)) in inputs.zip(dx.iter_mut().zip(&mut *part)) {
                            *dx = inverse * (weight * dy - x * common);
                            *part += dy * x * inverse;
                        }
                    }
                },
            );
        });
        dweight.fill(0.0);
        for part in parts.chunks_exact(columns) {
            dweight.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_matches_the_oracle(rows in 1usize..300, columns in 1usize..200, seed in 1u64..1000) {
            let (x, weight) = (values(rows * columns, seed), values(columns, 2));
            let dy = values(rows * columns, 3);
            let (mut dx, mut dweight) = (vec![f32::NAN; x.len()], vec![f32::NAN; columns]);
            rms_norm_backward(&x, &weight, 1e-3, &dy, &mut dx, &mut dweight);
            let (exact_dx, exact_dweight) = oracle::normalization::rms_norm_backward(&x, &weight, 1e-3, &dy);
            assert_close(&dx, &exact_dx, 1e-4);
            assert_close(&dweight, &exact_dweight, 1e-4);
        }
    }

    #[test]
    fn rows_match_the_oracle() {
        for (rows, columns) in [(1, 1), (3, 17), (2, 64), (900, 100)] {
            let (x, weight) = (values(rows * columns, 1), values(columns, 2));
            let mut y = vec![f32::NAN; x.len()];
            rms_norm(&x, &weight, 1e-5, &mut y);
            assert_close(&y, &oracle::normalization::rms_norm_rows(&x, &weight, 1e-5), 1e-5);
        }
    }
}
