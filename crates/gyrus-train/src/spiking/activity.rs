//! What the neurons of a converted network do for one example: spikes of some neurons of each layer, and the membrane
//! potentials of a few.

use gyrus_blueprint::NodeKind;
use gyrus_nn::{Encoder, Network, Observation, Observed, floats};
use gyrus_tensor::{filled_tensor, spike_words};

use crate::Result;

/// Neurons of a layer whose spikes are kept.
const SHOWN: usize = 24;
/// Neurons of a layer whose potentials are kept.
const TRACED: usize = 3;

/// Some neurons of one layer over time.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerActivity {
    /// Name of the node.
    pub node: String,
    /// Number of neurons.
    pub neurons: usize,
    /// How many of them fired.
    pub active: usize,
    /// Spikes of each kept neuron at each step: −1, 0 or 1.
    pub spikes: Vec<Vec<i8>>,
    /// The potential of the first of them at each step before its reset, in units of the threshold.
    pub potentials: Vec<Vec<f32>>,
}

/// Runs one example, given as the network's input, through a network of integrate-and-fire neurons.
///
/// # Errors
/// If a membrane potential is not a finite number.
pub fn activity(network: &Network, input: &[f32]) -> Result<Vec<LayerActivity>> {
    let Some(settings) = network.spiking() else { return Ok(Vec::new()) };
    let x = filled_tensor(1, input.len(), |x| x.copy_from_slice(input));
    let (_, observations) = network.observe(x.to_device(network.device()))?;
    let once = matches!(settings.encoder, Encoder::Once { .. });
    let mut currents = Vec::new();
    let mut layers = Vec::new();
    for observation in observations {
        match observation.what {
            Observed::Current => currents = floats(observation.tensor),
            Observed::NeuronOutput => {
                layers.extend(layer(network, observation, &currents, (settings.steps, once)));
            }
            Observed::WeightInput => {}
        }
    }
    Ok(layers)
}

/// One layer, given its input currents; `None` for nodes that are not integrate-and-fire neurons.
fn layer(
    network: &Network,
    observation: Observation,
    currents: &[f32],
    (steps, once): (usize, bool),
) -> Option<LayerActivity> {
    let node = &network.blueprint().nodes()[observation.node];
    let shapes = network.blueprint().shapes().ok()?;
    let neurons: usize = shapes.output(observation.node).iter().product();
    let (threshold, start) = match &node.kind {
        NodeKind::IF { v_threshold, v_start, .. } => (*v_threshold as f32, *v_start as f32),
        // In terms of an unsigned neuron: starts at half the threshold, fires above the threshold and below 0.
        NodeKind::SignedIF { threshold, .. } => (*threshold as f32, *threshold as f32 / 2.0),
        _ => return None,
    };
    let spikes: Vec<i8> = if observation.packed {
        let words = spike_words(observation.tensor);
        let width = words.len() / steps;
        let bit = |step: usize, neuron: usize| words[step * width + neuron / 32] >> (neuron % 32) & 1;
        (0..steps).flat_map(|step| (0..neurons).map(move |neuron| bit(step, neuron) as i8)).collect()
    } else {
        floats(observation.tensor).into_iter().map(|spike| spike as i8).collect()
    };
    let of = |neuron: usize| -> Vec<i8> { (0..steps).map(|step| spikes[step * neurons + neuron]).collect() };
    let fires = |neuron: &usize| of(*neuron).iter().any(|spike| *spike != 0);
    let (active, silent): (Vec<usize>, Vec<usize>) = (0..neurons).partition(fires);
    // Spread evenly over the neurons that fire; if there are too few, silent ones fill up.
    let evenly = |from: &[usize], count: usize| -> Vec<usize> {
        let count = count.min(from.len());
        (0..count).map(|place| from[place * from.len() / count.max(1)]).collect()
    };
    let mut shown = evenly(&active, SHOWN);
    shown.extend(evenly(&silent, SHOWN - shown.len()));
    let constant = currents.len() == neurons && steps > 1;
    let starts = network.state().remove(&format!("{}.start", node.name));
    let trace = |neuron: usize| -> Vec<f32> {
        let mut v = start
            + starts
                .as_ref()
                .map_or(0.0, |starts| starts.values[channels_first(neuron, shapes.output(observation.node))]);
        (0..steps)
            .map(|step| {
                if !(constant && once && step > 0) {
                    v += currents[if constant { neuron } else { step * neurons + neuron }];
                }
                let before = v;
                v -= threshold * f32::from(spikes[step * neurons + neuron]);
                before / threshold
            })
            .collect()
    };
    Some(LayerActivity {
        node: node.name.clone(),
        neurons,
        active: active.len(),
        spikes: shown.iter().map(|&neuron| of(neuron)).collect(),
        potentials: shown.iter().take(TRACED).map(|&neuron| trace(neuron)).collect(),
    })
}

/// The channels-first index of a neuron, given its channels-last index.
fn channels_first(neuron: usize, shape: &[usize]) -> usize {
    let channels = shape[0];
    let pixels = shape[1..].iter().product::<usize>();
    neuron % channels * pixels + neuron / channels
}
