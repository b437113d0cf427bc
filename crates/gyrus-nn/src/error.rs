//! What can go wrong between a blueprint and its body.

/// Why a network could not be built or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The blueprint itself is not valid.
    #[error(transparent)]
    Blueprint(#[from] gyrus_blueprint::BlueprintError),
    /// A node that the dense body cannot run.
    #[error("node `{node}` ({kind}) has no dense body: {reason}")]
    NoDenseBody {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// What would be right.
        reason: &'static str,
    },
    /// A node that the spiking body cannot run.
    #[error("node `{node}` ({kind}) has no spiking body: {reason}")]
    NoSpikingBody {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// What would be right.
        reason: &'static str,
    },
    /// A node that no spiking node can stand for.
    #[error("node `{node}` ({kind}) cannot be converted: {reason}")]
    NotConvertible {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// What would be right.
        reason: &'static str,
    },
    /// A node whose work is not counted.
    #[error("the work of node `{node}` ({kind}) cannot be counted: {reason}")]
    NotCounted {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A setting of a network in time that is wrong.
    #[error("{setting} is {got}; expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        got: String,
        /// What would be right.
        expected: String,
    },
    /// A membrane potential is no longer a number.
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
    /// A network in time on a device without our kernels.
    #[error("networks in time run on the device cpu only")]
    OnlyOnCpu,
    /// More parameters than the memory holds.
    #[error(
        "the blueprint has {parameters} parameters: this system does not give the memory to train them ({} MiB)",
        parameters.saturating_mul(20) >> 20
    )]
    TooLarge {
        /// How many numbers.
        parameters: usize,
    },
    /// Stored parameters lack one that the blueprint has.
    #[error("the stored model has no tensor `{name}`, which the blueprint needs with shape {expected:?}")]
    MissingTensor {
        /// `<node>.<parameter>`
        name: String,
        /// The shape needed.
        expected: Vec<usize>,
    },
    /// Stored parameters have one that the blueprint does not know.
    #[error("the stored model has a tensor `{name}` that the blueprint does not know")]
    UnknownTensor {
        /// `<node>.<parameter>`
        name: String,
    },
    /// A stored parameter has another shape than the blueprint says.
    #[error("tensor `{name}` has shape {got:?}, but the blueprint needs {expected:?}")]
    TensorShape {
        /// `<node>.<parameter>`
        name: String,
        /// The shape stored.
        got: Vec<usize>,
        /// The shape needed.
        expected: Vec<usize>,
    },
}
