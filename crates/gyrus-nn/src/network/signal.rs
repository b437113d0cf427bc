//! What a pass can record: inputs of weights; currents, spikes and membranes of neurons.

use gyrus_tensor::Tensor;

/// A signal at a node during one pass.
pub struct Observation {
    /// Index in the blueprint.
    pub node: usize,
    /// Which signal.
    pub what: Observed,
    /// `[rows, elements]`, or packed spikes `[rows, words]`; rows are time-major, one per step and sample, or one per
    /// sample if nothing changes over time.
    pub tensor: Tensor<2>,
    /// Whether the tensor holds packed spikes.
    pub packed: bool,
}

/// Which of a node's signals an [`Observation`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The input of weights.
    WeightInput,
    /// The input current of neurons, or the input of a quantized ReLU.
    Current,
    /// The spikes or potentials of neurons.
    NeuronOutput,
}
