//! The error type of this crate: each variant says where, what was found and what was expected.

use std::path::{Path, PathBuf};

use crate::image_files::ImageError;

/// What can go wrong while data is found, read or decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, list or read something.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// None of the file names under which a part of a data set is known exists.
    #[error("no {part} in {}: expected {}", directory.display(), looked_for.join(" or "))]
    MissingFile {
        /// The folder that was searched.
        directory: PathBuf,
        /// What the file would hold.
        part: String,
        /// The accepted names, relative to `directory`.
        looked_for: Vec<String>,
    },
    /// The bytes of a file are not what its format demands.
    #[error("{}, byte {offset}: got {got}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Offset of the first wrong byte (after decompression).
        offset: u64,
        /// What was found there.
        got: String,
        /// What was expected there.
        expected: String,
    },
    /// A line of a text table is not what it should be.
    #[error("{}, line {line}: got {got}, expected {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What was found there.
        got: String,
        /// What was expected there.
        expected: String,
    },
    /// An image cannot be decoded.
    #[error("{}: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// A download from the hub failed.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] gyrus_formats::Error),
    /// Two files, or a file and what it is used for, do not belong together.
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
            other => Self::mismatch(Path::new("arrays"), other.to_string(), "a file of 32-bit floats"),
        }
    }
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn format(
        path: &Path,
        offset: u64,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Format { path: path.to_owned(), offset, got: got.into(), expected: expected.into() }
    }

    pub(crate) fn line(path: &Path, line: u64, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, got: got.into(), expected: expected.into() }
    }

    pub(crate) fn mismatch(path: &Path, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Mismatch { path: path.to_owned(), got: got.into(), expected: expected.into() }
    }
}
