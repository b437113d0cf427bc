//! Training of a small network of TripoSR's structure on procedural objects, and its measurement beside plain baselines.
//!
//! [`ShapesModel`] is the trainable network: its gradients are handwritten on the kernels of every other network here, its
//! optimizer, schedule and checkpoints are those of [`gyrus_train`]. [`learn_shapes`] trains it on objects that are drawn anew
//! for each step; the run folder holds a `config.yaml` and a `model.safetensors` that [`gyrus_sculpt::triposr::TripoSr`] opens.
//! [`judge`] measures such a model by the protocol of occupancy networks (Mescheder et al. 2019, arXiv:1812.03828) beside
//! retrieval, family mean, visual hull and oracle (Tatarchenko et al. 2019, arXiv:1905.03678).

mod error;
mod examples;
mod judge;
mod layers;
mod learn;
mod network;
mod pass;
mod random;
mod record;

pub use error::{Error, Result};
pub use examples::{Example, Part, Posed};
pub use judge::{Judged, Judgment, judge};
pub use learn::{Batch, learn_shapes, loss_and_gradients};
pub use network::{Shape, ShapesModel};
pub use record::{SHAPES_RUN_KIND, ShapesData, ShapesRecord, ShapesResults, ShapesSettings};
