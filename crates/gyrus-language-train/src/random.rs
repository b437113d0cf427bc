//! Random numbers as functions of a seed and an index, independent of what was drawn before.

pub(crate) use gyrus_tensor::splitmix64 as mixed;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Uniform numbers from 0 to below 1, a function of (seed, index).
pub(crate) fn uniform(seed: u64, index: u64, count: usize) -> impl Iterator<Item = f32> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    key[16] = 2;
    let mut random = ChaCha8Rng::from_seed(key);
    (0..count).map(move |_| (random.next_u32() >> 8) as f32 / (1 << 24) as f32)
}

/// Standard normal numbers by Box and Muller, a function of (seed, index).
pub(crate) fn normal(seed: u64, index: u64, count: usize) -> impl Iterator<Item = f32> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    let mut random = ChaCha8Rng::from_seed(key);
    (0..count).map(move |_| {
        let mut unit = || (random.next_u32() >> 8) as f32 / (1 << 24) as f32;
        // 1 - unit() is in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * unit()).cos()
    })
}
