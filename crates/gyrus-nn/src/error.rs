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
    /// The bytes are not a safetensors file.
    #[error("not a valid safetensors file: {reason}")]
    Safetensors {
        /// What the parser said.
        reason: String,
    },
    /// A tensor of a number type that is not read.
    #[error("tensor `{name}` holds {dtype} numbers; only F32 is read")]
    TensorType {
        /// `<node>.<parameter>`
        name: String,
        /// The type found.
        dtype: String,
    },
}
