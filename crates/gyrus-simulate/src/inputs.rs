//! Input that is not from other neurons: Poisson spikes, currents, and the trains of Poisson sources.

use core::ops::Range;

use gyrus_kernels::circuit::{PoissonTable, Real, add_poisson, philox};

use crate::circuit::{InputKind, Population};
use crate::error::{Result, wrong};
use crate::random::Stream;

/// Most spikes expected of a step.
pub(crate) const MOST_EXPECTED: f64 = 100.0;
/// Neurons of a block of the kernel, and half of it.
const BLOCK: usize = 64;
const HALF: usize = BLOCK / 2;

/// Input of the neurons of a part.
pub(crate) struct Inputs<T> {
    poisson: Vec<Spikes<T>>,
    currents: Vec<Current>,
    /// Current of each neuron at this step; empty if there are no currents.
    row: Vec<T>,
    has_noise: bool,
    filled: bool,
}

struct Spikes<T> {
    /// Within the part.
    neurons: Range<usize>,
    active: Range<u64>,
    table: PoissonTable,
    key: u32,
    plane: usize,
    weight: T,
}

struct Current {
    neurons: Range<usize>,
    active: Range<u64>,
    amplitude_pa: f64,
    std_pa: f64,
    stream: Stream,
}

/// The step of a time; infinite times are never reached.
fn step(time_ms: f64, dt_ms: f64) -> u64 {
    (time_ms / dt_ms).round() as u64
}

/// The steps at which a current acts that a generator sends from `active.start` to `active.end`. As in NEST, whose generators begin one step
/// early, because a current that arrives in one step acts in the next; what would have to be sent before step 0 is lost.
fn current_steps(active: Range<u64>, delay: u64) -> Range<u64> {
    active.start.max(1) + delay..active.end.saturating_add(delay)
}

impl<T: Real> Inputs<T> {
    /// For `count` neurons of a population from neuron `within` on.
    pub(crate) fn new(
        population: &Population,
        (within, count): (usize, usize),
        dt_ms: f64,
        stream: Stream,
    ) -> Self {
        let (mut poisson, mut currents) = (Vec::new(), Vec::new());
        for (index, input) in population.inputs.iter().enumerate() {
            let all = input.neurons.clone().unwrap_or(0..population.neurons);
            let first = all.start.max(within);
            let end = all.end.min(within + count).max(first);
            let neurons = first - within..end - within;
            if neurons.is_empty() {
                continue;
            }
            let stream = stream.sub(u64::from(u32::from_be_bytes(*b"inpt"))).sub(index as u64);
            let (start, stop) = (step(input.start_ms, dt_ms), step(input.stop_ms, dt_ms));
            match input.kind {
                InputKind::Poisson { rate_hz, weight } => {
                    let plane = if weight < 0.0 { population.model.planes() - 1 } else { 0 };
                    let inverted = weight < 0.0 && population.model.has_conductances();
                    poisson.push(Spikes {
                        neurons,
                        active: start..stop,
                        table: PoissonTable::new(rate_hz * dt_ms / 1000.0),
                        key: stream.bits(0) as u32,
                        plane,
                        weight: T::of(if inverted { -weight } else { weight }),
                    });
                }
                InputKind::Current { amplitude_pa, delay_ms } => {
                    let active = current_steps(start..stop, step(delay_ms, dt_ms));
                    currents.push(Current { neurons, active, amplitude_pa, std_pa: 0.0, stream });
                }
                InputKind::NoiseCurrent { mean_pa, std_pa, delay_ms } => {
                    let active = current_steps(start..stop, step(delay_ms, dt_ms));
                    currents.push(Current { neurons, active, amplitude_pa: mean_pa, std_pa, stream });
                }
            }
        }
        let row = if currents.is_empty() { Vec::new() } else { vec![T::ZERO; count] };
        let has_noise = currents.iter().any(|current| current.std_pa > 0.0);
        Self { poisson, currents, row, has_noise, filled: false }
    }

    /// Adds the spikes of a step to `x`, in planes `width` apart, for neurons from `within` on.
    pub(crate) fn add_spikes(&self, now: u64, within: usize, width: usize, x: &mut [T]) {
        for input in self.poisson.iter().filter(|input| input.active.contains(&now)) {
            let x = &mut x[input.plane * width..][input.neurons.clone()];
            let first = within + input.neurons.start;
            let head = (first.next_multiple_of(BLOCK) - first).min(x.len());
            let (head, rest) = x.split_at_mut(head);
            for (place, x) in head.iter_mut().enumerate() {
                let bits = bits_of(input.key, now, first + place);
                *x = input.weight.fused(T::count(input.table.spikes(bits)), *x);
            }
            if !rest.is_empty() {
                let first = first.next_multiple_of(BLOCK);
                add_poisson(&input.table, input.key, now, first, input.weight, rest);
            }
        }
    }

    /// The current of each neuron at a step, or nothing if there is none.
    pub(crate) fn current(&mut self, now: u64, within: usize) -> &[T] {
        let changes = |current: &Current| current.active.start == now || current.active.end == now;
        if !self.row.is_empty() && (!self.filled || self.has_noise || self.currents.iter().any(changes)) {
            self.filled = true;
            self.row.fill(T::ZERO);
            for current in self.currents.iter().filter(|current| current.active.contains(&now)) {
                let row = &mut self.row[current.neurons.clone()];
                if current.std_pa == 0.0 {
                    row.iter_mut().for_each(|i| *i += T::of(current.amplitude_pa));
                    continue;
                }
                let stream = current.stream.sub(now);
                for (place, i) in row.iter_mut().enumerate() {
                    let neuron = (within + current.neurons.start + place) as u64;
                    *i += T::of(current.amplitude_pa + current.std_pa * stream.normal(neuron));
                }
            }
        }
        &self.row
    }

