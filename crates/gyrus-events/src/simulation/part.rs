//! A part of a population: its neurons, the synapses onto them, and their future input.
//!
//! A synapse is a weight and an offset into the ring buffer, target plus delay times the ring's width: finding the place of
//! its spike takes one addition and one mask. The ring has a row for each step up to the longest delay; used rows are zeroed.

use gyrus_blueprint::{Image, NeuronModel};

use super::connect::{Link, Plan};
use super::noise::Source;
use super::{Memory, Population, wrong};
use crate::membrane::{Current, Membranes, Neurons};
use crate::{Error, Result};

/// Most neurons of a part: a ring of 16 steps is then 256 KiB.
pub(crate) const MOST: usize = 4096;

#[derive(Clone, Copy, Default)]
struct Synapse {
    weight: f32,
    offset: u32,
}

pub(crate) struct Part {
    population: usize,
    /// Index of the first neuron among all, and within the population.
    first: usize,
    within: usize,
    neurons: Neurons,
    membranes: Membranes,
    current: f32,
    noise: Option<Source>,
    /// Start of the synapses of each neuron of the whole network.
    starts: Vec<u32>,
    synapses: Vec<Synapse>,
    ring: Vec<f32>,
    /// Width of the ring in floats: a power of two.
    width: usize,
    /// Spikes of the last steps, and the end of those of each step.
    sent: Vec<u32>,
    ends: Vec<usize>,
}

fn reserve<T>(count: usize, what: &'static str) -> Result<Vec<T>> {
    let mut memory = Vec::new();
    let refused = |_| Error::Memory { what, bytes: count.saturating_mul(size_of::<T>()) };
    memory.try_reserve_exact(count).map_err(refused)?;
    Ok(memory)
}

