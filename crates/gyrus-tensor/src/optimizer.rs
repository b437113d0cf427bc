//! One optimizer step for one parameter, on any device.

use burn_flex::{Flex, FlexTensor};
use burn_tensor::Tensor;
use gyrus_kernels::dense::optimizer::{AdamW, Sgd};

use crate::device::kernels_run_on;

fn flex(tensor: Tensor<1>) -> FlexTensor {
    tensor.try_into_primitive::<Flex>().expect("the caller has checked the device")
}

/// The sum of the squares of all elements, in an order that does not depend on the threads.
pub fn squared_norm(tensor: &Tensor<1>) -> f64 {
    if kernels_run_on(tensor) {
        let tensor = flex(tensor.clone()).to_contiguous();
        return gyrus_kernels::dense::optimizer::squared_norm(tensor.as_slice().unwrap_or_default());
    }
    let squares = tensor.clone().square().reshape([tensor.dims()[0], 1]);
    f64::from(crate::composed::sum_of_rows(&squares).into_scalar::<f32>())
}

/// The parameter and its two moments after one step of [`AdamW`]; all `[elements]`, without autodiff.
///
/// On the CPU the tensors' memory is reused if nothing else holds them.
pub fn adamw_step(
    step: AdamW,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    if kernels_run_on(&parameter) {
        let mut tensors = [parameter, first, second].map(flex);
        let [parameter, first, second] = &mut tensors;
        let gradient = flex(gradient).to_contiguous();
        let slice = gradient.as_slice().unwrap_or_default();
        step.update(parameter.storage_mut(), slice, first.storage_mut(), second.storage_mut());
        return tensors.map(Tensor::from_primitive::<Flex>).into();
    }
    let gradient = gradient * step.gradient_scale;
    let first = first * step.beta1 + gradient.clone() * (1.0 - step.beta1);
    let second = second * step.beta2 + gradient.square() * (1.0 - step.beta2);
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(step.step as f64);
    let size = f64::from(step.learning_rate) / correction(step.beta1);
    let denominator = second.clone().sqrt() / correction(step.beta2).sqrt() + step.epsilon;
    let kept = parameter * (1.0 - step.learning_rate * step.weight_decay);
    (kept - first.clone() / denominator * size, first, second)
}

/// The parameter and its velocity after one step of [`Sgd`]; all `[elements]`, without autodiff.
///
/// On the CPU the tensors' memory is reused if nothing else holds them.
pub fn sgd_step(
    step: Sgd,
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    velocity: Tensor<1>,
) -> (Tensor<1>, Tensor<1>) {
    if kernels_run_on(&parameter) {
        let mut tensors = [parameter, velocity].map(flex);
        let [parameter, velocity] = &mut tensors;
        let gradient = flex(gradient).to_contiguous();
        step.update(parameter.storage_mut(), gradient.as_slice().unwrap_or_default(), velocity.storage_mut());
        return tensors.map(Tensor::from_primitive::<Flex>).into();
    }
    let gradient = gradient + parameter.clone() * step.weight_decay;
    let velocity = velocity * step.momentum + gradient.clone();
    let direction =
        if step.nesterov { gradient + velocity.clone() * step.momentum } else { velocity.clone() };
    (parameter - direction * step.learning_rate, velocity)
}
