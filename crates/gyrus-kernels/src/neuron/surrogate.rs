//! Surrogates for the derivative of a spike, which is zero almost everywhere and so gives no learning signal.
//!
//! Forward, `z = 1 if u > theta, else 0`; backward, `dz/du` is a smooth bump of the distance `x = u - theta`. Cost: a
//! division or an exponential per element.

use crate::base::math::exp;
use crate::base::parallel::vectorized;

/// The shape of the bump.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// `alpha / 2 / (1 + (pi / 2 alpha x)^2)`, the derivative of an arctangent (Fang et al. 2021, "Incorporating
    /// learnable membrane time constant"). Area 1.
    Atan {
        /// Sharpness; 2 is usual.
        alpha: f32,
    },
    /// `1 / (1 + slope |x|)^2`, the derivative of a fast sigmoid (Zenke and Ganguli 2018, "SuperSpike"). Peak 1.
    FastSigmoid {
        /// Sharpness; 25 is usual.
        slope: f32,
    },
    /// `max(0, 1 - |x| / width) / width` (Esser et al. 2016; Bellec et al. 2018). Area 1.
    Triangular {
        /// Distance at which it ends; 1 is usual.
        width: f32,
    },
    /// The normal density of standard deviation `sigma` (Yin et al. 2020). Area 1.
    Gaussian {
        /// Standard deviation; 0.5 is usual.
        sigma: f32,
    },
    /// `(1 + h) N(x; 0, sigma) - h N(x; sigma, s sigma) - h N(x; -sigma, s sigma)`, with `N(x; mean, std)` the normal
    /// density: negative tails on both sides (Yin et al. 2021, "Accurate and efficient time-domain classification").
    MultiGaussian {
        /// Height of the tails; 0.15 is usual.
        h: f32,
        /// Standard deviation of the tails, in units of `sigma`; 6 is usual.
        s: f32,
        /// Standard deviation of the center; 0.5 is usual.
        sigma: f32,
    },
    /// `1 / width` where `|x| < width / 2` (Wu et al. 2018, "STBP"). Area 1.
    Boxcar {
        /// Width of the range where it is not zero; 1 is usual.
        width: f32,
    },
}

/// The normal density.
#[inline(always)]
fn normal(x: f32, sigma: f32) -> f32 {
    const INVERSE_ROOT: f32 = 0.398_942_3;
    let z = x / sigma;
    INVERSE_ROOT / sigma * exp(-0.5 * z * z)
}

#[inline(always)]
fn atan(x: f32, alpha: f32) -> f32 {
    let scaled = core::f32::consts::FRAC_PI_2 * alpha * x;
    0.5 * alpha / (1.0 + scaled * scaled)
}

#[inline(always)]
fn fast_sigmoid(x: f32, slope: f32) -> f32 {
    let root = 1.0 + slope * x.abs();
    1.0 / (root * root)
}

#[inline(always)]
fn triangular(x: f32, width: f32) -> f32 {
    (1.0 - x.abs() / width).max(0.0) / width
}

#[inline(always)]
fn multi_gaussian(x: f32, h: f32, s: f32, sigma: f32) -> f32 {
    (1.0 + h) * normal(x, sigma) - h * (normal(x - sigma, s * sigma) + normal(x + sigma, s * sigma))
}

#[inline(always)]
fn boxcar(x: f32, width: f32) -> f32 {
    if x.abs() < 0.5 * width { 1.0 / width } else { 0.0 }
}

impl Surrogate {
    /// `dz/du` at distance `u - theta` from the threshold.
    #[must_use]
    pub fn derivative(&self, distance: f32) -> f32 {
        match *self {
            Surrogate::Atan { alpha } => atan(distance, alpha),
            Surrogate::FastSigmoid { slope } => fast_sigmoid(distance, slope),
            Surrogate::Triangular { width } => triangular(distance, width),
            Surrogate::Gaussian { sigma } => normal(distance, sigma),
            Surrogate::MultiGaussian { h, s, sigma } => multi_gaussian(distance, h, s, sigma),
            Surrogate::Boxcar { width } => boxcar(distance, width),
        }
    }

    /// Replaces distances by derivatives.
    pub(crate) fn derivatives(self, x: &mut [f32]) {
        #[inline(always)]
        fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
            vectorized(
                #[inline(always)]
                || x.iter_mut().for_each(|x| *x = f(*x)),
            );
        }
        match self {
            Surrogate::Atan { alpha } => map(
                x,
                #[inline(always)]
                |x| atan(x, alpha),
            ),
            Surrogate::FastSigmoid { slope } => map(
                x,
                #[inline(always)]
                |x| fast_sigmoid(x, slope),
            ),
            Surrogate::Triangular { width } => map(
                x,
                #[inline(always)]
                |x| triangular(x, width),
            ),
            Surrogate::Gaussian { sigma } => map(
                x,
                #[inline(always)]
                |x| normal(x, sigma),
            ),
            Surrogate::MultiGaussian { h, s, sigma } => map(
                x,
                #[inline(always)]
                |x| multi_gaussian(x, h, s, sigma),
            ),
            Surrogate::Boxcar { width } => map(
                x,
                #[inline(always)]
                |x| boxcar(x, width),
            ),
        }
    }
}

#[cfg(test)]
pub(crate) const EVERY: [Surrogate; 6] = [
    Surrogate::Atan { alpha: 2.0 },
    Surrogate::FastSigmoid { slope: 5.0 },
    Surrogate::Triangular { width: 1.0 },
    Surrogate::Gaussian { sigma: 0.5 },
    Surrogate::MultiGaussian { h: 0.15, s: 6.0, sigma: 0.5 },
    Surrogate::Boxcar { width: 1.0 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_have_the_published_peaks_and_areas() {
        // The fast sigmoid's area is 2 / slope; the tails of the multi-Gaussian take 2 h of 1 + h.
        let expected = [(1.0, 1.0), (1.0, 0.4), (1.0, 1.0), (0.797_88, 1.0), (0.878_20, 0.85), (1.0, 1.0)];
        for (surrogate, (peak, area)) in EVERY.into_iter().zip(expected) {
            assert!(
                (surrogate.derivative(0.0) - peak).abs() < 2e-4,
                "{surrogate:?}: {}",
                surrogate.derivative(0.0)
            );
            let step = 1e-2;
            let sum: f64 =
                (-200_000..=200_000).map(|i| f64::from(surrogate.derivative(i as f32 * step))).sum();
            assert!(
                (sum * f64::from(step) - area).abs() < 2e-2,
                "{surrogate:?}: area {}",
                sum * f64::from(step)
            );
        }
    }

    #[test]
    fn rows_of_derivatives_equal_single_ones() {
        for surrogate in EVERY {
            let mut x: Vec<f32> = (-40..40).map(|i| i as f32 * 0.07).collect();
            let expected: Vec<f32> = x.iter().map(|&x| surrogate.derivative(x)).collect();
            surrogate.derivatives(&mut x);
            crate::oracle::assert_close(&x, &expected, 1e-6);
        }
    }
}
