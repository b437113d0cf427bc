//! Populations of neurons connected by explicit synapses, each with a weight and a delay: networks of biological size.
//!
//! - Neurons are those of [`NeuronModel`]: their input x at a step is the sum of the weights of arriving spikes, plus the
//!   population's constant current, plus noise.
//! - **Memory**: 8 bytes per synapse (weight, and target with delay), and 4 bytes per pair of a neuron and a part. Neurons
//!   are divided into parts of at most 4,096; a part holds the synapses onto its neurons, grouped by source, and a ring
//!   buffer of future input, which stays in the cache.
//! - **Time**: all steps of the shortest delay run in one pass, as in NEST (Morrison et al. 2005, Neural Computation
//!   17:1776): first every part updates its neurons, then every part receives all spikes. Cost: one membrane update per
//!   neuron and step, one addition per synaptic event.
//! - **The same bits for any number of threads**: parts depend only on the network's shape, and the input of a neuron is
//!   added in the order of the sending step, then of the source, then of its row. Connections and noise are functions of
//!   (seed, projection, index) and (seed, neuron, step).

mod connect;
mod noise;
mod part;
mod random;

use gyrus_blueprint::NeuronModel;
use gyrus_kernels::keep_awake;
use rayon::prelude::*;

use crate::{Error, Result};
pub use connect::{Delay, Link, Projection, Rule, Weight};
pub use noise::Noise;
use part::Part;

/// Neurons of one kind.
#[derive(Clone, Debug)]
pub struct Population {
    /// Name, for error messages.
    pub name: String,
    /// Number of neurons.
    pub neurons: usize,
    /// Their equations; constants have one value, or one per neuron. They must fire.
    pub model: NeuronModel,
    /// Constant input at every step.
    pub current: f32,
    /// External input.
    pub noise: Option<Noise>,
}

/// Activity during some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Number of steps.
    pub steps: u64,
    /// Spikes of all neurons.
    pub spikes: u64,
    /// Synaptic events: weights added to a neuron's input.
    pub synaptic_events: u64,
    /// Updates of single membranes by one step.
    pub membrane_updates: u64,
}

/// Memory use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Weights, targets and delays.
    pub synapses: usize,
    /// Positions of each source's synapses.
    pub rows: usize,
    /// Future input.
    pub rings: usize,
}

/// A running network with all its state.
pub struct Simulation {
    names: Vec<String>,
    parts: Vec<Part>,
    /// First neuron of each population, and the number of all neurons.
    starts: Vec<usize>,
    synapses: u64,
    /// Steps of the shortest delay, which run in one pass.
    interval: usize,
    now: u64,
}

/// Most neurons of all populations together.
const MOST_NEURONS: usize = u32::MAX as usize;

impl Simulation {
    /// Connects populations; steps are `dt_ms` long. The same seed gives the same network.
    ///
    /// # Errors
    /// If a setting is out of range (the error names it), or the synapses need more memory than the system provides.
    pub fn new(
        populations: &[Population],
        projections: &[Projection],
        dt_ms: f64,
        seed: u64,
    ) -> Result<Self> {
        if !(dt_ms.is_finite() && dt_ms > 0.0) {
            return Err(wrong("dt_ms", dt_ms, "a number above 0"));
        }
        let mut starts = vec![0usize];
        for population in populations {
            check(population)?;
            let next = starts[starts.len() - 1].saturating_add(population.neurons);
            if next > MOST_NEURONS {
                return Err(wrong("the number of neurons", next, "fewer than 2^32"));
            }
            starts.push(next);
        }
        let plan = connect::Plan::new(projections, &starts, dt_ms, seed)?;
        let mut parts = Vec::new();
        for (index, population) in populations.iter().enumerate() {
            for first in (0..population.neurons).step_by(part::MOST) {
                let neurons = part::MOST.min(population.neurons - first);
                parts.push(Part::new(population, index, (starts[index], first, neurons), dt_ms, seed)?);
            }
        }
        parts.par_iter_mut().with_max_len(1).try_for_each(|part| part.connect(&plan))?;
        let synapses = parts.iter().map(|part| part.synapses() as u64).sum();
        let names = populations.iter().map(|population| population.name.clone()).collect();
        Ok(Self { names, parts, starts, synapses, interval: plan.shortest(), now: 0 })
    }

