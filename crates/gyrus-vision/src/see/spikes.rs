//! Spiking networks: how often units fire, which neuron fires when, and what they see when they do.
//!
//! The spike-triggered average is the mean of what a neuron sees when it fires, less the mean of what it sees at all (de Boer and
//! Kuyper 1968; Chichilnisky 2001). For a unit of a map it is taken over all places, each with its own part of the input; what
//! lies outside of the image counts as the mean. The same average weighted by activations describes units of dense networks.

use gyrus_blueprint::Image;
use gyrus_kernels::dense::linear::linear_weight_gradient;
use gyrus_nn::{Network, Observed, floats};
use gyrus_tensor::{Tensor, filled_tensor, spike_words};

use super::Layer;
use crate::{Error, Result};

/// Numbers of the patches that are multiplied at once.
const TOGETHER: usize = 1 << 22;

/// The most numbers of a layer's averages, and of the patches of one input.
const MOST_NUMBERS: usize = 1 << 24;

/// The spikes of one layer for one example.
#[derive(Clone, Debug, PartialEq)]
pub struct SpikeTrains {
    /// The layer, as an index into the layers.
    pub layer: usize,
    /// Steps of time.
    pub steps: usize,
    /// `[steps, height, width, channels]`: −1, 0 or 1.
    pub spikes: Vec<i8>,
}

/// What a layer's neurons gave, `[steps · batch, neurons]`; nothing where the layer has no neurons.
fn signals(
    network: &Network,
    layers: &[Layer],
    inputs: &[f32],
    rows: usize,
) -> Result<Vec<Option<Vec<f32>>>> {
    let columns = inputs.len() / rows.max(1);
    let x = filled_tensor(rows, columns, |x| x.copy_from_slice(inputs));
    let steps = network.spiking().map_or(1, |settings| settings.steps);
    let (answer, observations) = network.observe(x)?;
    let mut found: Vec<Option<Vec<f32>>> = vec![None; layers.len()];
    for observation in observations.into_iter().filter(|seen| seen.what == Observed::NeuronOutput) {
        let Some(index) = layers.iter().position(|layer| layer.output == observation.node) else { continue };
        let neurons = layers[index].image.pixels() * layers[index].units();
        let values = match observation.packed {
            true => unpacked(observation.tensor, steps * rows, neurons),
            false => floats(observation.tensor),
        };
        found[index] = (values.len() == steps * rows * neurons).then_some(values);
    }
    // The answer may be a sum of currents without neurons.
    if let (Some(last), Some(layer)) = (found.last_mut(), layers.last()) {
        let values = floats(answer);
        if last.is_none() && values.len() == steps * rows * layer.units() && !layer.is_map() {
            *last = Some(values);
        }
    }
    Ok(found)
}

/// Packed spikes as zeros and ones.
fn unpacked(spikes: Tensor<2>, rows: usize, neurons: usize) -> Vec<f32> {
    let words = spike_words(spikes);
    let width = words.len() / rows.max(1);
    let bit = |row: usize, neuron: usize| {
        words.get(row * width + neuron / 32).map_or(0, |word| word >> (neuron % 32) & 1)
    };
    (0..rows).flat_map(|row| (0..neurons).map(move |neuron| bit(row, neuron) as f32)).collect()
}

/// The mean output of each layer's neurons over time, spikes per step, `[rows, neurons]`; zeros for a layer without neurons.
///
/// # Errors
/// [`Error::Setting`] for a dense network; those of the network.
pub fn spike_rates(
    network: &Network,
    layers: &[Layer],
    inputs: &[f32],
    rows: usize,
) -> Result<Vec<Vec<f32>>> {
    let steps = steps_of(network)?;
    let signals = signals(network, layers, inputs, rows)?;
    let rates = signals.into_iter().zip(layers).map(|(signal, layer)| {
        let neurons = layer.image.pixels() * layer.units();
        let mut rates = vec![0.0f32; rows * neurons];
        for step in signal.unwrap_or_default().chunks_exact((rows * neurons).max(1)) {
            rates.iter_mut().zip(step).for_each(|(rate, value)| *rate += value / steps as f32);
        }
        rates
    });
    Ok(rates.collect())
}

/// Which neuron fires when, for one example; only layers whose neurons fire.
///
/// # Errors
/// As [`spike_rates`].
pub fn spike_trains(network: &Network, layers: &[Layer], input: &[f32]) -> Result<Vec<SpikeTrains>> {
    let steps = steps_of(network)?;
    let signals = signals(network, layers, input, 1)?;
    let whole = |value: &f32| matches!(*value, -1.0 | 0.0 | 1.0);
    let trains = signals.into_iter().enumerate().filter_map(|(layer, signal)| {
        let signal = signal.filter(|signal| signal.iter().all(whole))?;
        Some(SpikeTrains { layer, steps, spikes: signal.into_iter().map(|value| value as i8).collect() })
    });
    Ok(trains.collect())
}

