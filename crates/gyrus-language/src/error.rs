//! The one error type of this crate: each variant says where, what was found and what would be right.

use std::path::Path;

use gyrus_formats::Error as FormatsError;

/// What can go wrong while a language model is read or asked to write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a model cannot be read or written, or holds something that cannot be right.
    #[error(transparent)]
    Formats(#[from] FormatsError),
    /// What the caller asks of a model does not suit it.
    #[error("{what}: got {got}, expected {expected}")]
    Request {
        /// The argument or the part of the request.
        what: &'static str,
        /// What was given.
        got: String,
        /// What would be right.
        expected: String,
    },
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        FormatsError::io(path, source).into()
    }

    /// What a refused replacement of a file becomes.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| FormatsError::write(path)(source).into()
    }

    pub(crate) fn format(
        path: &Path,
        offset: u64,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        FormatsError::format(path, offset, got, expected).into()
    }

    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        FormatsError::field(path, field, got, expected).into()
    }

    pub(crate) fn tensor(
        path: &Path,
        name: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        FormatsError::tensor(path, name, got, expected).into()
    }

    pub(crate) fn mismatch(path: &Path, got: impl Into<String>, expected: impl Into<String>) -> Self {
        FormatsError::mismatch(path, got, expected).into()
    }

    pub(crate) fn request(what: &'static str, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Request { what, got: got.into(), expected: expected.into() }
    }
}
