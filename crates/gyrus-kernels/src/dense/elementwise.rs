//! Element-wise passes: activations with their gradients, sums, products, dropout masks. Memory-bound.

use crate::base::math::{normal, sigmoid, tanh};
use crate::base::parallel::{for_each_chunk, vectorized};
use crate::base::random::{INCREMENT, splitmix64};

/// An activation function `f`, applied to each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `x * Phi(x)`, `Phi` the normal distribution function (the exact form, not the tanh approximation;
    /// Hendrycks and Gimpel 2016).
    Gelu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
    /// `x / (1 + exp(-x))`, also called swish (Ramachandran et al. 2017).
    Silu,
    /// `min(max(x, 0), 6)`; NaN stays NaN.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6` (Howard et al. 2019).
    Hardswish,
    /// `x / (1 + exp(-1.702 x))`: GELU as OpenAI's CLIP approximates it.
    QuickGelu,
}

/// Runs `$work` with the function as a closure of its own for each kind, so that its loop vectorizes.
macro_rules! with_function {
    ($f:expr, |$closure:ident| $work:expr) => {
        match $f {
            Activation::Relu => with_function!(Relu, $closure, $work),
            Activation::Gelu => with_function!(Gelu, $closure, $work),
            Activation::Sigmoid => with_function!(Sigmoid, $closure, $work),
            Activation::Tanh => with_function!(Tanh, $closure, $work),
            Activation::Silu => with_function!(Silu, $closure, $work),
            Activation::Relu6 => with_function!(Relu6, $closure, $work),
            Activation::Hardswish => with_function!(Hardswish, $closure, $work),
            Activation::QuickGelu => with_function!(QuickGelu, $closure, $work),
        }
    };
    ($kind:ident, $closure:ident, $work:expr) => {{
        let $closure = $crate::dense::elementwise::same(
            #[inline(always)]
            |x: f32| Activation::$kind.of(x),
        );
        $work
    }};
}
pub(crate) use with_function;

/// The closure itself: attributes of closures stand in arguments.
#[inline(always)]
pub(crate) fn same<F: Fn(f32) -> f32>(f: F) -> F {
    f
}

/// The factor within [`Activation::QuickGelu`].
const QUICK: f32 = 1.702;

impl Activation {
    /// Every function.
    pub const ALL: [Self; 8] = [
        Self::Relu,
        Self::Gelu,
        Self::Sigmoid,
        Self::Tanh,
        Self::Silu,
        Self::Relu6,
        Self::Hardswish,
        Self::QuickGelu,
    ];

    /// `f(x)` of one number.
    #[inline(always)]
    pub(crate) fn of(self, x: f32) -> f32 {
        match self {
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Gelu => x * normal(x).0,
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => tanh(x),
            Self::Silu => x * sigmoid(x),
            Self::Relu6 => relu6(x),
            Self::Hardswish => hardswish(x),
            Self::QuickGelu => x * sigmoid(QUICK * x),
        }
    }

    /// Whether [`activation_backward`] takes the input (as for GELU) rather than the output of the forward pass.
    pub fn gradient_needs_input(self) -> bool {
        matches!(self, Self::Gelu | Self::Silu | Self::Hardswish | Self::QuickGelu)
    }
}

/// `y = f(x)`.
///
/// # Panics
/// If the lengths differ.
pub fn activation(f: Activation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y are equally long");
    for_each_chunk(y, |start, y| {
        let x = &x[start..][..y.len()];
        with_function!(f, |f| map(x, y, f));
    });
}

/// `x = f(x)`, for inference, where `x` itself is not needed again.
pub fn activation_in_place(f: Activation, x: &mut [f32]) {
    for_each_chunk(x, |_, x| with_function!(f, |f| map_in_place(x, f)));
}

#[inline(always)]
fn relu6(x: f32) -> f32 {
    let x = if x < 0.0 { 0.0 } else { x };
    if x > 6.0 { 6.0 } else { x }
}

#[inline(always)]
fn hardswish(x: f32) -> f32 {
    x * relu6(x + 3.0) * (1.0 / 6.0)
}

/// `d/dx x sigmoid(a x)`
#[inline(always)]
fn swish_slope(a: f32, x: f32) -> f32 {
    let gate = sigmoid(a * x);
    gate * (1.0 + a * x * (1.0 - gate))
}

/// `dx = f'(x) dy`, where `kept` is the input if [`Activation::gradient_needs_input`], else the output.
///
/// # Panics
/// If the lengths differ.
pub fn activation_backward(f: Activation, kept: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert!(kept.len() == dx.len() && dy.len() == dx.len(), "all are equally long");
    for_each_chunk(dx, |start, dx| {
        let (kept, dy) = (&kept[start..][..dx.len()], &dy[start..][..dx.len()]);
        match f {
            Activation::Relu => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |y, g| if y > 0.0 { g } else { 0.0 },
            ),
            Activation::Gelu => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |x, g| {
                    let (phi, bell) = normal(x);
                    g * (phi + x * bell * 0.398_942_3)
                },
            ),
            Activation::Sigmoid => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |y, g| g * y * (1.0 - y),
            ),
            Activation::Tanh => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |y, g| g * (1.0 - y * y),
            ),
            Activation::Silu => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |x, g| g * swish_slope(1.0, x),
            ),
            Activation::Relu6 => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |y, g| if y > 0.0 && y < 6.0 { g } else { 0.0 },
            ),
            Activation::Hardswish => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |x, g| {
                    let inner = (2.0 * x + 3.0) * (1.0 / 6.0);
                    let slope = if x < 3.0 { inner } else { 1.0 };
                    g * if x > -3.0 { slope } else { 0.0 }
                },
            ),
            Activation::QuickGelu => map2(
                kept,
                dy,
                dx,
                #[inline(always)]
                |x, g| g * swish_slope(QUICK, x),
            ),
        }
    });
}

