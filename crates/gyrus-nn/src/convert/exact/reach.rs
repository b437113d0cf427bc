//! The ReLUs, weights and answers around each node.

use gyrus_blueprint::{Blueprint, NodeKind, Shapes};
use gyrus_files::State;

use super::super::draft::refuse;
use crate::{Error, Result};

/// For each node, what its output reaches, and what reaches it, without a ReLU in between.
pub(super) struct Reach {
    /// The unit of a ReLU that it reaches without weights in between.
    pub(super) unit: Vec<Option<f32>>,
    /// Whether it reaches the Output.
    pub(super) answers: Vec<bool>,
    /// Whether weights lie between the last ReLU and its output.
    pub(super) weighted: Vec<bool>,
}

impl Reach {
    pub(super) fn new(blueprint: &Blueprint, shapes: &Shapes, state: &State) -> Result<Self> {
        let count = blueprint.nodes().len();
        let mut reach =
            Self { unit: vec![None; count], answers: vec![false; count], weighted: vec![false; count] };
        let (targets, sources) = (blueprint.targets(), blueprint.sources());
        let has_weights = |index: usize| blueprint.nodes()[index].kind.weights(shapes.input(index)).is_some();
        for &index in shapes.order().iter().rev() {
            for &target in &targets[index] {
                let node = &blueprint.nodes()[target];
                let unit = match &node.kind {
                    NodeKind::QuantizedReLU { levels } => Some(unit(&node.name, *levels, state)?),
                    NodeKind::Output => {
                        reach.answers[index] = true;
                        None
                    }
                    // Weights accept any unit.
                    _ if has_weights(target) => {
                        reach.answers[index] |= reach.answers[target];
                        None
                    }
                    _ => {
                        reach.answers[index] |= reach.answers[target];
                        reach.unit[target]
                    }
                };
                // ReLUs with other units get a factor on their edge.
                reach.unit[index] = reach.unit[index].or(unit);
            }
        }
        for &index in shapes.order() {
            let node = &blueprint.nodes()[index];
            let own = match &node.kind {
                NodeKind::QuantizedReLU { .. } => false,
                _ if has_weights(index) => true,
                _ => sources[index].iter().any(|&source| reach.weighted[source]),
            };
            reach.weighted[index] = own;
            let weighted = |source: &usize| reach.weighted[*source];
            // The maximum of sums over time equals the maximum of the final sums only if the biases are the same within a window.
            let uniform = |source: &usize| {
                !reach.weighted[*source] || (has_weights(*source) && !sources[*source].iter().any(weighted))
            };
            if matches!(node.kind, NodeKind::MaxPool2d(_)) && !sources[index].iter().all(uniform) {
                return refuse(
                    node,
                    "a maximum of weighted sums is exact only directly behind a single node with weights",
                );
            }
        }
        Ok(reach)
    }
}

pub(super) fn unit(name: &str, levels: usize, state: &State) -> Result<f32> {
    let name = format!("{name}.threshold");
    let threshold = state.get(&name).and_then(|tensor| tensor.values.first());
    let threshold = threshold.ok_or(Error::MissingTensor { name, expected: vec![1] })?;
    Ok(threshold.max(gyrus_tensor::SMALLEST_THRESHOLD) / levels as f32)
}
