//! The spiking form of a quantized network on the grid.

use gyrus_blueprint::{Blueprint, Conv1d, Conv2d, Image, NodeKind, Shapes};
use gyrus_files::{State, StateTensor};
use gyrus_tensor::{Tensor, cpu, floats};

use super::super::draft::{Draft, refuse};
use super::reach::Reach;
use crate::Result;
use crate::network::{Network, Observed};

/// The spiking form of a quantized network on the grid.
pub(super) fn of_quantized(quantized: &(Blueprint, State), steps: usize) -> Result<(Blueprint, State)> {
    let (blueprint, dense) = quantized;
    let shapes = blueprint.shapes()?;
    let reach = Reach::new(blueprint, &shapes, dense)?;
    let sources = blueprint.sources();
    let mut in_time = vec![false; blueprint.nodes().len()];
    let mut draft = Draft::new(blueprint);
    let mut state = dense.clone();
    for &index in shapes.order() {
        let node = &blueprint.nodes()[index];
        in_time[index] = matches!(node.kind, NodeKind::QuantizedReLU { .. })
            || sources[index].iter().any(|&source| in_time[source]);
        let Some(draft) = draft.nodes.get_mut(&index) else { continue };
        match &node.kind {
            NodeKind::QuantizedReLU { levels } => {
                draft.kind = NodeKind::SignedIF { levels: *levels, threshold: 1.0 };
                state.remove(&format!("{}.threshold", node.name));
            }
            NodeKind::MaxPool2d(pool) => draft.kind = NodeKind::CountMaxPool2d(*pool),
            kind if kind.weights(shapes.input(index)).is_some() => {
                let name = format!("{}.bias", node.name);
                let Some(bias) = state.get_mut(&name) else { continue };
                // A bias in front of neurons becomes part of their start.
                match (reaches_neurons(blueprint, index), reach.answers[index]) {
                    (true, true) => {
                        return refuse(
                            node,
                            "it feeds both neurons and the answer directly, so its bias has no exact place",
                        );
                    }
                    (true, false) => {
                        state.remove(&name);
                        match &mut draft.kind {
                            NodeKind::Affine { out_features } => draft.kind = NodeKind::linear(*out_features),
                            NodeKind::Conv1d(Conv1d { bias, .. }) | NodeKind::Conv2d(Conv2d { bias, .. }) => {
                                *bias = false;
                            }
                            _ => {}
                        }
                    }
                    // One part per step.
                    (false, _) if in_time[index] => bias.values.iter_mut().for_each(|b| *b /= steps as f32),
                    (false, _) => {}
                }
            }
            _ => {}
        }
    }
    for (index, start) in starts(blueprint, &shapes, dense)? {
        let shape = shapes.input(index).to_vec();
        let name = format!("{}.start", blueprint.nodes()[index].name);
        state.insert(name, StateTensor { shape, values: start });
    }
    Ok((draft.finish()?, state))
}

/// Whether it reaches a ReLU.
fn reaches_neurons(blueprint: &Blueprint, from: usize) -> bool {
    let targets = blueprint.targets();
    let mut open = vec![from];
    let mut seen = vec![false; blueprint.nodes().len()];
    while let Some(index) = open.pop() {
        for &target in &targets[index] {
            if matches!(blueprint.nodes()[target].kind, NodeKind::QuantizedReLU { .. }) {
                return true;
            }
            if !std::mem::replace(&mut seen[target], true) {
                open.push(target);
            }
        }
    }
    false
}

/// The input of each ReLU from the biases alone, while the network's input and all other ReLUs are zero. Channels-first.
fn starts(blueprint: &Blueprint, shapes: &Shapes, dense: &State) -> Result<Vec<(usize, Vec<f32>)>> {
    let mut silent = dense.clone();
    let mut inputs = 0;
    for (index, node) in blueprint.nodes().iter().enumerate() {
        match &node.kind {
            NodeKind::QuantizedReLU { .. } => {
                // No sum reaches half of such a large unit.
                let value = StateTensor { shape: vec![1], values: vec![1e30] };
                silent.insert(format!("{}.threshold", node.name), value);
            }
            NodeKind::Input { .. } => inputs = shapes.output(index).iter().product(),
            _ => {}
        }
    }
    let device = cpu();
    let network = Network::from_state(blueprint, &silent, &device)?;
    let (_, observations) = network.observe(Tensor::zeros([1, inputs], &device))?;
    let currents = observations.into_iter().filter(|observation| observation.what == Observed::Current);
    Ok(currents
        .map(|observation| {
            let values = floats(observation.tensor);
            let image = Image::of(shapes.input(observation.node));
            (observation.node, image.channels_first(&values))
        })
        .collect())
}
