//! Random numbers as functions of a key and a counter: the same in any order, and so for any number of threads.
//!
//! The key and the counter go through the finalizer of SplitMix64 (Steele et al. 2014), a bijection that mixes every bit into
//! every other.

use gyrus_kernels::splitmix64;

/// A stream of random numbers, one per counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    pub(crate) fn new(seed: u64, name: u64) -> Self {
        Self(splitmix64(splitmix64(seed) ^ name))
    }

    /// An independent stream for each name.
    pub(crate) fn sub(self, name: u64) -> Self {
        Self(splitmix64(self.0 ^ splitmix64(name)))
    }

    pub(crate) fn bits(self, counter: u64) -> u64 {
        splitmix64(self.0.wrapping_add(counter.wrapping_mul(0xD134_2543_DE82_EF95)))
    }

    /// A whole number below `end`, which is at most 2³².
    pub(crate) fn below(self, counter: u64, end: usize) -> usize {
        // The product's upper half: uneven by at most end / 2⁶⁴.
        ((u128::from(self.bits(counter)) * end as u128) >> 64) as usize
    }

    /// From 0 up to, but not including, 1.
    pub(crate) fn uniform(self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of the standard normal distribution (Box and Muller 1958).
    pub(crate) fn normal(self, counter: u64) -> f64 {
        let (u, v) = (1.0 - self.uniform(2 * counter), self.uniform(2 * counter + 1));
        (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_as_they_should_be() {
        let stream = Stream::new(7, 1);
        let count = 100_000u64;
        let mut bins = [0u32; 10];
        (0..count).for_each(|i| bins[stream.below(i, 10)] += 1);
        // Four standard deviations of a binomial count.
        assert!(bins.iter().all(|&n| (f64::from(n) - 1e4).abs() < 400.0), "{bins:?}");
        let mean = |f: &dyn Fn(u64) -> f64| (0..count).map(f).sum::<f64>() / count as f64;
        assert!(mean(&|i| stream.normal(i)).abs() < 0.015);
        assert!((mean(&|i| stream.normal(i).powi(2)) - 1.0).abs() < 0.03);
        let other = stream.sub(1);
        assert!(mean(&|i| stream.normal(i) * other.normal(i)).abs() < 0.015);
        assert!(mean(&|i| stream.normal(i) * stream.normal(i + 1)).abs() < 0.015);
        assert_eq!(Stream::new(7, 1).bits(5), stream.bits(5));
        assert_ne!(Stream::new(8, 1).bits(5), stream.bits(5));
    }
}
