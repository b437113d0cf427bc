//! Errors of circuits and their simulation.

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
