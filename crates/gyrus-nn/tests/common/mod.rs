//! Shared helpers of the tests against golden files.

// Each test file uses some of them.
#![allow(dead_code)]

use gyrus_blueprint::{Discretization, Integration};
use gyrus_nn::{Encoder, Readout, SpikingSettings, State, StateTensor};
use gyrus_tensor::{Tensor, TensorData, cpu};
use serde_json::Value;

pub(crate) fn tensor(value: &Value) -> StateTensor {
    let shape = value["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize);
    let values = value["values"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32);
    StateTensor { shape: shape.collect(), values: values.collect() }
}

pub(crate) fn tensors(value: &Value) -> State {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), tensor(value))).collect()
}

pub(crate) fn targets(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|target| target.as_u64().unwrap() as u32).collect()
}

/// Zeros and ones, written as digits.
pub(crate) fn spikes(value: &Value) -> Vec<f32> {
    value.as_str().unwrap().chars().map(|digit| digit.to_digit(10).unwrap() as f32).collect()
}

/// `[batch, ...]` as rows of samples.
pub(crate) fn rows(tensor: StateTensor) -> Tensor<2> {
    let rows = tensor.shape[0];
    let columns = tensor.values.len() / rows;
    Tensor::from_data(TensorData::new(tensor.values, [rows, columns]), &cpu())
}

/// `[batch, channels, height, width]` as Gyrus takes it: channels last, one row per image.
pub(crate) fn channels_last(pictures: &StateTensor) -> Tensor<2> {
    let [batch, channels, height, width] = pictures.shape[..] else { panic!("not pictures") };
    let data = TensorData::new(pictures.values.clone(), [batch, channels, height, width]);
    Tensor::<4>::from_data(data, &cpu()).permute([0, 2, 3, 1]).reshape([batch, height * width * channels])
}

/// Settings of the golden file, with an encoder that takes one row of numbers per step.
pub(crate) fn settings(value: &Value) -> SpikingSettings {
    let integration = match value["integration"].as_str() {
        Some("euler") => Integration::Euler,
        _ => Integration::Exact,
    };
    SpikingSettings {
        steps: value["steps"].as_u64().unwrap() as usize,
        time: Discretization { dt_ms: 1.0, integration },
        encoder: Encoder::Frames { binary: false },
        readout: Readout::Membrane,
        surrogate: value["surrogate"].as_str().unwrap().to_owned(),
        detach_reset: value["detach_reset"].as_bool().unwrap(),
        truncate: value["truncate"].as_u64().map(|steps| steps as usize),
    }
}

/// Equal within 1e-5 of the largest expected number.
#[track_caller]
pub(crate) fn close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.0f32, |most, e| most.max(e.abs()));
    assert!(scale > 0.0, "{what}: nothing but zeros is expected, which proves little");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * scale, "{what}: element {i} is {got}, not {expected}");
    }
}
