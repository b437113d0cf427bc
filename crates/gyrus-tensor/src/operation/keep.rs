//! What operations keep for their gradients, and how they read tensors.

use burn_flex::FlexTensor;

/// The tensors that an operation keeps for its gradient.
pub(crate) struct Kept {
    /// Indices of kept inputs.
    pub(crate) inputs: &'static [usize],
    pub(crate) output: bool,
}

/// The floats of a tensor, copied first if it is a view that is not contiguous.
pub(crate) struct Floats(FlexTensor);

impl Floats {
    pub(crate) fn new(tensor: &FlexTensor) -> Self {
        Self(tensor.to_contiguous())
    }

    pub(crate) fn get(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_default()
    }
}
