//! All parts of a circuit, in one precision.

use core::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use gyrus_kernels::circuit::Real;
use rayon::prelude::*;

use super::{Activity, Memory, Synapse, Trace};
use crate::checkpoint::Pass;
use crate::connect::Plan;
use crate::error::{Error, Result};
use crate::neurons::{Kind, Variable};
use crate::part::{Block, Part, Probe, Spikes};
use crate::processes::{Processes, agree};
use crate::projection::Link;
use crate::team::{Barrier, divide};

/// Neuron updates of a pass below which one thread does all.
const FEWEST: usize = 2000;
/// Steps after which states are looked at for numbers that are not finite.
const LOOK: u64 = 100;

pub(super) struct Network<T> {
    names: Vec<String>,
    /// The parts of this process, and which of all they are.
    parts: Vec<Mutex<Part<T>>>,
    own: Vec<usize>,
    all_parts: usize,
    /// Where others have parts too.
    pub(super) processes: Option<Arc<dyn Processes>>,
    /// Synapses of all processes.
    pub(super) synapses: u64,
    starts: Vec<usize>,
    conductances: Vec<bool>,
    /// Steps of the shortest delay, which run in one pass.
    interval: usize,
    /// Whether the calling thread does all.
    pub(super) alone: bool,
    pub(super) now: u64,
    pub(super) activity: Activity,
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the threads of a run share.
struct Shared<'a, T, O> {
    parts: &'a [Mutex<Part<T>>],
    own: &'a [usize],
    processes: Option<&'a dyn Processes>,
    failure: Mutex<Option<Error>>,
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
    pub(super) fn new(plan: &Plan<'_>, processes: Option<Arc<dyn Processes>>) -> Result<Self> {
        let all_parts = plan.shapes.len();
        let own: Vec<usize> = match &processes {
            None => (0..all_parts).collect(),
            Some(processes) => {
                let mut shares = divide(&plan.costs(), processes.count());
                let mut own = std::mem::take(&mut shares[processes.rank()]);
                own.sort_unstable();
                own
            }
        };
        let parts: Result<Vec<_>> =
            own.par_iter().with_max_len(1).map(|&index| Part::new(plan, plan.shapes[index])).collect();
        let parts = match (&processes, parts) {
            (None, parts) => parts?,
            (Some(processes), parts) => {
                // All fail where one does.
                let (_, failed) = agree(&**processes, [], parts.is_err())?;
                let parts = parts?;
                if failed {
                    return Err(Error::Processes("another process could not build its part".to_owned()));
                }
                parts
            }
        };
        let of = |part: &Part<T>| part.blocks.iter().map(|block| block.synapses() as u64).sum::<u64>();
        let mut synapses = parts.iter().map(of).sum();
        if let Some(processes) = &processes {
            ([synapses], _) = agree(&**processes, [synapses], false)?;
        }
        let populations = &plan.circuit.populations;
        Ok(Self {
            names: populations.iter().map(|population| population.name.clone()).collect(),
            parts: parts.into_iter().map(Mutex::new).collect(),
            own,
            all_parts,
            processes,
            synapses,
            starts: plan.starts.clone(),
            conductances: populations.iter().map(|population| population.model.has_conductances()).collect(),
            interval: (plan.need.interval_steps as usize).clamp(1, 1024),
            alone: false,
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
        let small = self.alone || neurons * self.interval < FEWEST;
        let most = if small { 1 } else { rayon::current_num_threads().min(self.parts.len()).max(1) };
        let each = || (0..self.all_parts).map(|_| RwLock::default()).collect();
        let shared = Shared {
            parts: &self.parts,
            own: &self.own,
            processes: self.processes.as_deref(),
            failure: Mutex::new(None),
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
        let failure = shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        let done = shared.done.into_inner();
        let mut activity = Activity {
            steps: done,
            spikes: shared.spikes.into_inner(),
            synaptic_events: shared.events.into_inner(),
            neuron_updates: done * neurons as u64,
            poisson_draws: shared.draws.into_inner(),
        };
        if let Some(failure) = failure {
            return Err(failure);
        }
        let broken = self.get().find_map(|part| Some((part.population, part.within + part.cells.broken()?)));
        let mut broken_elsewhere = false;
        if let Some(processes) = &self.processes {
            let own = [activity.synaptic_events, activity.poisson_draws];
            let (sums, any) = agree(&**processes, own, broken.is_some())?;
            [activity.synaptic_events, activity.poisson_draws] = sums;
            broken_elsewhere = any;
        }
        self.now += done;
        self.activity = Activity {
            steps: before.steps + activity.steps,
            spikes: before.spikes + activity.spikes,
            synaptic_events: before.synaptic_events + activity.synaptic_events,
            neuron_updates: before.neuron_updates + activity.neuron_updates,
            poisson_draws: before.poisson_draws + activity.poisson_draws,
        };
        let step = self.now.saturating_sub(1);
        match broken {
            Some((population, neuron)) => {
                Err(Error::NotFinite { population: self.names[population].clone(), neuron, step })
            }
            None if broken_elsewhere => {
                Err(Error::Processes("another process found a state that is not a finite number".to_owned()))
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

    pub(super) fn set_spikes(&mut self, population: usize, spikes: &[(u64, u32)]) -> bool {
        let mut found = false;
        for part in self.get().filter(|part| part.population == population) {
            found = matches!(part.cells.kind, Kind::Spikes { .. });
            part.set_spikes(spikes);
        }
        found
    }

    /// Everything at rest; the name of a population that cannot.
    pub(super) fn settle(&mut self) -> Option<&str> {
        let last = self.now.saturating_sub(1);
        let mut cannot = None;
        for part in self.get() {
            if !part.settle(last) {
                cannot = Some(part.population);
            }
        }
        cannot.map(|population| &*self.names[population])
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
    /// Sends the spikes of this process's parts, and whether to stop; takes those of the others.
    fn exchange(
        &self,
        processes: &dyn Processes,
        outbox: &[RwLock<Spikes>],
        steps: usize,
        pass: usize,
    ) -> Result<()> {
        let damaged = || Error::Processes("a message of another process is damaged".to_owned());
        let stop = &self.stop[pass % 2];
        let mut words = vec![u32::from(stop.load(Ordering::Acquire))];
        for &part in self.own {
            let sent = outbox[part].read().unwrap_or_else(PoisonError::into_inner);
            words.push(part as u32);
            words.extend(sent.ends.iter().map(|&end| end as u32));
            words.extend_from_slice(&sent.neurons);
        }
        let mut received = Vec::new();
        processes.exchange(&words, &mut received)?;
        for (rank, words) in received.iter().enumerate() {
            let (says, mut rest) = words.split_first().ok_or_else(damaged)?;
            stop.fetch_or(*says != 0, Ordering::AcqRel);
            while rank != processes.rank() && !rest.is_empty() {
                let (head, after) = rest.split_at_checked(1 + steps).ok_or_else(damaged)?;
                let count = head[steps] as usize;
                let (neurons, after) = after.split_at_checked(count).ok_or_else(damaged)?;
                let ends: Vec<usize> = head[1..].iter().map(|&end| end as usize).collect();
                let slot = outbox.get(head[0] as usize).filter(|_| ends.is_sorted()).ok_or_else(damaged)?;
                let mut sent = slot.write().unwrap_or_else(PoisonError::into_inner);
                sent.clear();
                sent.neurons.extend_from_slice(neurons);
                sent.ends = ends;
                rest = after;
            }
        }
        Ok(())
    }

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
                let mut sent = outbox[self.own[*part]].write().unwrap_or_else(PoisonError::into_inner);
                draws += own.update(now, taken as usize, &mut sent);
                let looks = now / LOOK != (now + taken) / LOOK;
                if looks && own.cells.broken().is_some() {
                    self.stop[pass % 2].store(true, Ordering::Release);
                }
            }
            self.barrier.wait();
            if let Some(processes) = self.processes {
                if index == 0
                    && let Err(error) = self.exchange(processes, outbox, taken as usize, pass)
                {
                    *lock(&self.failure) = Some(error);
                    self.stop[pass % 2].store(true, Ordering::Release);
                }
                self.barrier.wait();
            }
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
