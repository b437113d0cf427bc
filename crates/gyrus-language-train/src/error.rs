//! The error type of this crate: problems of a model or its training data, and failures of a training.

use std::path::Path;

use gyrus_formats::Error as FormatsError;
use gyrus_language::Error as LanguageError;

/// What can go wrong when training a language model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model, the corpus, the examples or the settings.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// A run folder could not be read or written, or a training failed.
    #[error(transparent)]
    Train(Box<gyrus_train::Error>),
}

impl From<gyrus_train::Error> for Error {
    fn from(error: gyrus_train::Error) -> Self {
        Self::Train(Box::new(error))
    }
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        LanguageError::from(FormatsError::io(path, source)).into()
    }

    pub(crate) fn format(
        path: &Path,
        offset: u64,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        LanguageError::from(FormatsError::format(path, offset, got, expected)).into()
    }

    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        LanguageError::from(FormatsError::field(path, field, got, expected)).into()
    }

    pub(crate) fn mismatch(path: &Path, got: impl Into<String>, expected: impl Into<String>) -> Self {
        LanguageError::from(FormatsError::mismatch(path, got, expected)).into()
    }

    pub(crate) fn request(what: &'static str, got: impl Into<String>, expected: impl Into<String>) -> Self {
        LanguageError::Request { what, got: got.into(), expected: expected.into() }.into()
    }
}