    /// Neurons that have Poisson input at a step, once for each input.
    pub(crate) fn spike_inputs(&self, now: u64) -> u64 {
        let active = self.poisson.iter().filter(|input| input.active.contains(&now));
        active.map(|input| input.neurons.len() as u64).sum()
    }
}

/// The bits of one neuron at one step, as the kernel draws them.
fn bits_of(key: u32, now: u64, neuron: usize) -> u32 {
    let key = key ^ ((now >> 32) as u32).wrapping_mul(0x9E37_79B9);
    let (block, lane) = (neuron / BLOCK, neuron % BLOCK);
    let counter = (block as u32).wrapping_mul(HALF as u32).wrapping_add((lane % HALF) as u32);
    philox([counter, now as u32], key)[lane / HALF]
}

/// Poisson trains of a source population.
pub(crate) struct Trains {
    rates: Vec<f64>,
    tables: Vec<PoissonTable>,
    key: u32,
    within: usize,
    count: usize,
    dt_ms: f64,
}

impl Trains {
    pub(crate) fn new(rate_hz: &[f64], (within, count): (usize, usize), dt_ms: f64, stream: Stream) -> Self {
        let key = stream.sub(u64::from(u32::from_be_bytes(*b"trai"))).bits(0) as u32;
        let mut trains = Self { rates: Vec::new(), tables: Vec::new(), key, within, count, dt_ms };
        trains.set(rate_hz);
        trains
    }

    /// Sets the rates: one for all, or one for each neuron of the population.
    pub(crate) fn set(&mut self, rate_hz: &[f64]) {
        let own = match rate_hz {
            [one] => vec![*one],
            all => all[self.within..self.within + self.count].to_vec(),
        };
        if own != self.rates {
            self.tables = own.iter().map(|rate| PoissonTable::new(rate * self.dt_ms / 1000.0)).collect();
            self.rates = own;
        }
    }

    pub(crate) fn step(&self, now: u64, spikes: &mut Vec<u32>) {
        for n in 0..self.count {
            let table = &self.tables[if self.tables.len() == 1 { 0 } else { n }];
            let count = table.spikes(bits_of(self.key, now, self.within + n));
            spikes.extend(std::iter::repeat_n(n as u32, count as usize));
        }
    }

    pub(crate) fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// Sets the rates of these neurons, if they are in range.
    pub(crate) fn restore(&mut self, rates: Vec<f64>) -> bool {
        let mean = |rate: f64| rate * self.dt_ms / 1000.0;
        if !rates.iter().all(|&rate| (0.0..=MOST_EXPECTED).contains(&mean(rate))) {
            return false;
        }
        self.tables = rates.iter().map(|&rate| PoissonTable::new(mean(rate))).collect();
        self.rates = rates;
        true
    }

    pub(crate) fn bytes(&self) -> usize {
        self.tables.capacity() * size_of::<PoissonTable>()
    }
}

pub(crate) fn check_rates(place: &str, rate_hz: &[f64], neurons: usize, dt_ms: f64) -> Result<()> {
    if rate_hz.len() != 1 && rate_hz.len() != neurons {
        return Err(wrong(
            place,
            "the number of rates in rate_hz",
            rate_hz.len(),
            format!("1, or {neurons}"),
        ));
    }
    let sound = |rate: &&f64| (0.0..=MOST_EXPECTED).contains(&(**rate * dt_ms / 1000.0));
    match rate_hz.iter().find(|rate| !sound(rate)) {
        Some(rate) => Err(wrong(place, "a rate in rate_hz", rate, "0 to 100 spikes a step")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuit::Input;
    use crate::model::{Leaky, Model};

    fn counts(neurons: Range<usize>, within: usize, count: usize) -> Vec<f32> {
        let mut population = Population::new("p", 300, Model::IafPscDelta(Leaky::default()));
        let kind = InputKind::Poisson { rate_hz: 20_000.0, weight: 1.0 };
        population.inputs.push(Input { neurons: Some(neurons), ..Input::always(kind) });
        let inputs = Inputs::<f32>::new(&population, (within, count), 0.1, Stream::new(1, 2));
        let mut x = vec![0.0; count];
        for now in 0..500 {
            inputs.add_spikes(now, within, count, &mut x);
        }
        x
    }

    #[test]
    fn a_neuron_has_the_same_spikes_in_any_part_and_range() {
        let all = counts(0..300, 0, 300);
        // Mean and variance 1000: five standard deviations.
        assert!(all.iter().all(|count| (count - 1000.0).abs() < 160.0), "{all:?}");
        assert_eq!(counts(0..300, 128, 172), all[128..]);
        let some = counts(70..200, 64, 236);
        assert_eq!(some[6..136], all[70..200]);
        assert!(some[..6].iter().chain(&some[136..]).all(|&count| count == 0.0));
    }

    #[test]
    fn currents_act_as_those_of_nest() {
        let mut population = Population::new("p", 2, Model::IafPscDelta(Leaky::default()));
        let kind = InputKind::Current { amplitude_pa: 5.0, delay_ms: 0.1 };
        population.inputs.push(Input { neurons: None, start_ms: 0.3, stop_ms: 0.5, kind });
        let mut inputs = Inputs::<f64>::new(&population, (0, 2), 0.1, Stream::new(1, 2));
        let row: Vec<f64> = (0..9).map(|now| inputs.current(now, 0)[1]).collect();
        assert_eq!(row, [0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 0.0, 0.0, 0.0]);
        assert_eq!(current_steps(0..9, 1), 2..10);
    }
}
