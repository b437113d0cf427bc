//! Whole spiking networks: gradients against PyTorch's autograd, readouts, and independence of samples.
//!
//! Finite differences do not see spikes, so the gradients are compared with those of other libraries with the same surrogate:
//! `golden/networks_in_time.json` comes from `golden/networks_in_time.py`.

use crate::common::{channels_last, close, rows, targets, tensor, tensors};
use gyrus_blueprint::{Blueprint, Discretization, Integration, NodeKind, Padding, Reset};
use gyrus_nn::{Encoder, Intensity, Network, Readout, SpikingSettings, StateTensor, floats};
use gyrus_tensor::{Operation, Tensor, cpu};
use serde_json::Value;

fn lif(tau_membrane_ms: f64, reset: Reset) -> NodeKind {
    let mut kind = NodeKind::lif(tau_membrane_ms);
    if let NodeKind::LIF { reset: own, .. } = &mut kind {
        *own = reset;
    }
    kind
}

fn blueprint(name: &str) -> Blueprint {
    let builder = Blueprint::builder(name);
    match name {
        "classifier" => builder
            .input([6])
            .node("first", NodeKind::affine(8))
            .node("cells", lif(3.0, Reset::Subtract))
            .node("second", NodeKind::affine(3))
            .node(
                "answer",
                NodeKind::LI {
                    tau_membrane_ms: 5.0,
                    resistance: 1.0,
                    v_leak: 0.0,
                    per_neuron: Vec::new(),
                    learned: Vec::new(),
                },
            ),
        "counter" => builder
            .input([6])
            .node("first", NodeKind::affine(8))
            .node("cells", lif(3.0, Reset::Hard))
            .node("second", NodeKind::affine(3))
            .node("answer", lif(2.0, Reset::Subtract)),
        "pictures" => builder
            .input([2, 12, 12])
            .node("conv1", NodeKind::conv2d(4, 3).padding(Padding::Same))
            .node("cells1", lif(2.0, Reset::Hard))
            .node("pool1", NodeKind::max_pool2d(2))
            .node("conv2", NodeKind::conv2d(5, 3))
            .node(
                "cells2",
                NodeKind::IF {
                    resistance: 1.0,
                    v_threshold: 1.0,
                    v_reset: 0.0,
                    reset: Reset::Subtract,
                    v_start: 0.0,
                    per_neuron: Vec::new(),
                    learned: Vec::new(),
                },
            )
            .node("pool2", NodeKind::avg_pool2d(2))
            .node("flatten", NodeKind::flatten())
            .node("last", NodeKind::affine(3)),
        "recurrent" => {
            let decay = (-0.25f64).exp();
            let mut cells = lif(4.0, Reset::Hard);
            if let NodeKind::LIF { resistance, .. } = &mut cells {
                *resistance = 1.0 / (1.0 - decay);
            }
            builder
                .input([6])
                .node("first", NodeKind::affine(8))
                .node("cells", cells)
                .node("back", NodeKind::affine(8))
                .edge("back", "cells")
                .from("cells")
                .node("last", NodeKind::affine(3))
        }
        other => panic!("no network {other}"),
    }
    .build()
    .unwrap()
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/networks_in_time.json")).unwrap()
}

/// The network of a golden file, its settings without a variant's, and its samples.
fn read(golden: &Value, name: &str) -> (Network, Tensor<2>) {
    let network = golden["networks"].as_array().unwrap().iter().find(|network| network["name"] == name);
    let network = network.unwrap();
    let x = tensor(&network["x"]);
    let pictures = name == "pictures";
    let x = if pictures { channels_last(&x) } else { rows(x) };
    let settings = plain(golden, name);
    let network =
        Network::with_state(&blueprint(name), Some(&settings), &tensors(&network["parameters"]), &cpu());
    (network.unwrap(), x)
}

fn plain(golden: &Value, name: &str) -> SpikingSettings {
    SpikingSettings {
        steps: golden["steps"].as_u64().unwrap() as usize,
        time: Discretization {
            dt_ms: 1.0,
            integration: match name {
                "recurrent" => Integration::Exact,
                _ => Integration::Euler,
            },
        },
        encoder: if name == "pictures" { Encoder::Direct } else { Encoder::Frames { binary: false } },
        surrogate: "atan:2".to_owned(),
        readout: if name == "counter" { Readout::Counts } else { Readout::Membrane },
        ..SpikingSettings::default()
    }
}

