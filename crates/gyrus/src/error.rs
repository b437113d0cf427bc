//! Why a verb did not do its work, and whose mistake it was.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::verbs::quoted;

/// What verbs return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a verb did not do its work; [`Error::fault`] says whose mistake it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an input that the verb cannot use, in one sentence that says what would be right.
    #[error("{0}")]
    Request(String),
    /// Something failed although the request was right, in one sentence.
    #[error("{0}")]
    Failed(String),
    /// The observer asked to stop, and everything is saved.
    #[error("stopped after step {step} of {steps}{part}, everything is saved; continue with: {next}")]
    Interrupted {
        /// The run folder that can be resumed.
        run: PathBuf,
        /// Steps done.
        step: u64,
        /// Steps planned.
        steps: u64,
        /// The part of the work that was stopped, such as " of the fine-tuning"; empty where there is one part only.
        part: &'static str,
        /// The command that continues the work.
        next: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// From `gyrus-agents`.
    #[error(transparent)]
    Agents(#[from] gyrus_agents::Error),
    /// From `gyrus-blueprint`.
    #[error(transparent)]
    Blueprint(#[from] gyrus_blueprint::Error),
    /// From `gyrus-data`.
    #[error(transparent)]
    Data(#[from] gyrus_data::Error),
    /// From `gyrus-tensor`.
    #[error(transparent)]
    Device(#[from] gyrus_tensor::Error),
    /// From `gyrus-kernels`.
    #[error(transparent)]
    Kernels(#[from] gyrus_kernels::Error),
    /// From `gyrus-nn`.
    #[error(transparent)]
    Network(#[from] gyrus_nn::Error),
    /// From `gyrus-train`.
    #[error(transparent)]
    Train(Box<gyrus_train::Error>),
    /// From `gyrus-vision`.
    #[error(transparent)]
    Vision(Box<gyrus_vision::Error>),
    /// From `gyrus-events`.
    #[error(transparent)]
    Events(#[from] gyrus_events::Error),
    /// From `gyrus-files`.
    #[error(transparent)]
    Files(#[from] gyrus_files::Error),
    /// From `gyrus-formats`.
    #[error(transparent)]
    Formats(#[from] gyrus_formats::Error),
    /// From `gyrus-language`.
    #[error(transparent)]
    Language(#[from] gyrus_language::Error),
    /// From `gyrus-language-train`.
    #[error(transparent)]
    LanguageTrain(#[from] gyrus_language_train::Error),
    /// From `gyrus-sculpt`.
    #[error(transparent)]
    Sculpt(#[from] gyrus_sculpt::Error),
    /// From `gyrus-sculpt-train`.
    #[error(transparent)]
    SculptTrain(#[from] gyrus_sculpt_train::Error),
    /// From `gyrus-serve`.
    #[error(transparent)]
    Serve(#[from] gyrus_serve::Error),
    /// From `gyrus-simulate`.
    #[error(transparent)]
    Simulate(#[from] gyrus_simulate::Error),
}

/// Whose mistake an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's: a wrong setting or input. The program ends with exit code 2.
    Caller,
    /// Not the caller's: a disk is full, a download fails, a training diverges. Exit code 1.
    Failure,
    /// None: the work was stopped on request and can be continued. Exit code 130, as shells expect after Ctrl-C.
    Interruption,
}

impl From<gyrus_vision::Error> for Error {
    fn from(error: gyrus_vision::Error) -> Self {
        Self::Vision(Box::new(error))
    }
}

impl From<gyrus_train::Error> for Error {
    fn from(error: gyrus_train::Error) -> Self {
        Self::Train(Box::new(error))
    }
}

impl Error {
    /// A request that cannot be fulfilled.
    pub(crate) fn request(text: impl Display) -> Self {
        Self::Request(text.to_string())
    }

    /// A failure that is not the caller's.
    pub(crate) fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// A run stopped after a step of so many, which `command --resume` continues.
    pub(crate) fn interrupted(command: &str, run: &Path, (step, steps): (u64, u64)) -> Self {
        let next = format!("{command} --resume {}", quoted(run));
        Self::Interrupted { run: run.to_owned(), step, steps, part: "", next }
    }

    /// A file that could not be read, written or created.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whose mistake it was.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(_) | Self::Blueprint(_) | Self::Events(_) | Self::Files(_) => Fault::Caller,
            Self::Failed(_) | Self::Io { .. } => Fault::Failure,
            Self::Interrupted { .. } => Fault::Interruption,
            Self::Agents(_) => Fault::Caller,
            Self::Data(error) => of_data(error),
            Self::Device(error) => match error {
                gyrus_tensor::Error::Unavailable { .. } | gyrus_tensor::Error::Wrong { .. } => Fault::Failure,
                _ => Fault::Caller,
            },
            Self::Kernels(error) => of_kernels(error),
            Self::Network(_) => Fault::Caller,
            Self::Train(error) => of_training(error),
            Self::Formats(error) => of_formats(error),
            Self::Language(error) => of_language(error),
            Self::LanguageTrain(error) => match error {
                gyrus_language_train::Error::Train(error) => of_training(error),
                gyrus_language_train::Error::Language(error) => of_language(error),
                _ => Fault::Caller,
            },
            Self::Sculpt(error) => match error {
                gyrus_sculpt::Error::Write { .. } => Fault::Failure,
                _ => Fault::Caller,
            },
            Self::SculptTrain(error) => match error {
                gyrus_sculpt_train::Error::Train(error) => of_training(error),
                _ => Fault::Caller,
            },
            Self::Simulate(error) => match error {
                gyrus_simulate::Error::NotFinite { .. } => Fault::Failure,
                _ => Fault::Caller,
            },
            Self::Vision(error) => match &**error {
                gyrus_vision::Error::Formats(error) => of_formats(error),
                _ => Fault::Caller,
            },
            Self::Serve(error) => match error {
                gyrus_serve::Error::Model(error) => of_language(error),
                gyrus_serve::Error::System(_) => Fault::Failure,
                _ => Fault::Caller,
            },
        }
    }
}

fn of_data(error: &gyrus_data::Error) -> Fault {
    match error {
        #[cfg(feature = "hub")]
        gyrus_data::Error::Hub(error) => of_formats(error),
        _ => Fault::Caller,
    }
}

fn of_kernels(error: &gyrus_kernels::Error) -> Fault {
    match error {
        gyrus_kernels::Error::Threads { .. } => Fault::Failure,
        _ => Fault::Caller,
    }
}

fn of_training(error: &gyrus_train::Error) -> Fault {
    use gyrus_train::Error as TrainError;
    match error {
        TrainError::Io { .. } | TrainError::Diverged { .. } => Fault::Failure,
        TrainError::Network(error) if matches!(**error, gyrus_nn::Error::NotFinite { .. }) => Fault::Failure,
        _ => Fault::Caller,
    }
}

fn of_formats(error: &gyrus_formats::Error) -> Fault {
    match error {
        gyrus_formats::Error::Write { .. } => Fault::Failure,
        #[cfg(feature = "hub")]
        gyrus_formats::Error::Hub { .. } => Fault::Failure,
        _ => Fault::Caller,
    }
}

fn of_language(error: &gyrus_language::Error) -> Fault {
    match error {
        gyrus_language::Error::Formats(error) => of_formats(error),
        _ => Fault::Caller,
    }
}
