//! A layer of point neurons over its whole time axis: spikes or potentials from currents, and gradients back through
//! time.
//!
//! One step of a neuron with incoming current `x` and state `v`, `i`, `a` (membrane, synapse, adaptation trace):
//!
//! 1. synapse, if the kind has one: `i <- synapse_decay * i + synapse_gain * x`; else `i = x`
//! 2. membrane: `u = decay * v + (gain * i + drive)`
//! 3. spike, if the kind fires: `z = 1 if u > theta + adaptation_strength * a, else 0` (strict; the second term only for
//!    adaptive kinds, with the trace before this step)
//! 4. reset: hard `v = z ? v_reset : u`, subtract `v = z ? u - theta : u`, none `v = u`; then, for adaptive kinds,
//!    `a <- adaptation_decay * a + z`
//!
//! Each product with its sum above is one fused multiply-add, so every body of a network computes the same bits. The
//! gradient takes a [`Surrogate`] for `dz/du` and runs the steps backward (back-propagation through time). Potentials
//! are recomputed from the input, so the forward pass keeps only its output. Cost: forward one pass over `x`, backward
//! two over `x` and one over `dz`; a task keeps its neurons' state in the cache.
//!
//! [`recurrent`] adds connections within the layer, [`signed`] holds neurons with negative spikes.

mod backward;
mod chunk;
mod forward;
mod history;
mod kind;
pub mod recurrent;
pub mod signed;
mod step;
mod surrogate;
#[cfg(test)]
mod tests;

pub use backward::{NeuronGradients, neuron_backward};
pub use forward::neuron_forward;
pub use history::BackwardOptions;
pub use kind::{NeuronKind, NeuronOutput, NeuronShape, NeuronState, Reset};
pub(crate) use step::forward_in_place;
pub use surrogate::Surrogate;
