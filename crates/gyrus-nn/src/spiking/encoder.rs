//! Encoders: turn the numbers of a sample into currents or spikes at each step.

use gyrus_tensor::splitmix64;
use serde::{Deserialize, Serialize};

/// The finest grid of [`Encoder::Once`].
pub(super) const MOST_FRACTION_BITS: u32 = 20;
/// Most neurons per number.
pub(super) const MOST_NEURONS: usize = 1024;
/// Weakest response at which a neuron of a population fires, after Bohte et al. 2002.
const WEAKEST_RESPONSE: f32 = 0.1;

/// Turns the numbers of a sample into the network's input at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Encoder {
    /// The numbers themselves, as a current that is the same at every step.
    Direct,
    /// The numbers themselves, clipped to ±`limit` and rounded to multiples of 2^−`fraction_bits`, at the first step only.
    /// Nodes that follow the Input without neurons in between run at that step only.
    Once {
        /// At most 20.
        fraction_bits: u32,
        /// Above 0.
        limit: f32,
    },
    /// A spike with probability p at each step, p the [intensity](Intensity) of the number.
    Rate {
        /// Turns a number into an intensity.
        intensity: Intensity,
    },
    /// One spike, earlier for a higher intensity p: at step ⌊(1 − p) (steps − 1) + ½⌋; none where p < 0.01.
    Latency {
        /// Turns a number into an intensity.
        intensity: Intensity,
    },
    /// Each number x becomes `neurons` neurons with Gaussian tuning curves (Bohte et al. 2002, "Unsupervised clustering with
    /// spiking neurons by sparse temporal coding and multilayer RBF networks"): with the spacing
    /// s = (high − low) / (neurons − 2), neuron i of 0, 1, … responds with r = e^(−(x − c)² / (2σ²)), c = low + (i − ½) s,
    /// σ = ⅔ s. It fires once, earlier for a stronger response: at step ⌊(1 − r) (steps − 1) + ½⌋; never if r < 0.1.
    /// Numbers are clipped to the range. The neurons of element e are the elements e · neurons + i.
    Population {
        /// 3 to 1024.
        neurons: usize,
        /// Smallest number, as the network receives it (standardized).
        low: f32,
        /// Largest number.
        high: f32,
    },
    /// The sample is `[steps, elements]`; a spike where a number rose by more than `threshold` since the previous step
    /// (at the first step, from 0).
    Delta {
        /// Above 0.
        threshold: f32,
    },
    /// The sample is `[steps, elements]`, one row of numbers per step.
    Frames {
        /// Whether nonzero numbers are spikes.
        binary: bool,
    },
}

/// Turns the network's input numbers back into intensities from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Intensity {
    /// Standardized pixels, channels-last: p = clip(x · std + mean, 0, 1).
    Pixels {
        /// One per channel.
        mean: Vec<f32>,
        /// One per channel.
        #[serde(alias = "deviation")]
        std: Vec<f32>,
    },
    /// Standardized numbers of any kind: p = 1 / (1 + e^−x).
    Logistic,
}

