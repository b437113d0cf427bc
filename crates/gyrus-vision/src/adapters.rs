//! Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) of networks with attention: beside each linear layer over tokens,
//! `y = W x + b`, stands `B (A x)` with matrices of a small rank, which learn while `W` stays. `B` begins with zeros, so that
//! learning begins with the network as it was; its alpha is the rank, so that nothing is scaled. Afterwards, `W + B A` is one
//! matrix again.

use gyrus_blueprint::{Blueprint, Conv1d, Node, NodeKind};
use gyrus_files::State;
use gyrus_nn::Network;
use gyrus_tensor::Device;

use crate::transfer::last_node;
use crate::{Error, Result};

/// What the names of the two matrices' nodes add to that of their layer.
const DOWN: &str = ".lora_a";
const UP: &str = ".lora_b";
/// The largest rank.
const MOST: usize = 4096;

/// Whether a node is a linear layer over tokens.
fn adapts(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Conv1d(Conv1d { kernel: 1, stride: 1, groups: 1, .. }))
}

/// The network with adapters of this rank beside each linear layer over tokens. Its other parameters are as they were.
///
/// # Errors
/// [`Error::Setting`] for a network without such layers, or a rank of 0 or beyond all sense.
pub fn add(
    blueprint: &Blueprint,
    parameters: &State,
    rank: usize,
    seed: u64,
    device: &Device,
) -> Result<(Blueprint, State)> {
    if !(1..=MOST).contains(&rank) {
        return Err(Error::Setting { setting: "the rank", got: rank.to_string(), expected: "1 to 4096" });
    }
    let attends = blueprint.nodes().iter().any(|node| matches!(node.kind, NodeKind::SelfAttention { .. }));
    if !attends {
        return Err(Error::Setting {
            setting: "the network",
            got: format!("`{}`, which has no attention", blueprint.name),
            expected: "a vision transformer: adapters stand beside linear layers over tokens",
        });
    }
    let (sources, targets) = (blueprint.sources(), blueprint.targets());
    let mut nodes = blueprint.nodes().to_vec();
    let mut edges = blueprint.edges().to_vec();
    for (index, node) in blueprint.nodes().iter().enumerate().filter(|(_, node)| adapts(&node.kind)) {
        let NodeKind::Conv1d(Conv1d { out_channels, .. }) = node.kind else { continue };
        let down = nodes.len();
        let linear = |outputs| NodeKind::from(NodeKind::conv1d(outputs, 1).bias(false));
        nodes.push(Node { name: format!("{}{DOWN}", node.name), kind: linear(rank) });
        nodes.push(Node { name: format!("{}{UP}", node.name), kind: linear(out_channels) });
        edges.extend(sources[index].iter().map(|&source| (source, down)));
        edges.push((down, down + 1));
        edges.extend(targets[index].iter().map(|&target| (down + 1, target)));
    }
    let blueprint = Blueprint::new(blueprint.name.clone(), nodes, edges)?;
    let mut state = Network::new(&blueprint, seed, device)?.state();
    for (name, tensor) in &mut state {
        if name.ends_with(&format!("{UP}.weight")) {
            tensor.values.fill(0.0);
        }
    }
    state.extend(parameters.iter().map(|(name, tensor)| (name.clone(), tensor.clone())));
    Ok((blueprint, state))
}

/// Which parameters learn in a network with adapters: theirs and those of the last layer.
///
/// # Errors
/// [`Error::Cut`] if the network has no single last layer.
pub fn learned(blueprint: &Blueprint) -> Result<impl Fn(&str) -> bool + use<>> {
    let last = format!("{}.", blueprint.nodes()[last_node(blueprint)?].name);
    Ok(move |name: &str| {
        let node = name.rsplit_once('.').map_or(name, |(node, _)| node);
        node.ends_with(DOWN) || node.ends_with(UP) || name.starts_with(&last)
    })
}

/// The network without its adapters, which become part of the matrices beside them; unchanged where it has none.
///
/// # Errors
/// What the blueprint is refused for, if it was changed by hand.
pub fn merged(blueprint: &Blueprint, parameters: &State) -> Result<(Blueprint, State)> {
    let is_part = |name: &str| name.ends_with(DOWN) || name.ends_with(UP);
    let mut state = parameters.clone();
    for node in blueprint.nodes() {
        let part = |end: &str| state.get(&format!("{}{end}.weight", node.name)).cloned();
        let (Some(down), Some(up)) = (part(DOWN), part(UP)) else { continue };
        let rank = down.shape.first().copied().unwrap_or(0);
        let Some(weight) = state.get_mut(&format!("{}.weight", node.name)) else { continue };
        let (outputs, inputs) = (up.values.len() / rank.max(1), down.values.len() / rank.max(1));
        if rank == 0 || weight.values.len() != outputs * inputs {
            continue;
        }
        for (row, up) in weight.values.chunks_exact_mut(inputs).zip(up.values.chunks_exact(rank)) {
            for (factor, down) in up.iter().zip(down.values.chunks_exact(inputs)) {
                row.iter_mut().zip(down).for_each(|(weight, down)| *weight += factor * down);
            }
        }
    }
    state.retain(|name, _| !is_part(name.rsplit_once('.').map_or(name, |(node, _)| node)));
    let kept: Vec<usize> =
        (0..blueprint.nodes().len()).filter(|&index| !is_part(&blueprint.nodes()[index].name)).collect();
    let place = |node: usize| kept.binary_search(&node).ok();
    let nodes = kept.iter().map(|&index| blueprint.nodes()[index].clone()).collect();
    let edges = blueprint.edges().iter().filter_map(|&(from, to)| Some((place(from)?, place(to)?)));
    Ok((Blueprint::new(blueprint.name.clone(), nodes, edges.collect())?, state))
}
