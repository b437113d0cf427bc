//! What all workloads of ours share: the trait of a workload, the clock, and pseudo-random input.

use std::time::Instant;

use anyhow::Result;
use gyrus_tensor::with_threads;

/// A workload that is ready to run.
pub(crate) trait Timed {
    /// Runs `count` steps and returns the microseconds of each.
    ///
    /// # Errors
    /// If a step fails.
    fn steps(&mut self, count: usize) -> Result<Vec<f64>>;

    /// Number of parameters; the runner compares it with the peers'.
    fn parameters(&self) -> usize;
}

/// Runs `step` `count` times on `threads` threads and returns the microseconds of each.
///
/// # Errors
/// If a step fails.
pub(crate) fn timed(
    threads: usize,
    count: usize,
    mut step: impl FnMut(u64) -> Result<()> + Send,
) -> Result<Vec<f64>> {
    with_threads(threads, || (0..count).map(|index| timed_step(|| step(index as u64))).collect())?
}

/// Runs `step` once and returns the microseconds that it took.
///
/// # Errors
/// If the step fails.
pub(crate) fn timed_step(step: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    step()?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

/// Reproducible values in -1 ..= 1.
pub(crate) fn values(count: usize) -> impl Iterator<Item = f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    })
}
