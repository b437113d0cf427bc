//! What can go wrong in the event-driven body.

use gyrus_blueprint::Shape;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a network could not be built or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The blueprint, or a constant of a neuron, is not valid.
    #[error(transparent)]
    Blueprint(#[from] gyrus_blueprint::Error),
    /// A node without an event-driven form.
    #[error("node `{node}` ({kind}) cannot run event by event: {reason}")]
    NoEventForm {
        /// The node's name.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// What would be right.
        reason: &'static str,
    },
    /// A parameter is missing, or of another size than the blueprint says.
    #[error("parameter `{name}` has {got} numbers; the blueprint needs {expected} of them, shaped {shape}")]
    Parameter {
        /// `<node>.<parameter>`
        name: String,
        /// How many numbers there are; 0 where the parameter is missing.
        got: usize,
        /// How many there should be.
        expected: usize,
        /// Their shape.
        shape: Shape,
    },
    /// What was given to a run does not fit the network.
    #[error("{what} has {got}; expected {expected}")]
    Given {
        /// What was given.
        what: &'static str,
        /// What it has.
        got: String,
        /// What would be right.
        expected: String,
    },
    /// A membrane potential is no longer a number.
    #[error(
        "the membrane potential of node `{node}` is not a finite number at step {step} (neuron {neuron})"
    )]
    NotFinite {
        /// The node's or population's name.
        node: String,
        /// From 0.
        step: u64,
        /// Channels-last within the node.
        neuron: usize,
    },
    /// A setting that makes no sense.
    #[error("{setting} is {got}; expected {expected}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What was given.
        got: String,
        /// What would be right.
        expected: String,
    },
    /// More memory than the system gives.
    #[error("{what} needs {bytes} bytes of memory, which this system does not give")]
    Memory {
        /// What needs it.
        what: &'static str,
        /// How much.
        bytes: usize,
    },
}
