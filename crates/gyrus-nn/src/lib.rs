//! Neurons and layers: a blueprint made trainable.
//!
//! A [`Network`] is the dense body of a [`Blueprint`](gyrus_blueprint::Blueprint): it lowers the graph to fused operations,
//! holds the parameters by name, trains through [`Network::gradients`] and answers through [`Network::infer`].
//!
//! ```
//! use gyrus_blueprint::preset;
//! use gyrus_nn::{Network, floats};
//! use gyrus_tensor::{Tensor, cpu};
//!
//! let network = Network::new(&preset("mlp", [1, 28, 28], 10)?, 0, &cpu())?;
//! let answer = network.infer(Tensor::zeros([3, 784], &cpu()));
//! assert_eq!(answer.dims(), [3, 10]);
//! # Ok::<(), gyrus_nn::NetworkError>(())
//! ```

pub mod conventions;
pub mod convert;
mod error;
mod network;
pub mod neurobench;
mod neurons;
mod plan;
mod plan_in_time;
mod spiking;
pub mod workload;

pub use error::NetworkError;
pub use gyrus_files::{State, StateTensor, from_safetensors, to_safetensors};
pub use network::{LossAndGradients, Mode, Network, Observation, Observed, Parameter, floats};
pub use spiking::{
    Encoder, Intensity, Readout, SURROGATE_NAMES, SpikingSettings, rounded, spiking_form, surrogate,
};