impl Part {
    /// `count` neurons of a population from neuron `within` on; the population begins at `start`.
    pub(crate) fn new(
        population: &Population,
        index: usize,
        (start, within, count): (usize, usize, usize),
        dt_ms: f64,
        seed: u64,
    ) -> Result<Self> {
        let own = |row: &Vec<f32>| match row.len() {
            1 => row.clone(),
            _ => row[within..within + count].to_vec(),
        };
        let model = NeuronModel {
            constants: population.model.constants.each_ref().map(own),
            v_start: own(&population.model.v_start),
            ..population.model.clone()
        };
        let neurons = Neurons::new(&model, count, Image { height: 1, width: 1, channels: count });
        let mut membranes = Membranes::default();
        neurons.begin(&mut membranes);
        let noise = population.noise.map(|noise| Source::new(noise, dt_ms, seed.wrapping_add(index as u64)));
        Ok(Self {
            population: index,
            first: start + within,
            within,
            neurons,
            membranes,
            current: population.current,
            noise: noise.transpose()?,
            starts: Vec::new(),
            synapses: Vec::new(),
            ring: Vec::new(),
            width: count.next_power_of_two(),
            sent: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Draws the synapses onto these neurons.
    pub(crate) fn connect(&mut self, plan: &Plan<'_>) -> Result<()> {
        let targets = self.first..self.first + self.neurons.neurons;
        let rows = (plan.longest() + 1).next_power_of_two();
        let floats = rows.saturating_mul(self.width);
        if u32::try_from(floats).is_err() {
            return Err(wrong(
                "the longest delay",
                format!("{} steps", plan.longest()),
                "fewer, so that a part can address them",
            ));
        }
        self.ring = reserve(floats, "the input to come")?;
        self.ring.resize(floats, 0.0);
        let mut starts: Vec<u32> = reserve(plan.neurons() + 1, "positions of synapses")?;
        starts.resize(plan.neurons() + 1, 0);
        let mut count = 0u64;
        plan.synapses(targets.clone(), false, &mut |link| {
            count += 1;
            // Wraps only if the count is refused below.
            starts[link.source + 1] = starts[link.source + 1].wrapping_add(1);
        });
        let Ok(count) = u32::try_from(count) else {
            return Err(wrong("the synapses onto 4,096 neurons", count, "fewer than 2^32"));
        };
        for source in 0..plan.neurons() {
            starts[source + 1] += starts[source];
        }
        self.synapses = reserve(count as usize, "the synapses")?;
        self.synapses.resize(count as usize, Synapse::default());
        let mut next = starts.clone();
        plan.synapses(targets, true, &mut |link| {
            let offset = (link.delay * self.width + link.target - self.first) as u32;
            self.synapses[next[link.source] as usize] = Synapse { weight: link.weight, offset };
            next[link.source] += 1;
        });
        self.starts = starts;
        Ok(())
    }

    pub(crate) fn population(&self) -> usize {
        self.population
    }

    pub(crate) fn synapses(&self) -> usize {
        self.synapses.len()
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            synapses: self.synapses.capacity() * size_of::<Synapse>(),
            rows: self.starts.capacity() * size_of::<u32>(),
            rings: self.ring.capacity() * size_of::<f32>(),
        }
    }

    fn row(&self, source: usize) -> &[Synapse] {
        &self.synapses[self.starts[source] as usize..self.starts[source + 1] as usize]
    }

    pub(crate) fn outgoing(&self, source: usize) -> impl Iterator<Item = Link> {
        self.row(source).iter().map(move |synapse| {
            let offset = synapse.offset as usize;
            let target = self.first + offset % self.width;
            Link { source, target, weight: synapse.weight, delay: offset / self.width }
        })
    }

    /// Runs `steps` steps from `now` on, and returns the number of updated membranes.
    ///
    /// # Errors
    /// The step, and the neuron within the population, whose potential is not a finite number.
    pub(crate) fn update(&mut self, now: u64, steps: usize) -> Result<u64, (u64, usize)> {
        let count = self.neurons.neurons;
        let mask = (self.ring.len() - 1) as u64;
        let mut updates = 0;
        self.sent.clear();
        self.ends.clear();
        for step in now..now + steps as u64 {
            let start = (step.wrapping_mul(self.width as u64) & mask) as usize;
            let x = &mut self.ring[start..start + count];
            if self.current != 0.0 {
                x.iter_mut().for_each(|x| *x += self.current);
            }
            if let Some(noise) = &self.noise {
                noise.add(step, self.within, x);
            }
            let updated = self.neurons.step(Current::Row(x, false), &mut self.membranes, &mut []);
            updates += updated.map_err(|neuron| (step, self.within + neuron))?;
            x.fill(0.0);
            for (word, &bits) in self.membranes.words.iter().enumerate() {
                let mut left = bits;
                while left != 0 {
                    let neuron = word * u32::BITS as usize + left.trailing_zeros() as usize;
                    self.sent.push((self.first + neuron) as u32);
                    left &= left - 1;
                }
            }
            self.ends.push(self.sent.len());
        }
        Ok(updates)
    }

    /// The neurons of this part that fired at one of the last steps.
    pub(crate) fn sent(&self, offset: usize) -> &[u32] {
        let start = if offset == 0 { 0 } else { self.ends[offset - 1] };
        &self.sent[start..self.ends[offset]]
    }

    /// Receives all spikes of the steps from `now` on, and returns the number of synaptic events.
    pub(crate) fn deliver(&mut self, now: u64, sent: &[Vec<u32>]) -> u64 {
        let mask = self.ring.len() - 1;
        let mut events = 0;
        for (step, sent) in (now..).zip(sent) {
            let base = step.wrapping_mul(self.width as u64) as usize & mask;
            for &source in sent {
                let (start, end) = (self.starts[source as usize], self.starts[source as usize + 1]);
                let row = &self.synapses[start as usize..end as usize];
                events += row.len() as u64;
                for synapse in row {
                    self.ring[(base + synapse.offset as usize) & mask] += synapse.weight;
                }
            }
        }
        events
    }
}
