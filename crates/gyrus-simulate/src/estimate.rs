//! Memory and time that a circuit of any size takes, from what this machine does with a small one.
//!
//! The circuit is built with few enough neurons to run within seconds; three costs are measured, for a synapse that is built, for
//! a neuron's step, and for a synaptic event, and with them the memory. A larger circuit of the same kind, with as many
//! synapses per neuron and the same rates, then needs
//!
//! - memory: bytes a neuron and bytes a synapse, times their numbers;
//! - time for a second of activity: neurons · steps · cost of a step + synapses · rate · cost of an event.
//!
//! What the estimate leaves out: messages between machines, which cost the more the more there are. Source of the form: Kunkel
//! et al. 2012, Frontiers in Neuroinformatics 5:35.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::{Activity, CircuitFile, Error, Result, Simulation};

/// Neurons of the small circuit, at most.
const NEURONS: f64 = 20_000.0;
/// Its synapses, at most.
const SYNAPSES: f64 = 8_000_000.0;
/// Simulated time of a measurement: the start, which is left out, and the pieces of the rest, of which the fastest counts:
/// other programs only make them slower.
const START_MS: f64 = 50.0;
const PIECE_MS: f64 = 10.0;
const PIECES: usize = 12;
/// The neurons of a human brain (Azevedo et al. 2009, Journal of Comparative Neurology 513:532).
pub const HUMAN_BRAIN: f64 = 86e9;

/// What this machine takes for a circuit of one kind, and what the whole circuit has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Neurons of the whole circuit.
    pub neurons: f64,
    /// Its synapses.
    pub synapses: f64,
    /// Spikes per neuron and second in the small circuit.
    pub rate_hz: f64,
    /// Length of a step.
    pub dt_ms: f64,
    /// Time to build a synapse, with all threads.
    pub build_ns: f64,
    /// Time for a neuron's step, its external input included, with all threads.
    pub step_ns: f64,
    /// Time for a synaptic event, with all threads.
    pub event_ns: f64,
    /// Memory for a neuron.
    pub neuron_bytes: f64,
    /// Memory for a synapse.
    pub synapse_bytes: f64,
    /// Neurons of the measured circuit.
    pub measured_neurons: f64,
    /// Synapses of the measured circuit.
    pub measured_synapses: f64,
    /// Threads that were used.
    pub threads: usize,
}

/// What a circuit of some size takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Neurons.
    pub neurons: f64,
    /// Synapses.
    pub synapses: f64,
    /// Memory in all.
    pub bytes: f64,
    /// Machines of this kind that hold it.
    pub machines: f64,
    /// Time to build it with so many machines.
    pub build_seconds: f64,
    /// Time for a second of activity with so many machines, over a second.
    pub real_time_factor: f64,
    /// Machines of this kind with which it would run in real time, if messages between them cost nothing.
    pub machines_for_real_time: f64,
    /// What asks for more machines: memory, or time.
    pub is_limited_by_memory: bool,
}

impl Costs {
    /// Measures a circuit on this machine, in the current pool of threads; takes seconds.
    ///
    /// # Errors
    /// If the circuit cannot be built or made smaller.
    pub fn measure(file: &CircuitFile) -> Result<Self> {
        let whole = file.check_size()?;
        let smaller = (NEURONS / whole.0).min((SYNAPSES / whole.1.max(1.0)).sqrt()).min(1.0);
        let small = file.clone().scaled(smaller)?;
        let dt_ms = small.circuit.dt_ms;
        let steps = |ms: f64| (ms / dt_ms).round().max(1.0) as u64;
        let started = Instant::now();
        let mut simulation = Simulation::new(&small.circuit)?;
        let build_seconds = started.elapsed().as_secs_f64();
        let synapses = simulation.synapses() as f64;
        let neurons = simulation.neurons() as f64;
        let memory = simulation.memory();
        let mut alone = small.clone();
        alone.circuit.projections.clear();
        let mut alone = Simulation::new(&alone.circuit)?;
        timed(&mut alone, steps(START_MS))?;
        let mut step_ns = f64::INFINITY;
        for _ in 0..PIECES {
            let (updates, seconds) = timed(&mut alone, steps(PIECE_MS))?;
            step_ns = step_ns.min(1e9 * seconds / (neurons * updates.steps as f64));
        }
        timed(&mut simulation, steps(START_MS))?;
        let (mut event_ns, mut spikes, mut measured) = (f64::INFINITY, 0.0, 0.0);
        for _ in 0..PIECES {
            let (activity, seconds) = timed(&mut simulation, steps(PIECE_MS))?;
            let rest = 1e9 * seconds - step_ns * neurons * activity.steps as f64;
            if rest > 0.0 && activity.synaptic_events > 0 {
                event_ns = event_ns.min(rest / activity.synaptic_events as f64);
            }
            spikes += activity.spikes as f64;
            measured += activity.steps as f64 * dt_ms / 1e3;
        }
        // Without a single synaptic event there is no cost to measure, and none to count.
        let event_ns = if event_ns.is_finite() { event_ns } else { 0.0 };
        Ok(Self {
            neurons: whole.0,
            synapses: whole.1,
            rate_hz: spikes / neurons / measured,
            dt_ms,
            build_ns: 1e9 * build_seconds / synapses.max(1.0),
            step_ns,
            event_ns,
            neuron_bytes: (memory.neurons + memory.rings + memory.rows) as f64 / neurons,
            synapse_bytes: memory.synapses as f64 / synapses.max(1.0),
            measured_neurons: neurons,
            measured_synapses: synapses,
            threads: rayon::current_num_threads(),
        })
    }

    /// The same kind of circuit with this many neurons, each with as many synapses and as active, on machines with so much
    /// memory each.
    #[must_use]
    pub fn of(&self, neurons: f64, memory_bytes: f64) -> Estimate {
        let synapses = self.synapses / self.neurons * neurons;
        // A position for each source on each machine that holds some of its synapses is among them.
        let bytes = neurons * self.neuron_bytes + synapses * self.synapse_bytes;
        let machines = (bytes / memory_bytes).ceil().max(1.0);
        let steps = 1e3 / self.dt_ms;
        let seconds = 1e-9 * (neurons * steps * self.step_ns + synapses * self.rate_hz * self.event_ns);
        Estimate {
            neurons,
            synapses,
            bytes,
            machines,
            build_seconds: 1e-9 * synapses * self.build_ns / machines,
            real_time_factor: seconds / machines,
            machines_for_real_time: seconds.ceil().max(1.0),
            is_limited_by_memory: machines >= seconds,
        }
    }
}

impl CircuitFile {
    /// Neurons and synapses of the circuit, without building it.
    ///
    /// # Errors
    /// If it cannot be built, whatever the memory.
    fn check_size(&self) -> Result<(f64, f64)> {
        let need = self.check()?;
        if need.neurons == 0 {
            return Err(Error::Scale { scale: 0.0, problem: "the circuit has no neurons".to_owned() });
        }
        Ok((need.neurons as f64, need.synapses as f64))
    }
}

fn timed(simulation: &mut Simulation, steps: u64) -> Result<(Activity, f64)> {
    let started = Instant::now();
    let activity = simulation.run(steps, |_, _| ControlFlow::Continue(()))?;
    Ok((activity, started.elapsed().as_secs_f64()))
}
