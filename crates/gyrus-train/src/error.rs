//! Everything that can go wrong around a training, each with the file it is about, what was found and what would
//! be right.

use std::io;
use std::path::{Path, PathBuf};

use crate::RunStatus;

/// Why something was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are what the texts say.
pub enum Error {
    /// The network could not be built or loaded.
    #[error(transparent)]
    Network(#[from] gyrus_nn::Error),
    /// The bytes are not a safetensors file of 32-bit floats.
    #[error(transparent)]
    Arrays(gyrus_files::Error),
    /// A name that nothing has.
    #[error("there is no {what} `{name}`; there are {}", known.join(", "))]
    UnknownName {
        /// What was named.
        what: &'static str,
        /// The name given.
        name: String,
        /// The names that exist.
        known: &'static [&'static str],
    },
    /// The loss is infinite or not a number.
    #[error(
        "the loss is no longer a number at step {step} (epoch {epoch}): the training diverged; try a learning rate \
         below {learning_rate}"
    )]
    Diverged {
        /// From 1.
        epoch: u32,
        /// From 1.
        step: u64,
        /// The highest of the schedule.
        learning_rate: f64,
    },
    /// Examples with values to predict where classes are needed.
    #[error("a network is judged over time on classes; this data set has values to predict")]
    NoClasses,
    /// The checkpoint cannot be resumed from.
    #[error("cannot resume from the checkpoint: {problem}")]
    Checkpoint {
        /// What is wrong with it.
        problem: String,
    },
    /// A finished run has nothing to continue.
    #[error("the run in {} is finished already", run.display())]
    AlreadyFinished {
        /// The run folder.
        run: PathBuf,
    },
    /// A run cannot go on with other data than it began with.
    #[error("the data is not the same as when the run in {} began", run.display())]
    OtherData {
        /// The run folder.
        run: PathBuf,
    },
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a folder; expected a run folder, as `gyrus learn` leaves it", .path.display())]
    NotAFolder { path: PathBuf },
    #[error("{} does not exist; expected a run folder, as `gyrus learn` leaves it", .path.display())]
    NoSuchFolder { path: PathBuf },
    #[error(
        "{} is not a run folder: it holds no {file}; expected a folder that `gyrus learn` has left", .path.display()
    )]
    NotARun { path: PathBuf, file: &'static str },
    #[error(
        "{} is not empty (it holds {entry:?}) and not a run folder; expected a new or empty folder for the run",
        .path.display()
    )]
    NotEmpty { path: PathBuf, entry: String },
    #[error("{} already holds {}", .path.display(), existing_text(*.status))]
    RunExists { path: PathBuf, status: RunStatus },
    #[error("{} holds no {}: {}", .path.display(), crate::run_folder::MODEL, missing_model_text(*.status))]
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
    #[error("{} is {bytes} bytes long; at most {limit} are accepted", .path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error(transparent)]
    Blueprint(#[from] gyrus_blueprint::Error),
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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

    /// A mistake in a JSON file whose text begins at line `first_line`.
    pub(crate) fn json(path: &Path, first_line: usize, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        // The text may quote the file: nothing of it should move the cursor of a terminal.
        let message = text.replace(&place, "").chars().filter(|letter| !letter.is_control()).collect();
        let line = first_line + error.line().saturating_sub(1);
        Self::Json { path: path.to_owned(), line, column: error.column(), message }
    }
}

fn existing_text(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Finished => "a finished run; expected another folder, or `--overwrite` to replace it",
        RunStatus::Running | RunStatus::Interrupted => {
            "an unfinished run; expected `--resume` to continue it, another folder, or `--overwrite` to replace it"
        }
    }
}

fn missing_model_text(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Finished => "the file was lost; put it back, or learn again",
        RunStatus::Running | RunStatus::Interrupted => {
            "the run was cut off before its first model; continue it with `gyrus learn --resume`"
        }
    }
}
