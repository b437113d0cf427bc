//! From a dense network to spiking ones.
//!
//! 1. [`quantized_form`]: every ReLU becomes a [`NodeKind::QuantizedReLU`], whose levels spikes can say. It is trained (or
//!    fine-tuned) as a dense network.
//! 2. [`folded_form`]: batch norms become part of the weights before them, dropouts vanish.
//! 3. [`integrate_and_fire_form`] (Bu et al. 2022, arXiv:2303.04347): each quantised ReLU with threshold λ becomes an
//!    integrate-and-fire node with that threshold, soft reset and half of it at the start; a spike stands for λ, which is
//!    multiplied into the weights behind it. Over T steps the mean output approaches the quantised network's.
//!
//! 4. Or [`exact_form`]: signed spikes, whose answer equals that of the quantised network bit for bit.
//!
//! Whatever has no spiking form is an error that names the node.

mod exact;

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, Node, NodeKind, Shape};

use crate::NetworkError;
use gyrus_files::{State, StateTensor};

pub use exact::{ExactForm, exact_form};

/// A blueprint taken apart, to be changed and put together again.
struct Draft {
    name: String,
    nodes: BTreeMap<usize, Node>,
    edges: Vec<(usize, usize)>,
    next: usize,
}

impl Draft {
    fn new(blueprint: &Blueprint) -> Self {
        Self {
            name: blueprint.name.clone(),
            nodes: blueprint.nodes().iter().cloned().enumerate().collect(),
            edges: blueprint.edges().to_vec(),
            next: blueprint.nodes().len(),
        }
    }

    fn sources(&self, node: usize) -> Vec<usize> {
        self.edges.iter().filter(|edge| edge.1 == node).map(|edge| edge.0).collect()
    }

    fn targets(&self, node: usize) -> Vec<usize> {
        self.edges.iter().filter(|edge| edge.0 == node).map(|edge| edge.1).collect()
    }

    /// Takes out a node with one source; its targets are fed by that source.
    fn remove(&mut self, node: usize, source: usize) {
        self.edges.retain(|edge| edge.1 != node);
        self.edges.iter_mut().filter(|edge| edge.0 == node).for_each(|edge| edge.0 = source);
        self.nodes.remove(&node);
    }

    /// Puts a node on an edge.
    fn insert(&mut self, (from, to): (usize, usize), name: String, kind: NodeKind) {
        let new = self.next;
        self.next += 1;
        self.nodes.insert(new, Node { name, kind });
        self.edges.iter_mut().filter(|edge| **edge == (from, to)).for_each(|edge| edge.0 = new);
        self.edges.push((from, new));
    }

    /// A free name for a node between two others.
    fn between(&self, from: usize, to: usize) -> String {
        let name_of = |node: usize| self.nodes.get(&node).map_or("", |node| node.name.as_str());
        let mut name = format!("{}.to.{}", name_of(from), name_of(to));
        while self.nodes.values().any(|node| node.name == name) {
            name.push('_');
        }
        name
    }

    fn finish(self) -> Result<Blueprint, NetworkError> {
        let places: BTreeMap<usize, usize> =
            self.nodes.keys().enumerate().map(|(place, &key)| (key, place)).collect();
        let edges = self.edges.iter().map(|(from, to)| (places[from], places[to])).collect();
        Ok(Blueprint::new(self.name, self.nodes.into_values().collect(), edges)?)
    }
}

fn refuse<T>(node: &Node, reason: &'static str) -> Result<T, NetworkError> {
    Err(NetworkError::NotConvertible { node: node.name.clone(), kind: node.kind.name(), reason })
}

/// The same blueprint with every ReLU saturating in `levels` steps.
///
/// # Errors
/// If a node has no spiking form, or there is no ReLU.
pub fn quantized_form(blueprint: &Blueprint, levels: usize) -> Result<Blueprint, NetworkError> {
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
            | NodeKind::Conv1d { .. }
            | NodeKind::Conv2d { .. }
            | NodeKind::SumPool2d { .. }
            | NodeKind::AvgPool2d { .. }
            | NodeKind::MaxPool2d { .. }
            | NodeKind::GlobalAvgPool
            | NodeKind::Flatten { .. }
            | NodeKind::BatchNorm { .. }
            | NodeKind::Dropout { .. } => {}
            kind if kind.has_state() => return refuse(node, "the network spikes already"),
            _ => return refuse(node, "only ReLU activations, weights, pools and batch norms become spiking"),
        }
    }
    match found {
        true => Ok(Blueprint::new(blueprint.name.clone(), nodes, blueprint.edges().to_vec())?),
        false => refuse(
            &blueprint.nodes()[blueprint.nodes().len() - 1],
            "the network has no ReLU, so nothing in it would spike",
        ),
    }
}

