//! How a blueprint lives in time: steps, the code that turns numbers into spikes, what is read at the end, and the
//! surrogate gradient.

use gyrus_blueprint::{Blueprint, BlueprintError, Discretization, NodeKind, Reset};
use gyrus_tensor::Surrogate;
use serde::{Deserialize, Serialize};

use crate::NetworkError;

/// The most steps that a sample may be shown for.
const MOST_STEPS: usize = 100_000;

/// Everything about time that a blueprint leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikingSettings {
    /// Steps for which a sample is shown, at least 1.
    pub steps: usize,
    /// Length of a step and how equations are integrated over it.
    pub time: Discretization,
    /// How numbers become currents or spikes.
    pub encoder: Encoder,
    /// What the network's answer is.
    pub readout: Readout,
    /// Derivative of a spike in training, as [`surrogate`] names it.
    pub surrogate: String,
    /// Whether gradients stop at the reset of a membrane (Zenke and Vogels 2021); true in most libraries.
    pub detach_reset: bool,
    /// Truncated back-propagation: gradients do not pass multiples of this many steps.
    pub truncate: Option<usize>,
}

impl SpikingSettings {
    /// Whether every setting has a sense.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self) -> Result<(), NetworkError> {
        let wrong = |setting, got: String, expected: &str| {
            Err(NetworkError::Setting { setting, got, expected: expected.to_owned() })
        };
        if !(1..=MOST_STEPS).contains(&self.steps) {
            return wrong("steps", self.steps.to_string(), "a whole number from 1 to 100,000");
        }
        if !(self.time.dt_ms.is_finite() && self.time.dt_ms > 0.0) {
            return wrong("dt_ms", self.time.dt_ms.to_string(), "a number above 0");
        }
        if self.truncate == Some(0) {
            return wrong("truncate", "0".to_owned(), "at least 1 step");
        }
        if let Encoder::Delta { threshold } = self.encoder
            && !(threshold.is_finite() && threshold > 0.0)
        {
            return wrong("the threshold of the delta code", threshold.to_string(), "a number above 0");
        }
        if surrogate(&self.surrogate).is_none() {
            return Err(self.wrong_surrogate());
        }
        Ok(())
    }

    pub(crate) fn wrong_surrogate(&self) -> NetworkError {
        let expected = format!("{}, or one of them with a width as in atan:2", SURROGATE_NAMES.join(", "));
        NetworkError::Setting { setting: "surrogate", got: self.surrogate.clone(), expected }
    }
}

impl Default for SpikingSettings {
    fn default() -> Self {
        Self {
            steps: 4,
            time: Discretization::default(),
            encoder: Encoder::Direct,
            readout: Readout::Membrane,
            surrogate: "atan".to_owned(),
            detach_reset: true,
            truncate: None,
        }
    }
}

/// How the numbers of a sample enter the network at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Encoder {
    /// The numbers themselves, as a current that is the same at every step.
    Direct,
    /// A spike with probability p at each step, p the [intensity](Intensity) of the number.
    Rate {
        /// From a number to an intensity.
        intensity: Intensity,
    },
    /// One spike, the earlier the higher the intensity p: at step ⌊(1 − p) (steps − 1) + ½⌋; none where p < 0.01.
    Latency {
        /// From a number to an intensity.
        intensity: Intensity,
    },
    /// The sample is `[steps, elements]`; a spike where a number rose by more than `threshold` since the step before
    /// (at the first step, from 0).
    Delta {
        /// Above 0.
        threshold: f32,
    },
    /// The sample is `[steps, elements]`, one row of numbers for each step.
    Frames {
        /// Whether they are spikes: what is not zero is one.
        binary: bool,
    },
}

/// From the network's numbers back to 0 … 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Intensity {
    /// Pixels, channels-last, that were standardised by these: p = clip(x · deviation + mean, 0, 1).
    Pixels {
        /// One a channel.
        mean: Vec<f32>,
        /// One a channel.
        deviation: Vec<f32>,
    },
    /// Standardised numbers of any kind: p = 1 / (1 + e^−x).
    Logistic,
}

