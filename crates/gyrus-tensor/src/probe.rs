//! Whether a device computes what the CPU computes.
//!
//! Drivers and compilers of kernels have faults that say nothing: a training on one went on to the end and had learned
//! nothing. So a device is asked for a handful of operations with their gradients, and for steps of the optimizers, before
//! it is used; the kernels of the CPU, which have an oracle of their own, know the answers.

use std::sync::Arc;

use burn_tensor::{Device, Tensor, TensorData};
use gyrus_kernels::attention::causal::CausalAttention;
use gyrus_kernels::convolution::Convolution;
use gyrus_kernels::convolution::pooling::Pooling;
use gyrus_kernels::dense::elementwise::Activation;
use gyrus_kernels::dense::optimizer::{AdamW, Sgd};
use gyrus_kernels::splitmix64;

use crate::operation::{Operation, Transformer};
use crate::values::{floats, vector};
use crate::{adamw_step, apply, cpu, sgd_step, squared_norm};

/// The first number in which a device differs from the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What was computed, such as `convolution, gradient 1`.
    pub operation: String,
    /// What the device says.
    pub got: f32,
    /// What the CPU says.
    pub expected: f32,
}

/// One operation with the lengths of its inputs: rows and columns of `x`, its parameters, and whether there is a second
/// activation as large as the output or as `x`.
struct Case {
    name: &'static str,
    operation: Operation,
    x: [usize; 2],
    parameters: Vec<usize>,
    second: Option<usize>,
}

/// Multiples of 1/16 from -2 to 2, without 0, the same on every machine.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let number = |i: u64| {
        let drawn = splitmix64(seed << 32 | i) % 64;
        (drawn as f32 - 31.5) / 16.0
    };
    (0..count as u64).map(number).collect()
}

fn cases() -> Vec<Case> {
    let case = |name, operation, x, parameters: &[usize]| Case {
        name,
        operation,
        x,
        parameters: parameters.to_vec(),
        second: None,
    };
    let image = Convolution {
        batch: 1,
        height: 9,
        width: 10,
        channels: 6,
        outputs: 8,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
    };
    let convolution = |name, shape: Convolution, batch: usize| {
        let weight = shape.outputs * shape.channels / shape.groups * shape.kernel[0] * shape.kernel[1];
        let operation = Operation::Convolution { shape, activation: Some(Activation::Relu), residual: false };
        let columns = shape.height * shape.width * shape.channels;
        case(name, operation, [batch, columns], &[weight, shape.outputs])
    };
    let pooling = Pooling {
        batch: 1,
        height: 9,
        width: 10,
        channels: 6,
        kernel: [3, 2],
        stride: [2, 2],
        padding: [0; 4],
    };
    let linear = |name, [rows, inputs, outputs]: [usize; 3]| {
        case(
            name,
            Operation::Linear { inputs, outputs, relu: true },
            [rows, inputs],
            &[inputs * outputs, outputs],
        )
    };
    let heads = CausalAttention {
        heads: 2,
        key_value_heads: 1,
        head_width: 8,
        scale: 0.35,
        softcap: None,
        window: None,
    };
    let attention = Transformer::Attention { shape: heads, ends: [21].into(), rotation: None };
    let many = Operation::BatchNorm { own: true, epsilon: 1e-5, activation: Some(Activation::Relu) };
    let targets: Arc<[u32]> = (0..96).map(|row| row * 3 % 10).collect();
    vec![
        linear("matrix product", [5, 7, 3]),
        // More than a tile in every direction, and no multiple of one.
        linear("large matrix product", [131, 440, 257]),
        convolution("convolution", image, 3),
        convolution("strided convolution", Convolution { stride: [2, 2], ..image }, 2),
        convolution("depthwise convolution", Convolution { groups: 6, outputs: 6, ..image }, 2),
        convolution(
            "large convolution",
            Convolution { height: 17, width: 17, channels: 24, outputs: 40, ..image },
            4,
        ),
        // More rows than a loop of some drivers has rounds.
        linear("matrix product of many rows", [70_001, 2, 2]),
        convolution(
            "convolution of many pixels",
            Convolution { height: 28, width: 28, channels: 1, outputs: 3, ..image },
            90,
        ),
        case("batch normalization of many pixels", many, [90, 1568], &[2, 2, 4]),
        case(
            "layer normalization of many rows",
            Operation::LayerNorm { epsilon: 1e-5 },
            [70_001, 3],
            &[3, 3],
        ),
        case("max pooling", Operation::MaxPool(pooling), [2, 540], &[]),
        case("sum pooling", Operation::SumPool { shape: pooling, scale: 0.25 }, [2, 540], &[]),
        case("activation", Operation::Activation(Activation::Gelu), [3, 1025], &[]),
        case("layer normalization", Operation::LayerNorm { epsilon: 1e-5 }, [33, 48], &[48, 48]),
        case(
            "batch normalization",
            Operation::BatchNorm { own: true, epsilon: 1e-5, activation: None },
            [40, 18],
            &[6, 6, 12],
        ),
        case("softmax", Operation::Softmax { columns: 17 }, [9, 51], &[]),
        case("attention", Operation::Transformer(attention), [21, heads.columns()], &[]),
        case(
            "cross-entropy",
            Operation::CrossEntropy { targets, classes: 10, smoothing: 0.1 },
            [96, 10],
            &[],
        ),
        Case { second: Some(300), ..case("sum", Operation::Add, [7, 300], &[]) },
    ]
}

