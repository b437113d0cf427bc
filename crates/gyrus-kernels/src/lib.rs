//! The CPU kernels of Gyrus: forward passes and gradients on plain slices, with threads and SIMD. No tensors, no files.
//!
//! ```
//! use gyrus_kernels::dense::linear::linear;
//! use gyrus_kernels::with_threads;
//!
//! // A linear layer with ReLU, y = max(x wᵀ + b, 0), for two rows of three inputs and two outputs.
//! let x = [1.0, 2.0, 3.0, -1.0, 0.0, 1.0];
//! let weight = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
//! let bias = [0.5, -1.0];
//! let mut y = [0.0; 4];
//! with_threads(2, || linear(&x, &weight, Some(&bias), true, (2, 3, 2), &mut y))?;
//! assert_eq!(y, [4.5, 1.0, 0.5, 0.0]);
//! # Ok::<(), gyrus_kernels::Error>(())
//! ```
//!
//! | module | kernels |
//! |---|---|
//! | [`dense`] | linear layers, activations, losses, optimizers |
//! | [`convolution`] | convolutions and pooling over images |
//! | [`normalization`] | batch, layer and root-mean-square normalization |
//! | [`attention`] | causal, cached and encoder attention, rotary embedding, attention maps |
//! | [`token`] | embeddings, feed-forward activations and gates, the loss over a vocabulary |
//! | [`stored`] | weights in the formats of GGUF: products, quantizers, low-rank adapters |
//! | [`spikes`] | bit-packed spikes, and linear layers, convolutions and pooling that skip zeros |
//! | [`neuron`] | layers of point neurons through time, recurrent and signed ones, surrogate gradients |
//! | [`events`] | one step of the event-driven body |
//! | [`circuit`] | one step of large spiking circuits: neurons, Poisson input, spikes through synapses |
//! | [`oracle`] | the naive form of each kernel, for tests |
//!
//! They share `base`: the register tile under every product, tasks and scratch memory, masks, fast `exp`. To read on, start
//! with `base/tile.rs` and [`dense::linear`]; every module says its equation, its source and its cost.
//!
//! # Conventions
//!
//! - Slices are row-major. Images are channels-last (`[batch, height, width, channels]`), which lets convolutions read
//!   their input in place; weights have PyTorch's layouts.
//! - Work runs on the current [rayon] pool and is cut by shape alone: results are the same, bit for bit, for any number
//!   of threads. They may differ between processors with different vector instructions.
//! - A slice of the wrong length panics: the caller checks shapes, as `gyrus-tensor` does. Only [`stored`] weights, which
//!   come from files, are checked and return an [`Error`].

pub mod attention;
mod base;
pub mod circuit;
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
