//! The one error type of this crate.

use std::path::PathBuf;

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open or read a file.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file is longer than it may be.
    #[error("{} is {bytes} bytes long; at most {limit} are accepted", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        limit: u64,
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
        /// The tensor's name.
        name: String,
        /// The type found.
        dtype: String,
    },
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
