//! Errors of the event-driven body.

use gyrus_blueprint::Shape;

/// Result of this crate's functions.
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
        /// Why, and what would be right.
        reason: &'static str,
    },
    /// A parameter is missing, or has another size than in the blueprint.
    #[error("parameter `{name}` has {got} numbers; the blueprint needs {expected} numbers of shape {shape}")]
    Parameter {
        /// `<node>.<parameter>`
        name: String,
        /// Count of numbers; 0 if the parameter is missing.
        got: usize,
        /// Expected count.
        expected: usize,
        /// Their shape.
        shape: Shape,
    },
    /// The input of a run does not fit the network.
    #[error("{what} has {got}; expected {expected}")]
    Given {
        /// Which input.
        what: &'static str,
        /// What was found.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// A membrane potential is not a finite number.
    #[error(
        "the membrane potential of node `{node}` is not a finite number at step {step} (neuron {neuron})"
    )]
    NotFinite {
        /// The node's name.
        node: String,
        /// From 0.
        step: u64,
        /// Channels-last within the node.
        neuron: usize,
    },
}
