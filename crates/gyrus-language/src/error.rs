//! The error type of this crate. Each variant says where the problem is, what was found and what was expected.

use std::path::Path;

use gyrus_formats::Error as FormatsError;

/// What can go wrong with a language model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model file cannot be read or written, or is invalid.
    #[error(transparent)]
    Formats(#[from] FormatsError),
    /// A request does not fit the model.
    #[error("{what}: got {got}, expected {expected}")]
    Request {
        /// The argument or part of the request.
        what: &'static str,
        /// What was given.
        got: String,
        /// What was expected.
        expected: String,
    },
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        FormatsError::io(path, source).into()
    }

    /// The error of a failed write.
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