fn cross_entropy(targets: Vec<u32>) -> Operation {
    Operation::CrossEntropy { targets: targets.into(), classes: 3, smoothing: 0.0 }
}

#[test]
fn gradients_of_networks_equal_autograd() {
    let golden = golden();
    let mut variants = 0;
    for case in golden["networks"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        for variant in case["variants"].as_array().unwrap() {
            variants += 1;
            let (network, x) = read(&golden, name);
            let own = SpikingSettings {
                detach_reset: variant["detach_reset"].as_bool().unwrap(),
                truncate: variant["truncate"].as_u64().map(|steps| steps as usize),
                readout: serde_json::from_value(variant["readout"].clone()).unwrap(),
                ..plain(&golden, name)
            };
            let mut network =
                Network::with_state(network.blueprint(), Some(&own), &network.state(), &cpu()).unwrap();
            let loss = cross_entropy(targets(&golden["targets"]));
            let (loss, gradients) = network.gradients(x, 0, loss).unwrap();
            let what = format!("{name}, {own:?}");
            close(&format!("{what}: loss"), &[loss], &[variant["loss"].as_f64().unwrap() as f32]);
            let expected = tensors(&variant["gradients"]);
            assert_eq!(expected.len(), gradients.len(), "{what}");
            for (parameter, gradient) in network.parameters().iter().zip(gradients) {
                let what = format!("{what}: gradient of {}", parameter.name);
                close(&what, &floats(gradient.unwrap()), &expected[&parameter.name].values);
            }
        }
    }
    assert_eq!(variants, 20);
}

/// Gradients through resets or not, truncated or not, differ: otherwise the test above could not distinguish them. Only if
/// no gradient leaves its step, resets make no difference.
#[test]
fn the_variants_of_gradients_differ() {
    let golden = golden();
    let variants = golden["networks"][0]["variants"].as_array().unwrap();
    for (index, variant) in variants.iter().enumerate() {
        for other in &variants[..index] {
            let [a, b] = [variant, other].map(|variant| tensor(&variant["gradients"]["first.weight"]).values);
            let most = a.iter().zip(&b).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            let scale = a.iter().fold(0.0f32, |most, a| most.max(a.abs()));
            let alike = [variant, other].iter().all(|variant| variant["truncate"] == 1);
            assert_eq!(most > 1e-3 * scale, !alike, "{variant} and {other}");
        }
    }
}

/// Every call starts with fresh state: a sample's answer is the same alone, in any batch and at any place in it.
#[test]
fn no_sample_affects_another() {
    let golden = golden();
    for name in ["classifier", "counter", "pictures", "recurrent"] {
        let (mut network, x) = read(&golden, name);
        let batch = x.dims()[0];
        let answers = floats(network.infer(x.clone()));
        assert_eq!(answers, floats(network.infer(x.clone())), "{name}: a second time");
        for sample in 0..batch {
            let alone = floats(network.infer(x.clone().narrow(0, sample, 1)));
            assert_eq!(alone, answers[sample * 3..][..3], "{name}: sample {sample} alone");
        }
        let order = [2, 0, 3, 1];
        let mixed = Tensor::cat(order.iter().map(|&sample| x.clone().narrow(0, sample, 1)).collect(), 0);
        let expected: Vec<f32> =
            order.iter().flat_map(|&sample| answers[sample * 3..][..3].to_vec()).collect();
        assert_eq!(floats(network.infer(mixed.clone())), expected, "{name}: in another order");

        let own = targets(&golden["targets"]);
        let (loss, gradients) = network.gradients(x, 0, cross_entropy(own.clone())).unwrap();
        let own = order.iter().map(|&sample| own[sample]).collect();
        let (other, others) = network.gradients(mixed, 0, cross_entropy(own)).unwrap();
        close(&format!("{name}: loss"), &[loss], &[other]);
        for (gradient, other) in gradients.into_iter().zip(others) {
            close(&format!("{name}: gradient"), &floats(gradient.unwrap()), &floats(other.unwrap()));
        }
    }
}

