//! Normalisations of rows, each with its gradient.

pub mod batch;
pub mod heads;
pub mod layer;
pub mod rms;

pub(crate) fn inverse_deviation(variance: f32, epsilon: f32) -> f32 {
    1.0 / (variance + epsilon).sqrt()
}