/// The same blueprint with averages in place of maxima, which other tools and NIR files know for spikes; to be trained on.
///
/// # Errors
/// If the result is no valid blueprint.
pub fn average_pooled_form(blueprint: &Blueprint) -> Result<Blueprint, NetworkError> {
    let mut nodes = blueprint.nodes().to_vec();
    for node in &mut nodes {
        if let NodeKind::MaxPool2d { kernel, stride, padding } = node.kind {
            node.kind = NodeKind::AvgPool2d { kernel, stride, padding };
        }
    }
    Ok(Blueprint::new(blueprint.name.clone(), nodes, blueprint.edges().to_vec())?)
}

fn channels(kind: &NodeKind) -> Option<usize> {
    match kind {
        NodeKind::Affine { out_features } | NodeKind::Linear { out_features } => Some(*out_features),
        NodeKind::Conv1d { out_channels, .. } | NodeKind::Conv2d { out_channels, .. } => Some(*out_channels),
        _ => None,
    }
}

/// The same network without batch norms and dropouts: each norm becomes part of the weights before it.
///
/// # Errors
/// If a norm does not follow weights that feed nothing else, or a number is missing.
pub fn folded_form(blueprint: &Blueprint, state: &State) -> Result<(Blueprint, State), NetworkError> {
    let mut draft = Draft::new(blueprint);
    let mut state = state.clone();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let sources = draft.sources(index);
        match (&node.kind, &sources[..]) {
            (NodeKind::Dropout { .. }, &[source]) => draft.remove(index, source),
            (NodeKind::BatchNorm { epsilon, .. }, _) => {
                let source = match sources[..] {
                    [source] if draft.targets(source) == [index] => source,
                    _ => return refuse(node, "a batch norm is folded into weights that feed it alone"),
                };
                let Some(channels) = draft.nodes.get(&source).and_then(|node| channels(&node.kind)) else {
                    return refuse(
                        node,
                        "a batch norm is folded into the weights before it, and there are none",
                    );
                };
                let before = draft.nodes[&source].name.clone();
                let mut take = |name: &str| {
                    let name = format!("{}.{name}", node.name);
                    let missing =
                        || NetworkError::MissingTensor { name: name.clone(), expected: vec![channels] };
                    state.remove(&name).filter(|tensor| tensor.values.len() == channels).ok_or_else(missing)
                };
                let [gamma, beta] = [take("weight")?.values, take("bias")?.values];
                let [mean, variance] = [take("running_mean")?.values, take("running_var")?.values];
                let factors: Vec<f32> =
                    gamma.iter().zip(&variance).map(|(g, v)| g / (v + *epsilon as f32).sqrt()).collect();
                let name = format!("{before}.weight");
                let Some(weight) = state.get_mut(&name) else {
                    return Err(NetworkError::MissingTensor { name, expected: vec![channels] });
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
                        NodeKind::Conv1d { bias, .. } | NodeKind::Conv2d { bias, .. } => *bias = true,
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

/// The spiking network of a quantised one (see the [module](self)): integrate-and-fire neurons, to be run for any number of
/// steps with the input as a constant current and the mean output as the answer.
///
/// # Errors
/// If a node has no spiking form (batch norms must be [folded](folded_form), ReLUs [quantised](quantized_form)), or a
/// number is missing.
pub fn integrate_and_fire_form(
    blueprint: &Blueprint,
    state: &State,
) -> Result<(Blueprint, State), NetworkError> {
    let shapes = blueprint.shapes()?;
    let mut draft = Draft::new(blueprint);
    let mut state = state.clone();
    // What one unit of a node's output stands for in the dense network.
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
        // Whether the node can take its input in units of `common`; else each edge gets a factor.
        let absorbs = match &node.kind {
            NodeKind::Affine { .. }
            | NodeKind::Linear { .. }
            | NodeKind::Conv1d { .. }
            | NodeKind::Conv2d { .. } => {
                let name = format!("{}.weight", node.name);
                let Some(weight) = state.get_mut(&name) else {
                    return Err(NetworkError::MissingTensor { name, expected: Vec::new() });
                };
                weight.values.iter_mut().for_each(|w| *w *= common);
                worth[index] = 1.0;
                true
            }
            NodeKind::SumPool2d { .. }
            | NodeKind::AvgPool2d { .. }
            | NodeKind::GlobalAvgPool
            | NodeKind::Flatten { .. }
            | NodeKind::Dropout { .. } => {
                worth[index] = common;
                true
            }
            NodeKind::MaxPool2d { kernel, stride, padding } => {
                let [kernel, stride, padding] = [*kernel, *stride, *padding];
                if let Some(node) = draft.nodes.get_mut(&index) {
                    node.kind = NodeKind::CountMaxPool2d { kernel, stride, padding };
                }
                worth[index] = common;
                true
            }
            NodeKind::QuantizedReLU { .. } => {
                let name = format!("{}.threshold", node.name);
                let Some(threshold) = state.remove(&name).and_then(|tensor| tensor.values.first().copied())
                else {
                    return Err(NetworkError::MissingTensor { name, expected: vec![1] });
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
            _ => return refuse(node, "it has no spiking form"),
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
