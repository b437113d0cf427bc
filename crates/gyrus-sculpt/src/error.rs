//! What can go wrong with meshes, and how it is said.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a mesh, a picture or a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From `gyrus-files`.
    #[error(transparent)]
    Files(#[from] gyrus_files::Error),
    /// From `gyrus-formats`.
    #[error(transparent)]
    Formats(#[from] gyrus_formats::Error),
    /// A file that could not be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file that is not what its format says.
    #[error("{}, {place}: {found}; expected {expected}", .path.display())]
    Mesh {
        /// The file.
        path: PathBuf,
        /// The line, byte, vertex or face.
        place: String,
        /// What is there.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A file whose format is not known.
    #[error("{}: {found}; expected {expected}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A request that cannot be fulfilled, in one sentence.
    #[error("{0}")]
    Request(String),
}

impl Error {
    /// A file that is wrong at a place.
    pub(crate) fn mesh(
        path: &Path,
        place: impl Display,
        found: impl Display,
        expected: impl Display,
    ) -> Self {
        let (place, found, expected) = (place.to_string(), found.to_string(), expected.to_string());
        Self::Mesh { path: path.to_owned(), place, found, expected }
    }

    /// A file of the wrong kind.
    pub(crate) fn format(path: &Path, found: impl Display, expected: impl Display) -> Self {
        Self::Format { path: path.to_owned(), found: found.to_string(), expected: expected.to_string() }
    }
}
