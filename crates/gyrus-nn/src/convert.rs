//! Conversion of dense networks to spiking ones.
//!
//! 1. [`quantized_form`]: every ReLU becomes a [`NodeKind::QuantizedReLU`], whose levels spikes can represent. It is trained (or
//!    fine-tuned) as a dense network.
//! 2. [`folded_form`]: batch norms are folded into the weights before them, dropouts vanish.
//! 3. [`integrate_and_fire_form`] (Bu et al. 2022, arXiv:2303.04347): each quantized ReLU with threshold λ becomes an
//!    integrate-and-fire node with that threshold and a soft reset, starting at half the threshold; a spike represents λ,
//!    which is multiplied into the weights behind it. Over T steps the mean output approaches that of the quantized network.
//! 4. Or [`exact_form`]: signed spikes, whose answer equals that of the quantized network bit for bit.
//!
//! [`spiking_form`] instead gives a spiking network to be trained from the start. A node without a spiking form is an error
//! that names it.

mod draft;
mod exact;
mod trained;

use gyrus_blueprint::{Blueprint, Conv1d, Conv2d, NodeKind, Shape, without_spiking_form};
use gyrus_files::{State, StateTensor};

use crate::{Error, Result};

use draft::{Draft, refuse};
pub use exact::{ExactForm, exact_form};
pub use trained::spiking_form;

/// The same blueprint with every ReLU saturating in `levels` steps.
///
/// # Errors
/// If a node has no spiking form, or there is no ReLU.
pub fn quantized_form(blueprint: &Blueprint, levels: usize) -> Result<Blueprint> {
    let mut nodes = blueprint.nodes().to_vec();
    let mut found = false;
    for node in &mut nodes {
        match &node.kind {
            NodeKind::ReLU => {
                node.kind = NodeKind::QuantizedReLU { levels };
                found = true;
            }
            NodeKind::QuantizedReLU { .. } => found = true,
            NodeKind::Input { .. }
            | NodeKind::Output
            | NodeKind::Affine { .. }
            | NodeKind::Linear { .. }
            | NodeKind::Conv1d(_)
            | NodeKind::Conv2d(_)
            | NodeKind::SumPool2d(_)
            | NodeKind::AvgPool2d(_)
            | NodeKind::MaxPool2d(_)
            | NodeKind::GlobalAvgPool
            | NodeKind::Flatten { .. }
            | NodeKind::BatchNorm { .. }
            | NodeKind::Dropout { .. } => {}
            NodeKind::I { .. }
            | NodeKind::IF { .. }
            | NodeKind::LI { .. }
            | NodeKind::LIF { .. }
            | NodeKind::CubaLI { .. }
            | NodeKind::CubaLIF { .. }
            | NodeKind::AdaptiveLIF { .. }
            | NodeKind::SignedIF { .. }
            | NodeKind::Delay { .. }
            | NodeKind::CountMaxPool2d(_) => return refuse(node, "the network spikes already"),
            NodeKind::Scale | NodeKind::Threshold { .. } | without_spiking_form!() => {
                return refuse(
                    node,
                    "only ReLU activations, weights, pools and batch norms have a spiking form",
                );
            }
        }
    }
    match found {
        true => Ok(Blueprint::new(blueprint.name.clone(), nodes, blueprint.edges().to_vec())?),
        false => refuse(
            &blueprint.nodes()[blueprint.nodes().len() - 1],
            "the network has no ReLU, so nothing would spike",
        ),
    }
}

/// The same blueprint with averages instead of maxima, which other tools and NIR files support for spikes; to be fine-tuned.
///
/// # Errors
/// If the result is not a valid blueprint.
pub fn average_pooled_form(blueprint: &Blueprint) -> Result<Blueprint> {
    let mut nodes = blueprint.nodes().to_vec();
    for node in &mut nodes {
        if let NodeKind::MaxPool2d(pool) = node.kind {
            node.kind = NodeKind::AvgPool2d(pool);
        }
    }
    Ok(Blueprint::new(blueprint.name.clone(), nodes, blueprint.edges().to_vec())?)
}

