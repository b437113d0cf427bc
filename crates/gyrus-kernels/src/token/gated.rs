//! The gate of a feed-forward layer, `y = f(gate) * up` (SwiGLU and relatives, Shazeer 2020), with both halves in one
//! row, as one linear layer computes them.
//!
//! Memory-bound: three passes forward, five backward; the gradient recomputes `f` instead of keeping it.

use super::activation::{self, FeedForwardActivation};
use crate::base::parallel::{CHUNK, SharedMut, for_each_chunk, for_each_task, vectorized};

/// Runs `work(first row, rows)` for chunks of rows of `columns` floats.
fn for_each_rows(rows: usize, columns: usize, work: impl Fn(usize, usize) + Sync + Send) {
    let block = (CHUNK / columns.max(1)).max(1);
    for_each_task(rows.div_ceil(block), rows * columns <= 2 * CHUNK, |task| {
        work(task * block, block.min(rows - task * block));
    });
}

fn check(x: &[f32], half: usize, y: &[f32]) -> usize {
    assert!(half > 0 && x.len().is_multiple_of(2 * half), "x is [rows, 2 * half]");
    assert_eq!(x.len(), 2 * y.len(), "y is [rows, half]");
    y.len() / half
}

/// `y = f(gate) * up`; a row of `x` is `gate` followed by `up`, `half` floats each; `y` is `[rows, half]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn gated(f: FeedForwardActivation, x: &[f32], half: usize, y: &mut [f32]) {
    #[inline(always)]
    fn run(x: &[f32], half: usize, y: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
        vectorized(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(half)) {
                    let (gate, up) = x.split_at(half);
                    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                        *y = f(*gate).0 * up;
                    }
                }
            },
        );
    }
    let rows = check(x, half, y);
    let target = SharedMut(y.as_mut_ptr());
    for_each_rows(rows, 2 * half, |first, rows| {
        let x = &x[first * 2 * half..][..rows * 2 * half];
        // SAFETY: each task has its own rows.
        let y = unsafe { target.slice(first * half, rows * half) };
        match f {
            FeedForwardActivation::Silu => run(x, half, y, activation::silu_and_slope),
            FeedForwardActivation::Gelu => run(x, half, y, activation::gelu_and_slope),
            FeedForwardActivation::GeluTanh => run(x, half, y, activation::gelu_tanh_and_slope),
        }
    });
}

/// Gradient of [`gated`] for `x`, `[rows, 2 * half]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn gated_backward(f: FeedForwardActivation, x: &[f32], half: usize, dy: &[f32], dx: &mut [f32]) {
    #[inline(always)]
    fn run(x: &[f32], half: usize, dy: &[f32], dx: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
        vectorized(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(2 * half).zip(dy.chunks_exact(half));
                for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(2 * half)) {
                    let (gate, up) = x.split_at(half);
                    let (dgate, dup) = dx.split_at_mut(half);
                    for i in 0..half {
                        let (value, slope) = f(gate[i]);
                        dgate[i] = dy[i] * up[i] * slope;
                        dup[i] = dy[i] * value;
                    }
                }
            },
        );
    }
    let rows = check(x, half, dy);
    assert_eq!(dx.len(), x.len(), "dx has the shape of x");
    let target = SharedMut(dx.as_mut_ptr());
    for_each_rows(rows, 2 * half, |first, rows| {
        let x = &x[first * 2 * half..][..rows * 2 * half];
        let dy = &dy[first * half..][..rows * half];
        // SAFETY: each task has its own rows.
        let dx = unsafe { target.slice(first * 2 * half, rows * 2 * half) };
        match f {
            FeedForwardActivation::Silu => run(x, half, dy, dx, activation::silu_and_slope),
            FeedForwardActivation::Gelu => run(x, half, dy, dx, activation::gelu_and_slope),
            FeedForwardActivation::GeluTanh => run(x, half, dy, dx, activation::gelu_tanh_and_slope),
        }
    });
}

/// `x = f(x) * up`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn gate(f: FeedForwardActivation, x: &mut [f32], up: &[f32]) {
    #[inline(always)]
    fn run(x: &mut [f32], up: &[f32], f: impl Fn(f32) -> f32) {
        vectorized(
            #[inline(always)]
            || x.iter_mut().zip(up).for_each(|(x, up)| *x = f(*x) * up),
        );
    }
    assert_eq!(x.len(), up.len(), "both are equally long");
    for_each_chunk(x, |start, x| {
        let up = &up[start..][..x.len()];
        match f {
            FeedForwardActivation::Silu => run(x, up, activation::silu),
            FeedForwardActivation::Gelu => run(x, up, activation::gelu),
            FeedForwardActivation::GeluTanh => run(x, up, activation::gelu_tanh),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::activation::{activated, activated_backward};
    use super::*;
    use crate::oracle::{self, assert_close, values};

    #[test]
    fn it_and_its_gradient_match_the_oracle() {
        for f in [FeedForwardActivation::Silu, FeedForwardActivation::Gelu, FeedForwardActivation::GeluTanh] {
            for (rows, half) in [(1, 1), (3, 17), (200, 100), (2, 20_000)] {
                let x: Vec<f32> = values(rows * 2 * half, 1).iter().map(|x| x * 5.0).collect();
                let dy = values(rows * half, 2);
                let (mut y, mut dx) = (vec![f32::NAN; rows * half], vec![f32::NAN; x.len()]);
                gated(f, &x, half, &mut y);
                gated_backward(f, &x, half, &dy, &mut dx);
                let (exact_y, exact_dx) = oracle::token::gated(f, &x, half, &dy);
                assert_close(&y, &exact_y, 1e-5);
                assert_close(&dx, &exact_dx, 2e-5);
                // A gate whose other half is one.
                let gates: Vec<f32> = x.chunks(2 * half).flat_map(|row| row[..half].to_vec()).collect();
                let ones: Vec<f32> =
                    gates.chunks(half).flat_map(|row| [row, &vec![1.0; half][..]].concat()).collect();
                activated(f, &gates, &mut y);
                let mut dx = vec![f32::NAN; gates.len()];
                activated_backward(f, &gates, &dy, &mut dx);
                let (exact_y, exact_dx) = oracle::token::gated(f, &ones, half, &dy);
                let exact_dx: Vec<f32> =
                    exact_dx.chunks(2 * half).flat_map(|row| row[..half].to_vec()).collect();
                assert_close(&y, &exact_y, 1e-5);
                assert_close(&dx, &exact_dx, 2e-5);
            }
        }
    }
}
