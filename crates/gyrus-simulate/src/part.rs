//! A part of a population: its neurons, the synapses onto them, and their future input.
//!
//! Synapses are kept by projection and source. Where all have one delay a place is the target (and its receptor); otherwise it says the
//! step too, and rows are sorted by it. Parts are so small that two bytes are enough, unless delays are long. The future input is a ring with a row for each step up to the longest
//! delay; a row has a plane for each receptor. Used rows are zeroed.

mod build;

use core::ops::Range;

use gyrus_kernels::circuit::{Real, Rows, deliver, deliver_row};

use crate::inputs::Inputs;
use crate::neurons::{Cells, Variable};
use crate::plasticity::{Resources, Timed};

/// Steps after which all plastic synapses have seen all spikes of their targets, which are then forgotten.
const FLUSH: u64 = 10_000;

/// The synapses of a projection onto a part.
pub(crate) struct Block<T> {
    pub(crate) projection: usize,
    pub(crate) source: usize,
    /// First neuron of the source population, counted over all.
    pub(crate) first: u32,
    pub(crate) starts: Vec<u32>,
    pub(crate) places: Places,
    /// Weight of each synapse, or none where all have `weight`.
    pub(crate) weights: Vec<T>,
    pub(crate) weight: T,
    pub(crate) change: Change<T>,
    /// Whether weights have been scaled, and so are not those of the rule.
    pub(crate) scaled: bool,
    /// Neurons of the part where each source has a synapse with a weight of its own onto each, in order; else 0.
    pub(crate) full: usize,
}

/// How synapses change.
pub(crate) enum Change<T> {
    Never,
    Timed(Box<Timed<T>>),
    Resources(Resources),
}

/// Places of targets in the ring.
pub(crate) enum Places {
    /// Within a row; all arrive after the same number of steps.
    Near { delay: u32, places: Vec<u16> },
    /// Rows from the present one on, times the row's length, plus the place in the row.
    Far(Vec<u16>),
    /// The same where delays are so long that two bytes do not reach.
    Farther(Vec<u32>),
}

/// A state variable that is recorded.
pub(crate) struct Probe {
    /// Within the part.
    pub(crate) neuron: usize,
    pub(crate) variable: Variable,
    pub(crate) first_step: u64,
    pub(crate) values: Vec<f64>,
}

/// Neurons of one population with everything that only they need.
pub(crate) struct Part<T> {
    pub(crate) population: usize,
    /// Index of the first neuron within the population, and among all.
    pub(crate) within: usize,
    pub(crate) first: usize,
    pub(crate) cells: Cells<T>,
    inputs: Inputs<T>,
    pub(crate) blocks: Vec<Block<T>>,
    pub(crate) ring: Vec<T>,
    /// Neurons of a plane: a power of two.
    pub(crate) width: usize,
    pub(crate) planes: usize,
    pub(crate) probes: Vec<Probe>,
    fired: Vec<u32>,
    /// Weights of a row times a factor.
    scaled: Vec<T>,
}

/// Spikes of the steps of one pass, neurons counted over all.
#[derive(Default)]
pub(crate) struct Spikes {
    pub(crate) neurons: Vec<u32>,
    /// End of each step's.
    pub(crate) ends: Vec<usize>,
}

impl Spikes {
    pub(crate) fn clear(&mut self) {
        self.neurons.clear();
        self.ends.clear();
    }

    pub(crate) fn of(&self, step: usize) -> &[u32] {
        let start = if step == 0 { 0 } else { self.ends[step - 1] };
        &self.neurons[start..self.ends[step]]
    }
}

impl<T: Real> Part<T> {
    pub(crate) fn count(&self) -> usize {
        self.cells.count
    }

    pub(crate) fn stride(&self) -> usize {
        self.planes * self.width
    }

    /// Runs `steps` steps from `now` on. Returns the number of neurons that had Poisson input, summed over the steps.
    pub(crate) fn update(&mut self, now: u64, steps: usize, sent: &mut Spikes) -> u64 {
        sent.clear();
        let (stride, mask) = (self.stride(), self.ring.len().wrapping_sub(1));
        let mut inputs = 0;
        for now in now..now + steps as u64 {
            self.fired.clear();
            if self.ring.is_empty() {
                self.cells.step(now, &[], 0, &[], &mut self.fired);
            } else {
                let at = (now as usize).wrapping_mul(stride) & mask;
                let x = &mut self.ring[at..at + stride];
                self.inputs.add_spikes(now, self.within, self.width, x);
                inputs += self.inputs.spike_inputs(now);
                let current = self.inputs.current(now, self.within);
                self.cells.step(now, x, self.width, current, &mut self.fired);
                x.fill(T::ZERO);
            }
            for block in &mut self.blocks {
                if let Change::Timed(timed) = &mut block.change {
                    timed.note(now, &self.fired);
                }
            }
            sent.neurons.extend(self.fired.iter().map(|&neuron| neuron + self.first as u32));
            sent.ends.push(sent.neurons.len());
            for probe in &mut self.probes {
                probe.values.push(self.cells.read(probe.neuron, probe.variable).unwrap_or(f64::NAN));
            }
        }
        inputs
    }