/// The same network without batch norms and dropouts: each norm is folded into the weights before it.
///
/// # Errors
/// If a norm does not directly follow weights that feed only this norm, or a parameter is missing.
pub fn folded_form(blueprint: &Blueprint, state: &State) -> Result<(Blueprint, State)> {
    let shapes = blueprint.shapes()?;
    let mut draft = Draft::new(blueprint);
    let mut state = state.clone();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let sources = draft.sources(index);
        match (&node.kind, &sources[..]) {
            (NodeKind::Dropout { .. }, &[source]) => draft.remove(index, source),
            (NodeKind::BatchNorm { epsilon, .. }, _) => {
                let source = match sources[..] {
                    [source] if draft.targets(source) == [index] => source,
                    _ => {
                        return refuse(
                            node,
                            "a batch norm can only be folded into weights that feed nothing else",
                        );
                    }
                };
                let weights = blueprint.nodes()[source].kind.weights(shapes.input(source));
                let Some(channels) = weights.map(|weights| weights.outputs()) else {
                    return refuse(node, "there are no weights before this batch norm to fold it into");
                };
                let before = draft.nodes[&source].name.clone();
                let mut take = |name: &str| {
                    let name = format!("{}.{name}", node.name);
                    let missing = || Error::MissingTensor { name: name.clone(), expected: vec![channels] };
                    state.remove(&name).filter(|tensor| tensor.values.len() == channels).ok_or_else(missing)
                };
                let [gamma, beta] = [take("weight")?.values, take("bias")?.values];
                let [mean, variance] = [take("running_mean")?.values, take("running_var")?.values];
                let factors: Vec<f32> =
                    gamma.iter().zip(&variance).map(|(g, v)| g / (v + *epsilon as f32).sqrt()).collect();
                let name = format!("{before}.weight");
                let Some(weight) = state.get_mut(&name) else {
                    return Err(Error::MissingTensor { name, expected: vec![channels] });
                };
                let row = weight.values.len() / channels.max(1);
                for (row, factor) in weight.values.chunks_exact_mut(row.max(1)).zip(&factors) {
                    row.iter_mut().for_each(|w| *w *= factor);
                }
                let old = state.get(&format!("{before}.bias")).map(|bias| bias.values.clone());
                let bias = (0..channels)
                    .map(|c| beta[c] + factors[c] * (old.as_ref().map_or(0.0, |old| old[c]) - mean[c]))
                    .collect();
                state.insert(format!("{before}.bias"), StateTensor { shape: vec![channels], values: bias });
                if let Some(before) = draft.nodes.get_mut(&source) {
                    match &mut before.kind {
                        NodeKind::Linear { out_features } => before.kind = NodeKind::affine(*out_features),
                        NodeKind::Conv1d(Conv1d { bias, .. }) | NodeKind::Conv2d(Conv2d { bias, .. }) => {
                            *bias = true
                        }
                        _ => {}
                    }
                }
                draft.remove(index, source);
            }
            _ => {}
        }
    }
    Ok((draft.finish()?, state))
}

/// The spiking form of a quantized network (see the [module](self)): integrate-and-fire neurons. It runs for any number of
/// steps with the input as a constant current, and its answer is the mean output.
///
/// # Errors
/// If a node has no spiking form (batch norms must be [folded](folded_form), ReLUs [quantized](quantized_form)), or a
/// parameter is missing.
pub fn integrate_and_fire_form(blueprint: &Blueprint, state: &State) -> Result<(Blueprint, State)> {
    let shapes = blueprint.shapes()?;
    let mut draft = Draft::new(blueprint);
    let mut state = state.clone();
    // The value in the dense network that one unit of a node's output represents.
    let mut worth: Vec<f32> = vec![1.0; blueprint.nodes().len()];
    for &index in shapes.order() {
        let node = &blueprint.nodes()[index];
        let sources = draft.sources(index);
        let common = match sources[..] {
            [] => 1.0,
            [first, ref others @ ..] if others.iter().all(|&other| worth[other] == worth[first]) => {
                worth[first]
            }
            _ => 1.0,
        };
        // Whether the node can take its input in units of `common`; otherwise each edge gets a factor.
        let absorbs = match &node.kind {
            NodeKind::Affine { .. } | NodeKind::Linear { .. } | NodeKind::Conv1d(_) | NodeKind::Conv2d(_) => {
                let name = format!("{}.weight", node.name);
                let Some(weight) = state.get_mut(&name) else {
                    return Err(Error::MissingTensor { name, expected: Vec::new() });
                };
                weight.values.iter_mut().for_each(|w| *w *= common);
                worth[index] = 1.0;
                true
            }
            NodeKind::SumPool2d(_)
            | NodeKind::AvgPool2d(_)
            | NodeKind::GlobalAvgPool
            | NodeKind::Flatten { .. }
            | NodeKind::Dropout { .. } => {
                worth[index] = common;
                true
            }
            NodeKind::MaxPool2d(pool) => {
                if let Some(node) = draft.nodes.get_mut(&index) {
                    node.kind = NodeKind::CountMaxPool2d(*pool);
                }
                worth[index] = common;
                true
            }
            NodeKind::QuantizedReLU { .. } => {
                let name = format!("{}.threshold", node.name);
                let Some(threshold) = state.remove(&name).and_then(|tensor| tensor.values.first().copied())
                else {
                    return Err(Error::MissingTensor { name, expected: vec![1] });
                };
                let threshold = threshold.max(gyrus_tensor::SMALLEST_THRESHOLD);
                if let Some(node) = draft.nodes.get_mut(&index) {
                    node.kind = NodeKind::soft_if(f64::from(threshold));
                }
                worth[index] = threshold;
                false
            }
            NodeKind::Input { .. } => true,
            NodeKind::Output => false,
            NodeKind::BatchNorm { .. } => return refuse(node, "fold batch norms first"),
            NodeKind::Scale
            | NodeKind::CountMaxPool2d(_)
            | NodeKind::Delay { .. }
            | NodeKind::Threshold { .. }
            | NodeKind::I { .. }
            | NodeKind::IF { .. }
            | NodeKind::LI { .. }
            | NodeKind::LIF { .. }
            | NodeKind::CubaLI { .. }
            | NodeKind::CubaLIF { .. }
            | NodeKind::AdaptiveLIF { .. }
            | NodeKind::SignedIF { .. }
            | NodeKind::ReLU
            | without_spiking_form!() => return refuse(node, "it has no spiking form"),
        };
        let differ = sources.iter().any(|&source| worth[source] != common);
        for source in sources {
            let factor = worth[source];
            if factor != 1.0 && (!absorbs || differ) {
                let shape: &Shape = shapes.output(source);
                let name = draft.between(source, index);
                let count = shape.elements().unwrap_or(0);
                let values = StateTensor { shape: shape.to_vec(), values: vec![factor; count] };
                state.insert(format!("{name}.scale"), values);
                draft.insert((source, index), name, NodeKind::Scale);
            }
        }
    }
    Ok((draft.finish()?, state))
}
