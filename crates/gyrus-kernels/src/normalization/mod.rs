//! Normalizations of rows, each with its gradient.
//!
//! - [`batch`]: statistics per channel over the batch (convolutional networks).
//! - [`layer`]: mean and variance per row (encoders, some decoders).
//! - [`rms`]: root mean square per row (most decoders).
//! - [`heads`]: root mean square per query and key head.

pub mod batch;
pub mod heads;
pub mod layer;
pub mod rms;

pub(crate) fn inverse_std(variance: f32, epsilon: f32) -> f32 {
    1.0 / (variance + epsilon).sqrt()
}
