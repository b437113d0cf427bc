//! Randomness that is a pure function of named numbers.
//!
//! Each stream is ChaCha8 keyed by (purpose, seed, epoch, index), so what one example draws depends neither on
//! the examples before it nor on the number of threads. Shuffling is written out here because a library's
//! shuffle may change between versions, and with it every fixed train/test split.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for: equal numbers used for two purposes must not give equal draws.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Split = 1,
    Order = 2,
    Augment = 3,
}

/// The stream of one (purpose, seed, epoch, index).
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub(crate) fn new(purpose: Purpose, seed: u64, epoch: u64, index: u64) -> Self {
        let mut key = [0; 32];
        for (part, value) in key.chunks_exact_mut(8).zip([purpose as u64, seed, epoch, index]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `0..bound`; `bound` must not be zero. The bias is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in `[-1, 1)`.
    pub(crate) fn symmetric(&mut self) -> f32 {
        2.0 * self.unit() - 1.0
    }

    /// Standard normal, by Box and Muller; the second value of the pair is not kept.
    pub(crate) fn normal(&mut self) -> f32 {
        // 1 - unit() lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_each_key_part_and_repeat() {
        let first = |purpose, seed, epoch, index| Stream::new(purpose, seed, epoch, index).below(u64::MAX);
        let base = first(Purpose::Order, 1, 2, 3);
        assert_eq!(base, first(Purpose::Order, 1, 2, 3));
        for other in [
            first(Purpose::Split, 1, 2, 3),
            first(Purpose::Order, 9, 2, 3),
            first(Purpose::Order, 1, 9, 3),
            first(Purpose::Order, 1, 2, 9),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn draws_have_the_right_range_and_moments() {
        let mut stream = Stream::new(Purpose::Augment, 0, 0, 0);
        let count = 20_000;
        let units: Vec<f32> = (0..count).map(|_| stream.unit()).collect();
        assert!(units.iter().all(|u| (0.0..1.0).contains(u)));
        let normals: Vec<f32> = (0..count).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f32>() / count as f32;
        let variance = normals.iter().map(|n| n * n).sum::<f32>() / count as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
        assert!((0..1000).all(|_| stream.below(7) < 7));
    }
}