/// Output and gradients of a case, by name.
fn answers(case: &Case, device: &Device) -> Vec<(String, Vec<f32>)> {
    let [rows, columns] = case.x;
    let matrix = |columns: usize, seed| {
        let data = TensorData::new(numbers(rows * columns, seed), [rows, columns]);
        Tensor::<2>::from_inner(Tensor::from_data(data, device)).require_grad()
    };
    let x = matrix(columns, 1);
    let second = case.second.map(|columns| matrix(columns, 2));
    let mut parameters: Vec<Tensor<1>> = (3..)
        .zip(&case.parameters)
        .map(|(seed, &count)| Tensor::from_inner(vector(numbers(count, seed), device)).require_grad())
        .collect();
    // Statistics are computed from the batch and have no gradient.
    let mut tracked = parameters.len();
    if let Operation::BatchNorm { own: true, .. } = case.operation {
        tracked = 2;
        let channels = case.parameters[0];
        let statistics = apply(Operation::Statistics { channels }, x.clone().inner(), vec![], None);
        parameters[2] = Tensor::from_inner(statistics.reshape([2 * channels]));
    }
    let y = apply(case.operation.clone(), x.clone(), parameters.clone(), second.clone());
    let dims = y.dims();
    let weights = TensorData::new(numbers(dims[0] * dims[1], 9), dims);
    let weights = Tensor::<2>::from_inner(Tensor::from_data(weights, device));
    let gradients = (y.clone() * weights).sum().backward();
    let mut found = vec![("output".to_owned(), floats(y.inner()))];
    let mut add = |gradient: Option<Vec<f32>>| {
        // A missing gradient differs from one that is there, by its length.
        found.push((format!("gradient {}", found.len() - 1), gradient.unwrap_or_default()));
    };
    add(x.grad(&gradients).map(floats));
    for parameter in &parameters[..tracked] {
        add(parameter.grad(&gradients).map(floats));
    }
    if let Some(second) = second {
        add(second.grad(&gradients).map(floats));
    }
    found
}

