//! The event-driven body: spiking networks run spike by spike, with work in proportion to the spikes.
//!
//! [`EventNetwork`] runs a spiking [`Blueprint`](gyrus_blueprint::Blueprint), one sample at a time. Its spikes equal those of
//! the clocked body bit for bit.
//!
//! ```
//! use gyrus_blueprint::{Array, Blueprint, Discretization, NodeKind, Parameters};
//! use gyrus_events::{EventNetwork, EventState, Stimulus, StimulusKind};
//!
//! let blueprint = Blueprint::builder("one neuron")
//!     .input([2])
//!     .node("weights", NodeKind::linear(1))
//!     .node("neuron", NodeKind::lif(10.0))
//!     .build()?;
//! let weight = Array { shape: vec![1, 2], values: vec![20.0, -20.0] };
//! let parameters = Parameters::from([("weights.weight".to_owned(), weight)]);
//! let network = EventNetwork::new(&blueprint, &parameters, Discretization::default(), StimulusKind::Spikes)?;
//! // Three steps of packed spikes, one word each: input 0 spikes at the second step.
//! let outcome = network.run(&mut EventState::default(), Stimulus::Spikes(&[0, 1, 0]), 3, false)?;
//! assert_eq!(outcome.answer, [0.0, 1.0, 0.0]);
//! assert_eq!(outcome.total().accumulates, 1);
//! # Ok::<(), gyrus_events::Error>(())
//! ```
//!
//! The caller owns all state; the operations that are executed are counted, and the bits are the same for any number of
//! threads. As for the kernels, the caller decides for each thread whether denormal numbers are flushed to zero
//! (`gyrus_kernels::flush_denormals`).

mod error;
mod layer;
mod membrane;
mod network;
mod pipeline;
mod plan;
mod signal;
mod step;
mod stimulus;
mod weights;

pub use error::{Error, Result};
pub use network::{EventNetwork, EventState, NodeRecord, Outcome, Recorded};
pub use step::NodeCounts;
pub use stimulus::{Stimulus, StimulusKind};