/// `sum = a + b`.
///
/// # Panics
/// If the lengths differ.
pub fn add(a: &[f32], b: &[f32], sum: &mut [f32]) {
    assert!(a.len() == sum.len() && b.len() == sum.len(), "all are equally long");
    for_each_chunk(sum, |start, sum| {
        map2(
            &a[start..][..sum.len()],
            &b[start..][..sum.len()],
            sum,
            #[inline(always)]
            |a, b| a + b,
        );
    });
}

/// `y = scale * x`, element by element: `scale` is a dropout mask, say.
///
/// # Panics
/// If the lengths differ.
pub fn multiply(x: &[f32], scale: &[f32], y: &mut [f32]) {
    assert!(x.len() == y.len() && scale.len() == y.len(), "all are equally long");
    for_each_chunk(y, |start, y| {
        map2(
            &x[start..][..y.len()],
            &scale[start..][..y.len()],
            y,
            #[inline(always)]
            |a, b| a * b,
        );
    });
}

/// A dropout mask: 0 with this probability, else `1 / (1 - probability)`. Equal `stream`s give equal masks.
///
/// Element `i` is decided by the `i`-th number of SplitMix64 (Steele et al. 2014) started at `stream`, so threads need
/// no coordination.
pub fn dropout_mask(probability: f32, stream: u64, mask: &mut [f32]) {
    let keep = 1.0 / (1.0 - probability);
    let threshold = (f64::from(probability) * 2f64.powi(32)) as u64;
    for_each_chunk(mask, |start, mask| {
        for (i, mask) in mask.iter_mut().enumerate() {
            let z = splitmix64(stream.wrapping_add((start + i) as u64).wrapping_mul(INCREMENT));
            *mask = if z >> 32 < threshold { 0.0 } else { keep };
        }
    });
}

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    vectorized(
        #[inline(always)]
        || y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*x)),
    );
}

#[inline(always)]
fn map_in_place(x: &mut [f32], f: impl Fn(f32) -> f32) {
    vectorized(
        #[inline(always)]
        || x.iter_mut().for_each(|x| *x = f(*x)),
    );
}

#[inline(always)]
fn map2(a: &[f32], b: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    vectorized(
        #[inline(always)]
        || y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = f(*a, *b)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropout_mask_has_its_probability_and_mean_one() {
        let mut mask = vec![f32::NAN; 100_000];
        dropout_mask(0.3, 7, &mut mask);
        let zeros = mask.iter().filter(|&&m| m == 0.0).count();
        assert!((29_000..31_000).contains(&zeros), "{zeros} zeros");
        assert!(mask.iter().all(|&m| m == 0.0 || m == 1.0 / 0.7));
        let mut same = vec![0.0; 100_000];
        dropout_mask(0.3, 7, &mut same);
        assert_eq!(mask, same);
        dropout_mask(0.3, 8, &mut same);
        assert_ne!(mask, same);
    }

    #[test]
    fn activations_and_gradients_match_finite_differences() {
        // Far enough for the bends of ReLU6 as well; none is nearer to a bend than 0.01.
        let x: Vec<f32> = (-40..75).map(|i| i as f32 * 0.1 + 0.013).collect();
        for f in Activation::ALL {
            let exact = |x: f64| match f {
                Activation::Relu => x.max(0.0),
                // Phi by its series around 0, exact enough for |x| < 4.
                Activation::Gelu => {
                    let (mut term, mut sum) = (x, x);
                    for k in 1..200 {
                        term *= -x * x / (2.0 * f64::from(k));
                        sum += term / (2.0 * f64::from(k) + 1.0);
                    }
                    x * (0.5 + sum / (2.0 * core::f64::consts::PI).sqrt())
                }
                Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Activation::Tanh => x.tanh(),
                Activation::Silu => x / (1.0 + (-x).exp()),
                Activation::Relu6 => x.clamp(0.0, 6.0),
                Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
                Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            };
            let mut y = vec![0.0; x.len()];
            activation(f, &x, &mut y);
            let mut in_place = x.clone();
            activation_in_place(f, &mut in_place);
            assert!(in_place == y);
            let dy = vec![1.0; x.len()];
            let mut dx = vec![0.0; x.len()];
            activation_backward(f, if f.gradient_needs_input() { &x } else { &y }, &dy, &mut dx);
            for i in 0..x.len() {
                let at = f64::from(x[i]);
                if f == Activation::Gelu && at > 4.0 {
                    continue;
                }
                assert!((f64::from(y[i]) - exact(at)).abs() < 2e-6, "{f:?}({at}) = {}", y[i]);
                let slope = (exact(at + 1e-5) - exact(at - 1e-5)) / 2e-5;
                assert!((f64::from(dx[i]) - slope).abs() < 3e-6, "{f:?}'({at}) = {}", dx[i]);
            }
        }
        for f in [Activation::Relu, Activation::Relu6] {
            let mut y = [0.0];
            activation(f, &[f32::NAN], &mut y);
            assert!(y[0].is_nan(), "a NaN must not be hidden");
        }
    }
}
