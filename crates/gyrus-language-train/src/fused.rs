//! A trained parameter of a decoder: one or more tensors of its files, fused into one.

use gyrus_language::Parameter;
use gyrus_tensor::Tensor;

/// A parameter of one or more concatenated tensors.
#[derive(Debug)]
pub(crate) struct Fused {
    /// The tensors, in order.
    pub(crate) parts: Vec<Parameter>,
    /// All values.
    pub(crate) value: Tensor<1>,
}

impl Fused {
    /// The name of the first tensor.
    pub(crate) fn name(&self) -> &str {
        &self.parts[0].name
    }

    pub(crate) fn elements(&self) -> usize {
        self.parts.iter().map(|part| part.shape.iter().product::<usize>()).sum()
    }

    /// Whether weight decay applies, which it does for matrices only.
    pub(crate) fn decays(&self) -> bool {
        self.parts[0].shape.len() > 1
    }
}

/// A tensor as stored, converted to `[outputs, inputs]`.
pub(crate) fn as_used(parameter: &Parameter, values: Vec<f32>) -> Vec<f32> {
    match (parameter.transposed, &parameter.shape[..]) {
        (true, &[inputs, outputs]) => transposed(&values, inputs, outputs),
        _ => values,
    }
}

/// The inverse of [`as_used`].
pub(crate) fn as_stored(parameter: &Parameter, values: &[f32]) -> Vec<f32> {
    match (parameter.transposed, &parameter.shape[..]) {
        (true, &[inputs, outputs]) => transposed(values, outputs, inputs),
        _ => values.to_vec(),
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}
