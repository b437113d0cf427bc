//! Large spiking circuits as neuroscience builds them: populations of point neurons, synapses with weights and delays,
//! plasticity, recorders.
//!
//! A [`Circuit`] says what to build, in NEST's words with units in the names. [`Simulation`] builds it and runs it step by step.
//!
//! ```
//! use std::ops::ControlFlow;
//! use gyrus_simulate::{Circuit, Input, Leaky, Model, Population, Projection, RuleKind, Simulation};
//!
//! let neurons = Population {
//!     inputs: vec![Input::poisson(20_000.0, 0.1)],
//!     ..Population::new("excitatory", 1000, Model::IafPscDelta(Leaky { v_th_mv: -60.0, ..Leaky::default() }))
//! };
//! let recurrent = Projection::new(0, 0, RuleKind::FixedInDegree(100), 0.1, 1.5);
//! let circuit = Circuit { populations: vec![neurons], projections: vec![recurrent], ..Circuit::default() };
//! let mut simulation = Simulation::new(&circuit)?;
//! let activity = simulation.run(1000, |_step, _neurons| ControlFlow::Continue(()))?;
//! assert_eq!(simulation.synapses(), 100_000);
//! assert!(activity.spikes > 0);
//! # Ok::<(), gyrus_simulate::Error>(())
//! ```
//!
//! - **Time** runs in steps of `dt_ms`. A spike of step n arrives after its delay of d steps at step n + d. The order within a
//!   step is NEST's (Rotter & Diesmann 1999, Biol. Cybern. 81:381; Morrison et al. 2007, Neural Comput. 19:47).
//! - **All steps of the shortest delay run in one pass** (Morrison et al. 2005, Neural Comput. 17:1776): every part of a
//!   population updates its neurons, then every part receives all spikes. A part holds the synapses onto its neurons, grouped
//!   by source, and the input of the steps to come, which stays in the cache.
//! - **Memory**: 2 bytes a synapse where all of a projection share their weight, 6 with weights of their own in single precision; 2 more
//!   where delays differ and reach beyond some hundred steps.
//! - **The same bits for any number of threads**: parts depend on the circuit alone, and all random numbers are functions of the seed and
//!   of what they are for.

mod checkpoint;
mod circuit;
pub mod competition;
mod connect;
mod error;
mod inputs;
mod model;
mod neurons;
mod part;
mod plasticity;
pub mod processes;
mod projection;
mod quantity;
mod random;
mod simulation;
mod team;

// Around the engine.
pub mod estimate;
mod file;
pub mod models;
mod recording;
pub mod sonata;
pub mod spectrum;
mod spikes;
pub mod statistics;
pub mod table;

pub use circuit::{Circuit, Input, InputKind, Population, Precision};
pub use connect::{Need, available_memory};
pub use error::{Error, Result};
pub use file::{ChangeKind, CircuitFile, MAX_FILE_BYTES, Recorder, Scaling, TimedChange};
pub use model::{Adaptive, Conductance, HodgkinHuxley, Izhikevich, Leaky, Model, MovingThreshold};
pub use neurons::Variable;
pub use plasticity::{Pairing, Plasticity, ShortTerm, SpikeTiming, TimingRule};
pub use projection::{Link, Projection, Rule, RuleKind};
pub use quantity::{Bounds, Distribution, Outside, Quantity};
pub use recording::{Progress, Recording, Stop, record};
pub use simulation::{Activity, Memory, Simulation, Synapse, Trace};
pub use spikes::Spikes;
pub use statistics::{PopulationStatistics, Window};
