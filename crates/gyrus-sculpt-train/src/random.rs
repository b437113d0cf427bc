//! Random numbers as functions of a stream and an index.

use gyrus_kernels::splitmix64;

/// From 0 to below 1.
pub(crate) fn uniform(stream: u64, index: u64) -> f64 {
    (splitmix64(splitmix64(stream) ^ index) >> 11) as f64 / (1u64 << 53) as f64
}

/// Standard normal (Box and Muller 1958).
pub(crate) fn normal(stream: u64, index: u64) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(stream, 2 * index)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(stream, 2 * index + 1)).cos()
}
