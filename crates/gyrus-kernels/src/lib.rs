//! The hot loops of Gyrus: plain slices in, plain slices out, threads and SIMD; no tensors, no input or output.
//!
//! - Pictures are channels-last (`[batch, height, width, channels]`), which lets convolutions read their input in
//!   place; weights are as PyTorch keeps them.
//! - Work runs on the current [rayon] pool and is cut by shape alone: results are the same, bit for bit, for any number
//!   of threads.
//! - Every kernel has a naive form in [`oracle`] that its tests compare it with.
//! - Slices of the wrong length panic: shapes are the caller's to check, and `gyrus-tensor` does.
//!   [`weights`], which come from files, are checked and return an error.

pub mod attention_maps;
pub mod convolution;
pub mod convolution_backward;
pub mod decoding;
mod depthwise;
pub mod elementwise;
pub mod encoding;
mod event_pooling;
mod event_window;
pub mod events;
mod lanes;
pub mod loss;
mod mask;
pub mod matmul;
mod membrane;
pub mod neuron;

pub mod normalization;
pub mod optimizer;
pub mod oracle;
mod parallel;
pub mod pooling;
pub mod quantize;
pub mod recurrent;
pub mod signed;
mod sparse;
pub mod spike_convolution;
pub mod spike_linear;
pub mod spike_pooling;
pub mod spikes;
mod surrogate;
mod tile;
pub mod transformer;
pub mod weights;
mod winograd;
mod winograd_backward;

pub use parallel::{flush_denormals, keep_awake};
