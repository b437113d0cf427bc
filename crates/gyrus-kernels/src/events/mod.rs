//! What the event-driven body computes at one step: neurons, and spikes added to the sums of their targets.
//!
//! Events are the indices of the elements that spiked, ascending, each with an optional number (1 if absent). A
//! target's sum is one chain of additions (with numbers, of fused multiply-adds) in the order of the events, from zero.
//! For convolutions the order of a target's events is ascending kernel row, kernel column and channel, so both kinds of
//! sums equal, bit for bit, those of [`spike_linear`](crate::spikes::linear) and
//! [`spike_convolution`](crate::spikes::convolution) before their bias. Cost: events times targets; nothing else is
//! touched.
//!
//! Rows of sums and of weights are padded to [`LANE`] floats on every machine, so that a row is whole registers.

mod convolution;
mod linear;
mod pooling;
mod rows;
mod step;
#[cfg(test)]
mod tests;
mod window;

pub use convolution::{ConvolutionTable, TOUCHED};
pub use linear::LinearTable;
pub use pooling::{count_max_packed, counts_packed};
pub use rows::LANE;
pub use step::{list_spikes, membrane_step, signed_step, take_sums, takes_winograd};
