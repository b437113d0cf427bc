//! The naive form of every kernel, for tests: one line of mathematics each, in `f64`, without optimizations.

pub mod attention;
pub mod convolution;
pub mod dense;
pub mod neuron;
pub mod normalization;
pub mod spikes;
pub mod stored;
pub mod token;

/// Repeatable values in -1 ..= 1, different for each `seed`.
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

/// Repeatable zeros and ones, about `share` of them ones.
pub fn spike_values(count: usize, share: f64, seed: u64) -> Vec<f32> {
    values(count, seed).iter().map(|&v| if f64::from(v) < 2.0 * share - 1.0 { 1.0 } else { 0.0 }).collect()
}

/// Fails unless every pair differs by at most `tolerance`, absolutely or relatively.
///
/// # Panics
/// If a pair differs by more; the message names the first.
pub fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "lengths differ");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let allowed = tolerance * e.abs().max(1.0);
        assert!((g - e).abs() <= allowed, "element {i}: got {g}, expected {e}");
    }
}

pub(crate) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}
