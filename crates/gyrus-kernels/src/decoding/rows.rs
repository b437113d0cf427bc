//! Passes over the rows of a decoder: root-mean-square normalisation, rotation by position, and the nonlinearity
//! between the halves of the feed-forward part. Memory-bound; a few rows stay on one thread.

use rayon::prelude::*;

use crate::elementwise::{exp, normal, tanh};
use crate::lanes::sum_of;
use crate::parallel::{STRETCH, for_each_stretch, vectorized};

/// Floats below which a pass stays on one thread.
const SERIAL: usize = 2 * STRETCH;

/// The nonlinearity of a feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForwardActivation {
    /// `x / (1 + exp(-x))`
    Silu,
    /// `x * Phi(x)`, `Phi` the normal distribution function.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x³)))`
    GeluTanh,
}

/// Runs `work(first row, rows)` over stretches of whole rows.
fn for_each_rows(x: &mut [f32], columns: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let rows = (STRETCH / columns).max(1);
    if x.len() <= SERIAL {
        work(0, x);
    } else {
        x.par_chunks_mut(rows * columns).enumerate().for_each(|(i, part)| work(i * rows, part));
    }
}

/// `y = weight * x / sqrt(mean(x²) + epsilon)` for each row of `x`, `[rows, columns]`; `weight` is `[columns]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    let columns = weight.len();
    assert!(columns > 0 && x.len().is_multiple_of(columns), "x is [rows, columns]");
    assert_eq!(x.len(), y.len(), "y is as x");
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

/// Turns pairs of the leading elements of each head by an angle.
///
/// `x` is `[rows, heads, head_width]`, `cosines` and `sines` are `[rows, pairs]`. A pair is the elements `2i` and
/// `2i + 1` if `interleaved`, else `i` and `i + pairs`.
///
/// # Panics
/// If a slice is not as long as its shape says, or a head holds fewer than `2 * pairs` elements.
pub fn rotate(
    x: &mut [f32],
    (heads, head_width, pairs): (usize, usize, usize),
    (cosines, sines): (&[f32], &[f32]),
    interleaved: bool,
) {
    let columns = heads * head_width;
    assert!(columns > 0 && x.len().is_multiple_of(columns), "x is [rows, heads, head_width]");
    assert!(2 * pairs <= head_width, "a head holds the pairs");
    let rows = x.len() / columns;
    assert!(cosines.len() == rows * pairs && sines.len() == rows * pairs, "angles are [rows, pairs]");
    if pairs == 0 {
        return;
    }
    for_each_rows(x, columns, |first, x| {
        vectorized(
            #[inline(always)]
            || {
                for (row, x) in x.chunks_exact_mut(columns).enumerate() {
                    let cosines = &cosines[(first + row) * pairs..][..pairs];
                    let sines = &sines[(first + row) * pairs..][..pairs];
                    for head in x.chunks_exact_mut(head_width) {
                        if interleaved {
                            let (elements, _) = head.as_chunks_mut::<2>();
                            for (pair, (cosine, sine)) in elements.iter_mut().zip(cosines.iter().zip(sines)) {
                                let [a, b] = *pair;
                                *pair = [a * cosine - b * sine, b * cosine + a * sine];
                            }
                        } else {
                            let (low, high) = head[..2 * pairs].split_at_mut(pairs);
                            for i in 0..pairs {
                                let (a, b) = (low[i], high[i]);
                                low[i] = a * cosines[i] - b * sines[i];
                                high[i] = b * cosines[i] + a * sines[i];
                            }
                        }
                    }
                }
            },
        );
    });
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * normal(x).0
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(ROOT * (x + 0.044_715 * x * x * x)))
}

/// `x = f(x)`, element by element.
pub fn activate(f: FeedForwardActivation, x: &mut [f32]) {
    #[inline(always)]
    fn run(x: &mut [f32], f: impl Fn(f32) -> f32) {
        vectorized(
            #[inline(always)]
            || x.iter_mut().for_each(|x| *x = f(*x)),
        );
    }
    for_each_stretch(x, |_, x| match f {
        FeedForwardActivation::Silu => run(x, silu),
        FeedForwardActivation::Gelu => run(x, gelu),
        FeedForwardActivation::GeluTanh => run(x, gelu_tanh),
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
    for_each_stretch(x, |start, x| {
        let up = &up[start..][..x.len()];
        match f {
            FeedForwardActivation::Silu => run(x, up, silu),
            FeedForwardActivation::Gelu => run(x, up, gelu),
            FeedForwardActivation::GeluTanh => run(x, up, gelu_tanh),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{self, assert_close, values};

    #[test]
    fn rows_are_normalised_as_the_oracle_does() {
        for (rows, columns) in [(1, 1), (3, 17), (2, 64), (900, 100)] {
            let (x, weight) = (values(rows * columns, 1), values(columns, 2));
            let mut y = vec![f32::NAN; x.len()];
            rms_norm(&x, &weight, 1e-5, &mut y);
            assert_close(&y, &oracle::decoding::rms_norm_rows(&x, &weight, 1e-5), 1e-5);
        }
    }

    #[test]
    fn pairs_are_turned_as_complex_numbers_are() {
        for (rows, heads, head_width, pairs, interleaved) in
            [(1, 1, 2, 1, true), (3, 2, 12, 6, false), (3, 2, 12, 4, true), (500, 4, 32, 16, false)]
        {
            let angles: Vec<f64> =
                values(rows * pairs, 1).iter().map(|&angle| 3.0 * f64::from(angle)).collect();
            let cosines: Vec<f32> = angles.iter().map(|angle| angle.cos() as f32).collect();
            let sines: Vec<f32> = angles.iter().map(|angle| angle.sin() as f32).collect();
            let x = values(rows * heads * head_width, 2);
            let mut turned = x.clone();
            rotate(&mut turned, (heads, head_width, pairs), (&cosines, &sines), interleaved);
            let expected = oracle::decoding::rotate(&x, (heads, head_width, pairs), &angles, interleaved);
            assert_close(&turned, &expected, 1e-5);
        }
    }

    #[test]
    fn activations_are_their_formulas() {
        let x: Vec<f32> = (-900..900).map(|i| i as f32 * 0.01 + 0.003).collect();
        let tanh_form = |x: f64| {
            0.5 * x * (1.0 + ((2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        };
        // Phi by the integral of the bell curve, from the middle outwards.
        let exact = |x: f64| {
            let steps = 2000;
            let width = x / f64::from(steps);
            let bell = |t: f64| (-t * t / 2.0).exp() / (2.0 * core::f64::consts::PI).sqrt();
            x * (0.5 + (0..steps).map(|i| bell((f64::from(i) + 0.5) * width) * width).sum::<f64>())
        };
        let cases: [(FeedForwardActivation, &dyn Fn(f64) -> f64); 3] = [
            (FeedForwardActivation::Silu, &|x| x / (1.0 + (-x).exp())),
            (FeedForwardActivation::Gelu, &exact),
            (FeedForwardActivation::GeluTanh, &tanh_form),
        ];
        let up = values(x.len(), 3);
        for (f, formula) in cases {
            let (mut y, mut gated) = (x.clone(), x.clone());
            activate(f, &mut y);
            gate(f, &mut gated, &up);
            for i in 0..x.len() {
                let expected = formula(f64::from(x[i]));
                assert!((f64::from(y[i]) - expected).abs() < 2e-6, "{f:?}({}) = {}", x[i], y[i]);
                assert_eq!(gated[i], y[i] * up[i]);
            }
        }
    }
}
