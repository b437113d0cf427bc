//! Counts of work against the neurobench package: equal to the last digit.
//!
//! `golden/neurobench.json` comes from `golden/neurobench_metrics.py`.

use crate::common::{spikes, tensor, tensors};
use gyrus_blueprint::{Blueprint, Discretization, NodeKind, Padding, Reset};
use gyrus_nn::neurobench::neurobench_metrics;
use gyrus_nn::workload::footprint;
use gyrus_nn::{Encoder, Network, SpikingSettings, StateTensor, floats};
use gyrus_tensor::{Tensor, TensorData, cpu};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/neurobench.json")).unwrap()
}

fn network(golden: &Value, name: &str) -> Value {
    golden["networks"].as_array().unwrap().iter().find(|network| network["name"] == name).unwrap().clone()
}

/// snnTorch's Leaky of beta = e^(−1/4), which does not scale its input.
fn leaky(reset: Reset) -> NodeKind {
    let mut kind = NodeKind::lif(4.0);
    if let NodeKind::LIF { resistance, reset: own, .. } = &mut kind {
        *resistance = 1.0 / (1.0 - (-0.25f64).exp());
        *own = reset;
    }
    kind
}

/// Its Synaptic with alpha = e^(−1/2).
fn synaptic() -> NodeKind {
    NodeKind::CubaLIF {
        tau_synapse_ms: 2.0,
        tau_membrane_ms: 4.0,
        resistance: 1.0 / (1.0 - (-0.25f64).exp()),
        v_leak: 0.0,
        w_in: 1.0 / (1.0 - (-0.5f64).exp()),
        v_threshold: 1.0,
        v_reset: 0.0,
        reset: Reset::Hard,
        per_neuron: Vec::new(),
        learned: Vec::new(),
    }
}

/// `[samples, steps, channels, height, width]` or `[samples, steps, elements]` as rows, channels last.
fn samples(x: &StateTensor) -> Tensor<2> {
    let (samples, steps) = (x.shape[0], x.shape[1]);
    let [channels, height, width] = match x.shape[2..] {
        [channels, height, width] => [channels, height, width],
        _ => [x.shape[2], 1, 1],
    };
    let data = TensorData::new(x.values.clone(), [samples * steps, channels, height, width]);
    let columns = steps * channels * height * width;
    Tensor::<4>::from_data(data, &cpu()).permute([0, 2, 3, 1]).reshape([samples, columns])
}

fn check(name: &str, blueprint: &Blueprint) {
    let golden = network(&golden(), name);
    let steps = golden["steps"].as_u64().unwrap() as usize;
    let settings = SpikingSettings {
        steps,
        time: Discretization::default(),
        encoder: Encoder::Frames { binary: false },
        ..SpikingSettings::default()
    };
    let state = tensors(&golden["parameters"]);
    let network = Network::with_state(blueprint, Some(&settings), &state, &cpu()).unwrap();
    let x = samples(&tensor(&golden["x"]));
    let count = x.dims()[0];
    let batch = golden["batch"].as_u64().unwrap() as usize;
    let parts: Vec<Tensor<2>> =
        (0..count).step_by(batch).map(|first| x.clone().narrow(0, first, batch.min(count - first))).collect();

    // Without equal spikes, equal counts would be luck.
    let expected = spikes(&golden["spikes"]);
    let answers = floats(network.observe(x).unwrap().0);
    let outputs = answers.len() / (steps * count);
    for (index, expected) in expected.iter().enumerate() {
        let (sample, step, output) = (index / outputs / steps, index / outputs % steps, index % outputs);
        assert_eq!(answers[(step * count + sample) * outputs + output], *expected, "{name}: spike {index}");
    }

    let got = neurobench_metrics(&network, parts).unwrap();
    let expected = &golden["metrics"];
    let operations = &expected["SynapticOperations"];
    let numbers = [
        ("Footprint", got.footprint_bytes as f64, &expected["Footprint"]),
        ("ParameterCount", got.parameters as f64, &expected["ParameterCount"]),
        ("ConnectionSparsity", got.connection_sparsity, &expected["ConnectionSparsity"]),
        ("ActivationSparsity", got.activation_sparsity, &expected["ActivationSparsity"]),
        ("Effective_MACs", got.effective_macs, &operations["Effective_MACs"]),
        ("Effective_ACs", got.effective_acs, &operations["Effective_ACs"]),
        ("Dense", got.dense_operations, &operations["Dense"]),
        ("MembraneUpdates", got.membrane_updates, &expected["MembraneUpdates"]),
    ];
    for (what, got, expected) in numbers {
        assert_eq!(Some(got), expected.as_f64(), "{name}: {what}");
    }
}

