//! A small network against PyTorch: forward pass, loss, gradients, running statistics and two steps of gradient descent.
//!
//! `golden/network.json` comes from `golden/network.py`.

use crate::common::{channels_last, targets, tensor, tensors};
use gyrus_blueprint::{Blueprint, NodeKind, Padding};
use gyrus_nn::{Network, floats};
use gyrus_tensor::{Operation, Sgd, Tensor, cpu, sgd_step};
use serde_json::Value;

#[track_caller]
fn close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.1f32, |most, e| most.max(e.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * scale, "{what}: element {i} is {got}, not {expected}");
    }
}

#[test]
fn training_steps_equal_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("golden/network.json")).unwrap();
    let blueprint = Blueprint::builder("golden")
        .input([2, 10, 14])
        .node("conv1", NodeKind::conv2d(4, 3).padding(Padding::Same))
        .node("norm1", NodeKind::batch_norm())
        .node("relu1", NodeKind::ReLU)
        .node("pool1", NodeKind::max_pool2d(2))
        .node("conv2", NodeKind::conv2d(5, 3).stride(2))
        .node("relu2", NodeKind::ReLU)
        .node("flatten", NodeKind::flatten())
        .node("classifier", NodeKind::affine(3))
        .build()
        .unwrap();
    let pictures = channels_last(&tensor(&golden["pictures"]));
    let targets = targets(&golden["targets"]);
    let learning_rate = golden["learning_rate"].as_f64().unwrap() as f32;
    let descent = Sgd { learning_rate, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
    let mut network = Network::from_state(&blueprint, &tensors(&golden["start"]), &cpu()).unwrap();

    let steps = golden["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    for (number, step) in steps.iter().enumerate() {
        let loss = Operation::CrossEntropy { targets: targets.clone().into(), classes: 3, smoothing: 0.1 };
        let (loss, gradients) = network.gradients(pictures.clone(), 0, loss).unwrap();
        close(&format!("step {number}: loss"), &[loss], &[step["loss"].as_f64().unwrap() as f32]);

        let expected = tensors(&step["gradients"]);
        assert_eq!(expected.len(), network.parameters().len());
        let mut gradients: Vec<Tensor<1>> = gradients.into_iter().map(Option::unwrap).collect();
        for (parameter, gradient) in network.parameters().iter().zip(&gradients) {
            let name = &parameter.name;
            assert_eq!(parameter.shape, expected[name].shape, "{name}");
            let what = format!("step {number}: gradient of {name}");
            close(&what, &floats(gradient.clone()), &expected[name].values);
        }

        network.update(|index, _, value| {
            let gradient = std::mem::replace(&mut gradients[index], Tensor::empty([0], &cpu()));
            let velocity = Tensor::zeros(value.dims(), &cpu());
            sgd_step(descent, value, gradient, velocity).0
        });
        // With the running statistics of the normalization.
        let (got, expected) = (network.state(), tensors(&step["state"]));
        assert!(got.keys().eq(expected.keys()), "{:?}", got.keys());
        for (name, expected) in &expected {
            assert_eq!(got[name].shape, expected.shape, "{name}");
            close(&format!("step {number}: {name}"), &got[name].values, &expected.values);
        }
    }
    close("inference", &floats(network.infer(pictures)), &tensor(&golden["inference"]).values);
}
