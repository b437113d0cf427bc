//! All parts of a circuit, in one precision.

use core::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use gyrus_kernels::circuit::Real;
use rayon::prelude::*;

use super::{Activity, Memory, Synapse, Trace};
use crate::checkpoint::Pass;
use crate::connect::Plan;
use crate::error::{Error, Result};
use crate::neurons::{Kind, Variable};
use crate::part::{Block, Part, Probe, Spikes};
use crate::projection::Link;
use crate::team::{Barrier, divide};

/// Neuron updates of a pass below which one thread does all.
const FEWEST: usize = 2000;
/// Steps after which states are looked at for numbers that are not finite.
const LOOK: u64 = 100;

pub(super) struct Network<T> {
    names: Vec<String>,
    parts: Vec<Mutex<Part<T>>>,
    starts: Vec<usize>,
    conductances: Vec<bool>,
    /// Steps of the shortest delay, which run in one pass.
    interval: usize,
    pub(super) now: u64,
    pub(super) activity: Activity,
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the threads of a run share.
struct Shared<'a, T, O> {
    parts: &'a [Mutex<Part<T>>],
    /// Spikes of each part, of this pass and of the one before.
    sent: [Vec<RwLock<Spikes>>; 2],
    barrier: Barrier,
    starts: &'a [usize],
    interval: usize,
    first: u64,
    steps: u64,
    /// Whether to end after a pass, for even and odd ones: a flag is written before the barrier of its pass and read after it.
    stop: [AtomicBool; 2],
    observe: Mutex<O>,
    spikes: AtomicU64,
    events: AtomicU64,
    draws: AtomicU64,
    done: AtomicU64,
}

impl<T: Real> Network<T> {
    pub(super) fn new(plan: &Plan<'_>) -> Result<Self> {
        let parts: Result<Vec<_>> =
            plan.shapes.par_iter().with_max_len(1).map(|&s| Part::new(plan, s)).collect();
        let populations = &plan.circuit.populations;
        Ok(Self {
            names: populations.iter().map(|population| population.name.clone()).collect(),
            parts: parts?.into_iter().map(Mutex::new).collect(),
            starts: plan.starts.clone(),
            conductances: populations.iter().map(|population| population.model.has_conductances()).collect(),
            interval: (plan.need.interval_steps as usize).clamp(1, 1024),
            now: 0,
            activity: Activity::default(),
        })
    }

