//! The error type of this crate.

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
    /// A file exceeds its size limit.
    #[error("{} is {bytes} bytes long; at most {limit} are accepted", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file is not text in an encoding that is read.
    #[error("{}, byte {offset}: got {got}, expected text in UTF-8, or in UTF-16 with a byte order mark", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where, after unpacking.
        offset: u64,
        /// What is there.
        got: String,
    },
    /// A gzipped file is damaged.
    #[error("{}: got damaged gzip data: {reason}", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// The bytes are not a safetensors file.
    #[error("not a valid safetensors file: {reason}")]
    Safetensors {
        /// What the parser said.
        reason: String,
    },
    /// A file is not a `.npy` file of numbers.
    #[error("{}: not a .npy array that can be read: {reason}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor has an unsupported number type.
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
