//! One sample on several threads: different units run different steps in parallel.
//!
//! A unit can run a step once all of its sources have run it, and all of its listeners have received its previous step; so
//! while a layer is at step `t`, the layer two before it is at `t + 1`. Results do not depend on which thread computes a unit,
//! or when, so they equal those of one thread. Cost: a check of the progress of a few units for each step of a unit.
//!
//! No thread may wait for tasks of the pool while it holds a unit: a waiting thread looks for other tasks, may pick up
//! another thread's part of this run, and that part would wait for the unit lower on the same stack. So work that is cut into
//! tasks runs before: matmuls and pools of constant signals, which are needed once. Networks with other such work run on one
//! thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::layer::Layer;
use crate::plan::{Unit, Work};
use crate::signal::Form;
use crate::step::{NodeCounts, Program, UnitState};
use crate::stimulus::Stimulus;

/// Fewest membranes of a network for which parallel units pay.
const FEWEST_MEMBRANES: usize = 8192;
/// Most threads that a chain of layers keeps busy.
const MOST_THREADS: usize = 4;

/// Whether running units in parallel pays: the network is large and without cycles, and no step is cut into tasks.
pub(crate) fn pays(units: &[Unit]) -> bool {
    let membranes = units.iter().filter(|unit| matches!(unit.work, Work::Neurons(..)));
    let membranes: usize = membranes.map(|unit| unit.outputs).sum();
    let may = |unit: &Unit| unit.delayed.is_empty() && (is_constant(unit) || !is_cut(unit));
    membranes >= FEWEST_MEMBRANES && units.iter().all(may)
}

/// Whether a unit has nothing to compute after its first step.
fn is_constant(unit: &Unit) -> bool {
    unit.output == Form::Constant && !matches!(unit.work, Work::Output)
}

/// Whether a unit's kernel cuts a step into tasks.
fn is_cut(unit: &Unit) -> bool {
    match &unit.work {
        Work::Synapses(synapses) => !synapses.weights.scatters(),
        Work::Layer(Layer::SumPool { .. } | Layer::MaxPool { .. } | Layer::CountMaxPool { .. }) => {
            !unit.input.events()
        }
        Work::Layer(_) | Work::Neurons(..) | Work::Input | Work::Output => false,
    }
}

struct Run<'a> {
    program: &'a Program,
    states: Vec<RwLock<UnitState>>,
    /// Steps that each unit has done.
    done: Vec<AtomicUsize>,
    /// Whether a thread is working on the unit.
    taken: Vec<AtomicBool>,
    /// The units that listen to each.
    listeners: Vec<Vec<usize>>,
    stimulus: Stimulus<'a>,
    steps: usize,
    failed: AtomicBool,
}

/// Runs all steps on the threads of the current pool, and returns the executed operations; `None` if a unit failed.
pub(crate) fn run(
    program: &Program,
    states: &mut Vec<UnitState>,
    stimulus: Stimulus<'_>,
    steps: usize,
) -> Option<Vec<NodeCounts>> {
    let count = states.len();
    let threads = rayon::current_num_threads().min(MOST_THREADS);
    let mut counts = vec![program.no_counts(); threads];
    let first_steps = (0..count).filter(|&index| steps > 0 && is_constant(&program.units[index]));
    let mut done = vec![0; count];
    for index in first_steps {
        program.step(index, states, stimulus, 0, &mut counts[0]).ok()?;
        done[index] = 1;
    }
    let mut listeners = vec![Vec::new(); count];
    for (index, unit) in program.units.iter().enumerate() {
        unit.sources.iter().for_each(|&source| listeners[source].push(index));
    }
    let run = Run {
        program,
        states: states.drain(..).map(RwLock::new).collect(),
        done: done.into_iter().map(AtomicUsize::new).collect(),
        taken: (0..count).map(|_| AtomicBool::new(false)).collect(),
        listeners,
        stimulus,
        steps,
        failed: AtomicBool::new(false),
    };
    rayon::scope(|scope| {
        let (own, others) = counts.split_at_mut(1);
        for counts in others {
            let run = &run;
            scope.spawn(move |_| run.take_part(counts));
        }
        run.take_part(&mut own[0]);
    });
    let failed = run.failed.into_inner();
    states.extend(
        run.states.into_iter().map(|state| state.into_inner().unwrap_or_else(PoisonError::into_inner)),
    );
    if failed {
        return None;
    }
    let sum = |mut all: Vec<NodeCounts>, counts: Vec<NodeCounts>| {
        all.iter_mut().zip(counts).for_each(|(all, counts)| *all = all.plus(counts));
        all
    };
    counts.into_iter().reduce(sum)
}

/// Stops the other threads when one panics.
struct Watch<'a>(&'a AtomicBool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

impl Run<'_> {
    /// Runs units until all are done.
    fn take_part(&self, counts: &mut [NodeCounts]) {
        let _watch = Watch(&self.failed);
        let mut idle = 0u32;
        while !self.failed.load(Ordering::Acquire) {
            // Units close to the answer come first, so that those before them can go on.
            let mut units = (0..self.states.len()).rev();
            if units.any(|index| self.advance(index, counts)) {
                idle = 0;
                continue;
            }
            if self.done.iter().all(|done| done.load(Ordering::Acquire) == self.steps) {
                return;
            }
            idle = idle.wrapping_add(1);
            // Give the core to other programs.
            if idle.is_multiple_of(64) {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// The next step of a unit, if it can be run now.
    fn next(&self, index: usize) -> Option<usize> {
        let done = |unit: usize| self.done[unit].load(Ordering::Acquire);
        let step = done(index);
        let unit = &self.program.units[index];
        let ready = step < self.steps
            && unit.sources.iter().all(|&source| done(source) > step)
            && self.listeners[index].iter().all(|&listener| done(listener) >= step);
        ready.then_some(step)
    }

    /// Runs the next step of a unit if possible, and returns whether it did.
    fn advance(&self, index: usize, counts: &mut [NodeCounts]) -> bool {
        if self.next(index).is_none() || self.taken[index].swap(true, Ordering::Acquire) {
            return false;
        }
        // Another thread may have run it since.
        let step = self.next(index);
        if let Some(step) = step {
            self.run(index, step, counts);
            self.done[index].store(step + 1, Ordering::Release);
        }
        self.taken[index].store(false, Ordering::Release);
        step.is_some()
    }

    fn run(&self, index: usize, step: usize, counts: &mut [NodeCounts]) {
        let unit = &self.program.units[index];
        let mut own = self.states[index].write().unwrap_or_else(PoisonError::into_inner);
        let read = |&source: &usize| self.states[source].read().unwrap_or_else(PoisonError::into_inner);
        let sources: Vec<_> = unit.sources.iter().map(read).collect();
        let sources = sources.iter().map(|source| &**source);
        let result = self.program.step_of(unit, &mut own, sources, (self.stimulus, step), counts);
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
    }
}