    fn get(&mut self) -> impl Iterator<Item = &mut Part<T>> {
        self.parts.iter_mut().map(|part| part.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn run(
        &mut self,
        steps: u64,
        observe: impl FnMut(u64, &[u32]) -> ControlFlow<()> + Send,
    ) -> Result<Activity> {
        let before = self.activity;
        let costs: Vec<u64> = self.get().map(|part| part.cost()).collect();
        let neurons = self.starts[self.starts.len() - 1];
        let small = neurons * self.interval < FEWEST;
        let most = if small { 1 } else { rayon::current_num_threads().min(self.parts.len()) };
        let each = || (0..self.parts.len()).map(|_| RwLock::default()).collect();
        let shared = Shared {
            parts: &self.parts,
            sent: [each(), each()],
            barrier: Barrier::new(most.max(1)),
            starts: &self.starts,
            interval: self.interval,
            first: self.now,
            steps,
            stop: [AtomicBool::new(false), AtomicBool::new(false)],
            observe: Mutex::new(observe),
            spikes: AtomicU64::new(0),
            events: AtomicU64::new(0),
            draws: AtomicU64::new(0),
            done: AtomicU64::new(0),
        };
        let shares = divide(&costs, most.max(1));
        if most <= 1 {
            shared.member(0, &shares[0]);
        } else {
            rayon::broadcast(|context| {
                if let Some(share) = shares.get(context.index()) {
                    shared.member(context.index(), share);
                }
            });
        }
        let done = shared.done.into_inner();
        let activity = Activity {
            steps: done,
            spikes: shared.spikes.into_inner(),
            synaptic_events: shared.events.into_inner(),
            neuron_updates: done * neurons as u64,
            poisson_draws: shared.draws.into_inner(),
        };
        self.now += done;
        self.activity = Activity {
            steps: before.steps + activity.steps,
            spikes: before.spikes + activity.spikes,
            synaptic_events: before.synaptic_events + activity.synaptic_events,
            neuron_updates: before.neuron_updates + activity.neuron_updates,
            poisson_draws: before.poisson_draws + activity.poisson_draws,
        };
        let step = self.now.saturating_sub(1);
        let broken = self.get().find_map(|part| Some((part.population, part.within + part.cells.broken()?)));
        match broken {
            Some((population, neuron)) => {
                Err(Error::NotFinite { population: self.names[population].clone(), neuron, step })
            }
            None => Ok(activity),
        }
    }

    /// Saves or loads the state.
    pub(super) fn pass(&mut self, pass: &mut Pass<'_>) -> Result<()> {
        pass.one(&mut self.now)?;
        let Activity { steps, spikes, synaptic_events, neuron_updates, poisson_draws } = &mut self.activity;
        for number in [steps, spikes, synaptic_events, neuron_updates, poisson_draws] {
            pass.one(number)?;
        }
        let now = self.now;
        self.get().try_for_each(|part| part.pass(now, pass))
    }

    /// Lets the synapses of a projection see the spikes of their targets up to now, and calls `change` with each of its blocks and the
    /// length of its part's rows.
    pub(super) fn change(&mut self, projection: usize, mut change: impl FnMut(&mut Block<T>, usize)) {
        let last = self.now.saturating_sub(1);
        for part in self.get() {
            let stride = part.stride();
            for block in part.blocks.iter_mut().filter(|block| block.projection == projection) {
                block.flush(last);
                change(block, stride);
            }
        }
    }

    pub(super) fn synapses(&self) -> u64 {
        let of = |part: &Part<T>| part.blocks.iter().map(|block| block.synapses() as u64).sum::<u64>();
        self.parts.iter().map(|part| of(&lock(part))).sum()
    }

    pub(super) fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for part in &self.parts {
            let part = lock(part);
            for block in &part.blocks {
                memory.synapses += block.bytes() as u64;
                memory.rows += block.starts.capacity() as u64 * 4;
            }
            memory.rings += (part.ring.capacity() * T::BYTES) as u64;
            memory.neurons += part.cells.bytes() as u64;
        }
        memory
    }

    /// The part of a neuron, and its place there.
    fn find(&self, neuron: usize) -> Option<(usize, usize)> {
        let within = |part: &Mutex<Part<T>>| {
            let part = lock(part);
            (part.first..part.first + part.count()).contains(&neuron).then(|| neuron - part.first)
        };
        self.parts.iter().enumerate().find_map(|(index, part)| Some((index, within(part)?)))
    }

    pub(super) fn record(&mut self, neuron: usize, variable: Variable) -> bool {
        let Some((part, place)) = self.find(neuron) else { return false };
        let first_step = self.now;
        let mut part = lock(&self.parts[part]);
        if part.cells.read(place, variable).is_none() {
            return false;
        }
        part.probes.push(Probe { neuron: place, variable, first_step, values: Vec::new() });
        true
    }

    pub(super) fn take_traces(&mut self) -> Vec<Trace> {
        let now = self.now;
        let mut traces = Vec::new();
        for part in self.get() {
            let first = part.first;
            for probe in &mut part.probes {
                let values = std::mem::take(&mut probe.values);
                let neuron = (first + probe.neuron) as u32;
                traces.push(Trace { neuron, variable: probe.variable, first_step: probe.first_step, values });
                probe.first_step = now;
            }
        }
        traces
    }

    pub(super) fn state(&self, neuron: usize, variable: Variable) -> Option<f64> {
        let (part, place) = self.find(neuron)?;
        lock(&self.parts[part]).cells.read(place, variable)
    }

    pub(super) fn set_rates(&mut self, population: usize, rate_hz: &[f64]) -> bool {
        let mut found = false;
        for part in self.get().filter(|part| part.population == population) {
            found = matches!(part.cells.kind, Kind::Poisson(_));
            part.set_rates(rate_hz);
        }
        found
    }

    /// Calls `visit` with projection, source and target (counted over all), weight and delay of the synapses of a source within its
    /// population.
    fn visit(&self, part: &Part<T>, population: usize, source: usize, visit: &mut impl FnMut(Synapse)) {
        let shape = (part.width, part.planes);
        for block in part.blocks.iter().filter(|block| block.source == population) {
            block.visit(source, shape, |target, plane, weight, delay_steps| {
                let inverted = plane == 1 && self.conductances[part.population];
                visit(Synapse {
                    projection: block.projection,
                    source: block.first + source as u32,
                    target: (part.first + target) as u32,
                    weight: if inverted { -weight.wide() } else { weight.wide() },
                    delay_steps,
                });
            });
        }
    }

    pub(super) fn outgoing(&self, source: usize) -> Vec<Synapse> {
        let mut synapses = Vec::new();
        let population = self.starts.partition_point(|&start| start <= source).saturating_sub(1);
        if population + 1 >= self.starts.len() {
            return synapses;
        }
        for part in &self.parts {
            self.visit(&lock(part), population, source - self.starts[population], &mut |synapse| {
                synapses.push(synapse);
            });
        }
        synapses
    }

    pub(super) fn links(&self, projection: usize, dt_ms: f64) -> Vec<Link> {
        let mut links = Vec::new();
        for part in &self.parts {
            let part = lock(part);
            let target = self.starts[part.population] as u32;
            for block in part.blocks.iter().filter(|block| block.projection == projection) {
                for source in 0..block.starts.len() - 1 {
                    self.visit(&part, block.source, source, &mut |synapse| {
                        if synapse.projection == projection {
                            let delay_ms = f64::from(synapse.delay_steps) * dt_ms;
                            let (source, target) = (source as u32, synapse.target - target);
                            links.push(Link { source, target, weight: synapse.weight, delay_ms });
                        }
                    });
                }
            }
        }
        links
    }
}

impl<T: Real, O: FnMut(u64, &[u32]) -> ControlFlow<()> + Send> Shared<'_, T, O> {
    /// What one thread does: its parts' updates, then the spikes of all parts received by its own.
    fn member(&self, index: usize, share: &[usize]) {
        let mut own: Vec<_> = share.iter().map(|&part| (part, lock(&self.parts[part]))).collect();
        let timed = own.iter().any(|(_, part)| part.is_timed());
        let (mut sent, mut ends) = (Vec::new(), Vec::new());
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let (mut spikes, mut events, mut draws) = (0, 0, 0);
        let (mut done, mut pass) = (0, 0);
        while done < self.steps {
            let now = self.first + done;
            let taken = (self.steps - done).min(self.interval as u64);
            let outbox = &self.sent[pass % 2];
            for (part, own) in &mut own {
                let mut sent = outbox[*part].write().unwrap_or_else(PoisonError::into_inner);
                draws += own.update(now, taken as usize, &mut sent);
                let looks = now / LOOK != (now + taken) / LOOK;
                if looks && own.cells.broken().is_some() {
                    self.stop[pass % 2].store(true, Ordering::Release);
                }
            }
            self.barrier.wait();
            let stop = self.stop[pass % 2].load(Ordering::Acquire);
            gather(outbox, taken as usize, &mut sent, &mut ends);
            if index == 0 {
                spikes += sent.len() as u64;
                let mut observe = lock(&self.observe);
                for step in 0..taken as usize {
                    let start = if step == 0 { 0 } else { ends[step - 1] };
                    if observe(now + step as u64, &sent[start..ends[step]]).is_break() {
                        self.stop[(pass + 1) % 2].store(true, Ordering::Release);
                    }
                }
            }
            for step in 0..taken as usize {
                let start = if step == 0 { 0 } else { ends[step - 1] };
                let sent = &sent[start..ends[step]];
                if sent.is_empty() && !timed {
                    continue;
                }
                ranges.clear();
                let mut from = 0;
                for ends in &self.starts[1..] {
                    let to = from + sent[from..].partition_point(|&neuron| (neuron as usize) < *ends);
                    ranges.push(from..to);
                    from = to;
                }
                for (_, own) in &mut own {
                    events += own.receive(now + step as u64, sent, &ranges);
                }
            }
            done += taken;
            pass += 1;
            if stop {
                break;
            }
        }
        self.spikes.fetch_add(spikes, Ordering::Relaxed);
        self.events.fetch_add(events, Ordering::Relaxed);
        self.draws.fetch_add(draws, Ordering::Relaxed);
        if index == 0 {
            self.done.store(done, Ordering::Relaxed);
        }
    }
}

/// The spikes of all parts, step by step, ascending.
fn gather(outbox: &[RwLock<Spikes>], steps: usize, sent: &mut Vec<u32>, ends: &mut Vec<usize>) {
    sent.clear();
    ends.clear();
    let outbox: Vec<_> =
        outbox.iter().map(|spikes| spikes.read().unwrap_or_else(PoisonError::into_inner)).collect();
    for step in 0..steps {
        for spikes in &outbox {
            sent.extend_from_slice(spikes.of(step));
        }
        ends.push(sent.len());
    }
}