#[test]
fn a_convolutional_network_counts_as_neurobench_does() {
    let blueprint = Blueprint::builder("convolutional")
        .input([2, 6, 6])
        .node("conv1", NodeKind::conv2d(4, 3).padding(Padding::Same))
        .node("cells1", leaky(Reset::Hard))
        .node("conv2", NodeKind::conv2d(6, 3).stride(2).bias(false))
        .node("cells2", leaky(Reset::Hard))
        .node("pool", NodeKind::avg_pool2d(2))
        .node("flatten", NodeKind::flatten())
        .node("linear", NodeKind::affine(5))
        .node("cells3", leaky(Reset::Hard))
        .node("last", NodeKind::affine(3))
        .node("answer", leaky(Reset::Hard))
        .build()
        .unwrap();
    check("convolutional", &blueprint);
}

#[test]
fn a_recurrent_network_counts_as_neurobench_does() {
    let blueprint = Blueprint::builder("recurrent")
        .input([9])
        .node("first", NodeKind::affine(12))
        .node("cells", leaky(Reset::Subtract))
        .node("back", NodeKind::affine(12))
        .edge("back", "cells")
        .from("cells")
        .node("second", NodeKind::linear(8))
        .node("synaptic", synaptic())
        .node("last", NodeKind::affine(3))
        .node("answer", leaky(Reset::Hard))
        .build()
        .unwrap();
    check("recurrent", &blueprint);
}

#[test]
fn buffers_of_a_normalization_count() {
    let golden = network(&golden(), "normalized");
    let blueprint = Blueprint::builder("normalized")
        .input([2, 3, 3])
        .node("conv", NodeKind::conv2d(4, 3))
        .node("norm", NodeKind::batch_norm())
        .node("cells", leaky(Reset::Hard))
        .build()
        .unwrap();
    let settings = SpikingSettings::default();
    let network = Network::with(&blueprint, Some(&settings), 0, &cpu()).unwrap();
    let got = neurobench_metrics(&network, [Tensor::zeros([1, 18], &cpu())]).unwrap();
    assert_eq!(Some(got.footprint_bytes), golden["metrics"]["Footprint"].as_u64());
    assert_eq!(Some(got.parameters), golden["metrics"]["ParameterCount"].as_u64());
    // Our files hold no counters and no scalars of neurons.
    assert_eq!(footprint(&blueprint, &network.state()).unwrap().bytes, got.footprint_bytes - 28);
}

/// A constant input counts at every step, as if it were presented again; an input that arrives once counts once.
#[test]
fn a_constant_input_counts_at_every_step() {
    let blueprint = Blueprint::builder("two")
        .input([5])
        .node("first", NodeKind::affine(4))
        .node("cells", leaky(Reset::Hard))
        .build()
        .unwrap();
    let settings = |encoder| SpikingSettings { steps: 7, encoder, ..SpikingSettings::default() };
    let direct = Network::with(&blueprint, Some(&settings(Encoder::Direct)), 3, &cpu()).unwrap();
    let frames = settings(Encoder::Frames { binary: false });
    let frames = Network::with_state(&blueprint, Some(&frames), &direct.state(), &cpu()).unwrap();
    let values = vec![0.5, 0.0, 1.0, -2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
    let x: Tensor<2> = Tensor::from_data(TensorData::new(values, [2, 5]), &cpu());
    let once = settings(Encoder::Once { fraction_bits: 8, limit: 4.0 });
    let once = Network::with_state(&blueprint, Some(&once), &direct.state(), &cpu()).unwrap();
    let once = neurobench_metrics(&once, [x.clone()]).unwrap();
    assert_eq!((once.effective_macs, once.dense_operations), (4.0 * 5.0 / 2.0, 7.0 * 20.0));
    let shown = x.clone().repeat_dim(1, 7);
    let got = neurobench_metrics(&direct, [x]).unwrap();
    assert_eq!(got, neurobench_metrics(&frames, [shown]).unwrap());
    assert_eq!((got.effective_macs, got.dense_operations), (7.0 * 4.0 * 5.0 / 2.0, 7.0 * 20.0));
}

#[test]
fn nodes_that_cannot_be_counted_are_refused_by_name() {
    let dense = Blueprint::builder("dense").input([3]).node("relu", NodeKind::ReLU).build().unwrap();
    let network = Network::new(&dense, 0, &cpu()).unwrap();
    let refusal = |network: &Network| {
        neurobench_metrics(network, [Tensor::zeros([1, 3], &cpu())]).unwrap_err().to_string()
    };
    assert!(refusal(&network).contains("spiking"), "{}", refusal(&network));
    let network = Network::with(&dense, Some(&SpikingSettings::default()), 0, &cpu()).unwrap();
    assert!(refusal(&network).contains("`relu` (ReLU)"), "{}", refusal(&network));
    let signed = NodeKind::SignedIF { levels: 4, threshold: 1.0 };
    let signed = Blueprint::builder("signed").input([3]).node("cell", signed).build().unwrap();
    let network = Network::with(&signed, Some(&SpikingSettings::default()), 0, &cpu()).unwrap();
    assert!(refusal(&network).contains("`cell` (SignedIF)"), "{}", refusal(&network));
}
