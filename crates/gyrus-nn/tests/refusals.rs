//! Errors of networks and their messages.

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, NodeKind, preset};
use gyrus_nn::{Error, Network, State, StateTensor, from_safetensors, to_safetensors};
use gyrus_tensor::cpu;

/// The error of loading `network`'s state after a change, which must leave the network as it was.
fn refused(network: &mut Network, change: impl FnOnce(&mut State)) -> Error {
    let before = network.state();
    let mut state = before.clone();
    // No part of a refused state may be loaded, not even tensors that fit.
    state.values_mut().for_each(|tensor| tensor.values.fill(0.5));
    change(&mut state);
    let error = network.load_state(&state).unwrap_err();
    assert_eq!(network.state(), before);
    error
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let blueprint = Blueprint::builder("small")
        .input([3])
        .node("hidden", NodeKind::affine(2))
        .node("norm", NodeKind::batch_norm())
        .build()
        .unwrap();
    let network = &mut Network::new(&blueprint, 0, &cpu()).unwrap();
    let texts = [
        (
            refused(network, |state| drop(state.remove("hidden.weight"))),
            "the stored model has no tensor `hidden.weight`, which the blueprint needs with shape [2, 3]",
        ),
        (
            refused(network, |state| drop(state.remove("norm.running_mean"))),
            "the stored model has no tensor `norm.running_mean`, which the blueprint needs with shape [2]",
        ),
        (
            refused(network, |state| {
                let tensor = StateTensor { shape: vec![1], values: vec![0.0] };
                state.insert("other.weight".into(), tensor);
            }),
            "the stored model has a tensor `other.weight`, which the blueprint does not have",
        ),
        (
            refused(network, |state| {
                state.insert("hidden.weight".into(), StateTensor { shape: vec![3, 2], values: vec![0.0; 6] });
            }),
            "tensor `hidden.weight` has shape [3, 2], but the blueprint needs [2, 3]",
        ),
        (
            refused(network, |state| {
                state.insert("norm.running_var".into(), StateTensor { shape: vec![3], values: vec![1.0; 3] });
            }),
            "tensor `norm.running_var` has shape [3], but the blueprint needs [2]",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn files_that_are_not_f32_safetensors_are_refused() {
    let error = from_safetensors(b"PK not a model").unwrap_err();
    assert!(error.to_string().starts_with("not a valid safetensors file: "), "{error}");

    let bytes = 1.0f64.to_le_bytes();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![1], &bytes).unwrap();
    let file = safetensors::serialize([("hidden.bias", view)], None).unwrap();
    let error = from_safetensors(&file).unwrap_err();
    assert_eq!(error.to_string(), "tensor `hidden.bias` holds F64 numbers; only F32 is read");

    let wrong = State::from([("a".to_string(), StateTensor { shape: vec![2], values: vec![0.0; 3] })]);
    let error = to_safetensors(&wrong, &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, gyrus_files::Error::Safetensors { .. }), "{error}");
}

#[test]
fn nodes_without_a_dense_body_are_named() {
    let refuse = |shape: &[usize], kind: NodeKind| {
        let blueprint = Blueprint::builder("odd").input(shape).node("cell", kind).build().unwrap();
        Network::new(&blueprint, 0, &cpu()).err().expect("the node is refused").to_string()
    };
    assert_eq!(
        refuse(&[4], NodeKind::lif(20.0)),
        "node `cell` (LIF) has no dense body: it needs a spiking network"
    );
    assert_eq!(
        refuse(&[4], NodeKind::Threshold { threshold: 0.5 }),
        "node `cell` (Threshold) has no dense body: it needs a spiking network"
    );
    assert!(refuse(&[4, 3, 3], NodeKind::layer_norm()).contains("`cell` (LayerNorm)"));
    assert!(refuse(&[4, 3, 3], NodeKind::Softmax { axis: 1 }).contains("`cell` (Softmax)"));
    let flatten = NodeKind::Flatten { start_axis: 0, end_axis: Some(1) };
    assert!(refuse(&[4, 3, 3], flatten).contains("`cell` (Flatten)"));
}

#[test]
fn a_blueprint_error_passes_through_as_it_is() {
    let error = preset("no-such-network", [1], 1).unwrap_err();
    let text = error.to_string();
    assert_eq!(Error::from(error).to_string(), text);
}

#[test]
fn a_network_beyond_all_memory_is_refused() {
    // Each node is allowed; together they exceed an address space of 47 bits.
    let (side, nodes) = (46_000, 5000);
    let mut builder = Blueprint::builder("huge").input([side]);
    for number in 0..nodes {
        builder = builder.node(format!("vast{number}"), NodeKind::linear(side));
    }
    let error = Network::check(&builder.build().unwrap(), None).unwrap_err();
    assert!(matches!(error, Error::TooLarge { parameters } if parameters == nodes * side * side), "{error}");
    assert!(error.to_string().starts_with("the blueprint has 10580000000000 parameters: "), "{error}");
}