    /// Receives the spikes of a step, of which `of_population` says where those of each population lie. Returns the number of synaptic
    /// events.
    pub(crate) fn receive(&mut self, now: u64, sent: &[u32], of_population: &[Range<usize>]) -> u64 {
        let (stride, mask) = (self.stride(), self.ring.len().wrapping_sub(1));
        let mut events = 0;
        for block in &mut self.blocks {
            let sources = &sent[of_population[block.source].clone()];
            if let Change::Timed(timed) = &mut block.change {
                timed.advance(now);
                if now.is_multiple_of(FLUSH) {
                    block.flush(now);
                }
            }
            if sources.is_empty() {
                continue;
            }
            if let (Places::Near { delay, .. }, 1..) = (&block.places, block.full) {
                let at = ((now + u64::from(*delay)) as usize).wrapping_mul(stride) & mask;
                let sums = &mut self.ring[at..at + block.full];
                for &source in sources {
                    let n = (source - block.first) as usize;
                    let weights = &mut block.weights[n * block.full..(n + 1) * block.full];
                    if let Change::Timed(timed) = &mut block.change {
                        timed.receive_full(now, n, weights);
                    }
                    deliver_row(weights, sums);
                }
                events += (sources.len() * block.full) as u64;
                continue;
            }
            if let (Places::Near { delay, places }, true) = (&block.places, block.is_plastic()) {
                let at = ((now + u64::from(*delay)) as usize).wrapping_mul(stride) & mask;
                let sums = &mut self.ring[at..at + stride];
                for &source in sources {
                    let n = (source - block.first) as usize;
                    let row = block.starts[n] as usize..block.starts[n + 1] as usize;
                    let places = &places[row.clone()];
                    let mut one = Rows {
                        starts: &[0, places.len() as u32],
                        places,
                        weights: &[],
                        weight: block.weight,
                    };
                    match &mut block.change {
                        Change::Never => {}
                        Change::Timed(timed) => {
                            timed.receive(now, n, row.start, places, &mut block.weights[row.clone()]);
                            one.weights = &block.weights[row];
                        }
                        Change::Resources(resources) => {
                            let factor = T::of(resources.factor(now, n));
                            one.weight = block.weight * factor;
                            self.scaled.clear();
                            if !block.weights.is_empty() {
                                self.scaled.extend(block.weights[row].iter().map(|&weight| weight * factor));
                            }
                            one.weights = &self.scaled;
                        }
                    }
                    events += deliver(one, &[0], 0, 0, sums);
                }
                continue;
            }
            let (starts, weights, weight) = (&block.starts[..], &block.weights[..], block.weight);
            match &block.places {
                Places::Near { delay, places } => {
                    let at = ((now + u64::from(*delay)) as usize).wrapping_mul(stride) & mask;
                    let rows = Rows { starts, places: &places[..], weights, weight };
                    events += deliver(rows, sources, block.first, 0, &mut self.ring[at..at + stride]);
                }
                Places::Far(places) => {
                    let at = (now as usize).wrapping_mul(stride) & mask;
                    let rows = Rows { starts, places: &places[..], weights, weight };
                    events += deliver(rows, sources, block.first, at, &mut self.ring);
                }
                Places::Farther(places) => {
                    let at = (now as usize).wrapping_mul(stride) & mask;
                    let rows = Rows { starts, places: &places[..], weights, weight };
                    events += deliver(rows, sources, block.first, at, &mut self.ring);
                }
            }
        }
        events
    }

