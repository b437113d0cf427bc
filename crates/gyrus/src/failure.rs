//! Whose mistake an error is, which decides the exit code.

use std::fmt;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller's mistake: a wrong argument or input. Exit code 2.
    Caller(String),
    /// Something failed that the caller did right. Exit code 1.
    Failed(String),
    /// Stopped by Ctrl-C with everything saved. Exit code 130, as shells expect.
    Interrupted(String),
}

impl Failure {
    pub(crate) fn caller(error: impl fmt::Display) -> Self {
        Self::Caller(error.to_string())
    }

    pub(crate) fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(text) | Self::Failed(text) | Self::Interrupted(text) => f.write_str(text),
        }
    }
}

impl From<gyrus_data::Error> for Failure {
    fn from(error: gyrus_data::Error) -> Self {
        match error {
            #[cfg(feature = "hub")]
            gyrus_data::Error::Hub { .. } => Self::failed(error),
            error => Self::caller(error),
        }
    }
}

impl From<gyrus_blueprint::BlueprintError> for Failure {
    fn from(error: gyrus_blueprint::BlueprintError) -> Self {
        Self::caller(error)
    }
}

impl From<gyrus_language::Error> for Failure {
    fn from(error: gyrus_language::Error) -> Self {
        match error {
            gyrus_language::Error::Train(error) => (*error).into(),
            error => Self::caller(error),
        }
    }
}

impl From<gyrus_serve::Error> for Failure {
    fn from(error: gyrus_serve::Error) -> Self {
        match error {
            gyrus_serve::Error::Model(error) => error.into(),
            gyrus_serve::Error::System(_) => Self::failed(error),
            error => Self::caller(error),
        }
    }
}

impl From<gyrus_nn::NetworkError> for Failure {
    fn from(error: gyrus_nn::NetworkError) -> Self {
        Self::caller(error)
    }
}

impl From<gyrus_tensor::DeviceError> for Failure {
    fn from(error: gyrus_tensor::DeviceError) -> Self {
        Self::caller(error)
    }
}

impl From<gyrus_kernels::Error> for Failure {
    fn from(error: gyrus_kernels::Error) -> Self {
        match error {
            gyrus_kernels::Error::Threads { .. } => Self::failed(error),
            error => Self::caller(error),
        }
    }
}

impl From<gyrus_train::TrainError> for Failure {
    fn from(error: gyrus_train::TrainError) -> Self {
        match error {
            gyrus_train::TrainError::Io { .. }
            | gyrus_train::TrainError::Diverged { .. }
            | gyrus_train::TrainError::Network(gyrus_nn::NetworkError::NotFinite { .. }) => {
                Self::failed(error)
            }
            error => Self::caller(error),
        }
    }
}
