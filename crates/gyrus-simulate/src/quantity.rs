//! Numbers drawn from a distribution: weights, delays, potentials at the start.

use crate::error::{Result, wrong};
use crate::random::Stream;

/// A distribution, perhaps within bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// The distribution.
    pub distribution: Distribution,
    /// Bounds, and what happens to numbers outside of them.
    pub bounds: Option<Bounds>,
}

/// A distribution of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// The same number each time.
    Constant(f64),
    /// Uniform from `low` up to `high`.
    Uniform {
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation, at least 0.
        std: f64,
    },
    /// The exponential of a normally distributed number.
    LogNormal {
        /// Mean of the logarithm.
        mu: f64,
        /// Standard deviation of the logarithm, at least 0.
        sigma: f64,
    },
}

/// Bounds of drawn numbers, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The smallest allowed number.
    pub low: f64,
    /// The largest allowed number.
    pub high: f64,
    /// What happens to numbers outside.
    pub outside: Outside,
}

/// What happens to numbers outside of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// They are drawn again, as by NEST's `redraw`.
    Redraw,
    /// They become the bound.
    Clip,
}

/// Draws in a row that may miss the bounds before a number is clipped; reached only if nearly nothing lies within.
const REDRAWS: u64 = 1000;
/// Standard deviations that no draw of [`Stream::normal`] exceeds.
const FARTHEST: f64 = 8.3;

impl From<f64> for Quantity {
    fn from(value: f64) -> Self {
        Self { distribution: Distribution::Constant(value), bounds: None }
    }
}

impl Quantity {
    /// Normal, with numbers outside of `low..=high` drawn again.
    #[must_use]
    pub fn normal(mean: f64, std: f64, low: f64, high: f64) -> Self {
        let bounds = Some(Bounds { low, high, outside: Outside::Redraw });
        Self { distribution: Distribution::Normal { mean, std }, bounds }
    }

    /// The number, if it is always the same.
    #[must_use]
    pub fn constant(&self) -> Option<f64> {
        match (self.distribution, self.bounds) {
            (Distribution::Constant(value), None) => Some(value),
            (Distribution::Constant(value), Some(bounds)) => Some(value.clamp(bounds.low, bounds.high)),
            (Distribution::Normal { mean, std: 0.0 }, None) => Some(mean),
            _ => None,
        }
    }

    /// The smallest and the largest number that can come out.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let (low, high) = match self.distribution {
            Distribution::Constant(value) => (value, value),
            Distribution::Uniform { low, high } => (low, high),
            Distribution::Normal { mean, std } => (mean - FARTHEST * std, mean + FARTHEST * std),
            Distribution::LogNormal { mu, sigma } => {
                ((mu - FARTHEST * sigma).exp(), (mu + FARTHEST * sigma).exp())
            }
        };
        match self.bounds {
            Some(bounds) => (low.clamp(bounds.low, bounds.high), high.clamp(bounds.low, bounds.high)),
            None => (low, high),
        }
    }

    pub(crate) fn check(&self, place: &str, setting: &'static str) -> Result<()> {
        let (numbers, sound) = match self.distribution {
            Distribution::Constant(value) => ([value, 0.0], true),
            Distribution::Uniform { low, high } => ([low, high], low <= high),
            Distribution::Normal { mean, std } => ([mean, std], std >= 0.0),
            Distribution::LogNormal { mu, sigma } => ([mu, sigma], sigma >= 0.0),
        };
        if !sound || numbers.iter().any(|number| !number.is_finite()) {
            let expected = "finite numbers, the lower one first, a standard deviation of at least 0";
            return Err(wrong(place, setting, format!("{:?}", self.distribution), expected));
        }
        let Some(bounds) = self.bounds else { return Ok(()) };
        if bounds.low.is_nan() || bounds.high.is_nan() || bounds.low > bounds.high {
            return Err(wrong(place, setting, format!("{bounds:?}"), "the lower bound first"));
        }
        if bounds.outside == Outside::Redraw && !self.reaches(bounds) {
            let got = format!("{:?} within {} to {}", self.distribution, bounds.low, bounds.high);
            return Err(wrong(place, setting, got, "bounds that the distribution reaches"));
        }
        Ok(())
    }

    /// Whether draws within the bounds are frequent enough to wait for.
    fn reaches(&self, bounds: Bounds) -> bool {
        let near = |center: f64, width: f64, low: f64, high: f64| {
            high >= center - 3.0 * width && low <= center + 3.0 * width
        };
        match self.distribution {
            Distribution::Constant(value) => (bounds.low..=bounds.high).contains(&value),
            Distribution::Uniform { low, high } => bounds.high >= low && bounds.low <= high,
            Distribution::Normal { mean, std } => near(mean, std, bounds.low, bounds.high),
            Distribution::LogNormal { mu, sigma } => {
                bounds.high > 0.0 && near(mu, sigma, bounds.low.max(f64::MIN_POSITIVE).ln(), bounds.high.ln())
            }
        }
    }

    /// The number of `index` in a stream of its own.
    #[inline]
    pub(crate) fn draw(&self, stream: Stream, index: u64) -> f64 {
        let Some(bounds) = self.bounds else { return self.once(stream, index) };
        let value = self.once(stream, index);
        let within = |value: f64| value >= bounds.low && value <= bounds.high;
        if within(value) {
            return value;
        }
        if bounds.outside == Outside::Redraw {
            let again = stream.sub(index);
            let drawn = (0..REDRAWS).map(|retry| self.once(again, retry)).find(|&value| within(value));
            if let Some(value) = drawn {
                return value;
            }
        }
        value.clamp(bounds.low, bounds.high)
    }

    #[inline]
    fn once(&self, stream: Stream, index: u64) -> f64 {
        match self.distribution {
            Distribution::Constant(value) => value,
            Distribution::Uniform { low, high } => low + stream.uniform(index) * (high - low),
            Distribution::Normal { mean, std } => mean + stream.normal(index) * std,
            Distribution::LogNormal { mu, sigma } => (mu + stream.normal(index) * sigma).exp(),
        }
    }
}
