//! ONNX files beside onnxruntime (`golden/onnx_files.py`), files that must be refused, and damaged ones.

use std::path::{Path, PathBuf};

use gyrus_blueprint::NodeKind;
use gyrus_nn::Network;
use gyrus_tensor::{Operation, apply, cpu, filled_tensor, floats};
use gyrus_vision::{Model, onnx};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(name)
}

#[test]
fn scores_are_those_of_onnxruntime() {
    let text = std::fs::read_to_string(golden("scores.json")).unwrap();
    let golden_scores: Value = serde_json::from_str(&text).unwrap();
    for case in golden_scores["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let side = case["side"].as_u64().unwrap() as usize;
        let onnx::File { blueprint, parameters, .. } = onnx::read(&golden(&format!("{name}.onnx"))).unwrap();
        let network = Network::from_state(&blueprint, &parameters, &cpu()).unwrap();
        let x = filled_tensor(1, 3 * side * side, |x| {
            for (place, x) in x.iter_mut().enumerate() {
                let first = place % 3 * side * side + place / 3;
                *x = ((first * 37 % 101) as f32 - 50.0) / 32.0;
            }
        });
        let mut answer = network.infer(x);
        if name == "product" {
            // The file ends in a softmax.
            answer = apply(Operation::Softmax { columns: 5 }, answer, Vec::new(), None);
        }
        let expected = case["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap() as f32);
        let worst = floats(answer).iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: off by {worst:e}");
        assert!(worst < 1e-4, "{name}: off by {worst}");
    }
}

/// Networks of the families, in PyTorch's layouts.
fn families() -> Vec<(String, Model)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let cases: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("vision.json")).unwrap()).unwrap();
    let names =
        cases["cases"].as_array().unwrap().iter().map(|case| case["name"].as_str().unwrap().to_owned());
    names.map(|name| (name.clone(), Model::open(&folder.join(&name), None).unwrap())).collect()
}

fn answer(
    blueprint: &gyrus_blueprint::Blueprint,
    parameters: &gyrus_files::State,
    numbers: usize,
) -> Vec<f32> {
    let network = Network::from_state(blueprint, parameters, &cpu()).unwrap();
    floats(network.infer(filled_tensor(1, numbers, |x| {
        x.iter_mut().enumerate().for_each(|(place, x)| *x = ((place * 37 % 101) as f32 - 50.0) / 32.0);
    })))
}

/// `golden/check_onnx.py` compares all families with onnxruntime.
#[test]
fn written_files_are_read_as_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let mut back = 0;
    for (name, model) in families() {
        let path = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&path, model.to_onnx(&path).unwrap()).unwrap();
        let numbers = model.preprocessing.shape().iter().product();
        let read = Model::open(&path, None).unwrap();
        assert_eq!(read.preprocessing, model.preprocessing, "{name}");
        assert_eq!((read.classes, read.named), (model.classes, model.named), "{name}");
        let expected = answer(&model.blueprint, &model.parameters, numbers);
        let got = answer(&read.blueprint, &read.parameters, numbers);
        let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(got.len() == expected.len() && worst < 1e-4, "{name}: off by {worst}");
        let heads = |blueprint: &gyrus_blueprint::Blueprint| {
            blueprint
                .nodes()
                .iter()
                .filter(|node| matches!(node.kind, NodeKind::SelfAttention { .. }))
                .count()
        };
        assert_eq!(heads(&read.blueprint), heads(&model.blueprint), "{name}");
        back += 1;
    }
    assert_eq!(back, 14, "all families");
}

#[test]
fn kinds_without_an_operator_are_refused_by_name() {
    let spiking = gyrus_blueprint::Blueprint::builder("spiking")
        .input([3])
        .node(
            "neurons",
            NodeKind::LIF {
                tau_membrane_ms: 10.0,
                resistance: 1.0,
                v_leak: 0.0,
                v_threshold: 1.0,
                v_reset: 0.0,
                reset: gyrus_blueprint::neuron::Reset::default(),
                per_neuron: Vec::new(),
                learned: Vec::new(),
            },
        )
        .build()
        .unwrap();
    let said =
        onnx::to_bytes(Path::new("out.onnx"), &spiking, &Default::default(), &[]).unwrap_err().to_string();
    assert!(said.contains("node 'neurons'") && said.contains("LIF keeps a state over time"), "{said}");
}

#[test]
fn nodes_have_the_names_of_their_weights() {
    let onnx::File { blueprint, parameters, .. } = onnx::read(&golden("residual.onnx")).unwrap();
    assert!(blueprint.index_of("deep").is_some() && parameters.contains_key("deep.weight"));
    let products = blueprint.nodes().iter().filter(|node| node.kind == NodeKind::Multiply);
    assert_eq!(products.count(), 1);
}

#[test]
fn what_a_blueprint_cannot_say_is_refused_with_the_node() {
    for (name, words) in [
        ("unknown", ["node 'the-erf'", "Erf has no form"]),
        ("cycle", ["node 'the-sum'", "reads 'c', which nothing before it makes"]),
        ("outside", ["'../../../../secret'", "in the folder of the model"]),
        ("absurd", ["'w'", "numbers for the shape"]),
        ("turned", ["node 'c'", "the second is not the channels"]),
        ("loose", ["'picture'", "no fixed shape"]),
    ] {
        let said = onnx::read(&golden(&format!("{name}.onnx"))).unwrap_err().to_string();
        assert!(words.iter().all(|word| said.contains(word)) && said.contains(name), "{name}: {said}");
    }
}

#[test]
fn damaged_files_end_in_an_error_or_in_a_network() {
    let path = golden("product.onnx");
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(whole.len() / 300) {
        onnx::parse(&path, &whole[..cut]).unwrap_err();
    }
    let mut state = 5u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + next() % 3 {
            // The messages are at the beginning and at the end, the numbers between.
            let place = if next() % 2 == 0 { next() % 600 } else { bytes.len() - 1 - next() % 600 };
            bytes[place] = [0, 0xFF, next() as u8][next() % 3];
        }
        if let Ok(onnx::File { blueprint, parameters, .. }) = onnx::parse(&path, &bytes) {
            drop(Network::from_state(&blueprint, &parameters, &cpu()));
        }
    }
}

/// Files of other programs, on digits.
#[test]
fn published_files_are_read() {
    let data = std::env::var_os("GYRUS_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = data.join("weights/mnist");
    if !folder.is_dir() {
        println!("skipped: {} does not exist", folder.display());
        return;
    }
    for name in ["burn_mnist", "rten_mnist", "wonnx_opt-mnist"] {
        let model = Model::open(&folder.join(format!("{name}.onnx")), None).unwrap();
        assert_eq!((model.family, model.classes.len()), ("ONNX", 10), "{name}");
        model.network(&cpu()).unwrap();
    }
}
