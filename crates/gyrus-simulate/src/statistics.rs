//! What neuroscience asks of recorded spikes: rates, irregularity, synchrony, correlations.
//!
//! - **Rate**: spikes per neuron and second.
//! - **Irregularity**: the coefficient of variation (CV) of a neuron's intervals between spikes, standard deviation over mean;
//!   0 for a clock, 1 for a Poisson process. Only neurons with at least [`LEAST_SPIKES`] spikes count.
//! - **Synchrony**: variance over mean of the population's spikes in bins of 1 ms; 1 for independent Poisson neurons.
//! - **Correlation**: Pearson's coefficient of the spike counts of pairs of neurons in bins of 2 ms, over at most
//!   [`MOST_CORRELATED`] neurons that fire (Potjans and Diesmann 2014, Cerebral Cortex 24:785).
//!
//! Cost: one pass over the spikes for each population, and for the correlations one product per pair and bin.

use crate::Spikes;

/// Neurons with fewer spikes have no CV.
pub const LEAST_SPIKES: usize = 4;
/// Neurons among which correlations are measured: the first that fire.
pub const MOST_CORRELATED: usize = 200;

/// A window in time: what came before it is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// First step.
    pub first: u32,
    /// The step after the last.
    pub end: u32,
    /// Length of a step.
    pub resolution_ms: f64,
}

impl Window {
    /// Its length.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        f64::from(self.end.saturating_sub(self.first)) * self.resolution_ms / 1e3
    }

    /// Steps in a bin of this length: at least one.
    fn steps_of(&self, bin_ms: f64) -> u32 {
        ((bin_ms / self.resolution_ms).round() as u32).max(1)
    }
}

/// The activity of a population within a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PopulationStatistics {
    /// Neurons.
    pub neurons: usize,
    /// Spikes in the window.
    pub spikes: usize,
    /// Mean rate.
    pub rate_hz: f64,
    /// Rate of each neuron.
    pub rates_hz: Vec<f32>,
    /// CV of each neuron that has one.
    pub cvs: Vec<f32>,
    /// Their mean; none without such neurons.
    pub cv: Option<f64>,
    /// Variance over mean of the spikes in bins of 1 ms; none without spikes.
    pub synchrony: Option<f64>,
    /// Correlation of each pair among some neurons that fire.
    pub correlations: Vec<f32>,
    /// Their mean; none without pairs.
    pub correlation: Option<f64>,
}

impl PopulationStatistics {
    /// Of the spikes of one population, whose neurons are counted from 0; spikes outside of the window are left out.
    #[must_use]
    pub fn new(spikes: &Spikes, neurons: usize, window: Window) -> Self {
        let spikes = spikes.within(window.first..window.end, 0..u32::try_from(neurons).unwrap_or(u32::MAX));
        let seconds = window.seconds();
        let mut counts = vec![0u32; neurons];
        spikes.neurons.iter().for_each(|neuron| counts[*neuron as usize] += 1);
        let cvs = cvs(&spikes, neurons);
        let correlations = correlations(&spikes, &counts, window);
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        Self {
            neurons,
            spikes: spikes.len(),
            rate_hz: per_second(spikes.len() as f64 / neurons.max(1) as f64),
            rates_hz: counts.iter().map(|count| per_second(f64::from(*count)) as f32).collect(),
            cv: mean(&cvs),
            cvs,
            synchrony: fano(&binned(&spikes, window, 1.0)),
            correlation: mean(&correlations),
            correlations,
        }
    }
}

fn mean(values: &[f32]) -> Option<f64> {
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}

/// Running moments of the intervals of one neuron (Welford 1962).
#[derive(Clone, Copy, Default)]
struct Intervals {
    last: Option<u32>,
    count: f64,
    mean: f64,
    squares: f64,
}

/// CV of the intervals of each neuron with enough spikes, by ascending neuron.
fn cvs(spikes: &Spikes, neurons: usize) -> Vec<f32> {
    let mut all = vec![Intervals::default(); neurons];
    for (step, neuron) in spikes.iter() {
        let own = &mut all[neuron as usize];
        if let Some(last) = own.last {
            let interval = f64::from(step - last);
            own.count += 1.0;
            let off = interval - own.mean;
            own.mean += off / own.count;
            own.squares += off * (interval - own.mean);
        }
        own.last = Some(step);
    }
    let enough = all.iter().filter(|own| own.count + 1.0 >= LEAST_SPIKES as f64 && own.mean > 0.0);
    enough.map(|own| ((own.squares / own.count).sqrt() / own.mean) as f32).collect()
}

