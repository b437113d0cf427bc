//! What large spiking circuits compute at a step: neurons, their Poisson input, and spikes delivered through synapses.
//!
//! Everything exists in single and in double precision ([`Real`]): the former for speed, the latter to agree with NEST.
//! Neurons are structures of arrays, updated a vector at a time; refractoriness is a mask, not a branch. A step's sums are `[planes,
//! width]`: one plane for each receptor.

mod conductance;
mod deliver;
mod fehlberg;
mod izhikevich;
mod leaky;
mod poisson;
mod real;
#[cfg(test)]
mod tests;

pub use conductance::ConductanceStep;
pub use deliver::{Rows, deliver, deliver_row};
pub use fehlberg::{Control, Equations, advance};
pub use izhikevich::IzhikevichStep;
pub use leaky::{AlphaStep, DeltaStep, ExponentialStep};
pub use poisson::{PoissonTable, add_poisson, philox};
pub use real::Real;