impl Intensity {
    fn of(&self, x: f32, element: usize) -> f32 {
        match self {
            Self::Pixels { mean, std } => {
                let channel = element % mean.len().max(1);
                let at = |values: &[f32], other| values.get(channel).copied().unwrap_or(other);
                (x * at(std, 1.0) + at(mean, 0.0)).clamp(0.0, 1.0)
            }
            Self::Logistic => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

impl Encoder {
    /// Whether a sample consists of one row of numbers per step.
    #[must_use]
    pub fn takes_frames(&self) -> bool {
        matches!(self, Self::Delta { .. } | Self::Frames { .. })
    }

    /// Whether its output is spikes.
    #[must_use]
    pub fn spikes(&self) -> bool {
        !matches!(self, Self::Direct | Self::Once { .. } | Self::Frames { binary: false })
    }

    /// Whether a sample becomes a single row, whatever the number of steps.
    pub(crate) fn gives_one_row(&self) -> bool {
        matches!(self, Self::Direct | Self::Once { .. })
    }

    /// Shape of the network's input at each step for samples of this shape: the same, except that a population code
    /// multiplies the first axis, which is the last in memory. `None` on overflow.
    #[must_use]
    pub fn input_shape(&self, sample: &[usize]) -> Option<Vec<usize>> {
        let mut shape = sample.to_vec();
        if let (Self::Population { neurons, .. }, Some(first)) = (self, shape.first_mut()) {
            *first = first.checked_mul(*neurons)?;
        }
        Some(shape)
    }

    /// Elements of one step of a sample of `width` numbers.
    pub(crate) fn elements(&self, width: usize, steps: usize) -> usize {
        match self {
            Self::Population { neurons, .. } => width * neurons,
            _ if self.takes_frames() => width / steps,
            _ => width,
        }
    }

    /// The row of one step for the sample `x`, `[elements]` (or `[steps, elements]` for [frames](Self::takes_frames)). Random
    /// spikes depend on `noise` or, without it, on the sample itself, so that a sample gets the same spikes in any batch.
    pub(crate) fn row(&self, x: &[f32], steps: usize, step: usize, noise: Option<u64>, to: &mut [f32]) {
        match self {
            Self::Direct => to.copy_from_slice(x),
            Self::Once { fraction_bits, limit } => {
                to.iter_mut().zip(x).for_each(|(to, x)| *to = rounded(*x, *fraction_bits, *limit));
            }
            Self::Rate { intensity } => {
                let seed = noise.unwrap_or_else(|| content(x));
                let spike = |element: usize, p: f32| {
                    // Black pixels, of which images have many, never fire.
                    if p <= 0.0 {
                        return 0.0;
                    }
                    let draw = splitmix64(seed ^ splitmix64((step as u64) << 32 | element as u64));
                    // f32 has 24 bits between 0 and 1.
                    let uniform = (draw >> 40) as f32 / (1u64 << 24) as f32;
                    f32::from(uniform < p)
                };
                let elements = to.iter_mut().zip(x).enumerate();
                match intensity {
                    Intensity::Pixels { mean, std } if mean.len() == 1 && std.len() == 1 => {
                        let (mean, std) = (mean[0], std[0]);
                        elements.for_each(|(element, (to, x))| *to = spike(element, x * std + mean));
                    }
                    _ => elements
                        .for_each(|(element, (to, &x))| *to = spike(element, intensity.of(x, element))),
                }
            }
            Self::Latency { intensity } => {
                for (element, (to, &x)) in to.iter_mut().zip(x).enumerate() {
                    let p = intensity.of(x, element);
                    let at = ((1.0 - p) * (steps - 1) as f32 + 0.5) as usize;
                    *to = f32::from(p >= 0.01 && at == step);
                }
            }
            Self::Population { neurons, low, high } => {
                let spacing = (high - low) / (*neurons as f32 - 2.0);
                for (to, &x) in to.chunks_exact_mut(*neurons).zip(x) {
                    for (index, to) in to.iter_mut().enumerate() {
                        let center = low + (index as f32 - 0.5) * spacing;
                        let distance = (x.clamp(*low, *high) - center) / (spacing / 1.5);
                        let response = (-0.5 * distance * distance).exp();
                        let at = ((1.0 - response) * (steps - 1) as f32 + 0.5) as usize;
                        *to = f32::from(response >= WEAKEST_RESPONSE && at == step);
                    }
                }
            }
            Self::Delta { threshold } => {
                let width = to.len();
                for (element, to) in to.iter_mut().enumerate() {
                    let before = if step == 0 { 0.0 } else { x[(step - 1) * width + element] };
                    *to = f32::from(x[step * width + element] - before > *threshold);
                }
            }
            Self::Frames { .. } => to.copy_from_slice(&x[step * to.len()..][..to.len()]),
        }
    }
}

/// The multiple of 2^−`fraction_bits` nearest to `x`, within ±`limit`.
#[must_use]
pub fn rounded(x: f32, fraction_bits: u32, limit: f32) -> f32 {
    let scale = (1u32 << fraction_bits) as f32;
    (x.clamp(-limit, limit) * scale).round() / scale
}

/// A hash of every bit of the sample.
fn content(x: &[f32]) -> u64 {
    x.iter().fold(x.len() as u64, |hash, x| splitmix64(hash ^ u64::from(x.to_bits())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(encoder: &Encoder, x: &[f32], steps: usize, width: usize, noise: Option<u64>) -> Vec<Vec<f32>> {
        (0..steps)
            .map(|step| {
                let mut to = vec![0.0; width];
                encoder.row(x, steps, step, noise, &mut to);
                to
            })
            .collect()
    }

    #[test]
    fn codes_give_the_expected_spikes() {
        let pixels = || Intensity::Pixels { mean: vec![0.5], std: vec![0.5] };
        // Intensities 0, 0.5 and 1.
        let x = [-1.0, 0.0, 1.0];
        let direct = rows(&Encoder::Direct, &x, 2, 3, None);
        assert_eq!(direct, [x.to_vec(), x.to_vec()]);
        let late = rows(&Encoder::Latency { intensity: pixels() }, &x, 5, 3, None);
        assert_eq!(late, [[0., 0., 1.], [0., 0., 0.], [0., 1., 0.], [0., 0., 0.], [0., 0., 0.]]);
        let rate = rows(&Encoder::Rate { intensity: pixels() }, &x, 4000, 3, Some(7));
        let mean = |element: usize| rate.iter().map(|row| row[element]).sum::<f32>() / 4000.0;
        assert_eq!((mean(0), mean(2)), (0.0, 1.0));
        assert!((mean(1) - 0.5).abs() < 0.03, "{}", mean(1));
        let once = Encoder::Once { fraction_bits: 2, limit: 0.8 };
        // Clipped to 0.8, then rounded to the nearest quarter.
        assert_eq!(rows(&once, &[-3.0, 0.1, 0.4], 1, 3, None), [[-0.75, 0.0, 0.5]]);
        let frames = [0.0, 0.3, 0.5, 0.3, 0.4, 0.9];
        let delta = rows(&Encoder::Delta { threshold: 0.2 }, &frames, 3, 2, None);
        assert_eq!(delta, [[0., 1.], [1., 0.], [0., 1.]]);
        assert_eq!(rows(&Encoder::Frames { binary: false }, &frames, 3, 2, None)[2], [0.4, 0.9]);
    }

    /// As in Bohte et al. 2002: only a few neurons fire, and those with closer centers fire earlier.
    #[test]
    fn a_population_encodes_numbers_by_the_times_of_its_spikes() {
        // Centers at −1, 1, 3, 5, 7; σ = 4/3.
        let encoder = Encoder::Population { neurons: 5, low: 0.0, high: 6.0 };
        let times = |x: f32| -> Vec<Option<usize>> {
            let rows = rows(&encoder, &[x, 3.0], 11, 10, None);
            let of = |element: usize| {
                let fired: Vec<usize> = (0..11).filter(|&step| rows[step][element] == 1.0).collect();
                assert!(fired.len() <= 1, "each fires at most once");
                fired.first().copied()
            };
            // The neurons of the other number do not change.
            assert_eq!((5..10).map(of).collect::<Vec<_>>(), [None, Some(7), Some(0), Some(7), None]);
            (0..5).map(of).collect()
        };
        // r = e^(−(2 / (4/3))² / 2) = 0.325 two away: step ⌊0.675 · 10 + ½⌋ = 7; four away r = 0.011: none.
        assert_eq!(times(1.0), [Some(7), Some(0), Some(7), None, None]);
        // One away r = 0.755: step ⌊2.45 + ½⌋ = 2; three away r = 0.08: none.
        assert_eq!(times(2.0), [None, Some(2), Some(2), None, None]);
        // Numbers are clipped to the range.
        assert_eq!((times(-9.0), times(60.0)), (times(0.0), times(6.0)));
        assert_eq!(times(0.0), [Some(2), Some(2), None, None, None]);

        assert_eq!(encoder.input_shape(&[4]), Some(vec![20]));
        assert_eq!(encoder.input_shape(&[3, 8, 9]), Some(vec![15, 8, 9]));
        assert_eq!(encoder.input_shape(&[usize::MAX]), None);
        assert_eq!(Encoder::Direct.input_shape(&[3, 8, 9]), Some(vec![3, 8, 9]));
    }

    #[test]
    fn random_spikes_follow_the_noise_or_the_sample() {
        let encoder = Encoder::Rate { intensity: Intensity::Logistic };
        let x: Vec<f32> = (0..50).map(|i| i as f32 / 25.0 - 1.0).collect();
        let draw = |noise| rows(&encoder, &x, 10, 50, noise);
        assert_eq!(draw(Some(3)), draw(Some(3)));
        assert_ne!(draw(Some(3)), draw(Some(4)));
        assert_eq!(draw(None), draw(None));
    }
}
