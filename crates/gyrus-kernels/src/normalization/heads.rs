//! Root-mean-square normalization of segments of a row: of each query and key head, or of all of them together (Henry
//! et al. 2020, Dehghani et al. 2023). What follows them in the row (values) is passed on unchanged.
//!
//! With `r = 1 / sqrt(mean(x²) + epsilon)` within a segment: `y = w x r`, `dx = r (w dy - x r² mean(w dy x))` and
//! `dw = sum over rows and segments of dy x r`. Memory-bound: two passes over a segment in the first-level cache.

use crate::base::parallel::{CHUNK, SharedMut, for_each_task, vectorized, with_scratch};
use crate::base::sums::sum_of;

/// Segments of a row that share a weight, which is as long as each of them.
#[derive(Clone, Copy, Debug)]
pub struct NormedHeads<'a> {
    /// Factor of each element.
    pub weight: &'a [f32],
    /// Number of segments.
    pub heads: usize,
}

fn check(x: &[f32], columns: usize, groups: &[NormedHeads<'_>]) {
    assert!(columns > 0 && x.len().is_multiple_of(columns), "x is [rows, columns]");
    let normed: usize = groups.iter().map(|group| group.heads * group.weight.len()).sum();
    assert!(
        normed <= columns && groups.iter().all(|group| !group.weight.is_empty()),
        "a row holds all heads"
    );
}

/// Runs `work(task, first float, floats)` for chunks of whole rows.
fn for_each_rows(floats: usize, columns: usize, work: impl Fn(usize, usize, usize) + Sync + Send) {
    let length = length_of_task(columns);
    for_each_task(floats.div_ceil(length), floats <= 2 * CHUNK, |task| {
        work(task, task * length, length.min(floats - task * length));
    });
}

fn length_of_task(columns: usize) -> usize {
    columns * (CHUNK / columns).max(1)
}

/// `y` is `x`, `[rows, columns]`, with the leading elements of each row normalized: the heads of each group, one group
/// after another.
///
/// # Panics
/// If a slice is not as long as its shape says, or a row does not hold all heads.
pub fn head_norm(x: &[f32], columns: usize, groups: &[NormedHeads<'_>], epsilon: f32, y: &mut [f32]) {
    check(x, columns, groups);
    assert_eq!(x.len(), y.len(), "y has the shape of x");
    let target = SharedMut(y.as_mut_ptr());
    for_each_rows(x.len(), columns, |_, start, count| {
        let x = &x[start..][..count];
        // SAFETY: each task has its own rows.
        let y = unsafe { target.slice(start, count) };
        y.copy_from_slice(x);
        vectorized(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(columns) {
                    let mut rest = &mut *y;
                    for NormedHeads { weight, heads } in groups {
                        let (part, behind) = std::mem::take(&mut rest).split_at_mut(heads * weight.len());
                        rest = behind;
                        for head in part.chunks_exact_mut(weight.len()) {
                            let squares = sum_of([&*head], |[x]| x * x);
                            let inverse = 1.0 / (squares / head.len() as f32 + epsilon).sqrt();
                            head.iter_mut().zip(*weight).for_each(|(x, weight)| *x *= inverse * weight);
                        }
                    }
                }
            },
        );
    });
}

/// Gradients of [`head_norm`] for `x`, `[rows, columns]`, and for the weights of all groups, one after another.
///
/// # Panics
/// If a slice is not as long as its shape says, or a row does not hold all heads.
pub fn head_norm_backward(
    x: &[f32],
    columns: usize,
    groups: &[NormedHeads<'_>],
    epsilon: f32,
    dy: &[f32],
    dx: &mut [f32],
    dweights: &mut [f32],
) {
    check(x, columns, groups);
    assert!(x.len() == dy.len() && x.len() == dx.len(), "dy and dx have the shape of x");
    let weights: usize = groups.iter().map(|group| group.weight.len()).sum();
    assert_eq!(dweights.len(), weights, "dweights is as long as all weights");
    let tasks = x.len().div_ceil(length_of_task(columns));
    let target = SharedMut(dx.as_mut_ptr());
    with_scratch(tasks * weights, |parts| {
        let parts_target = SharedMut(parts.as_mut_ptr());
        for_each_rows(x.len(), columns, |task, start, count| {
            let (x, dy) = (&x[start..][..count], &dy[start..][..count]);
            // SAFETY: each task has its own rows and part.
            let (dx, part) =
                unsafe { (target.slice(start, count), parts_target.slice(task * weights, weights)) };
            part.fill(0.0);
            dx.copy_from_slice(dy);
            vectorized(
                #[inline(always)]
                || {
                    let rows = x.chunks_exact(columns).zip(dx.chunks_exact_mut(columns));
                    for (x, dx) in rows {
                        let (mut column, mut place) = (0, 0);
                        for NormedHeads { weight, heads } in groups {
                            let width = weight.len();
                            let part = &mut part[place..][..width];
                            for _ in 0..*heads {
                                let (x, dx) = (&x[column..][..width], &mut dx[column..][..width]);
                                let squares = sum_of([x], |[x]| x * x);
                                let inverse = 1.0 / (squares / width as f32 + epsilon).sqrt();
                                let dot = sum_of([x, &*dx, weight], |[x, dy, w]| x * dy * w);
                                let common = dot * inverse * inverse / width as f32;
                                for i in 0..width {
                                    part[i] += dx[i] * x[i] * inverse;
                                    dx[i] = inverse * (weight[i] * dx[i] - x[i] * common);
                                }
                                column += width;
                            }
                            place += width;
                        }
                    }
                },
            );
        });
        dweights.fill(0.0);
        for part in parts.chunks_exact(weights.max(1)) {
            dweights.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
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
        fn it_and_its_gradient_match_the_oracle(
            rows in 1usize..300, heads in 1usize..5, keys in 1usize..3, width in 1usize..40, rest in 0usize..50,
        ) {
            let columns = (heads + keys) * width + rest;
            let (x, dy) = (values(rows * columns, 1), values(rows * columns, 2));
            let (query, key) = (values(width, 3), values(width, 4));
            let groups =
                [NormedHeads { weight: &query, heads }, NormedHeads { weight: &key, heads: keys }];
            let mut y = vec![f32::NAN; x.len()];
            head_norm(&x, columns, &groups, 1e-3, &mut y);
            let (mut dx, mut dweights) = (vec![f32::NAN; x.len()], vec![f32::NAN; 2 * width]);
            head_norm_backward(&x, columns, &groups, 1e-3, &dy, &mut dx, &mut dweights);
            // To the plain normalization each head is a separate row.
            let (mut exact_y, mut exact_dx) = (x.clone(), dy.clone());
            let mut exact_dweights = Vec::new();
            let mut first = 0;
            for (weight, count) in [(&query, heads), (&key, keys)] {
                let gather = |from: &[f32]| -> Vec<f32> {
                    from.chunks(columns).flat_map(|row| row[first..][..count * width].to_vec()).collect()
                };
                let scatter = |from: &[f32], to: &mut [f32]| {
                    for (to, from) in to.chunks_mut(columns).zip(from.chunks(count * width)) {
                        to[first..][..count * width].copy_from_slice(from);
                    }
                };
                let (x, dy) = (gather(&x), gather(&dy));
                scatter(&oracle::normalization::rms_norm_rows(&x, weight, 1e-3), &mut exact_y);
                let (dx, dweight) = oracle::normalization::rms_norm_backward(&x, weight, 1e-3, &dy);
                scatter(&dx, &mut exact_dx);
                exact_dweights.extend(dweight);
                first += count * width;
            }
            assert_close(&y, &exact_y, 1e-5);
            assert_close(&dx, &exact_dx, 2e-4);
            assert_close(&dweights, &exact_dweights, 3e-4);
        }
    }
}
