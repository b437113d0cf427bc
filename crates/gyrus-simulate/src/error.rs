//! Errors of circuits and their simulation.

use std::path::{Path, PathBuf};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a circuit could not be built or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range.
    #[error("{place}: {setting} is {got}; expected {expected}")]
    Setting {
        /// The population or projection, or `circuit`.
        place: String,
        /// Which setting.
        setting: &'static str,
        /// The value given.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// The circuit does not fit into the memory that is free.
    #[error("the circuit needs {needed} bytes of memory, of which {available} are available")]
    Memory {
        /// Bytes needed.
        needed: u64,
        /// Bytes available now.
        available: u64,
    },
    /// A state variable is not a finite number.
    #[error("population `{population}`: the state of neuron {neuron} is not a finite number at step {step}")]
    NotFinite {
        /// The population's name.
        population: String,
        /// Within the population.
        neuron: usize,
        /// The step after which it was found.
        step: u64,
    },
    /// A checkpoint does not belong to this circuit, or is damaged.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// From `gyrus-files`.
    #[error(transparent)]
    Files(#[from] gyrus_files::Error),
    /// A text does not describe a circuit.
    #[error("line {line}: {problem}")]
    Toml {
        /// From 1.
        line: usize,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A file does not describe a circuit.
    #[error("{}{}{place}: {problem}", .path.display(), if .place.is_empty() { "" } else { ", " })]
    InFile {
        /// The file.
        path: PathBuf,
        /// A line, or an array of HDF5; may be empty.
        place: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A SONATA network asks for what is not supported.
    #[error("{0}")]
    Sonata(String),
    /// Processes cannot simulate together.
    #[error("processes: {0}")]
    Processes(String),
    /// A circuit cannot be made smaller or larger.
    #[error("a scale of {scale}: {problem}")]
    Scale {
        /// The scale.
        scale: f64,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// An error about a text as one about the file that holds it.
    pub(crate) fn in_toml(self, path: &Path) -> Self {
        match self {
            Self::Toml { line, problem } => in_file(path, format!("line {line}"), problem),
            other => other,
        }
    }
}

/// [`Error::InFile`].
pub(crate) fn in_file(path: &Path, place: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::InFile { path: path.to_owned(), place: place.into(), problem: problem.into() }
}

/// [`Error::Setting`].
pub(crate) fn wrong(
    place: &str,
    setting: &'static str,
    got: impl std::fmt::Display,
    expected: impl Into<String>,
) -> Error {
    Error::Setting { place: place.to_owned(), setting, got: got.to_string(), expected: expected.into() }
}
