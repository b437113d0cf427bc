//! Activations of feed-forward layers, and their gradients.
//!
//! Memory-bound: two passes forward, three backward; gradients recompute `f` instead of keeping it.

use crate::base::math::{exp, normal, tanh};
use crate::base::parallel::{for_each_chunk, vectorized};

/// The activation of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForwardActivation {
    /// `x / (1 + exp(-x))`
    Silu,
    /// `x * Phi(x)`, `Phi` the normal distribution function.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x³)))`
    GeluTanh,
}

#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    x * normal(x).0
}

#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(ROOT * (x + 0.044_715 * x * x * x)))
}

/// `f(x)` and `f'(x)`.
#[inline(always)]
pub(super) fn silu_and_slope(x: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-x));
    (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)))
}

/// `f(x)` and `f'(x)`.
#[inline(always)]
pub(super) fn gelu_and_slope(x: f32) -> (f32, f32) {
    let (phi, bell) = normal(x);
    (x * phi, phi + x * bell * 0.398_942_3)
}

/// `f(x)` and `f'(x)`.
#[inline(always)]
pub(super) fn gelu_tanh_and_slope(x: f32) -> (f32, f32) {
    const ROOT: f32 = 0.797_884_6;
    let t = tanh(ROOT * (x + 0.044_715 * x * x * x));
    let inner = ROOT * (1.0 + 3.0 * 0.044_715 * x * x);
    (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
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
    for_each_chunk(x, |_, x| match f {
        FeedForwardActivation::Silu => run(x, silu),
        FeedForwardActivation::Gelu => run(x, gelu),
        FeedForwardActivation::GeluTanh => run(x, gelu_tanh),
    });
}

/// `y = f(x)`, element by element, in feed-forward layers without a gate.
///
/// # Panics
/// If the lengths differ.
pub fn activated(f: FeedForwardActivation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "y has the shape of x");
    y.copy_from_slice(x);
    activate(f, y);
}

/// Gradient of [`activated`] for `x`.
///
/// # Panics
/// If the lengths differ.
pub fn activated_backward(f: FeedForwardActivation, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    #[inline(always)]
    fn run(x: &[f32], dy: &[f32], dx: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
        vectorized(
            #[inline(always)]
            || dx.iter_mut().zip(dy).zip(x).for_each(|((dx, dy), x)| *dx = dy * f(*x).1),
        );
    }
    assert!(x.len() == dy.len() && dy.len() == dx.len(), "all are equally long");
    for_each_chunk(dx, |start, dx| {
        let (x, dy) = (&x[start..][..dx.len()], &dy[start..][..dx.len()]);
        match f {
            FeedForwardActivation::Silu => run(x, dy, dx, silu_and_slope),
            FeedForwardActivation::Gelu => run(x, dy, dx, gelu_and_slope),
            FeedForwardActivation::GeluTanh => run(x, dy, dx, gelu_tanh_and_slope),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::values;
    use crate::token::gated::gate;

    #[test]
    fn activations_are_their_formulas() {
        let x: Vec<f32> = (-900..900).map(|i| i as f32 * 0.01 + 0.003).collect();
        let tanh_form = |x: f64| {
            0.5 * x * (1.0 + ((2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        };
        // Phi as the integral of the bell curve, from the middle outward.
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
