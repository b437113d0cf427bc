//! External input: each neuron receives its own Poisson process.

use super::random::Stream;
use super::wrong;
use crate::Result;

/// External spikes, independent for each neuron.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Spikes per second, at least 0.
    pub rate_hz: f64,
    /// Weight that a spike adds to the neuron's input.
    pub weight: f32,
}

/// Largest expected number of spikes per step.
const MOST_EXPECTED: f64 = 100.0;

impl Noise {
    pub(crate) fn check(&self) -> Result<()> {
        if !(self.rate_hz.is_finite() && self.rate_hz >= 0.0) {
            return Err(wrong("the rate of noise in Hz", self.rate_hz, "a finite number of at least 0"));
        }
        if !self.weight.is_finite() {
            return Err(wrong("the weight of noise", self.weight, "a finite number"));
        }
        Ok(())
    }
}

/// [`Noise`], ready to draw.
pub(crate) struct Source {
    stream: Stream,
    weight: f32,
    /// Probability of at most 0, 1, 2, ... spikes at a step, in units of 2⁻³².
    cumulative: Vec<u32>,
}

impl Source {
    pub(crate) fn new(noise: Noise, dt_ms: f64, seed: u64) -> Result<Self> {
        let expected = noise.rate_hz * dt_ms / 1000.0;
        if expected > MOST_EXPECTED {
            return Err(wrong("the noise of a step", format!("{expected} spikes"), "at most 100"));
        }
        let mut cumulative = Vec::new();
        let (mut term, mut sum) = ((-expected).exp(), 0.0);
        loop {
            sum += term;
            let units = (sum * (1u64 << 32) as f64).round();
            if units >= f64::from(u32::MAX) {
                break;
            }
            cumulative.push(units as u32);
            term *= expected / cumulative.len() as f64;
            // Below the resolution, but rounding kept the sum below 1.
            if cumulative.len() as f64 > expected && term * ((1u64 << 32) as f64) < 0.25 {
                break;
            }
        }
        Ok(Self {
            stream: Stream::new(seed, u64::from(u32::from_be_bytes(*b"nois"))),
            weight: noise.weight,
            cumulative,
        })
    }

    /// Adds the noise of a step to the neurons from `first` on.
    pub(crate) fn add(&self, step: u64, first: usize, x: &mut [f32]) {
        let stream = self.stream.sub(step);
        // Two neurons per draw.
        for (pair, x) in x.chunks_mut(2).enumerate() {
            let bits = stream.bits((first / 2 + pair) as u64);
            for (x, bits) in x.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                let count = self.cumulative.iter().take_while(|&&up_to| bits >= up_to).count();
                *x = self.weight.mul_add(count as f32, *x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_variance_of_a_poisson_process() {
        for expected in [0.02, 0.7, 6.0, 90.0] {
            let noise = Noise { rate_hz: expected * 1000.0, weight: 1.0 };
            let source = Source::new(noise, 1.0, 3).unwrap_or_else(|error| panic!("{error}"));
            let mut counts = vec![0.0f32; 50_000];
            for (step, counts) in counts.chunks_mut(500).enumerate() {
                source.add(step as u64, 0, counts);
            }
            let n = counts.len() as f64;
            let mean = counts.iter().map(|&c| f64::from(c)).sum::<f64>() / n;
            let variance = counts.iter().map(|&c| (f64::from(c) - mean).powi(2)).sum::<f64>() / n;
            let tolerance = 5.0 * (expected / n).sqrt();
            assert!((mean - expected).abs() < tolerance, "{mean} for {expected}");
            assert!((variance / expected - 1.0).abs() < 0.2, "{variance} for {expected}");
        }
    }
}
