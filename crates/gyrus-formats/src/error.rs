//! The error type of this crate. Each variant says where the problem is, what was found and what was expected.

use std::path::{Path, PathBuf};

/// What can go wrong while reading or writing a model's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, map or read a file.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The bytes of a file do not follow its format.
    #[error("{}, byte {offset}: got {got}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Offset of the first wrong byte.
        offset: u64,
        /// What was found there.
        got: String,
        /// What was expected there.
        expected: String,
    },
    /// A field of a configuration has an invalid value, or one that Gyrus does not support.
    #[error("{}, field '{field}': got {got}, expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field; names of nested fields are joined by dots.
        field: String,
        /// What was found there.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// A tensor is missing, unused, or has another shape than the configuration says.
    #[error("{}, tensor '{name}': got {got}, expected {expected}", path.display())]
    Tensor {
        /// The file or folder.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What was found.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// The hub, or the connection to it, failed.
    #[cfg(feature = "hub")]
    #[error("{file} of {repository} from {endpoint}: {reason}")]
    Hub {
        /// The address of the hub.
        endpoint: String,
        /// The repository, `owner/name`.
        repository: String,
        /// The file inside the repository; `the client` before any file is requested.
        file: String,
        /// What went wrong and what to do.
        reason: String,
    },
    /// A downloaded file is not the one that the hub announced; it has been removed.
    #[cfg(feature = "hub")]
    #[error(
        "{file} of {repository} has the SHA-256 {got}, expected {expected}: the download was removed, try again"
    )]
    Checksum {
        /// The repository, `owner/name`.
        repository: String,
        /// The file inside the repository.
        file: String,
        /// The checksum of what arrived.
        got: String,
        /// The checksum that the hub announced.
        expected: String,
    },
    /// A file, or a combination of files, that is not a model.
    #[error("{}: got {got}, expected {expected}", path.display())]
    Mismatch {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        got: String,
        /// What was expected.
        expected: String,
    },
}

impl From<gyrus_files::Error> for Error {
    fn from(error: gyrus_files::Error) -> Self {
        match error {
            gyrus_files::Error::Io { path, source } => Self::Io { path, source },
            gyrus_files::Error::TooLarge { path, bytes, limit } => {
                Self::mismatch(&path, format!("{bytes} bytes"), format!("at most {limit}"))
            }
            other => {
                Self::mismatch(Path::new("arrays"), other.to_string(), "a safetensors file of 32-bit floats")
            }
        }
    }
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// [`Error::Io`] of this file.
    #[must_use]
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// [`Error::Write`] of this file.
    pub fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Write { path: path.to_owned(), source }
    }

    /// [`Error::Format`]: what was found at a byte, and what was expected.
    #[must_use]
    pub fn format(path: &Path, offset: u64, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), offset, got: got.into(), expected: expected.into() }
    }

    /// [`Error::Field`]: what was found, and what was expected.
    #[must_use]
    pub fn field(
        path: &Path,
        field: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Field { path: path.to_owned(), field: field.into(), got: got.into(), expected: expected.into() }
    }

    /// [`Error::Tensor`]: what was found, and what was expected.
    #[must_use]
    pub fn tensor(
        path: &Path,
        name: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Tensor { path: path.to_owned(), name: name.into(), got: got.into(), expected: expected.into() }
    }

    /// [`Error::Mismatch`]: what was found, and what was expected.
    #[must_use]
    pub fn mismatch(path: &Path, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Mismatch { path: path.to_owned(), got: got.into(), expected: expected.into() }
    }
}
