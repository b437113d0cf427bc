//! Rotary position embedding: pairs of a head's elements are turned by an angle that grows with the position.
//!
//! `angle = position * inverse_frequency[pair]`, `inverse_frequency[i] = theta^(-2i / dimensions)` (Su et al. 2021),
//! and the published ways of stretching it over longer texts: linear (Chen et al. 2023), dynamic "NTK" (bloc97 2023),
//! YaRN (Peng et al. 2023), Llama 3's, and LongRoPE (Ding et al. 2024). Numbers as `transformers` computes them.
//! Cost: one sine and cosine for each pair and position, shared by all heads and layers of one kind.

use std::f64::consts::TAU;

/// How frequencies are stretched over texts longer than the model was first trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum Stretch {
    /// Not at all.
    None,
    /// All frequencies are divided by `factor`.
    Linear {
        /// How many times longer.
        factor: f64,
    },
    /// `theta` grows with the length of the text once that exceeds `original_positions`.
    Dynamic {
        /// How strongly.
        factor: f64,
        /// The length that needs no stretching.
        original_positions: usize,
    },
    /// `theta * alpha^(dimensions / (dimensions - 2))`, whatever the length (HunYuan).
    Alpha {
        /// How strongly.
        alpha: f64,
    },
    /// High frequencies stay, low ones are divided by `factor`, those between are blended.
    Yarn {
        /// How many times longer.
        factor: f64,
        /// The length of the texts of the first training.
        original_positions: usize,
        /// Rotations over that length above which a frequency stays.
        beta_fast: f64,
        /// Rotations over that length below which it is divided.
        beta_slow: f64,
        /// Whether the bounds between are whole numbers.
        truncate: bool,
        /// Factor of the rotated queries and keys.
        attention_factor: f64,
    },
    /// Llama 3.1's: like YaRN, blended by wavelength.
    Llama3 {
        /// How many times longer.
        factor: f64,
        /// Wavelengths above `original_positions / low` are divided by `factor`.
        low: f64,
        /// Wavelengths below `original_positions / high` stay.
        high: f64,
        /// The length of the texts of the first training.
        original_positions: usize,
    },
    /// A factor of its own for each frequency, one list for short and one for long texts.
    LongRope {
        /// Divisors for texts up to `original_positions`.
        short: Vec<f64>,
        /// Divisors for longer ones.
        long: Vec<f64>,
        /// The length of the texts of the first training.
        original_positions: usize,
        /// Factor of the rotated queries and keys.
        attention_factor: f64,
    },
}

/// One way of rotating queries and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the wavelengths.
    pub theta: f64,
    /// Leading elements of each head that are rotated; even.
    pub dimensions: usize,
    /// Whether a pair is two neighbors (`2i`, `2i + 1`) rather than `i` and `i + dimensions / 2`.
    pub interleaved: bool,
    /// How it is stretched over longer texts.
    pub stretch: Stretch,
}

impl Rope {
    /// Rotation of all of `dimensions` elements, `i` with `i + dimensions / 2`, without stretching.
    #[must_use]
    pub fn plain(theta: f64, dimensions: usize) -> Self {
        Self { theta, dimensions, interleaved: false, stretch: Stretch::None }
    }

    /// The angle of each pair for one step of position, in a text of `length` tokens: `[dimensions / 2]`, in radians.
    #[must_use]
    pub fn inverse_frequencies(&self, length: usize) -> Vec<f32> {
        let dimensions = self.dimensions as f64;
        let powers = |theta: f64| -> Vec<f64> {
            (0..self.dimensions / 2).map(|i| theta.powf(-2.0 * i as f64 / dimensions)).collect()
        };
        // A head of two elements would divide by zero.
        let exponent = dimensions / (dimensions - 2.0).max(1.0);
        let frequencies = match &self.stretch {
            Stretch::None => powers(self.theta),
            Stretch::Linear { factor } => powers(self.theta).into_iter().map(|f| f / factor).collect(),
            Stretch::Dynamic { factor, original_positions } => {
                let original = *original_positions as f64;
                let longer = (length as f64).max(original) / original;
                powers(self.theta * (factor * longer - (factor - 1.0)).powf(exponent))
            }
            Stretch::Alpha { alpha } => powers(self.theta * alpha.powf(exponent)),
            Stretch::Yarn { factor, original_positions, beta_fast, beta_slow, truncate, .. } => {
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
            Stretch::Llama3 { factor, low, high, original_positions } => {
                let original = *original_positions as f64;
                let blend = |f: f64| {
                    let wavelength = TAU / f;
                    if wavelength < original / high {
                        f
                    } else if wavelength > original / low {
                        f / factor
                    } else {
                        let stay = (original / wavelength - low) / (high - low);
                        (1.0 - stay) * f / factor + stay * f
                    }
                };
                powers(self.theta).into_iter().map(blend).collect()
            }
            Stretch::LongRope { short, long, original_positions, .. } => {
                let divisors = if length > *original_positions { long } else { short };
                powers(self.theta).into_iter().zip(divisors).map(|(f, divisor)| f / divisor).collect()
            }
        };
        frequencies.into_iter().map(|f| f as f32).collect()
    }

    /// The length up to which angles do not depend on the length of the text; none where they never do.
    #[must_use]
    pub fn steady_length(&self) -> Option<usize> {
        match self.stretch {
            Stretch::Dynamic { original_positions, .. } | Stretch::LongRope { original_positions, .. } => {
                Some(original_positions)
            }
            _ => None,
        }
    }

    /// Factor of the rotated queries and keys.
    #[must_use]
    pub fn attention_factor(&self) -> f32 {
        match self.stretch {
            Stretch::Yarn { attention_factor, .. } | Stretch::LongRope { attention_factor, .. } => {
                attention_factor as f32
            }
            _ => 1.0,
        }
    }
}

/// Rows `i` and `i + half` of each head become the neighbors `2i` and `2i + 1`.
pub(crate) fn to_neighbors(rows: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
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

/// The inverse of [`to_neighbors`].
pub(crate) fn to_halves(rows: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
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
    fn halves_become_neighbors_and_again_halves() {
        let rows: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let turned = to_neighbors(&rows, 4, 2);
        assert_eq!(turned[..8], [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(to_halves(&turned, 4, 2), rows);
    }
}
