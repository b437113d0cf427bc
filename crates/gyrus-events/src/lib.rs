//! The event-driven body: spiking networks run spike by spike, with work in proportion to the spikes.
//!
//! - [`EventNetwork`] runs a spiking [`Blueprint`](gyrus_blueprint::Blueprint), one sample at a time. Its spikes equal those
//!   of the clocked body bit for bit.
//! - [`simulation`] runs populations of neurons that explicit synapses connect, each with a delay of its own: networks of
//!   biological size.
//!
//! Both keep all state with the caller, count what they really execute, and give the same bits for any number of threads.
//! Where denormal numbers are flushed to zero (`gyrus_kernels::flush_denormals`) is the caller's choice for each thread, as it
//! is for the kernels.

mod error;
mod layer;
mod membrane;
mod network;
mod pipeline;
mod plan;
mod signal;
pub mod simulation;
mod step;
mod stimulus;
mod weights;

pub use error::{Error, Result};
pub use network::{EventNetwork, EventState, NodeRecord, Outcome, Recorded};
pub use step::NodeCounts;
pub use stimulus::{Stimulus, StimulusKind};
