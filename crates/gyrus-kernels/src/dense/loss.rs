//! Losses, each computed together with its gradient.

use crate::base::math::exp;
use crate::base::parallel::{SharedMut, for_each_task, vectorized};

/// Rows per task.
const ROWS: usize = 64;

/// `y = softmax(x)` over each row of `[rows, columns]`: `exp(x_i - max) / sum_j exp(x_j - max)`.
///
/// # Panics
/// If the lengths differ or are not whole rows.
pub fn softmax(x: &[f32], columns: usize, y: &mut [f32]) {
    assert!(
        columns > 0 && x.len() == y.len() && x.len().is_multiple_of(columns),
        "x and y are [rows, columns]"
    );
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(x.len().div_ceil(ROWS * columns), x.len() < 1 << 14, |task| {
        let start = task * ROWS * columns;
        let x = &x[start..x.len().min(start + ROWS * columns)];
        // SAFETY: each task has its own rows.
        let y = unsafe { core::slice::from_raw_parts_mut(target.get().add(start), x.len()) };
        vectorized(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
                    softmax_row(x, y);
                }
            },
        );
    });
}

/// Writes the softmax of one row and returns the logarithm of its normalizer, including the maximum.
#[inline(always)]
fn softmax_row(x: &[f32], y: &mut [f32]) -> f32 {
    let mut max = f32::NEG_INFINITY;
    x.iter().for_each(|&x| max = if x > max { x } else { max });
    y.iter_mut().zip(x).for_each(|(y, x)| *y = exp(x - max));
    let sum: f32 = y.iter().sum();
    let scale = 1.0 / sum;
    // `exp`'s clamp would hide a NaN of the row: let it through.
    let poison = if x.iter().any(|x| x.is_nan()) { f32::NAN } else { 0.0 };
    y.iter_mut().for_each(|y| *y = *y * scale + poison);
    max + sum.ln() + poison
}

/// Gradient of [`softmax`]: `dx_i = y_i (dy_i - sum_j dy_j y_j)`.
///
/// # Panics
/// If the lengths differ or are not whole rows.
pub fn softmax_backward(y: &[f32], dy: &[f32], columns: usize, dx: &mut [f32]) {
    assert!(y.len() == dy.len() && y.len() == dx.len(), "all are equally long");
    assert!(columns > 0 && y.len().is_multiple_of(columns), "all are [rows, columns]");
    let rows = y.chunks_exact(columns).zip(dy.chunks_exact(columns)).zip(dx.chunks_exact_mut(columns));
    for ((y, dy), dx) in rows {
        let dot: f32 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
        dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx = y * (dy - dot));
    }
}

/// Mean cross-entropy of `softmax(logits)` against class indices, and its gradient for the logits.
///
/// With `smoothing` s, the target puts `1 - s` on the class and `s / classes` on every class (Szegedy et al. 2016).
/// `logits` and `gradient` are `[rows, classes]`, `targets` `[rows]`. Returns the loss in nats.
///
/// # Panics
/// If a slice is not as long as its shape says, or a target is not below `classes`.
pub fn cross_entropy(
    logits: &[f32],
    targets: &[u32],
    classes: usize,
    smoothing: f32,
    gradient: &mut [f32],
) -> f32 {
    assert!(logits.len() == targets.len() * classes, "logits are [rows, classes]");
    assert!(gradient.len() == logits.len(), "the gradient is as long as the logits");
    assert!(targets.iter().all(|&t| (t as usize) < classes), "targets are below the number of classes");
    let scale = 1.0 / targets.len() as f32;
    let mut losses = vec![0.0f64; targets.len().div_ceil(ROWS)];
    let losses_pointer = losses.as_mut_ptr() as usize;
    let target_pointer = SharedMut(gradient.as_mut_ptr());
    for_each_task(losses.len(), logits.len() < 1 << 14, |task| {
        let first = task * ROWS;
        let rows = ROWS.min(targets.len() - first);
        let logits = &logits[first * classes..][..rows * classes];
        let targets = &targets[first..][..rows];
        // SAFETY: each task has its own rows.
        let gradient = unsafe {
            core::slice::from_raw_parts_mut(target_pointer.get().add(first * classes), rows * classes)
        };
        let loss = vectorized(
            #[inline(always)]
            || {
                let mut loss = 0.0f64;
                let rows = logits.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes));
                for ((x, g), &target) in rows.zip(targets) {
                    let normalizer = softmax_row(x, g);
                    let sum: f32 = x.iter().sum();
                    let picked = (1.0 - smoothing) * x[target as usize] + smoothing / classes as f32 * sum;
                    loss += f64::from(normalizer - picked);
                    g[target as usize] -= 1.0 - smoothing;
                    g.iter_mut().for_each(|g| *g = (*g - smoothing / classes as f32) * scale);
                }
                loss
            },
        );
        // SAFETY: each task has its own place.
        unsafe { *(losses_pointer as *mut f64).add(task) = loss };
    });
    (losses.iter().sum::<f64>() / targets.len() as f64) as f32
}

