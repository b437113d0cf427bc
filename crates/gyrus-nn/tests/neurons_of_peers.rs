//! Layers of neurons against snnTorch, Norse and SpikingJelly: spikes, membranes, loss and every gradient.
//!
//! `golden/neurons.json` comes from `golden/neurons.py`, `golden/surrogates.json` from `golden/surrogates.py`.

use crate::common::{close, rows, settings, spikes, targets, tensor, tensors};
use gyrus_blueprint::Blueprint;
use gyrus_nn::{Network, Observed, floats, surrogate};
use gyrus_tensor::{Operation, cpu};
use serde_json::Value;

fn check(case: &Value) {
    let name = case["name"].as_str().unwrap();
    let blueprint = Blueprint::from_toml(case["blueprint"].as_str().unwrap()).unwrap();
    let start = tensors(&case["parameters"]);
    let mut network = Network::with_state(&blueprint, Some(&settings(case)), &start, &cpu()).unwrap();
    let x = rows(tensor(&case["x"]));
    let membrane = tensor(&case["membrane"]);

    let (answers, observations) = network.observe(x.clone()).unwrap();
    let answers = floats(answers);
    match case.get("spikes") {
        Some(expected) => assert_eq!(answers, spikes(expected), "{name}: spikes"),
        None => close(&format!("{name}: potentials"), &answers, &membrane.values),
    }
    let current = observations.iter().find(|observation| observation.what == Observed::Current).unwrap();
    close(&format!("{name}: membranes"), &network.membranes(current), &membrane.values);

    if case.get("gradients").is_none() {
        return;
    }
    let classes = *membrane.shape.last().unwrap();
    let targets = targets(&case["targets"]).into();
    let loss = Operation::CrossEntropy { targets, classes, smoothing: 0.0 };
    let (loss, gradients) = network.gradients(x, 0, loss).unwrap();
    close(&format!("{name}: loss"), &[loss], &[case["loss"].as_f64().unwrap() as f32]);
    let expected = tensors(&case["gradients"]);
    assert_eq!(expected.len(), gradients.len(), "{name}");
    for (parameter, gradient) in network.parameters().iter().zip(gradients) {
        let what = format!("{name}: gradient of {}", parameter.name);
        close(&what, &floats(gradient.unwrap()), &expected[&parameter.name].values);
    }
}

#[test]
fn neurons_equal_those_of_the_peers() {
    let golden: Value = serde_json::from_str(include_str!("golden/neurons.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 20);
    cases.iter().for_each(check);
}

#[test]
fn surrogates_equal_those_of_the_peers() {
    let golden: Value = serde_json::from_str(include_str!("golden/surrogates.json")).unwrap();
    let distances = tensor(&golden["distance"]).values;
    let curves = golden["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 10);
    for curve in curves {
        let surrogate = surrogate(curve["surrogate"].as_str().unwrap()).unwrap();
        let got: Vec<f32> = distances.iter().map(|&distance| surrogate.derivative(distance)).collect();
        close(curve["peer"].as_str().unwrap(), &got, &tensor(&curve["derivative"]).values);
    }
}
