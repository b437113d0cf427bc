//! What the neurons of a spiking network do for one example: spikes of some neurons of each layer, and the membrane
//! potentials of a few.

use gyrus_blueprint::neuron::NeuronConstant;
use gyrus_blueprint::{Image, NeuronModel, NodeKind, Reset};
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

/// Runs one example, given as the network's input, through a spiking network.
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

/// One layer, given its input currents; `None` for nodes that do not fire.
fn layer(
    network: &Network,
    observation: Observation,
    currents: &[f32],
    (steps, once): (usize, bool),
) -> Option<LayerActivity> {
    let node = &network.blueprint().nodes()[observation.node];
    let shapes = network.blueprint().shapes().ok()?;
    let shape = shapes.output(observation.node);
    let neurons: usize = shape.iter().product();
    let time = network.spiking()?.time;
    let image = Image::of(shape);
    let model = match &node.kind {
        // In terms of an unsigned neuron: starts at half the threshold, fires above the threshold and below 0.
        NodeKind::SignedIF { threshold, .. } => {
            let mut model = NeuronModel::threshold(*threshold);
            model.constants[NeuronConstant::Decay as usize] = vec![1.0];
            model.reset = Reset::Subtract;
            let start = *threshold as f32 / 2.0;
            let starts = network.state().remove(&format!("{}.start", node.name));
            model.v_start =
                starts.map_or(vec![start], |starts| starts.values.iter().map(|own| start + own).collect());
            model
        }
        NodeKind::Threshold { threshold } => NeuronModel::threshold(*threshold),
        _ => NeuronModel::new(node, neurons, &network.state(), time).ok()??,
    };
    if !model.fires {
        return None;
    }
    let spikes: Vec<i8> = if observation.packed {
        let words = spike_words(observation.tensor);
        let width = words.len() / steps;
        let bit = |step: usize, neuron: usize| words[step * width + neuron / 32] >> (neuron % 32) & 1;
        (0..steps).flat_map(|step| (0..neurons).map(move |neuron| bit(step, neuron) as i8)).collect()
    } else {
        floats(observation.tensor).into_iter().map(|spike| spike as i8).collect()
    };
    if spikes.len() != steps * neurons {
        return None;
    }
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
    let fed_back = network.blueprint().back_edges().iter().any(|edge| edge.1 == observation.node);
    let trace = |neuron: usize| -> Vec<f32> {
        let first = image.channels_first_place(neuron);
        let of = |which| model.constant(which, first);
        let mut v = model.v_start[if model.v_start.len() == 1 { 0 } else { first }];
        let (mut synapse, mut adaptation) = (0.0, 0.0);
        (0..steps)
            .map(|step| {
                let silent = constant && once && step > 0;
                let current = currents.get(if constant { neuron } else { step * neurons + neuron });
                let mut x = current.copied().filter(|_| !silent).unwrap_or(0.0);
                if model.synapse {
                    let gained = of(NeuronConstant::SynapseGain) * x;
                    synapse = f32::mul_add(of(NeuronConstant::SynapseDecay), synapse, gained);
                    x = synapse;
                }
                let input = f32::mul_add(of(NeuronConstant::Gain), x, of(NeuronConstant::Drive));
                let before = f32::mul_add(of(NeuronConstant::Decay), v, input);
                let spike = f32::from(spikes[step * neurons + neuron]);
                let mut threshold = of(NeuronConstant::Threshold);
                if model.adaptive {
                    threshold += of(NeuronConstant::AdaptationStrength) * adaptation;
                    adaptation = f32::mul_add(of(NeuronConstant::AdaptationDecay), adaptation, spike);
                }
                v = match model.reset {
                    Reset::Subtract => before - threshold * spike,
                    Reset::Hard if spike != 0.0 => of(NeuronConstant::Reset),
                    Reset::Hard | Reset::None => before,
                };
                before / threshold
            })
            .collect()
    };
    Some(LayerActivity {
        node: node.name.clone(),
        neurons,
        active: active.len(),
        spikes: shown.iter().map(|&neuron| of(neuron)).collect(),
        // What is fed back is not among the currents.
        potentials: match fed_back {
            true => Vec::new(),
            false => shown.iter().take(TRACED).map(|&neuron| trace(neuron)).collect(),
        },
    })
}
