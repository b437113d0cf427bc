//! What can go wrong around a training: each error names the file, what was found, and what was expected.

use std::io;
use std::path::{Path, PathBuf};

use crate::RunStatus;

/// What can go wrong around a training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are what the texts say.
pub enum Error {
    /// The network could not be built or loaded.
    #[error(transparent)]
    Network(Box<gyrus_nn::Error>),
    /// The bytes are not a safetensors file of 32-bit floats.
    #[error(transparent)]
    Arrays(gyrus_files::Error),
    /// An unknown name.
    #[error("unknown {what} `{name}`; expected one of {}", known.join(", "))]
    UnknownName {
        /// What the name is for.
        what: &'static str,
        /// The name given.
        name: String,
        /// The known names.
        known: &'static [&'static str],
    },
    /// The loss or the gradients are infinite or not a number.
    #[error(
        "training diverged: the loss is not a number at step {step} (epoch {epoch}); try a learning rate below \
         {learning_rate}"
    )]
    Diverged {
        /// Counted from 1.
        epoch: u32,
        /// Counted from 1.
        step: u64,
        /// The highest learning rate of the schedule.
        learning_rate: f64,
    },
    /// A regression data set where classes are needed.
    #[error("accuracy over time needs a classification data set; this one is for regression")]
    NoClasses,
    /// A measurement was stopped by its [`Tick`](crate::Tick).
    #[error("stopped on request")]
    Stopped,
    /// The checkpoint cannot be resumed from.
    #[error("cannot resume from the checkpoint: {problem}")]
    Checkpoint {
        /// What is wrong with it.
        problem: String,
    },
    /// A finished run cannot be resumed.
    #[error("the run in {} is finished already; a network is trained beyond its end with `--epochs`", run.display())]
    AlreadyFinished {
        /// The run folder.
        run: PathBuf,
    },
    /// A run can only be resumed with the data it began with.
    #[error("the data has changed since the run in {} began", run.display())]
    OtherData {
        /// The run folder.
        run: PathBuf,
    },
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a folder; expected a run folder, as written by `gyrus learn`", .path.display())]
    NotAFolder { path: PathBuf },
    #[error("{} does not exist; expected a run folder, as written by `gyrus learn`", .path.display())]
    NoSuchFolder { path: PathBuf },
    #[error(
        "{} is not a run folder: it has no {file}; expected a folder written by `gyrus learn`", .path.display()
    )]
    NotARun { path: PathBuf, file: &'static str },
    #[error(
        "{} is not a run folder and not empty (it contains {entry:?}); expected a new or empty folder",
        .path.display()
    )]
    NotEmpty { path: PathBuf, entry: String },
    #[error("{} already contains {}", .path.display(), existing_text(*.status))]
    RunExists { path: PathBuf, status: RunStatus },
    #[error("{} has no {}: {}", .path.display(), crate::run_folder::MODEL, missing_model_text(*.status))]
    MissingModel { path: PathBuf, status: RunStatus },
    #[error("{}, line {line}, column {column}: {message}", .path.display())]
    Json { path: PathBuf, line: usize, column: usize, message: String },
    #[error(
        "{} has format version {found}, written by Gyrus {written_by:?}; this Gyrus {} reads versions 1 to {known}",
        .path.display(), env!("CARGO_PKG_VERSION")
    )]
    UnknownVersion { path: PathBuf, found: u32, written_by: String, known: u32 },
    #[error("{}: `{field}` is {got}; expected {expected}", .path.display())]
    InvalidRecord { path: PathBuf, field: String, got: String, expected: &'static str },
    #[error("{} has {bytes} bytes; at most {limit} are accepted", .path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error(transparent)]
    Blueprint(Box<gyrus_blueprint::Error>),
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<gyrus_nn::Error> for Error {
    fn from(error: gyrus_nn::Error) -> Self {
        Self::Network(Box::new(error))
    }
}

impl From<gyrus_blueprint::Error> for Error {
    fn from(error: gyrus_blueprint::Error) -> Self {
        Self::Blueprint(Box::new(error))
    }
}

impl From<gyrus_files::Error> for Error {
    fn from(error: gyrus_files::Error) -> Self {
        match error {
            gyrus_files::Error::Io { path, source } => Self::Io { action: "read", path, source },
            gyrus_files::Error::TooLarge { path, bytes, limit } => Self::TooLarge { path, bytes, limit },
            other => Self::Arrays(other),
        }
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// An error in a JSON file whose text begins at line `first_line`.
    pub(crate) fn json(path: &Path, first_line: usize, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        // The message may quote the file, so characters that control a terminal are removed.
        let message = text.replace(&place, "").chars().filter(|letter| !letter.is_control()).collect();
        let line = first_line + error.line().saturating_sub(1);
        Self::Json { path: path.to_owned(), line, column: error.column(), message }
    }
}

fn existing_text(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Finished => "a finished run; choose another folder, or pass `--overwrite` to replace it",
        RunStatus::Diverged => {
            "a run that diverged; choose another folder, or pass `--overwrite` to replace it"
        }
        RunStatus::Running | RunStatus::Interrupted => {
            "an unfinished run; continue it with `--resume`, choose another folder, or pass `--overwrite` to replace it"
        }
    }
}

fn missing_model_text(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Finished => "the file is missing; restore it, or train again",
        RunStatus::Diverged => {
            "the training diverged before its first model was saved; train again with a lower `--learning-rate`"
        }
        RunStatus::Running | RunStatus::Interrupted => {
            "the run ended before its first model was saved; continue it with `gyrus learn --resume`"
        }
    }
}
