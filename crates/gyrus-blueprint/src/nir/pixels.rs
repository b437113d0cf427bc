//! Turns a network trained on standardized pixels, (p − mean) / std, into one that takes pixels from 0 to 1: a NIR file
//! cannot describe the standardization of its input, so it becomes a node of the network. The node is a 1×1 convolution,
//! y_c = x_c / std_c − mean_c / std_c, which NIR supports and which costs channels² multiplications per pixel.

use crate::neuron::{Array, Parameters};
use crate::{Blueprint, Error, Node, NodeKind, Result};

/// Inserts the standardization of each channel between the Input, `[channels, height, width]`, and its targets. Spiking
/// inputs (rate or latency codes) need none.
///
/// # Errors
/// If the Input is not an image with as many channels as there are means and stds, or a std is not above 0.
pub fn with_standardization(
    blueprint: &Blueprint,
    parameters: &Parameters,
    mean: &[f32],
    std: &[f32],
) -> Result<(Blueprint, Parameters)> {
    let is_input = |node: &Node| matches!(node.kind, NodeKind::Input { .. });
    let input = blueprint.nodes().iter().position(is_input);
    let Some((input, NodeKind::Input { shape })) = input.map(|index| (index, &blueprint.nodes()[index].kind))
    else {
        return Err(Error::Missing { kind: "Input" });
    };
    let channels = mean.len();
    if shape.len() != 3 || shape[0] != channels || std.len() != channels {
        return Err(Error::WrongRank {
            node: blueprint.nodes()[input].name.clone(),
            kind: "Input",
            expected: "[channels, height, width] with a mean and a std per channel",
            got: shape.clone(),
            hint: "",
        });
    }
    if let Some(&got) = std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
        return Err(Error::NumberOutOfRange {
            node: blueprint.nodes()[input].name.clone(),
            kind: "Input",
            field: "std",
            got: got.into(),
            expected: "a finite number above 0",
        });
    }
    let mut name = "standardize".to_owned();
    while blueprint.index_of(&name).is_some() {
        name.push('_');
    }
    let diagonal = |at: usize| if at % channels == at / channels { 1.0 / std[at / channels] } else { 0.0 };
    let weight = (0..channels * channels).map(diagonal).collect();
    let bias = mean.iter().zip(std).map(|(mean, std)| -mean / std).collect();
    let mut parameters = parameters.clone();
    parameters
        .insert(format!("{name}.weight"), Array { shape: vec![channels, channels, 1, 1], values: weight });
    parameters.insert(format!("{name}.bias"), Array { shape: vec![channels], values: bias });
    let mut nodes = blueprint.nodes().to_vec();
    nodes.insert(input + 1, Node { name, kind: NodeKind::conv2d(channels, 1).into() });
    let moved = |node: usize| if node > input { node + 1 } else { node };
    let mut edges = vec![(input, input + 1)];
    edges.extend(
        blueprint
            .edges()
            .iter()
            .map(|&(from, to)| (if from == input { input + 1 } else { moved(from) }, moved(to))),
    );
    Ok((Blueprint::new(blueprint.name.clone(), nodes, edges)?, parameters))
}
