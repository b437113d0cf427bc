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
    #[inline]
    pub(crate) fn sub(self, name: u64) -> Self {
        Self(splitmix64(self.0 ^ splitmix64(name)))
    }

    #[inline]
    pub(crate) fn bits(self, counter: u64) -> u64 {
        splitmix64(self.0.wrapping_add(counter.wrapping_mul(0xD134_2543_DE82_EF95)))
    }

    /// A whole number below `end`, which is at most 2³².
    #[inline]
    pub(crate) fn below(self, counter: u64, end: usize) -> usize {
        // The product's upper half: uneven by at most end / 2⁶⁴.
        ((u128::from(self.bits(counter)) * end as u128) >> 64) as usize
    }

    /// From 0 up to, but not including, 1.
    #[inline]
    pub(crate) fn uniform(self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of the standard normal distribution, by inversion: within 8.3 of 0.
    #[inline]
    pub(crate) fn normal(self, counter: u64) -> f64 {
        // In the middle of one of 2⁵³ intervals, never 0 or 1.
        quantile(((self.bits(counter) >> 11) as f64 + 0.5) / (1u64 << 53) as f64)
    }

    /// Successes of `trials` with probability `p`, by inversion outward from the mode: exact to rounding, in a time in
    /// proportion to the standard deviation.
    pub(crate) fn binomial(self, counter: u64, trials: u64, p: f64) -> u64 {
        if trials == 0 || p <= 0.0 {
            return 0;
        }
        if p >= 1.0 {
            return trials;
        }
        let n = trials as f64;
        let mode = (((n + 1.0) * p).floor() as u64).min(trials);
        let at_mode =
            (ln_choose(n, mode as f64) + mode as f64 * p.ln() + (n - mode as f64) * (-p).ln_1p()).exp();
        let odds = p / (1.0 - p);
        let (mut low, mut high) = (mode, mode);
        let (mut below, mut above) = (at_mode, at_mode);
        let mut left = self.uniform(counter) - at_mode;
        while left >= 0.0 {
            let before = left;
            if high < trials {
                above *= (n - high as f64) / (high as f64 + 1.0) * odds;
                high += 1;
                left -= above;
                if left < 0.0 {
                    return high;
                }
            }
            if low > 0 {
                below *= low as f64 / (n - low as f64 + 1.0) / odds;
                low -= 1;
                left -= below;
                if left < 0.0 {
                    return low;
                }
            }
            // Rounding left a remainder that no outcome takes.
            if left == before {
                return mode;
            }
        }
        mode
    }
}

/// ln of the binomial coefficient.
fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// ln n!, by Stirling's series from 16 on.
fn ln_factorial(n: f64) -> f64 {
    if n < 16.0 {
        return (2..=n as u32).map(|k| f64::from(k).ln()).sum();
    }
    let x = n + 1.0;
    let inverse = 1.0 / x;
    let series = inverse / 12.0 - inverse.powi(3) / 360.0 + inverse.powi(5) / 1260.0;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * core::f64::consts::PI).ln() + series
}

/// The quantile of the standard normal distribution, to seven digits (Wichura 1988, Appl. Stat. 37:477, PPND7).
#[inline]
fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let above = ((59.109_374_720 * r + 159.291_132_02) * r + 50.434_271_938) * r + 3.387_132_717_9;
        let below = ((67.187_563_600 * r + 78.757_757_664) * r + 17.895_169_469) * r + 1.0;
        return q * above / below;
    }
    let r = (-(if q < 0.0 { p } else { 1.0 - p }).ln()).sqrt();
    let value = if r <= 5.0 {
        let r = r - 1.6;
        (((0.170_238_211_03 * r + 1.306_728_481_6) * r + 2.756_815_390_0) * r + 1.423_437_277_7)
            / ((0.120_211_320_15 * r + 0.737_001_642_50) * r + 1.0)
    } else {
        let r = r - 5.0;
        (((0.017_337_203_997 * r + 0.428_682_943_37) * r + 3.081_226_386_0) * r + 6.657_905_115_0)
            / ((0.012_258_202_635 * r + 0.241_978_942_25) * r + 1.0)
    };
    if q < 0.0 { -value } else { value }
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

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        let known = [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.9, 1.281_551_565_544_6),
            (0.841_344_746_068_543, 1.0),
            (0.998_650_101_968_37, 3.0),
            (1e-9, -5.997_807_015_008_182),
            (1e-13, -7.348_796_102_800_8),
        ];
        for (p, expected) in known {
            assert!((quantile(p) - expected).abs() < 2e-6, "{p}: {} for {expected}", quantile(p));
        }
    }

    #[test]
    fn binomial_numbers_have_their_mean_and_variance() {
        let stream = Stream::new(3, 9);
        for (trials, p) in [(1u64, 0.3), (40, 0.02), (1000, 0.5), (300_000_000, 0.013)] {
            let draws: Vec<f64> = (0..4000).map(|i| stream.binomial(i, trials, p) as f64).collect();
            let mean = draws.iter().sum::<f64>() / 4000.0;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0;
            let (expected, spread) = (trials as f64 * p, trials as f64 * p * (1.0 - p));
            assert!((mean - expected).abs() < 4.0 * (spread / 4000.0).sqrt(), "{mean} for {expected}");
            assert!((variance / spread - 1.0).abs() < 0.12, "{variance} for {spread}");
        }
        assert_eq!(stream.binomial(0, 7, 1.0), 7);
        assert_eq!(stream.binomial(0, 0, 0.5), 0);
    }
}