/// Random spikes of the rate code depend on the sample, so that an answer does not depend on the batch.
#[test]
fn rate_coded_samples_get_the_same_spikes_in_any_batch() {
    let (network, _) = read(&golden(), "classifier");
    let settings = SpikingSettings {
        encoder: Encoder::Rate { intensity: Intensity::Logistic },
        ..plain(&golden(), "classifier")
    };
    let network =
        Network::with_state(network.blueprint(), Some(&settings), &network.state(), &cpu()).unwrap();
    let values = (0..30).map(|i| (i as f32 * 1.7).sin()).collect();
    let all = rows(StateTensor { shape: vec![5, 6], values });
    let answers = floats(network.infer(all.clone()));
    for sample in 0..5 {
        assert_eq!(floats(network.infer(all.clone().narrow(0, sample, 1))), answers[sample * 3..][..3]);
    }
}

/// Readouts, computed from the spikes themselves.
#[test]
fn readouts_compute_what_they_document() {
    let golden = golden();
    let (network, x) = read(&golden, "counter");
    let (steps, batch) = (10, x.dims()[0]);
    let (answers, _) = network.observe(x.clone()).unwrap();
    let spikes = floats(answers);
    let at = |step: usize, place: usize| spikes[step * batch * 3 + place];
    let mean = |place| (0..steps).map(|step| at(step, place)).sum::<f32>() / steps as f32;
    let first = |place| -((0..steps).find(|&step| at(step, place) != 0.0).unwrap_or(steps) as f32);
    let places = 0..batch * 3;
    assert!(
        places.clone().any(|place| mean(place) == 0.0) || places.clone().any(|place| first(place) == 0.0)
    );
    for (readout, expected) in [
        (Readout::Counts, places.clone().map(|place| mean(place) * steps as f32).collect::<Vec<f32>>()),
        (Readout::FirstSpike, places.clone().map(first).collect()),
        (Readout::Membrane, places.map(mean).collect()),
    ] {
        let settings = SpikingSettings { readout, ..plain(&golden, "counter") };
        let network =
            Network::with_state(network.blueprint(), Some(&settings), &network.state(), &cpu()).unwrap();
        close(&format!("{readout:?}"), &floats(network.infer(x.clone())), &expected);
    }
}

/// Training reduces the loss on counts, on the first spike and on the membrane.
#[test]
fn every_readout_can_be_learned() {
    let golden = golden();
    for (name, readout) in
        [("classifier", Readout::Membrane), ("counter", Readout::Counts), ("counter", Readout::FirstSpike)]
    {
        let (network, x) = read(&golden, name);
        let settings = SpikingSettings { readout, ..plain(&golden, name) };
        let mut network =
            Network::with_state(network.blueprint(), Some(&settings), &network.state(), &cpu()).unwrap();
        let mut losses = Vec::new();
        for step in 0..200 {
            let loss = cross_entropy(targets(&golden["targets"]));
            let (loss, mut gradients) = network.gradients(x.clone(), step, loss).unwrap();
            losses.push(loss);
            network.update(|index, _, value| value - gradients[index].take().unwrap().mul_scalar(0.5));
        }
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < 0.5 * first, "{readout:?}: the loss went from {first} to {last}");
    }
}

/// A potential that is not a number ends the step with an error that names the node, the step and the neuron.
#[test]
fn a_potential_that_is_not_finite_stops_training() {
    let golden = golden();
    let (mut network, x) = read(&golden, "classifier");
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = floats(x.clone());
        // Sample 1, step 3, element 2.
        values[60 + 3 * 6 + 2] = bad;
        let broken = rows(StateTensor { shape: vec![4, 60], values });
        let error = network.gradients(broken.clone(), 0, cross_entropy(vec![0; 4])).unwrap_err().to_string();
        assert!(error.contains("`cells`") && error.contains("step 3"), "{error}");
        let error = network.observe(broken).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`cells`") && error.contains("step 3"), "{error}");
    }
    network.gradients(x, 0, cross_entropy(vec![0; 4])).unwrap();
}
