//! Errors between a blueprint and its trainable body.

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a network could not be built or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The blueprint itself is not valid.
    #[error(transparent)]
    Blueprint(#[from] gyrus_blueprint::Error),
    /// A node that the dense body cannot run.
    #[error("node `{node}` ({kind}) has no dense body: {reason}")]
    NoDenseBody {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// Why, and what would be right.
        reason: &'static str,
    },
    /// A node that the spiking body cannot run.
    #[error("node `{node}` ({kind}) has no spiking body: {reason}")]
    NoSpikingBody {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// Why, and what would be right.
        reason: &'static str,
    },
    /// A node without a spiking equivalent.
    #[error("node `{node}` ({kind}) cannot be converted: {reason}")]
    NotConvertible {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// Why, and what would be right.
        reason: &'static str,
    },
    /// A node whose work cannot be counted.
    #[error("the work of node `{node}` ({kind}) cannot be counted: {reason}")]
    NotCounted {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A wrong setting of a spiking network.
    #[error("{setting} is {got}; expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        got: String,
        /// The expected value.
        expected: String,
    },
    /// A membrane potential is not a finite number.
    #[error(
        "the membrane potential of node `{node}` is not a finite number at step {step} (neuron {neuron} of the batch)"
    )]
    NotFinite {
        /// The node's name.
        node: String,
        /// From 0.
        step: usize,
        /// Sample times neurons plus neuron.
        neuron: usize,
    },
    /// What a signal inside of a network can be asked for only of dense networks.
    #[error("{what} is known for dense networks only: spikes have no derivative, and a signal for each step")]
    OnlyDense {
        /// What was asked for.
        what: &'static str,
    },
    /// A spiking network on a device without Gyrus's kernels.
    #[error("spiking networks run on the device `cpu` only")]
    OnlyOnCpu,
    /// More parameters than fit into memory.
    #[error(
        "the blueprint has {parameters} parameters: training them needs {} MiB of memory, which this system does not provide",
        parameters.saturating_mul(20) >> 20
    )]
    TooLarge {
        /// Number of parameters.
        parameters: usize,
    },
    /// A parameter of the blueprint is missing from the stored model.
    #[error("the stored model has no tensor `{name}`, which the blueprint needs with shape {expected:?}")]
    MissingTensor {
        /// `<node>.<parameter>`
        name: String,
        /// The expected shape.
        expected: Vec<usize>,
    },
    /// The stored model has a tensor that the blueprint lacks.
    #[error("the stored model has a tensor `{name}`, which the blueprint does not have")]
    UnknownTensor {
        /// `<node>.<parameter>`
        name: String,
    },
    /// A stored parameter has another shape than in the blueprint.
    #[error("tensor `{name}` has shape {got:?}, but the blueprint needs {expected:?}")]
    TensorShape {
        /// `<node>.<parameter>`
        name: String,
        /// The shape stored.
        got: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
}
