//! The spiking form of a dense blueprint, to be trained from the start.

use gyrus_blueprint::{Blueprint, Discretization, Integration, NodeKind, Reset};

use crate::spiking::{Readout, SpikingSettings};

/// The spiking form of a dense blueprint, to be trained: each ReLU becomes a leaky integrate-and-fire node with
/// `tau_membrane_ms`, this reset and a threshold of 1. For [`Readout::Counts`] and [`Readout::FirstSpike`], neurons are
/// added before the Output. Blueprints with neurons stay unchanged.
///
/// The resistance makes the gain of a step 1, as in snnTorch: a single spike must be able to make the next neuron fire, or
/// sparse codes leave deep layers silent.
///
/// # Errors
/// If the result is not a valid blueprint.
pub fn spiking_form(
    blueprint: &Blueprint,
    tau_membrane_ms: f64,
    reset: Reset,
    settings: &SpikingSettings,
) -> gyrus_blueprint::Result<Blueprint> {
    let Discretization { dt_ms, integration } = settings.time;
    let kept = match integration {
        Integration::Exact => (-dt_ms / tau_membrane_ms).exp(),
        Integration::Euler => 1.0 - dt_ms / tau_membrane_ms,
    };
    let neuron = || {
        let mut kind = NodeKind::lif(tau_membrane_ms);
        if let NodeKind::LIF { resistance, reset: own, .. } = &mut kind {
            *resistance = 1.0 / (1.0 - kept);
            *own = reset;
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

    #[test]
    fn relus_become_neurons_and_the_answer_spikes_if_it_is_counted() {
        let dense = gyrus_blueprint::preset("digits-cnn", [1, 8, 8], 10).unwrap();
        let settings = |readout| SpikingSettings { readout, ..SpikingSettings::default() };
        let spiking = spiking_form(&dense, 2.0, Reset::Subtract, &settings(Readout::Membrane)).unwrap();
        let neurons = |b: &Blueprint| b.nodes().iter().filter(|node| node.kind.neuron().is_some()).count();
        assert_eq!((neurons(&spiking), spiking.nodes().len()), (3, dense.nodes().len()));
        let counted = spiking_form(&dense, 2.0, Reset::Subtract, &settings(Readout::Counts)).unwrap();
        assert_eq!((neurons(&counted), counted.nodes().len()), (4, dense.nodes().len() + 1));
        assert_eq!(spiking_form(&counted, 9.0, Reset::Hard, &settings(Readout::Counts)).unwrap(), counted);
    }
}
