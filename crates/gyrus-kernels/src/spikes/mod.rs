//! Spikes, and layers that skip zeros.
//!
//! - [`packed`]: spikes as bits, 32 to a word; `count`, `pack`, `unpack`.
//! - [`linear`], [`convolution`], [`pooling`]: layers whose input is packed spikes. The first two sum listed rows of a
//!   weight table (`sparse`).
//! - [`count_pooling`]: max pooling of spike counts, for spikes that are floats and may be signed.

pub mod convolution;
pub mod count_pooling;
pub mod linear;
pub mod packed;
pub mod pooling;
pub(crate) mod sparse;
