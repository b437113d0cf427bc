//! Vision networks that others trained, as blueprints.
//!
//! [`Model::open`] reads a checkpoint (safetensors or PyTorch's own file, alone or in a folder of the Hugging Face hub) of a known
//! family ([`FAMILIES`]) and returns a blueprint, its parameters, and how the network wants to see a picture. Everything that a
//! blueprint can do, it can do then: answer, train on, be converted to spikes, be drawn. Nodes are named as in the checkpoint's
//! program, so that `<node>.weight` is the name of the tensor there as well.
//!
//! [`onnx`] reads the networks of any program that writes ONNX, as far as a blueprint can say them, and writes ours;
//! [`publish`] lays a network out as a folder that opens in other programs.
//!
//! [`transfer`] prepares what was learned for other classes: a new last layer, and, where layers stay frozen, what these answer
//! for each picture, computed once.
//!
//! [`zero_shot`] compares pictures with texts ([`mod@text`]). [`similar`] compares pictures. [`see`] says what the layers of a network have learned.

pub mod adapters;
pub mod checkpoint;
mod config;
mod error;
pub mod families;
mod model;
pub mod onnx;
pub mod publish;
pub mod see;
pub mod similar;
pub mod text;
pub mod transfer;
pub mod zero_shot;

pub use error::{Error, Result};
pub use families::FAMILIES;
pub use model::Model;
