//! What agents have in common: a machine of steps, without any input or output of its own.
//!
//! An agent gets an event and answers with one effect: call this tool, ask this model, or finish. Between the two stands
//! [`Run`], which decides what an agent may do: the budget ([`Limits`]), the policy ([`Policy`]) and the detector of loops refuse
//! effects before they happen, and what tools found is kept as [`Evidence`] with the hash of its content.
//!
//! A run is deterministic given its events. They are appended to one journal ([`journal`]), each effect before it is done and each
//! event after: the same file is the audit log, the point from which a killed run goes on, and the cassette from which it is
//! replayed without model or network.

mod budget;
mod calculation;
mod evidence;
pub mod journal;
mod loops;
mod policy;
mod run;

pub use budget::{Limit, Limits, Spend};
pub use calculation::calculate;
pub use evidence::{Draft, Evidence, EvidenceId, EvidenceKind, EvidenceStore};
pub use loops::LoopDetector;
pub use policy::{Grant, Origin, Policy, ToolEffect, ToolSpec};
pub use run::{Agent, Context, Effect, Event, Log, Run, ToolOutput, World};