impl Intensity {
    fn of(&self, x: f32, element: usize) -> f32 {
        match self {
            Self::Pixels { mean, deviation } => {
                let channel = element % mean.len().max(1);
                let at = |values: &[f32], other| values.get(channel).copied().unwrap_or(other);
                (x * at(deviation, 1.0) + at(mean, 0.0)).clamp(0.0, 1.0)
            }
            Self::Logistic => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

/// What the answer of a spiking network is, one number for each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// Mean over the steps of the last node's potential or current.
    Membrane,
    /// Number of spikes of the last node.
    Counts,
    /// Minus the number of steps before the last node's first spike.
    FirstSpike,
}

/// The names of all surrogates.
pub const SURROGATE_NAMES: [&str; 6] =
    ["atan", "fast-sigmoid", "triangular", "gaussian", "multi-gaussian", "boxcar"];

/// The surrogate of this name with the parameters that its paper uses, or with another width: `NAME:NUMBER`.
#[must_use]
pub fn surrogate(name: &str) -> Option<Surrogate> {
    let (name, number) = match name.split_once(':') {
        Some((name, number)) => {
            (name, Some(number.parse::<f32>().ok().filter(|n| n.is_finite() && *n > 0.0)?))
        }
        None => (name, None),
    };
    let or = |default: f32| number.unwrap_or(default);
    Some(match name {
        "atan" => Surrogate::Atan { alpha: or(2.0) },
        "fast-sigmoid" => Surrogate::FastSigmoid { slope: or(10.0) },
        "triangular" => Surrogate::Triangular { width: or(1.0) },
        "gaussian" => Surrogate::Gaussian { sigma: or(0.5) },
        "multi-gaussian" => Surrogate::MultiGaussian { h: 0.15, s: 6.0, sigma: or(0.5) },
        "boxcar" => Surrogate::Boxcar { width: or(0.5) },
        _ => return None,
    })
}

impl Encoder {
    /// Whether a sample brings a row of numbers for each step.
    #[must_use]
    pub fn takes_frames(&self) -> bool {
        matches!(self, Self::Delta { .. } | Self::Frames { .. })
    }

    /// Whether what it makes are spikes.
    #[must_use]
    pub fn spikes(&self) -> bool {
        !matches!(self, Self::Direct | Self::Frames { binary: false })
    }

    /// The rows of one step of a batch whose samples lie in `x`, `[batch, elements]` (or `[batch, steps, elements]` for
    /// [frames](Self::takes_frames)), one sample at a time. Random spikes depend on
    /// `noise`, or without it on the sample itself, so that a sample gets the same spikes in any batch.
    pub(crate) fn row(&self, x: &[f32], steps: usize, step: usize, noise: Option<u64>, to: &mut [f32]) {
        match self {
            Self::Direct => to.copy_from_slice(x),
            Self::Rate { intensity } => {
                let seed = noise.unwrap_or_else(|| content(x));
                let spike = |element: usize, p: f32| {
                    // Much of a picture is black, and never fires.
                    if p <= 0.0 {
                        return 0.0;
                    }
                    let draw = mixed(seed ^ mixed((step as u64) << 32 | element as u64));
                    // 24 bits are what f32 holds between 0 and 1.
                    let uniform = (draw >> 40) as f32 / (1u64 << 24) as f32;
                    f32::from(uniform < p)
                };
                let elements = to.iter_mut().zip(x).enumerate();
                match intensity {
                    Intensity::Pixels { mean, deviation } if mean.len() == 1 && deviation.len() == 1 => {
                        let (mean, deviation) = (mean[0], deviation[0]);
                        elements.for_each(|(element, (to, x))| *to = spike(element, x * deviation + mean));
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

/// A number that depends on every bit of the sample.
fn content(x: &[f32]) -> u64 {
    x.iter().fold(x.len() as u64, |hash, x| mixed(hash ^ u64::from(x.to_bits())))
}

/// SplitMix64 (Steele et al. 2014).
fn mixed(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The spiking form of a dense blueprint, to be trained as such: each ReLU becomes a leaky integrate-and-fire node of
/// `tau_membrane_ms` with soft reset and unit threshold; with `Readout::Counts` or `FirstSpike` the answer becomes spikes
/// too. Blueprints with neurons stay as they are.
///
/// # Errors
/// If the result is no valid blueprint.
pub fn spiking_form(
    blueprint: &Blueprint,
    tau_membrane_ms: f64,
    readout: Readout,
) -> Result<Blueprint, BlueprintError> {
    let neuron = || match NodeKind::lif(tau_membrane_ms) {
        NodeKind::LIF {
            tau_membrane_ms,
            resistance,
            v_leak,
            v_threshold,
            v_reset,
            per_neuron,
            learned,
            ..
        } => {
            let reset = Reset::Subtract;
            NodeKind::LIF {
                tau_membrane_ms,
                resistance,
                v_leak,
                v_threshold,
                v_reset,
                reset,
                per_neuron,
                learned,
            }
        }
        other => other,
    };
    let mut nodes = blueprint.nodes().to_vec();
    let mut edges = blueprint.edges().to_vec();
    if nodes.iter().any(|node| node.kind.neuron().is_some()) {
        return Ok(blueprint.clone());
    }
    for node in &mut nodes {
        if node.kind == NodeKind::ReLU {
            node.kind = neuron();
        }
    }
    if readout != Readout::Membrane
        && let Some(output) = nodes.iter().position(|node| node.kind == NodeKind::Output)
    {
        let mut name = "answer".to_owned();
        while nodes.iter().any(|node| node.name == name) {
            name.push('_');
        }
        nodes.push(gyrus_blueprint::Node { name, kind: neuron() });
        let last = nodes.len() - 1;
        edges.iter_mut().filter(|edge| edge.1 == output).for_each(|edge| edge.1 = last);
        edges.push((last, output));
    }
    Blueprint::new(blueprint.name.clone(), nodes, edges)
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
    fn codes_say_what_they_should() {
        let pixels = || Intensity::Pixels { mean: vec![0.5], deviation: vec![0.5] };
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
        let frames = [0.0, 0.3, 0.5, 0.3, 0.4, 0.9];
        let delta = rows(&Encoder::Delta { threshold: 0.2 }, &frames, 3, 2, None);
        assert_eq!(delta, [[0., 1.], [1., 0.], [0., 1.]]);
        assert_eq!(rows(&Encoder::Frames { binary: false }, &frames, 3, 2, None)[2], [0.4, 0.9]);
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

    #[test]
    fn relus_become_neurons_and_the_answer_spikes_if_it_is_counted() {
        let dense = gyrus_blueprint::preset("digits-cnn", [1, 8, 8], 10).unwrap();
        let spiking = spiking_form(&dense, 2.0, Readout::Membrane).unwrap();
        let neurons = |b: &Blueprint| b.nodes().iter().filter(|node| node.kind.neuron().is_some()).count();
        assert_eq!((neurons(&spiking), spiking.nodes().len()), (3, dense.nodes().len()));
        let counted = spiking_form(&dense, 2.0, Readout::Counts).unwrap();
        assert_eq!((neurons(&counted), counted.nodes().len()), (4, dense.nodes().len() + 1));
        assert_eq!(spiking_form(&counted, 9.0, Readout::Counts).unwrap(), counted);
    }

    #[test]
    fn surrogates_by_name() {
        assert!(SURROGATE_NAMES.iter().all(|name| surrogate(name).is_some()));
        assert!(matches!(surrogate("atan:3"), Some(Surrogate::Atan { alpha: 3.0 })));
        assert!(surrogate("atan:-3").is_none() && surrogate("step").is_none());
    }
}
