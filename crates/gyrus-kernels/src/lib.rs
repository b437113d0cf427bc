//! The hot loops of Gyrus: plain slices in, plain slices out, threads and SIMD; no tensors, no input or output.
//!
//! - Pictures are channels-last (`[batch, height, width, channels]`), which lets convolutions read their input in
//!   place; weights are as PyTorch keeps them.
//! - Work runs on the current [rayon] pool and is cut by shape alone: results are the same, bit for bit, for any number
//!   of threads.
//! - Every kernel has a naive form in [`oracle`] that its tests compare it with.
//! - Slices of the wrong length panic: shapes are the caller's to check, and `gyrus-tensor` does.
//!   [`stored`], which come from files, are checked and return an error.

pub mod attention;
mod base;
pub mod convolution;
pub mod dense;
mod error;
pub mod events;
pub mod neuron;
pub mod normalization;
pub mod oracle;
pub mod spikes;
pub mod stored;
pub mod token;

pub use base::parallel::{flush_denormals, keep_awake, with_threads};
pub use base::random::splitmix64;
pub use error::{Error, Result};
