//! Meshes: reading and writing them, judging and comparing them, building them from fields, making them smaller.
//!
//! A [`Mesh`] is plain data. [`read_mesh`] reads OBJ, PLY, STL and GLB files, [`Quality`] says what a mesh is worth,
//! [`compare`] how near it is to another one, [`surface`] turns a field on a grid into a closed manifold, [`simplify`] makes
//! it smaller, [`write_mesh`] writes it for other programs.
//!
//! ```
//! use gyrus_sculpt::{Field, Quality, surface};
//!
//! // A ball of radius 5 on a grid of 16 samples a side.
//! let values: Vec<f32> = (0..16 * 16 * 16)
//!     .map(|i| [i % 16, i / 16 % 16, i / 256].map(|at| (at as f32 - 7.5).powi(2)).iter().sum::<f32>())
//!     .map(|square| 5.0 - square.sqrt())
//!     .collect();
//! let ball = surface(&Field { values: &values, size: [16; 3], origin: [0.0; 3], step: [1.0; 3] }, 0.0);
//! let quality = Quality::of(&ball);
//! assert!(quality.watertight && quality.manifold && quality.euler_characteristic == 2);
//! assert!((quality.volume.unwrap() / 523.6 - 1.0).abs() < 0.03);
//! ```

pub mod captions;
mod compare;
mod error;
mod mesh;
mod picture;
mod quality;
mod read;
mod render;
pub mod shapes;
mod simplify;
mod surface;
mod topology;
pub mod triposr;
mod write;

pub use compare::{Comparison, compare};
pub use error::{Error, Result};
pub use mesh::Mesh;
pub use picture::{Background, centered, cut_out, object, read_picture};
pub use quality::Quality;
pub use read::{parse_mesh, read_mesh};
pub use render::{View, render, turntable};
pub use simplify::{largest_components, simplify};
pub use surface::{Field, surface};
pub use topology::Topology;
pub use write::{MeshFormat, write_mesh};
