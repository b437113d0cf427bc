//! Why a network could not be looked into.

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a network could not be looked into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The blueprint is not valid.
    #[error(transparent)]
    Blueprint(#[from] gyrus_blueprint::Error),
    /// The network cannot run, or has no such signal.
    #[error(transparent)]
    Network(#[from] gyrus_nn::Error),
    /// An image or a batch of them does not have the network's input shape.
    #[error("got {got} numbers, expected a multiple of the {expected} numbers of the network's input")]
    InputLength {
        /// Numbers given.
        got: usize,
        /// Numbers of one input.
        expected: usize,
    },
    /// There is no output of this number.
    #[error("got output {got}, expected one of the network's {outputs} outputs, counted from 0")]
    NoSuchOutput {
        /// The output asked for.
        got: usize,
        /// Outputs of the network.
        outputs: usize,
    },
    /// A setting that makes no sense.
    #[error("{setting} is {got}; expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        got: String,
        /// The expected value.
        expected: &'static str,
    },
    /// There are too few examples for a statistic.
    #[error("got {got} examples, expected at least {expected} for {what}")]
    TooFewExamples {
        /// What is computed.
        what: &'static str,
        /// Examples given.
        got: usize,
        /// Examples needed.
        expected: usize,
    },
    /// The second network was shown other inputs.
    #[error(
        "the two runs read inputs of {first} and {second} numbers: only networks with the same input can be compared"
    )]
    OtherInput {
        /// Numbers of an input of the first network.
        first: usize,
        /// And of the second.
        second: usize,
    },
}
