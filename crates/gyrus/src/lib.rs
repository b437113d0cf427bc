//! Gyrus, brain-inspired deep learning: one library and one program, from a single neuron to networks that see.
//!
//! This crate gathers the rooms under one name; see each for what it holds.

pub use gyrus_blueprint as blueprint;
pub use gyrus_data as data;
pub use gyrus_events as events;
pub use gyrus_files as files;
pub use gyrus_formats as formats;
pub use gyrus_kernels as kernels;
pub use gyrus_language as language;
pub use gyrus_language_train as language_train;
pub use gyrus_nn as nn;
pub use gyrus_serve as serve;
pub use gyrus_tensor as tensor;
pub use gyrus_train as train;

/// The example of the README, as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