/// Spikes of a population in bins of about `bin_ms`; the last bin is left out where it is not whole.
#[must_use]
pub fn binned(spikes: &Spikes, window: Window, bin_ms: f64) -> Vec<u32> {
    let width = window.steps_of(bin_ms);
    let mut bins = vec![0u32; (window.end.saturating_sub(window.first) / width) as usize];
    for step in &spikes.steps {
        let Some(after) = step.checked_sub(window.first) else { continue };
        if let Some(bin) = bins.get_mut((after / width) as usize) {
            *bin += 1;
        }
    }
    bins
}

/// Variance over mean.
fn fano(counts: &[u32]) -> Option<f64> {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    if total == 0.0 {
        return None;
    }
    let mean = total / counts.len() as f64;
    let squares: f64 = counts.iter().map(|count| (f64::from(*count) - mean).powi(2)).sum();
    Some(squares / counts.len() as f64 / mean)
}

/// Pearson's coefficients of the pairs among the first neurons that fire.
fn correlations(spikes: &Spikes, counts: &[u32], window: Window) -> Vec<f32> {
    const BIN_MS: f64 = 2.0;
    let width = window.steps_of(BIN_MS);
    let bins = (window.end.saturating_sub(window.first) / width) as usize;
    if bins < 2 {
        return Vec::new();
    }
    // Row of each chosen neuron; the others have none.
    let mut rows = vec![u32::MAX; counts.len()];
    let active = (0..counts.len()).filter(|neuron| counts[*neuron] > 0).take(MOST_CORRELATED);
    let mut chosen = 0;
    for neuron in active {
        rows[neuron] = chosen as u32;
        chosen += 1;
    }
    let mut trains = vec![0f32; chosen * bins];
    for (step, neuron) in spikes.iter() {
        let (row, bin) = (rows[neuron as usize], ((step - window.first) / width) as usize);
        if row != u32::MAX && bin < bins {
            trains[row as usize * bins + bin] += 1.0;
        }
    }
    let mut kept: Vec<&[f32]> = Vec::new();
    for train in trains.chunks_exact_mut(bins) {
        let mean = train.iter().sum::<f32>() / bins as f32;
        train.iter_mut().for_each(|count| *count -= mean);
        let length = train.iter().map(|count| count * count).sum::<f32>().sqrt();
        // A neuron whose only spikes lie in the bin that is left out, or that fires the same in every bin.
        if length > 1e-6 {
            train.iter_mut().for_each(|count| *count /= length);
            kept.push(train);
        }
    }
    let mut found = Vec::with_capacity(kept.len() * kept.len().saturating_sub(1) / 2);
    for (place, one) in kept.iter().enumerate() {
        found.extend(kept[..place].iter().map(|other| dot(one, other)));
    }
    found
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in ones.zip(others) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Counts of values in equal bins from 0 to the largest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Width of a bin.
    pub width: f64,
    /// Values in each bin.
    pub counts: Vec<u32>,
}

