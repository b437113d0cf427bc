//! Conversion between tensors and vectors of floats.

use burn_tensor::{Device, Tensor, TensorData};

/// A tensor of these numbers, `[elements]`.
pub fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// The numbers of a tensor, row-major.
///
/// # Panics
/// If the device fails.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32 above")
}
