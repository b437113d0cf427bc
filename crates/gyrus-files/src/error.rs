//! The one error type of this crate.

/// What can be wrong with a file of named arrays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a safetensors file.
    #[error("not a valid safetensors file: {reason}")]
    Safetensors {
        /// What the parser said.
        reason: String,
    },
    /// A tensor of a number type that is not read.
    #[error("tensor `{name}` holds {dtype} numbers; only F32 is read")]
    TensorType {
        /// The tensor's name.
        name: String,
        /// The type found.
        dtype: String,
    },
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