impl Histogram {
    /// Of values of at least 0, which are multiples of `least`, in at most about `bins` bins. Their width is 1, 2 or 5 times a power
    /// of ten of `least`, so that each holds as many different values.
    #[must_use]
    pub fn new(values: &[f32], bins: usize, least: f64) -> Self {
        let largest = values.iter().copied().filter(|value| value.is_finite()).fold(0f32, f32::max);
        let rough = (f64::from(largest) / bins.max(1) as f64 / least).max(1.0);
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let width =
            least * steps.into_iter().find(|step| *step >= rough * (1.0 - 1e-9)).unwrap_or(10.0 * power);
        // Values are rounded: one just below the edge of its bin belongs to the bin.
        let bin = |value: f32| (f64::from(value) / width + 1e-4) as usize;
        let mut counts = vec![0u32; bin(largest) + 1];
        for value in values.iter().filter(|value| value.is_finite() && **value >= 0.0) {
            counts[bin(*value)] += 1;
        }
        Self { width, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spikes(pairs: &[(u32, u32)]) -> Spikes {
        let mut spikes = Spikes::default();
        pairs.iter().for_each(|(step, neuron)| spikes.extend(*step, &[*neuron]));
        spikes
    }

    #[test]
    fn a_clock_has_no_irregularity_and_a_poisson_process_has_one() {
        let clock: Vec<_> = (0..50).map(|beat| (beat * 20, 0)).collect();
        let window = Window { first: 0, end: 1000, resolution_ms: 1.0 };
        let seen = PopulationStatistics::new(&spikes(&clock), 2, window);
        assert_eq!((seen.rate_hz, seen.rates_hz, seen.cv), (25.0, vec![50.0, 0.0], Some(0.0)));
        // Independent steps with a probability: geometric intervals with a CV of the square root of 1 - p.
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        let mut pairs = Vec::new();
        for step in 0..100_000 {
            (0..20).filter(|_| random() < 0.02).for_each(|neuron| pairs.push((step, neuron)));
        }
        let window = Window { first: 0, end: 100_000, resolution_ms: 1.0 };
        let seen = PopulationStatistics::new(&spikes(&pairs), 20, window);
        assert!((seen.rate_hz - 20.0).abs() < 0.3, "{}", seen.rate_hz);
        assert!((seen.cv.unwrap() - 0.99).abs() < 0.02, "{:?}", seen.cv);
        assert!((seen.synchrony.unwrap() - 0.98).abs() < 0.03, "{:?}", seen.synchrony);
        assert!(seen.correlation.unwrap().abs() < 0.005 && seen.correlations.len() == 190);
    }

    #[test]
    fn what_fires_together_is_synchronous_and_correlated() {
        let pairs: Vec<_> =
            (0..30).flat_map(|beat| (0..10).map(move |neuron| (beat * 33 + beat % 7, neuron))).collect();
        let window = Window { first: 0, end: 1000, resolution_ms: 1.0 };
        let seen = PopulationStatistics::new(&spikes(&pairs), 10, window);
        assert!((seen.correlation.unwrap() - 1.0).abs() < 1e-5, "{:?}", seen.correlation);
        // 30 of 1000 bins hold 10 spikes: variance 3 - 0.09, mean 0.3.
        assert!((seen.synchrony.unwrap() - 9.7).abs() < 1e-9);
    }

    #[test]
    fn a_window_leaves_the_rest_out_and_nothing_gives_nothing() {
        let window = Window { first: 10, end: 20, resolution_ms: 0.5 };
        let seen = PopulationStatistics::new(&spikes(&[(9, 0), (10, 1), (19, 0), (20, 1)]), 2, window);
        assert_eq!((seen.spikes, seen.rate_hz), (2, 200.0));
        assert_eq!(binned(&spikes(&[(9, 0), (10, 1), (19, 0), (20, 1)]), window, 1.0), [1, 0, 0, 0, 1]);
        let silent = PopulationStatistics::new(&Spikes::default(), 3, window);
        assert_eq!((silent.cv, silent.synchrony, silent.correlation), (None, None, None));
        let empty = Window { first: 5, end: 5, resolution_ms: 0.1 };
        assert_eq!(PopulationStatistics::new(&Spikes::default(), 0, empty).rate_hz, 0.0);
    }

    #[test]
    fn histograms_have_round_bins() {
        let histogram = Histogram::new(&[0.0, 0.5, 9.5, 10.0, f32::NAN], 10, 0.5);
        assert_eq!((histogram.width, histogram.counts[0], histogram.counts[9]), (1.0, 2, 1));
        assert_eq!(histogram.counts.iter().sum::<u32>(), 4);
        // Rates of a window of 0.9 s: each in a bin of its own, up to rounding.
        let rates: Vec<f32> = (0..30).map(|count| (f64::from(count) / 0.9) as f32).collect();
        assert_eq!(Histogram::new(&rates, 40, 1.0 / 0.9).counts, [1; 30]);
        assert_eq!(Histogram::new(&[], 10, 1.0).counts, [0]);
    }
}
