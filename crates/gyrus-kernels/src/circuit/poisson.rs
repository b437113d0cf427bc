//! Poisson input: a number of spikes for each neuron and step, as a function of a key, the step and the neuron.
//!
//! Random bits are Philox 2×32 with seven rounds (Salmon et al. 2011, SC'11: the fewest that pass BigCrush); a number comes from its
//! 32 bits by inversion of the distribution, whose table holds the probabilities of at most 0, 1, 2, ... spikes. Cost: one table of
//! comparisons a vector of neurons.

use super::Real;
use crate::base::parallel::vectorized;

const MULTIPLIER: u32 = 0xD256_D193;
const WEYL: u32 = 0x9E37_79B9;
const ROUNDS: usize = 7;
/// Neurons of a block: each counter gives two of them their bits.
const BLOCK: usize = 64;
const HALF: usize = BLOCK / 2;

/// Philox 2×32-7: 64 random bits of a counter and a key.
#[must_use]
#[inline(always)]
pub fn philox(counter: [u32; 2], mut key: u32) -> [u32; 2] {
    let [mut a, mut b] = counter;
    for _ in 0..ROUNDS {
        let product = u64::from(a) * u64::from(MULTIPLIER);
        (a, b) = ((product >> 32) as u32 ^ key ^ b, product as u32);
        key = key.wrapping_add(WEYL);
    }
    [a, b]
}

/// The distribution of a number of spikes.
#[derive(Clone, Debug)]
pub struct PoissonTable {
    /// Spikes that come with certainty (to 32 bits).
    least: u32,
    /// Probability of at most `least`, `least` + 1, ... spikes, in units of 2⁻³².
    cumulative: Vec<u32>,
}

impl PoissonTable {
    /// For a mean of 0 to 700 spikes.
    ///
    /// # Panics
    /// If the mean is outside.
    #[must_use]
    pub fn new(mean: f64) -> Self {
        assert!((0.0..=700.0).contains(&mean), "a mean of {mean} spikes");
        let units = (1u64 << 32) as f64;
        let (mut least, mut cumulative) = (0, Vec::new());
        let (mut term, mut sum) = ((-mean).exp(), 0.0);
        for number in 0u32.. {
            sum += term;
            let value = (sum * units).round();
            if value >= f64::from(u32::MAX) {
                break;
            }
            match value as u32 {
                0 => least = number + 1,
                value => cumulative.push(value),
            }
            term *= mean / f64::from(number + 1);
            if f64::from(number) > mean && term * units < 0.25 {
                break;
            }
        }
        Self { least, cumulative }
    }

    /// The number of spikes that 32 random bits stand for.
    #[must_use]
    #[inline(always)]
    pub fn spikes(&self, bits: u32) -> u32 {
        self.least + self.cumulative.iter().map(|&up_to| u32::from(bits >= up_to)).sum::<u32>()
    }
}

/// Adds the input of a step to the neurons from `first` on, a multiple of 64: `weight` for each spike.
///
/// # Panics
/// If `first` is not a multiple of 64.
pub fn add_poisson<T: Real>(table: &PoissonTable, key: u32, step: u64, first: usize, weight: T, x: &mut [T]) {
    assert!(first.is_multiple_of(BLOCK), "a block that begins at {first}");
    let key = key ^ ((step >> 32) as u32).wrapping_mul(WEYL);
    vectorized(
        #[inline(always)]
        || {
            for (block, x) in x.chunks_mut(BLOCK).enumerate() {
                let counts = block_counts(table, key, step as u32, (first / BLOCK + block) as u32);
                match <&mut [T; BLOCK]>::try_from(&mut *x) {
                    Ok(x) => add(x, &counts, weight),
                    Err(_) => add(x, &counts, weight),
                }
            }
        },
    );
}

#[inline(always)]
fn add<T: Real>(x: &mut [T], counts: &[u32; BLOCK], weight: T) {
    for (x, &count) in x.iter_mut().zip(counts) {
        *x = weight.fused(T::count(count), *x);
    }
}

#[inline(always)]
fn block_counts(table: &PoissonTable, mut key: u32, step: u32, block: u32) -> [u32; BLOCK] {
    let mut a: [u32; HALF] =
        core::array::from_fn(|lane| block.wrapping_mul(HALF as u32).wrapping_add(lane as u32));
    let mut b = [step; HALF];
    for _ in 0..ROUNDS {
        for lane in 0..HALF {
            let product = u64::from(a[lane]) * u64::from(MULTIPLIER);
            a[lane] = (product >> 32) as u32 ^ key ^ b[lane];
            b[lane] = product as u32;
        }
        key = key.wrapping_add(WEYL);
    }
    let mut counts = [table.least; BLOCK];
    let (low, high) = counts.split_at_mut(HALF);
    for &up_to in &table.cumulative {
        for lane in 0..HALF {
            low[lane] += u32::from(a[lane] >= up_to);
            high[lane] += u32::from(b[lane] >= up_to);
        }
    }
    counts
}