fn steps_of(network: &Network) -> Result<usize> {
    match network.spiking() {
        Some(settings) => Ok(settings.steps),
        None => {
            let expected = "a spiking one";
            Err(Error::Setting { setting: "the network", got: "dense".to_owned(), expected })
        }
    }
}

/// The mean input of each unit weighted by its activation, less the mean input.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggeredAverages {
    /// Rows, columns and channels of what a unit sees.
    pub image: Image,
    /// `[units, height, width, channels]`, in the network's input units; zeros for a unit that never responds.
    pub averages: Vec<f32>,
}

/// Gathers triggered averages over examples.
pub struct Trigger {
    layer: Layer,
    input: Image,
    /// What a unit sees: rows, columns, channels.
    seen: Image,
    sums: Vec<f64>,
    mean: Vec<f64>,
    weights: Vec<f64>,
    places: f64,
}

impl Trigger {
    /// For a layer that reads inputs of this size; none for a map whose places are no places of the input, and none where all
    /// units together see more than 16 million numbers.
    #[must_use]
    pub fn new(layer: &Layer, input: Image) -> Option<Self> {
        let seen = match layer.field {
            Some(field) => Image { height: field.size[0], width: field.size[1], channels: input.channels },
            None if !layer.is_map() => input,
            None => return None,
        };
        let pixels = seen.pixels() * seen.channels;
        let places = layer.image.pixels().max(layer.units());
        if pixels.saturating_mul(places) > MOST_NUMBERS {
            return None;
        }
        Some(Self {
            layer: layer.clone(),
            input,
            seen,
            sums: vec![0.0; layer.units() * pixels],
            mean: vec![0.0; pixels],
            weights: vec![0.0; layer.units()],
            places: 0.0,
        })
    }

    /// Adds examples: inputs `[batch, elements]` and the layer's activations, of which negative ones count as 0.
    ///
    /// # Panics
    /// If there are not as many activations as inputs.
    pub fn add(&mut self, inputs: &[f32], activations: &[f32]) {
        let (elements, units) = (self.input.pixels() * self.input.channels, self.layer.units());
        let places = self.layer.image.pixels();
        let pixels = self.mean.len();
        let together = (TOGETHER / (places * pixels).max(1)).max(1);
        let inputs = inputs.chunks(together * elements);
        for (inputs, activations) in inputs.zip(activations.chunks(together * places * units)) {
            let rows = inputs.len() / elements * places;
            let mut patches = vec![0.0f32; rows * pixels];
            for (index, patch) in patches.chunks_exact_mut(pixels).enumerate() {
                self.copy(&inputs[index / places * elements..][..elements], index % places, patch);
                self.mean.iter_mut().zip(&*patch).for_each(|(mean, value)| *mean += f64::from(*value));
            }
            let rectified: Vec<f32> = activations.iter().map(|value| value.max(0.0)).collect();
            for row in rectified.chunks_exact(units) {
                self.weights.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let mut sums = vec![0.0f32; units * pixels];
            linear_weight_gradient(&rectified, &patches, (rows, pixels, units), &mut sums);
            self.sums.iter_mut().zip(&sums).for_each(|(sum, value)| *sum += f64::from(*value));
            self.places += rows as f64;
        }
    }

    /// What a unit sees at a place.
    fn copy(&self, input: &[f32], place: usize, to: &mut [f32]) {
        let Some(field) = self.layer.field else {
            to.copy_from_slice(input);
            return;
        };
        let channels = self.input.channels;
        let at = [place / self.layer.image.width, place % self.layer.image.width];
        let begin = [0, 1].map(|axis: usize| field.start[axis] + (at[axis] * field.stride[axis]) as isize);
        for row in 0..self.seen.height {
            let source = begin[0] + row as isize;
            if source < 0 || source >= self.input.height as isize {
                continue;
            }
            for column in 0..self.seen.width {
                let from = begin[1] + column as isize;
                if (0..self.input.width as isize).contains(&from) {
                    let from = (source as usize * self.input.width + from as usize) * channels;
                    to[(row * self.seen.width + column) * channels..][..channels]
                        .copy_from_slice(&input[from..from + channels]);
                }
            }
        }
    }

    /// The averages.
    #[must_use]
    pub fn finish(self) -> TriggeredAverages {
        let pixels = self.mean.len();
        let averages = self.sums.iter().enumerate().map(|(index, sum)| {
            let weight = self.weights[index / pixels];
            match weight > 0.0 {
                true => (sum / weight - self.mean[index % pixels] / self.places.max(1.0)) as f32,
                false => 0.0,
            }
        });
        TriggeredAverages { image: self.seen, averages: averages.collect() }
    }
}
