//! Optimizer steps: kernel against composition, and both against PyTorch over several steps.
//!
//! `GYRUS_TEST_DEVICE` names the device, `cpu` by default. `golden/optimizer.json` comes from `golden/optimizer.py`.

use burn_tensor::DType;
use gyrus_tensor::{AdamW, Device, Sgd, Tensor, TensorData, adamw_step, cpu, device, sgd_step};
use serde_json::Value;

/// A rule for each step, numbered from 1.
type Rule = Box<dyn Fn(u64) -> Step>;

enum Step {
    AdamW(AdamW),
    Sgd(Sgd),
}

impl Step {
    /// The parameter and its moments (SGD does not use the second) after this step.
    fn take(&self, state: [Tensor<1>; 3], gradient: Tensor<1>) -> [Tensor<1>; 3] {
        let [parameter, first, second] = state;
        match *self {
            Self::AdamW(step) => adamw_step(step, parameter, gradient, first, second).into(),
            Self::Sgd(step) => {
                let (parameter, velocity) = sgd_step(step, parameter, gradient, first);
                [parameter, velocity, second]
            }
        }
    }
}

fn test_device() -> Device {
    let name = std::env::var("GYRUS_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    device(&name).unwrap_or_else(|error| panic!("GYRUS_TEST_DEVICE: {error}"))
}

fn vector(values: &[f32], dtype: DType, device: &Device) -> Tensor<1> {
    Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), device).cast(dtype)
}

/// The parameter and its moments after a step with each of the gradients.
fn run(rule: &Rule, start: &[f32], gradients: &[Vec<f32>], dtype: DType, device: &Device) -> [Vec<f32>; 3] {
    let zeros = vec![0.0; start.len()];
    let mut state = [start, &zeros, &zeros].map(|values| vector(values, dtype, device));
    for (index, gradient) in gradients.iter().enumerate() {
        state = rule(index as u64 + 1).take(state, vector(gradient, dtype, device));
    }
    state.map(|tensor| tensor.into_data().convert::<f32>().try_into_vec().unwrap())
}

#[track_caller]
fn close(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let allowed = tolerance * expected.abs().max(0.1);
        assert!((got - expected).abs() <= allowed, "{what}: element {i} is {got}, not {expected}");
    }
}

fn adamw(learning_rate: f32, [beta1, beta2]: [f32; 2], epsilon: f32, weight_decay: f32) -> Rule {
    Box::new(move |step| {
        Step::AdamW(AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, step, gradient_scale: 1.0 })
    })
}

fn sgd(learning_rate: f32, momentum: f32, nesterov: bool, weight_decay: f32) -> Rule {
    Box::new(move |_| Step::Sgd(Sgd { learning_rate, momentum, nesterov, weight_decay }))
}

fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.7 + phase).sin()).collect()
}

#[test]
fn kernels_equal_the_composition() {
    let rules = [
        ("adamw", adamw(1e-2, [0.9, 0.999], 1e-8, 0.05)),
        ("sgd", sgd(0.1, 0.9, false, 0.01)),
        ("sgd, nesterov", sgd(0.1, 0.9, true, 0.01)),
        ("sgd, plain", sgd(0.1, 0.0, false, 0.0)),
    ];
    for (name, rule) in rules {
        // Short, and long enough for several threads with a remainder.
        for count in [1, 17, 50_001] {
            let start = wave(count, 0.0);
            let gradients: Vec<Vec<f32>> = (1..5).map(|step| wave(count, step as f32)).collect();
            let got = run(&rule, &start, &gradients, DType::F32, &test_device());
            // 64-bit numbers have no kernel.
            let expected = run(&rule, &start, &gradients, DType::F64, &cpu());
            for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                close(&format!("{name} of {count}, tensor {i}"), got, expected, 1e-5);
            }
        }
    }
}

#[test]
fn steps_leave_other_holders_of_the_tensors_alone() {
    let device = test_device();
    let state = [[1.0f32, 2.0], [0.5, 0.5], [0.25, 0.25]].map(|values| vector(&values, DType::F32, &device));
    let held = state.clone();
    let gradient = vector(&[1.0, -1.0], DType::F32, &device);
    for rule in [adamw(0.1, [0.9, 0.99], 1e-8, 0.0), sgd(0.1, 0.9, true, 0.0)] {
        let after = rule(3).take(state.clone(), gradient.clone());
        assert_ne!(after[0].to_data(), held[0].to_data());
    }
    let values = held.map(|tensor| tensor.into_data().try_into_vec::<f32>().unwrap());
    assert_eq!(values, [[1.0, 2.0], [0.5, 0.5], [0.25, 0.25]]);
}

#[test]
fn steps_equal_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("golden/optimizer.json")).unwrap();
    let list = |value: &Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
    };
    let lists = |value: &Value| -> Vec<Vec<f32>> { value.as_array().unwrap().iter().map(list).collect() };
    let start = list(&golden["start"]);
    let gradients = lists(&golden["gradients"]);
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap_or_else(|| panic!("{key} in {case}")) as f32;
        let rule = match case["optimizer"].as_str().unwrap() {
            "AdamW" => {
                adamw(number("lr"), [number("beta1"), number("beta2")], number("eps"), number("weight_decay"))
            }
            _ => {
                let nesterov = case["nesterov"].as_bool().unwrap();
                sgd(number("lr"), number("momentum"), nesterov, number("weight_decay"))
            }
        };
        let steps = lists(&case["parameters"]);
        assert_eq!(steps.len(), gradients.len());
        for (count, expected) in steps.iter().enumerate() {
            let got = run(&rule, &start, &gradients[..=count], DType::F32, &test_device());
            close(&format!("{case} after step {}", count + 1), &got[0], expected, 3e-6);
        }
    }
}