/// Replaces each row of `logits`, `[rows, classes]`, by its gradient times `scale`, and returns the sum of the rows'
/// losses in nats. A row whose target is not a class contributes nothing, and its gradient is zero.
pub(crate) fn cross_entropy_rows(logits: &mut [f32], targets: &[u32], classes: usize, scale: f32) -> f64 {
    let mut losses = vec![0.0f64; targets.len()];
    let (places, target) = (SharedMut(losses.as_mut_ptr()), SharedMut(logits.as_mut_ptr()));
    let rows = (4 * ROWS * ROWS / classes.max(1)).clamp(1, ROWS);
    for_each_task(targets.len().div_ceil(rows), targets.len() * classes < 1 << 14, |task| {
        let first = task * rows;
        for (row, &class) in targets.iter().enumerate().skip(first).take(rows) {
            // SAFETY: each task has its own rows.
            let (row, loss) = unsafe { (target.slice(row * classes, classes), places.slice(row, 1)) };
            if class as usize >= classes {
                row.fill(0.0);
                continue;
            }
            vectorized(
                #[inline(always)]
                || {
                    let picked = row[class as usize];
                    let normalizer = softmax_in_place(row, scale);
                    loss[0] = f64::from(normalizer - picked);
                    row[class as usize] -= scale;
                },
            );
        }
    });
    losses.iter().sum()
}

/// `scale * softmax(row)` in place; returns the logarithm of the normalizer, including the maximum.
#[inline(always)]
fn softmax_in_place(row: &mut [f32], scale: f32) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    // `exp`'s clamp would hide a NaN of the row: this lets it through.
    let mut poison = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
            poison[i] += chunk[i] * 0.0;
        }
    }
    let max = rest.iter().chain(&lanes).copied().fold(f32::NEG_INFINITY, f32::max);
    let poison = poison.iter().sum::<f32>() + rest.iter().map(|x| x * 0.0).sum::<f32>();
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *x = exp(*x - max);
            *lane += *x;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *x = exp(*x - max);
        *lane += *x;
    }
    let sum: f32 = lanes.iter().sum();
    let share = scale / sum + poison;
    row.iter_mut().for_each(|x| *x *= share);
    max + sum.ln()
}

/// Mean squared error and its gradient for the predictions.
///
/// # Panics
/// If the lengths differ.
pub fn mean_squared_error(predictions: &[f32], targets: &[f32], gradient: &mut [f32]) -> f32 {
    assert!(predictions.len() == targets.len() && gradient.len() == targets.len(), "all are equally long");
    let scale = 2.0 / targets.len() as f32;
    let mut sum = 0.0f64;
    for ((g, p), t) in gradient.iter_mut().zip(predictions).zip(targets) {
        let error = p - t;
        sum += f64::from(error) * f64::from(error);
        *g = error * scale;
    }
    (sum / targets.len() as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{assert_close, values};

    /// The definition, in f64.
    fn naive(logits: &[f32], targets: &[u32], classes: usize, smoothing: f64) -> f64 {
        let mut loss = 0.0;
        for (row, &target) in logits.chunks(classes).zip(targets) {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            for (class, &x) in row.iter().enumerate() {
                let hit = f64::from(u8::from(class == target as usize));
                let wanted = (1.0 - smoothing) * hit + smoothing / classes as f64;
                loss -= wanted * (f64::from(x) - sum.ln());
            }
        }
        loss / targets.len() as f64
    }

    #[test]
    fn cross_entropy_and_gradient_match_the_definition() {
        for (rows, classes, smoothing) in [(1, 2, 0.0), (7, 10, 0.1), (150, 200, 0.05)] {
            let logits: Vec<f32> = values(rows * classes, 5).iter().map(|x| x * 4.0).collect();
            let targets: Vec<u32> = (0..rows).map(|i| (i * 7 % classes) as u32).collect();
            let mut gradient = vec![f32::NAN; logits.len()];
            let loss = cross_entropy(&logits, &targets, classes, smoothing, &mut gradient);
            assert!((f64::from(loss) - naive(&logits, &targets, classes, f64::from(smoothing))).abs() < 1e-5);
            for at in [0, logits.len() / 2, logits.len() - 1] {
                let mut moved = logits.clone();
                moved[at] += 1e-2;
                let up = naive(&moved, &targets, classes, f64::from(smoothing));
                moved[at] -= 2e-2;
                let down = naive(&moved, &targets, classes, f64::from(smoothing));
                assert!((f64::from(gradient[at]) - (up - down) / 2e-2).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn softmax_is_stable_and_its_gradient_is_right() {
        let mut y = [0.0; 3];
        softmax(&[1000.0, 1000.0, -1000.0], 3, &mut y);
        assert_close(&y, &[0.5, 0.5, 0.0], 1e-6);
        softmax(&[0.0, f32::NAN, 0.0], 3, &mut y);
        assert!(y.iter().all(|y| y.is_nan()), "a NaN must not be hidden");
        softmax(&[0.3, -0.2, 0.9], 3, &mut y);
        let mut dx = [0.0; 3];
        softmax_backward(&y, &[1.0, 0.0, 0.0], 3, &mut dx);
        assert_close(&dx, &[y[0] * (1.0 - y[0]), -y[0] * y[1], -y[0] * y[2]], 1e-6);
    }

    #[test]
    fn mean_squared_error_and_gradient() {
        let mut g = [0.0; 2];
        assert_eq!(mean_squared_error(&[1.0, 4.0], &[0.0, 2.0], &mut g), 2.5);
        assert_eq!(g, [1.0, 2.0]);
    }
}
