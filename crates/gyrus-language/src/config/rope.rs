//! Rotary position embedding: pairs of a head's elements are rotated by an angle that grows with the position.
//!
//! `angle = position * inverse_frequency[pair]`, `inverse_frequency[i] = theta^(-2i / dimensions)` (Su et al. 2021),
//! and the published ways of scaling it to longer sequences: linear (Chen et al. 2023), dynamic "NTK" (bloc97 2023), YaRN
//! (Peng et al. 2023), Llama 3's, and LongRoPE (Ding et al. 2024). The numbers are those of `transformers`.
//! Cost: one sine and cosine for each pair and position, shared by all heads and layers of one kind.

use std::f64::consts::TAU;

/// How frequencies are scaled for sequences longer than those of the first training.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// No scaling.
    None,
    /// All frequencies are divided by `factor`.
    Linear {
        /// How many times longer sequences become.
        factor: f64,
    },
    /// `theta` grows with the length of the sequence once that exceeds `original_positions`.
    Dynamic {
        /// How strongly.
        factor: f64,
        /// The length up to which there is no scaling.
        original_positions: usize,
    },
    /// `theta * alpha^(dimensions / (dimensions - 2))`, whatever the length (HunYuan).
    Alpha {
        /// How strongly.
        alpha: f64,
    },
    /// High frequencies stay, low ones are divided by `factor`, those in between are interpolated.
    Yarn {
        /// How many times longer sequences become.
        factor: f64,
        /// The sequence length of the first training.
        original_positions: usize,
        /// Frequencies with more rotations than this over that length stay.
        beta_fast: f64,
        /// Frequencies with fewer rotations than this over that length are divided.
        beta_slow: f64,
        /// Whether the interpolation bounds are rounded to integers.
        truncate: bool,
        /// Factor of the rotated queries and keys.
        attention_factor: f64,
    },
    /// Llama 3.1: like YaRN, interpolated by wavelength.
    Llama3 {
        /// How many times longer sequences become.
        factor: f64,
        /// Wavelengths above `original_positions / low` are divided by `factor`.
        low: f64,
        /// Wavelengths below `original_positions / high` stay.
        high: f64,
        /// The sequence length of the first training.
        original_positions: usize,
    },
    /// One divisor for each frequency, with separate lists for short and long sequences.
    LongRope {
        /// Divisors for sequences up to `original_positions`.
        short: Vec<f64>,
        /// Divisors for longer sequences.
        long: Vec<f64>,
        /// The sequence length of the first training.
        original_positions: usize,
        /// Factor of the rotated queries and keys.
        attention_factor: f64,
    },
}

/// A rotary position embedding of queries and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How many leading elements of each head are rotated; even.
    pub dimensions: usize,
    /// Whether a pair is interleaved (`2i`, `2i + 1`) rather than split in halves (`i`, `i + dimensions / 2`).
    pub interleaved: bool,
    /// Scaling to longer sequences.
    pub scaling: RopeScaling,
}

impl Rope {
    /// Rotation of `dimensions` elements, `i` paired with `i + dimensions / 2`, without scaling.
    #[must_use]
    pub fn plain(theta: f64, dimensions: usize) -> Self {
        Self { theta, dimensions, interleaved: false, scaling: RopeScaling::None }
    }

    /// The angle of each pair per position in a sequence of `length` tokens: `[dimensions / 2]`, in radians.
    #[must_use]
    pub fn inverse_frequencies(&self, length: usize) -> Vec<f32> {
        let dimensions = self.dimensions as f64;
        let powers = |theta: f64| -> Vec<f64> {
            (0..self.dimensions / 2).map(|i| theta.powf(-2.0 * i as f64 / dimensions)).collect()
        };
        // A head of two elements would divide by zero.
        let exponent = dimensions / (dimensions - 2.0).max(1.0);
        let frequencies = match &self.scaling {
            RopeScaling::None => powers(self.theta),
            RopeScaling::Linear { factor } => powers(self.theta).into_iter().map(|f| f / factor).collect(),
            RopeScaling::Dynamic { factor, original_positions } => {
                let original = *original_positions as f64;
                let longer = (length as f64).max(original) / original;
                powers(self.theta * (factor * longer - (factor - 1.0)).powf(exponent))
            }
            RopeScaling::Alpha { alpha } => powers(self.theta * alpha.powf(exponent)),
            RopeScaling::Yarn { factor, original_positions, beta_fast, beta_slow, truncate, .. } => {
                let bound = |rotations: f64| {
                    dimensions * (*original_positions as f64 / (rotations * TAU)).ln()
                        / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (bound(*beta_fast), bound(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                low = low.max(0.0);
                high = high.min(dimensions - 1.0);
                if low == high {
                    high += 0.001;
                }
                let blend = |(i, f): (usize, f64)| {
                    let divided = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    f / factor * divided + f * (1.0 - divided)
                };
                powers(self.theta).into_iter().enumerate().map(blend).collect()
            }
            RopeScaling::Llama3 { factor, low, high, original_positions } => {
                let original = *original_positions as f64;
                let blend = |f: f64| {
                    let wavelength = TAU / f;
                    if wavelength < original / high {
                        f
                    } else if wavelength > original / low {
                        f / factor
                    } else {
                        let kept = (original / wavelength - low) / (high - low);
                        (1.0 - kept) * f / factor + kept * f
                    }
                };
                powers(self.theta).into_iter().map(blend).collect()
            }
            RopeScaling::LongRope { short, long, original_positions, .. } => {
                let divisors = if length > *original_positions { long } else { short };
                powers(self.theta).into_iter().zip(divisors).map(|(f, divisor)| f / divisor).collect()
            }
        };
        frequencies.into_iter().map(|f| f as f32).collect()
    }

    /// The length up to which angles do not depend on the length of the sequence; `None` if they never do.
    #[must_use]
    pub fn steady_length(&self) -> Option<usize> {
        match self.scaling {
            RopeScaling::Dynamic { original_positions, .. }
            | RopeScaling::LongRope { original_positions, .. } => Some(original_positions),
            _ => None,
        }
    }

    /// Factor of the rotated queries and keys.
    #[must_use]
    pub fn attention_factor(&self) -> f32 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
                attention_factor as f32
            }
            _ => 1.0,
        }
    }
}

/// Interleaves the rows of each head: rows `i` and `i + half` become rows `2i` and `2i + 1`.
pub(crate) fn interleaved_rows(rows: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
    let half = head_width / 2;
    rows.chunks_exact(head_width * columns)
        .flat_map(|head| {
            (0..head_width).flat_map(move |row| {
                let from = row / 2 + row % 2 * half;
                head[from * columns..][..columns].iter().copied()
            })
        })
        .collect()
}

/// The inverse of [`interleaved_rows`].
pub(crate) fn halved_rows(rows: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
    let half = head_width / 2;
    rows.chunks_exact(head_width * columns)
        .flat_map(|head| {
            (0..head_width).flat_map(move |row| {
                let from = if row < half { 2 * row } else { 2 * (row - half) + 1 };
                head[from * columns..][..columns].iter().copied()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaving_and_halving_are_inverse() {
        let rows: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let interleaved = interleaved_rows(&rows, 4, 2);
        assert_eq!(interleaved[..8], [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(halved_rows(&interleaved, 4, 2), rows);
    }
}
