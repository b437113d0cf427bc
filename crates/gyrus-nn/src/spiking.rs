//! How a blueprint lives in time: steps, the code that turns numbers into spikes, what is read at the end, and the
//! surrogate gradient.

use gyrus_blueprint::{Blueprint, BlueprintError, Discretization, Integration, NodeKind, Reset};
use gyrus_tensor::{Surrogate, splitmix64};
use serde::{Deserialize, Serialize};

use crate::NetworkError;

/// The most steps that a sample may be shown for.
const MOST_STEPS: usize = 100_000;
/// The finest grid of [`Encoder::Once`].
const MOST_FRACTION_BITS: u32 = 20;
/// The most neurons that may stand for a number.
const MOST_NEURONS: usize = 1024;
/// The weakest response of a population's neuron that makes it fire, after Bohte et al. 2002.
const WEAKEST_RESPONSE: f32 = 0.1;

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
        if let Encoder::Once { fraction_bits, limit } = self.encoder {
            if fraction_bits > MOST_FRACTION_BITS {
                return wrong("fraction_bits", fraction_bits.to_string(), "at most 20");
            }
            if !(limit.is_finite() && limit > 0.0) {
                return wrong("the limit of the input", limit.to_string(), "a number above 0");
            }
        }
        if let Encoder::Population { neurons, low, high } = self.encoder {
            if !(3..=MOST_NEURONS).contains(&neurons) {
                let expected = "a whole number from 3 to 1024";
                return wrong("the neurons of the population code", neurons.to_string(), expected);
            }
            if !(low.is_finite() && high.is_finite() && low < high && (high - low).is_finite()) {
                let expected = "two finite numbers, the second above the first";
                return wrong("the range of the population code", format!("{low} to {high}"), expected);
            }
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
    /// The numbers themselves, cut to ±`limit` and rounded to multiples of 2^−`fraction_bits`, at the first step only. What
    /// follows the Input without neurons between them runs at that step alone.
    Once {
        /// At most 20.
        fraction_bits: u32,
        /// Above 0.
        limit: f32,
    },
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
    /// Each number x becomes `neurons` neurons with Gaussian tuning curves (Bohte et al. 2002, "Unsupervised clustering with
    /// spiking neurons by sparse temporal coding and multilayer RBF networks"): with the spacing
    /// s = (high − low) / (neurons − 2), neuron i of 0, 1, … responds by r = e^(−(x − c)² / (2σ²)), c = low + (i − ½) s,
    /// σ = ⅔ s. It fires once, the earlier the stronger: at step ⌊(1 − r) (steps − 1) + ½⌋; not where r < 0.1. Numbers
    /// beyond the range count as its end. Element e's neurons are the elements e · neurons + i.
    Population {
        /// 3 to 1024.
        neurons: usize,
        /// Least number, as the network gets it (standardised).
        low: f32,
        /// Greatest number.
        high: f32,
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
    /// Sum over the steps of the last node's potential or current.
    Sum,
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
        !matches!(self, Self::Direct | Self::Once { .. } | Self::Frames { binary: false })
    }

    /// Whether a sample becomes one row, whatever the number of steps.
    pub(crate) fn gives_one_row(&self) -> bool {
        matches!(self, Self::Direct | Self::Once { .. })
    }

    /// What the network is shown at each step where a sample has this shape: the same, or for a population more of the
    /// first axis, which is the last in memory. `None` if that is more than can be counted.
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

    /// The rows of one step of a batch whose samples lie in `x`, `[batch, elements]` (or `[batch, steps, elements]` for
    /// [frames](Self::takes_frames)), one sample at a time. Random spikes depend on
    /// `noise`, or without it on the sample itself, so that a sample gets the same spikes in any batch.
    pub(crate) fn row(&self, x: &[f32], steps: usize, step: usize, noise: Option<u64>, to: &mut [f32]) {
        match self {
            Self::Direct => to.copy_from_slice(x),
            Self::Once { fraction_bits, limit } => {
                to.iter_mut().zip(x).for_each(|(to, x)| *to = rounded(*x, *fraction_bits, *limit));
            }
            Self::Rate { intensity } => {
                let seed = noise.unwrap_or_else(|| content(x));
                let spike = |element: usize, p: f32| {
                    // Much of a picture is black, and never fires.
                    if p <= 0.0 {
                        return 0.0;
                    }
                    let draw = splitmix64(seed ^ splitmix64((step as u64) << 32 | element as u64));
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
            Self::Population { neurons, low, high } => {
                let spacing = (high - low) / (*neurons as f32 - 2.0);
                for (to, &x) in to.chunks_exact_mut(*neurons).zip(x) {
                    for (index, to) in to.iter_mut().enumerate() {
                        let centre = low + (index as f32 - 0.5) * spacing;
                        let deviations = (x.clamp(*low, *high) - centre) / (spacing / 1.5);
                        let response = (-0.5 * deviations * deviations).exp();
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

/// A number that depends on every bit of the sample.
fn content(x: &[f32]) -> u64 {
    x.iter().fold(x.len() as u64, |hash, x| splitmix64(hash ^ u64::from(x.to_bits())))
}

/// The spiking form of a dense blueprint, to be trained as such: each ReLU becomes a leaky integrate-and-fire node of
/// `tau_membrane_ms` with soft reset and unit threshold; with [`Readout::Counts`] or [`Readout::FirstSpike`] the answer
/// becomes spikes too. Blueprints with neurons stay as they are.
///
/// The resistance is such that the membrane takes in a step's current whole (a gain of 1, as snnTorch has it): a single
/// spike must be able to make the next neuron fire, or sparse codes leave deep layers silent.
///
/// # Errors
/// If the result is no valid blueprint.
pub fn spiking_form(
    blueprint: &Blueprint,
    tau_membrane_ms: f64,
    settings: &SpikingSettings,
) -> Result<Blueprint, BlueprintError> {
    let Discretization { dt_ms, integration } = settings.time;
    let kept = match integration {
        Integration::Exact => (-dt_ms / tau_membrane_ms).exp(),
        Integration::Euler => 1.0 - dt_ms / tau_membrane_ms,
    };
    let neuron = || {
        let mut kind = NodeKind::lif(tau_membrane_ms);
        if let NodeKind::LIF { resistance, reset, .. } = &mut kind {
            *resistance = 1.0 / (1.0 - kept);
            *reset = Reset::Subtract;
        }
        kind
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
    if matches!(settings.readout, Readout::Counts | Readout::FirstSpike)
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
        let once = Encoder::Once { fraction_bits: 2, limit: 0.8 };
        // Cut to 0.8, then to the nearest quarter.
        assert_eq!(rows(&once, &[-3.0, 0.1, 0.4], 1, 3, None), [[-0.75, 0.0, 0.5]]);
        let frames = [0.0, 0.3, 0.5, 0.3, 0.4, 0.9];
        let delta = rows(&Encoder::Delta { threshold: 0.2 }, &frames, 3, 2, None);
        assert_eq!(delta, [[0., 1.], [1., 0.], [0., 1.]]);
        assert_eq!(rows(&Encoder::Frames { binary: false }, &frames, 3, 2, None)[2], [0.4, 0.9]);
    }

    /// As Bohte et al. 2002 draw it: neurons whose centres lie nearer fire earlier, and a few of them only.
    #[test]
    fn a_population_tells_numbers_by_who_fires_when() {
        // Centres at −1, 1, 3, 5, 7; deviations of 4/3.
        let encoder = Encoder::Population { neurons: 5, low: 0.0, high: 6.0 };
        let times = |x: f32| -> Vec<Option<usize>> {
            let rows = rows(&encoder, &[x, 3.0], 11, 10, None);
            let of = |element: usize| {
                let fired: Vec<usize> = (0..11).filter(|&step| rows[step][element] == 1.0).collect();
                assert!(fired.len() <= 1, "each fires at most once");
                fired.first().copied()
            };
            // What stands for the other number does not change.
            assert_eq!((5..10).map(of).collect::<Vec<_>>(), [None, Some(7), Some(0), Some(7), None]);
            (0..5).map(of).collect()
        };
        // r = e^(−(2 / (4/3))² / 2) = 0.325 two away: step ⌊0.675 · 10 + ½⌋ = 7; four away r = 0.011: none.
        assert_eq!(times(1.0), [Some(7), Some(0), Some(7), None, None]);
        // One away r = 0.755: step ⌊2.45 + ½⌋ = 2; three away r = 0.08: none.
        assert_eq!(times(2.0), [None, Some(2), Some(2), None, None]);
        // Beyond the range counts as its end.
        assert_eq!((times(-9.0), times(60.0)), (times(0.0), times(6.0)));
        assert_eq!(times(0.0), [Some(2), Some(2), None, None, None]);

        assert_eq!(encoder.input_shape(&[4]), Some(vec![20]));
        assert_eq!(encoder.input_shape(&[3, 8, 9]), Some(vec![15, 8, 9]));
        assert_eq!(encoder.input_shape(&[usize::MAX]), None);
        assert_eq!(Encoder::Direct.input_shape(&[3, 8, 9]), Some(vec![3, 8, 9]));
    }

    #[test]
    fn senseless_populations_are_refused() {
        for (neurons, low, high) in [(2, 0.0, 1.0), (1025, 0.0, 1.0), (8, 1.0, 1.0), (8, 0.0, f32::NAN)] {
            let encoder = Encoder::Population { neurons, low, high };
            let settings = SpikingSettings { encoder, ..SpikingSettings::default() };
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains("population") && error.contains("expected"), "{error}");
        }
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
        let settings = |readout| SpikingSettings { readout, ..SpikingSettings::default() };
        let spiking = spiking_form(&dense, 2.0, &settings(Readout::Membrane)).unwrap();
        let neurons = |b: &Blueprint| b.nodes().iter().filter(|node| node.kind.neuron().is_some()).count();
        assert_eq!((neurons(&spiking), spiking.nodes().len()), (3, dense.nodes().len()));
        let counted = spiking_form(&dense, 2.0, &settings(Readout::Counts)).unwrap();
        assert_eq!((neurons(&counted), counted.nodes().len()), (4, dense.nodes().len() + 1));
        assert_eq!(spiking_form(&counted, 9.0, &settings(Readout::Counts)).unwrap(), counted);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        for (encoder, what) in [
            (Encoder::Once { fraction_bits: 40, limit: 1.0 }, "fraction_bits is 40"),
            (Encoder::Once { fraction_bits: 8, limit: f32::NAN }, "limit"),
            (Encoder::Delta { threshold: 0.0 }, "delta"),
        ] {
            let error =
                SpikingSettings { encoder, ..SpikingSettings::default() }.check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn surrogates_by_name() {
        assert!(SURROGATE_NAMES.iter().all(|name| surrogate(name).is_some()));
        assert!(matches!(surrogate("atan:3"), Some(Surrogate::Atan { alpha: 3.0 })));
        assert!(surrogate("atan:-3").is_none() && surrogate("step").is_none());
    }
}
