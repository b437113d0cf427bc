//! Trainable networks: the dense and the clocked spiking body of a blueprint.
//!
//! A [`Network`] lowers a [`Blueprint`](gyrus_blueprint::Blueprint) to fused operations, holds its parameters by name, trains
//! through [`Network::gradients`] and answers through [`Network::infer`]. With [`SpikingSettings`] it is a spiking network,
//! which runs for several time steps. [`convert`] turns trained dense networks into spiking ones.
//!
//! ```
//! use gyrus_blueprint::preset;
//! use gyrus_nn::{Network, floats};
//! use gyrus_tensor::{Tensor, cpu};
//!
//! let network = Network::new(&preset("mlp", [1, 28, 28], 10)?, 0, &cpu())?;
//! let answer = network.infer(Tensor::zeros([3, 784], &cpu()));
//! assert_eq!(answer.dims(), [3, 10]);
//! # Ok::<(), gyrus_nn::Error>(())
//! ```

pub mod conventions;
pub mod convert;
mod error;
mod network;
pub mod neurobench;
mod neurons;
mod plan;
mod spiking;
pub mod workload;

pub use convert::spiking_form;
pub use error::{Error, Result};
pub use gyrus_files::{State, StateTensor, from_safetensors, to_safetensors};
pub use gyrus_tensor::floats;
pub use network::{LossAndGradients, Mode, Network, Observation, Observed, Parameter, PullBack, Signal};
pub use spiking::{
    EncodedSample, Encoder, Intensity, Readout, SURROGATE_NAMES, SpikingSettings, rounded, surrogate,
};