    /// Whether [`Self::receive`] must be called for each step, with or without spikes.
    pub(crate) fn is_timed(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block.change, Change::Timed(_)))
    }

    /// What a pass costs, roughly: updates of neurons, and synapses that may be used.
    pub(crate) fn cost(&self) -> u64 {
        let synapses: usize = self.blocks.iter().map(Block::synapses).sum();
        self.count() as u64 * 1000 + synapses as u64
    }

    /// Everything at rest, as after a long silence; weights and moving thresholds stay. Tells whether the model can.
    pub(crate) fn settle(&mut self, last: u64) -> bool {
        self.ring.fill(T::ZERO);
        for block in &mut self.blocks {
            block.flush(last);
            match &mut block.change {
                Change::Never => {}
                Change::Timed(timed) => timed.settle(),
                Change::Resources(resources) => resources.settle(),
            }
        }
        self.cells.settle()
    }

    /// Sets the spikes of sources from a step on: steps and neurons of the population, ascending.
    pub(crate) fn set_spikes(&mut self, spikes: &[(u64, u32)]) {
        let own = self.within as u32..(self.within + self.cells.count) as u32;
        if let crate::neurons::Kind::Spikes { events, next } = &mut self.cells.kind {
            events.clear();
            let of_part = spikes.iter().filter(|(_, neuron)| own.contains(neuron));
            events.extend(of_part.map(|(step, neuron)| (*step, neuron - own.start)));
            *next = 0;
        }
    }

    /// Sets the rates of Poisson sources.
    pub(crate) fn set_rates(&mut self, rate_hz: &[f64]) {
        if let crate::neurons::Kind::Poisson(trains) = &mut self.cells.kind {
            trains.set(rate_hz);
        }
    }
}

impl<T: Real> Block<T> {
    fn is_plastic(&self) -> bool {
        !matches!(self.change, Change::Never)
    }

    /// Lets all synapses see all spikes of their targets that have arrived by step `last`.
    pub(crate) fn flush(&mut self, last: u64) {
        if let (Change::Timed(timed), Places::Near { places, .. }) = (&mut self.change, &self.places) {
            timed.flush(last, &self.starts, places, &mut self.weights);
        }
    }

    /// Multiplies weights so that those onto each target, a place within a row of `stride`, add up to `total`.
    pub(crate) fn scale_incoming(&mut self, total: f64, stride: usize) {
        self.scaled = true;
        if let (Change::Timed(timed), 1..) = (&mut self.change, self.full)
            && let Some(full) = &mut timed.full
        {
            // Only what has changed since the last time.
            let mut targets = std::mem::replace(&mut full.touched, full.active.clone());
            if full.total == total {
                targets.sort_unstable();
                targets.dedup();
            } else {
                targets = (0..self.full as u32).collect();
            }
            full.total = total;
            for target in targets {
                let of_target = || (target as usize..self.weights.len()).step_by(self.full);
                let sum: f64 = of_target().map(|at| self.weights[at].wide()).sum();
                if sum != 0.0 {
                    let factor = total / sum;
                    of_target().for_each(|at| self.weights[at] = T::of(self.weights[at].wide() * factor));
                }
            }
            return;
        }
        let mut sums = vec![0.0; stride];
        let target = |places: &Places, at: usize| match places {
            Places::Near { places, .. } => places[at] as usize,
            Places::Far(places) => places[at] as usize % stride,
            Places::Farther(places) => places[at] as usize % stride,
        };
        for (at, weight) in self.weights.iter().enumerate() {
            sums[target(&self.places, at)] += weight.wide();
        }
        for (at, weight) in self.weights.iter_mut().enumerate() {
            let sum = sums[target(&self.places, at)];
            if sum != 0.0 {
                *weight = T::of(weight.wide() * total / sum);
            }
        }
    }

    pub(crate) fn synapses(&self) -> usize {
        match &self.places {
            Places::Near { places, .. } | Places::Far(places) => places.len(),
            Places::Farther(places) => places.len(),
        }
    }

    /// Bytes of places and weights.
    pub(crate) fn bytes(&self) -> usize {
        let places = match &self.places {
            Places::Near { places, .. } | Places::Far(places) => places.capacity() * 2,
            Places::Farther(places) => places.capacity() * 4,
        };
        let state = if let Change::Timed(timed) = &self.change { timed.bytes() } else { 0 };
        places + self.weights.capacity() * T::BYTES + state
    }

    /// Calls `visit` with target within the part, receptor, weight and delay in steps of each synapse of a source.
    pub(crate) fn visit(
        &self,
        source: usize,
        (width, planes): (usize, usize),
        mut visit: impl FnMut(usize, usize, T, u32),
    ) {
        for at in self.starts[source] as usize..self.starts[source + 1] as usize {
            let stride = width * planes;
            let far = |place: usize| ((place / stride) as u32, place % stride);
            let (delay, place) = match &self.places {
                Places::Near { delay, places } => (*delay, places[at] as usize),
                Places::Far(places) => far(places[at] as usize),
                Places::Farther(places) => far(places[at] as usize),
            };
            let weight = self.weights.get(at).copied().unwrap_or(self.weight);
            visit(place % width, place / width, weight, delay);
        }
    }
}