    /// Number of neurons.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Number of synapses.
    #[must_use]
    pub fn synapses(&self) -> u64 {
        self.synapses
    }

    /// Memory use.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.parts.iter().map(Part::memory).fold(Memory::default(), |sum, part| Memory {
            synapses: sum.synapses + part.synapses,
            rows: sum.rows + part.rows,
            rings: sum.rings + part.rings,
        })
    }

    /// The outgoing synapses of a neuron, in the order in which its spikes are delivered.
    #[must_use]
    pub fn outgoing(&self, source: usize) -> Vec<Link> {
        self.parts.iter().flat_map(|part| part.outgoing(source)).collect()
    }

    /// Runs `steps` steps. At each step `observe(step, neurons)` receives the neurons that fired, ascending.
    ///
    /// # Errors
    /// If a potential is not a finite number: the error names population, step and neuron. The simulation cannot continue then.
    pub fn run(&mut self, steps: u64, mut observe: impl FnMut(u64, &[u32]) + Send) -> Result<Activity> {
        if self.parts.len() > 1 {
            keep_awake(|| self.take(steps, &mut observe))
        } else {
            self.take(steps, &mut observe)
        }
    }

    fn take(&mut self, steps: u64, observe: &mut (impl FnMut(u64, &[u32]) + Send)) -> Result<Activity> {
        let mut activity = Activity::default();
        let mut sent: Vec<Vec<u32>> = vec![Vec::new(); self.interval];
        while activity.steps < steps {
            let taken = (steps - activity.steps).min(self.interval as u64) as usize;
            let now = self.now;
            let each = |part: &mut Part| part.update(now, taken);
            let updated: Vec<_> = self.parts.par_iter_mut().with_max_len(1).map(each).collect();
            let mut broken = None;
            for (part, updated) in self.parts.iter().zip(updated) {
                match updated {
                    Ok(updates) => activity.membrane_updates += updates,
                    Err((step, neuron)) if broken.is_none_or(|(first, _, _)| step < first) => {
                        broken = Some((step, part.population(), neuron));
                    }
                    Err(_) => {}
                }
            }
            if let Some((step, population, neuron)) = broken {
                return Err(Error::NotFinite { node: self.names[population].clone(), step, neuron });
            }
            for (offset, sent) in sent[..taken].iter_mut().enumerate() {
                sent.clear();
                self.parts.iter().for_each(|part| sent.extend_from_slice(part.sent(offset)));
                activity.spikes += sent.len() as u64;
                observe(now + offset as u64, sent);
            }
            let received =
                self.parts.par_iter_mut().with_max_len(1).map(|part| part.deliver(now, &sent[..taken]));
            activity.synaptic_events += received.sum::<u64>();
            self.now += taken as u64;
            activity.steps += taken as u64;
        }
        Ok(activity)
    }
}

fn wrong(setting: &'static str, got: impl std::fmt::Display, expected: &str) -> Error {
    Error::Setting { setting, got: got.to_string(), expected: expected.to_owned() }
}

fn check(population: &Population) -> Result<()> {
    let model = &population.model;
    if !model.fires {
        return Err(wrong("a population's model", "one that does not fire", "neurons that fire"));
    }
    let fits = |row: &Vec<f32>| row.len() == 1 || row.len() == population.neurons;
    if let Some(row) = model.constants.iter().chain([&model.v_start]).find(|row| !fits(row)) {
        let expected = format!("1 or {}, one per neuron of `{}`", population.neurons, population.name);
        return Err(wrong("the length of a neuron's constants", row.len(), &expected));
    }
    if !population.current.is_finite() {
        return Err(wrong("a population's current", population.current, "a finite number"));
    }
    population.noise.as_ref().map_or(Ok(()), Noise::check)
}
