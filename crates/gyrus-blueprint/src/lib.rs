//! A neural network as plain data.
//!
//! A [`Blueprint`] is a directed graph of named [`Node`]s in the vocabulary of NIR, the Neuromorphic
//! Intermediate Representation, plus the few dense nodes that NIR lacks. It is the wiring diagram and nothing else: no
//! tensors, no weights, no device. It checks itself on construction, infers every shape before anything is allocated
//! ([`Blueprint::shapes`]), lists the parameters that a body must hold ([`Shapes::parameters`]), gives the geometry of its
//! convolutions and pools ([`ConvolutionGeometry`]), round-trips to TOML and to NIR files ([`nir`]), and draws itself
//! ([`svg`], [`text`]).
//!
//! ```
//! use gyrus_blueprint::{Blueprint, NodeKind, Padding};
//!
//! let blueprint = Blueprint::builder("small")
//!     .input([1, 28, 28])
//!     .node("conv", NodeKind::conv2d(8, 3).padding(Padding::Same))
//!     .node("relu", NodeKind::ReLU)
//!     .node("pool", NodeKind::GlobalAvgPool)
//!     .node("classes", NodeKind::affine(10))
//!     .build()?;
//! let shapes = blueprint.shapes()?;
//! assert_eq!(shapes.output(blueprint.index_of("conv").unwrap()).to_string(), "[8, 28, 28]");
//! assert_eq!(shapes.trainable_parameters(), 8 * 9 + 8 + 8 * 10 + 10);
//! # Ok::<(), gyrus_blueprint::Error>(())
//! ```

mod blueprint;
mod builder;
mod constructors;
mod drawing;
mod error;
mod file;
mod geometry;
mod inference;
mod layout;
mod markup;
pub mod neuron;
pub mod nir;
mod node;
mod presets;
mod shape;
mod window;

pub use blueprint::{Blueprint, MAX_EDGES, MAX_NODES};
pub use builder::BlueprintBuilder;
pub use drawing::{svg, text};
pub use error::{Error, Result};
pub use file::MAX_FILE_BYTES;
pub use geometry::{ConvolutionGeometry, Flattening, Image, PoolGeometry, Weights};
pub use inference::MAX_ELEMENTS;
pub use markup::{escaped, is_direction_override};
pub use neuron::{Array, Discretization, Integration, NeuronModel, Parameters, Reset};
pub use nir::{
    NirExporter, NirNetwork, NirTarget, Portable, load_nir, portable, read_nir, with_standardization,
    write_nir,
};
pub use node::{Node, NodeKind};
pub use presets::{preset, preset_names};
pub use shape::{NodeShapes, ParameterSpec, Shape, Shapes};
pub use window::{Conv1d, Conv2d, Padding, Pool2d};
