//! Spikes packed as bits, and layers that skip zeros.

pub mod convolution;
pub mod count_pooling;
pub mod linear;
pub mod packed;
pub mod pooling;
pub(crate) mod sparse;