/// Some steps of the optimizers and a sum over many elements.
fn steps(device: &Device) -> Vec<(String, Vec<f32>)> {
    const COUNT: usize = 40_003;
    let tensor = |seed| vector(numbers(COUNT, seed), device);
    let norm = squared_norm(&tensor(1)) as f32;
    let mut adamw = (tensor(2), vector(vec![0.0; COUNT], device), vector(vec![0.0; COUNT], device));
    let mut sgd = (tensor(3), vector(vec![0.0; COUNT], device));
    for step in 1..=3 {
        let rule = AdamW {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            gradient_scale: 0.5,
        };
        adamw = adamw_step(rule, adamw.0, tensor(3 + step), adamw.1, adamw.2);
        let rule = Sgd { learning_rate: 0.01, momentum: 0.9, nesterov: true, weight_decay: 0.1 };
        sgd = sgd_step(rule, sgd.0, tensor(3 + step), sgd.1);
    }
    vec![
        ("sum of squares".to_owned(), vec![norm]),
        ("step of AdamW".to_owned(), floats(adamw.0)),
        ("step of SGD".to_owned(), floats(sgd.0)),
    ]
}

/// The first number that is farther from `expected` than `tolerance` times the largest of them.
fn compare(
    name: &str,
    got: &[(String, Vec<f32>)],
    expected: &[(String, Vec<f32>)],
    tolerance: f32,
) -> Option<Difference> {
    for ((what, got), (_, expected)) in got.iter().zip(expected) {
        let operation = format!("{name}{what}");
        if got.len() != expected.len() {
            let [got, expected] = [got, expected].map(|numbers| numbers.len() as f32);
            return Some(Difference { operation: format!("{operation}, count of numbers"), got, expected });
        }
        let scale = expected.iter().fold(1e-6f32, |most, number| most.max(number.abs()));
        let is_close = |(got, expected): &(&f32, &f32)| (*got - *expected).abs() <= tolerance * scale;
        if let Some((&got, &expected)) = got.iter().zip(expected).find(|pair| !is_close(pair)) {
            return Some(Difference { operation, got, expected });
        }
    }
    None
}

/// The first difference between a device and the CPU, farther than `tolerance` relative to the largest number of an output
/// or gradient; `None` if there is none.
///
/// # Panics
/// If the device fails.
pub fn difference(device: &Device, tolerance: f32) -> Option<Difference> {
    let cpu = cpu();
    for case in cases() {
        let [got, expected] = [device, &cpu].map(|device| answers(&case, device));
        if let Some(found) = compare(&format!("{}, ", case.name), &got, &expected, tolerance) {
            return Some(found);
        }
    }
    let [got, expected] = [device, &cpu].map(steps);
    compare("", &got, &expected, tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_proven_and_a_difference_is_named() {
        assert_eq!(difference(&cpu(), 0.0), None);
        let named = |name: &str, numbers: &[f32]| vec![(name.to_owned(), numbers.to_vec())];
        let right = named("gradient 1", &[1.0, -8.0]);
        assert_eq!(compare("sum, ", &named("gradient 1", &[1.0005, -8.0]), &right, 1e-4), None);
        let wrong = compare("sum, ", &named("gradient 1", &[1.01, -8.0]), &right, 1e-4).unwrap();
        assert_eq!(wrong, Difference { operation: "sum, gradient 1".into(), got: 1.01, expected: 1.0 });
        assert!(compare("", &named("output", &[f32::NAN, -8.0]), &right, 1e-4).is_some());
        assert!(compare("", &named("output", &[]), &right, 1e-4).is_some());
    }

    #[test]
    fn every_case_has_an_output_and_gradients_that_are_not_all_zero() {
        for case in cases() {
            for (what, numbers) in answers(&case, &cpu()) {
                let zeros = numbers.iter().filter(|number| **number == 0.0).count();
                assert!(
                    zeros < numbers.len(),
                    "{}, {what}: {zeros} of {} are zero",
                    case.name,
                    numbers.len()
                );
                assert!(numbers.iter().all(|number| number.is_finite()), "{}, {what}", case.name);
            }
        }
    }
}
