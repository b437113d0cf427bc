//! What can go wrong when a network learns shapes.

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a network cannot learn shapes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From `gyrus-files`.
    #[error(transparent)]
    Files(#[from] gyrus_files::Error),
    /// The model, a mesh or a picture.
    #[error(transparent)]
    Sculpt(#[from] gyrus_sculpt::Error),
    /// A run folder could not be read or written, or a training failed.
    #[error(transparent)]
    Train(Box<gyrus_train::Error>),
    /// A request that cannot be fulfilled, in one sentence.
    #[error("{0}")]
    Request(String),
}

impl From<gyrus_train::Error> for Error {
    fn from(error: gyrus_train::Error) -> Self {
        Self::Train(Box::new(error))
    }
}
