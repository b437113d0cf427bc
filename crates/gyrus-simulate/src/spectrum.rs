//! The power spectrum of a population's activity.
//!
//! The spikes of a population in bins of 1 ms, less their mean, in segments that overlap by half, each under a Hann window;
//! the squared Fourier coefficients are averaged over the segments (Welch 1967, IEEE Transactions on Audio and
//! Electroacoustics 15:70) and divided by what independent Poisson neurons of the same rate would have: 1 at every frequency
//! means no common rhythm. Cost: n log n operations for n bins.

use std::f64::consts::PI;

/// Bins of the longest segment: about one second.
const SEGMENT: usize = 1024;

/// Frequencies and the power at each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spectrum {
    /// Distance of two frequencies; the first is this one, the mean is left out.
    pub step_hz: f64,
    /// Power over that of independent Poisson neurons of the same rate.
    pub power: Vec<f64>,
}

impl Spectrum {
    /// Of counts in bins of `bin_ms`; empty with fewer than 32 bins, or without spikes.
    #[must_use]
    pub fn new(counts: &[u32], bin_ms: f64) -> Self {
        let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        if counts.len() < 32 || total == 0.0 {
            return Self::default();
        }
        let longest = 1usize << counts.len().ilog2();
        let length = SEGMENT.min(longest);
        let mean = total / counts.len() as f64;
        let window: Vec<f64> =
            (0..length).map(|place| 0.5 - 0.5 * (2.0 * PI * place as f64 / length as f64).cos()).collect();
        let weight: f64 = window.iter().map(|value| value * value).sum();
        let mut power = vec![0.0; length / 2];
        let mut segments = 0.0;
        for start in (0..=counts.len() - length).step_by(length / 2) {
            let mut real: Vec<f64> = counts[start..start + length]
                .iter()
                .zip(&window)
                .map(|(count, window)| (f64::from(*count) - mean) * window)
                .collect();
            let mut imaginary = vec![0.0; length];
            transform(&mut real, &mut imaginary);
            for (place, power) in power.iter_mut().enumerate() {
                *power += real[place + 1].powi(2) + imaginary[place + 1].powi(2);
            }
            segments += 1.0;
        }
        power.iter_mut().for_each(|power| *power /= segments * weight * mean);
        Self { step_hz: 1e3 / (bin_ms * length as f64), power }
    }

    /// The frequency of the highest power, and that power.
    #[must_use]
    pub fn peak(&self) -> Option<(f64, f64)> {
        let highest = self.power.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        highest.map(|(place, power)| ((place + 1) as f64 * self.step_hz, power))
    }
}

/// The discrete Fourier transform in place, by radix 2 (Cooley and Tukey 1965); the length is a power of two.
fn transform(real: &mut [f64], imaginary: &mut [f64]) {
    let length = real.len();
    let mut reversed = 0usize;
    for place in 1..length {
        let mut bit = length >> 1;
        while reversed & bit != 0 {
            reversed ^= bit;
            bit >>= 1;
        }
        reversed |= bit;
        if place < reversed {
            real.swap(place, reversed);
            imaginary.swap(place, reversed);
        }
    }
    let mut half = 1;
    while half < length {
        for offset in 0..half {
            let (sine, cosine) = (-PI * offset as f64 / half as f64).sin_cos();
            for first in (offset..length).step_by(2 * half) {
                let second = first + half;
                let turned_real = real[second] * cosine - imaginary[second] * sine;
                let turned_imaginary = real[second] * sine + imaginary[second] * cosine;
                real[second] = real[first] - turned_real;
                imaginary[second] = imaginary[first] - turned_imaginary;
                real[first] += turned_real;
                imaginary[first] += turned_imaginary;
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_equals_its_definition() {
        let values: Vec<f64> = (0..32).map(|place| f64::from(place * place % 13)).collect();
        let (mut real, mut imaginary) = (values.clone(), vec![0.0; 32]);
        transform(&mut real, &mut imaginary);
        for frequency in 0..32 {
            let (mut cosines, mut sines) = (0.0, 0.0);
            for (place, value) in values.iter().enumerate() {
                let angle = -2.0 * PI * (frequency * place) as f64 / 32.0;
                cosines += value * angle.cos();
                sines += value * angle.sin();
            }
            assert!(
                (real[frequency] - cosines).abs() < 1e-10 && (imaginary[frequency] - sines).abs() < 1e-10
            );
        }
    }

    #[test]
    fn a_rhythm_has_a_peak_and_noise_has_power_one() {
        let rhythm: Vec<u32> = (0..4096)
            .map(|bin| (100.0 + 80.0 * (2.0 * PI * 40.0 * f64::from(bin) / 1000.0).cos()).round() as u32)
            .collect();
        let (frequency, power) = Spectrum::new(&rhythm, 1.0).peak().unwrap();
        assert!((frequency - 40.0).abs() < 1.0 && power > 100.0, "{frequency} {power}");
        // Sums of many independent rare events: as a Poisson process.
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        let noise: Vec<u32> =
            (0..20_000).map(|_| (0..200).filter(|_| random() < 0.02).count() as u32).collect();
        let spectrum = Spectrum::new(&noise, 1.0);
        let mean = spectrum.power.iter().sum::<f64>() / spectrum.power.len() as f64;
        assert!((mean - 0.98).abs() < 0.05, "{mean}");
        assert_eq!(Spectrum::new(&[0; 100], 1.0), Spectrum::default());
        assert_eq!(Spectrum::new(&[1; 8], 1.0), Spectrum::default());
    }
}
