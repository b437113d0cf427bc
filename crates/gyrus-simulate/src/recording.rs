//! Running a circuit and keeping what is asked for: spikes, potentials, weights; stopping where activity runs away.

mod saved;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::file::{ChangeKind, Recorder, TimedChange};
use crate::sonata::Traces;
use crate::{Activity, CircuitFile, Link, Result, Simulation, Spikes, Variable};

/// Steps between two looks at the activity, in milliseconds of simulated time.
const PIECE_MS: f64 = 10.0;
/// Time over which the rate is measured that counts as running away.
const RUNAWAY_MS: f64 = 50.0;
/// Fewer neurons may fire as fast as they like.
const RUNAWAY_NEURONS: usize = 100;
/// Spikes that are kept: 2 GiB.
const MOST_SPIKES: usize = 1 << 28;
/// Recorded potentials: 1 GiB.
const MOST_VALUES: usize = 1 << 28;

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Steps done.
    pub step: u64,
    /// Of how many.
    pub steps: u64,
    /// Length of a step.
    pub dt_ms: f64,
    /// All recorded spikes so far.
    pub spikes: &'a Spikes,
    /// Where those of the last piece begin.
    pub first_new: usize,
    /// Time since the beginning of the run.
    pub elapsed: Duration,
    /// What was done since the beginning.
    pub activity: Activity,
}

impl Progress<'_> {
    /// Time taken over time simulated.
    #[must_use]
    pub fn real_time_factor(&self) -> f64 {
        self.elapsed.as_secs_f64() / (self.step as f64 * self.dt_ms / 1e3)
    }
}

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The watcher asked for it.
    Asked,
    /// All neurons together fired faster than allowed.
    Runaway {
        /// Their rate over the last 50 ms.
        rate_hz: f64,
    },
    /// More spikes than fit.
    Full,
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Spikes of the recorded populations; neurons are counted over all populations.
    pub spikes: Spikes,
    /// Potentials, one entry for each recorder; `node_ids` are neurons within their population.
    pub traces: Vec<Traces>,
    /// Projections whose weights were asked for, and their synapses at the end.
    pub weights: Vec<(usize, Vec<Link>)>,
    /// Steps done.
    pub steps: u64,
    /// What was done.
    pub activity: Activity,
    /// Time that the run took.
    pub seconds: f64,
    /// Why it ended early, where it did.
    pub stopped: Option<Stop>,
}

impl Recording {
    /// Simulated time.
    #[must_use]
    pub fn duration_ms(&self, dt_ms: f64) -> f64 {
        self.steps as f64 * dt_ms
    }
}

/// Runs up to `steps` steps in all and records what `file` asks for, after what was recorded `before`. `watch` sees the progress every 10 ms of simulated time, and may break.
/// Activity of all neurons above `max_rate_hz` over 50 ms ends the run; infinity allows any.
///
/// # Errors
/// If a state is not a finite number, or a recorder names a neuron that does not exist.
pub fn record(
    simulation: &mut Simulation,
    file: &CircuitFile,
    before: Recording,
    steps: u64,
    max_rate_hz: f64,
    watch: &mut (dyn FnMut(&Progress<'_>) -> ControlFlow<()> + Send),
) -> Result<Recording> {
    let dt_ms = file.circuit.dt_ms;
    let mut recording = Recording { stopped: None, ..before };
    let mut potentials = Potentials::begin(simulation, file, std::mem::take(&mut recording.traces))?;
    let seconds_before = recording.seconds;
    let kept: Option<Vec<_>> =
        file.recorded.as_ref().map(|some| some.iter().map(|index| simulation.population(*index)).collect());
    let piece = ((PIECE_MS / dt_ms).round() as u64).max(1);
    let window = ((RUNAWAY_MS / dt_ms).round() as u64).max(1);
    let mut recent: Vec<(u64, u64)> = Vec::new();
    let started = Instant::now();
    while recording.steps < steps && recording.stopped.is_none() {
        let next = file.changes.iter().filter_map(|change| change.after(recording.steps)).min();
        let until = next.map_or(u64::MAX, |next| next - recording.steps);
        let count = piece.min(steps - recording.steps).min(until);
        let first_new = recording.spikes.len();
        let spikes = &mut recording.spikes;
        let done = simulation.run(count, |step, neurons| {
            let step = u32::try_from(step).unwrap_or(u32::MAX);
            match &kept {
                None => spikes.extend(step, neurons),
                Some(kept) => {
                    for range in kept {
                        let from = neurons.partition_point(|neuron| *neuron < range.start);
                        let to = neurons.partition_point(|neuron| *neuron < range.end);
                        spikes.extend(step, &neurons[from..to]);
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        for change in file
            .changes
            .iter()
            .filter(|change| change.after(recording.steps) == Some(recording.steps + done.steps))
        {
            match change.kind {
                ChangeKind::Reward(amount) => simulation.reward(change.projection, amount)?,
                ChangeKind::Scaling(total) => simulation.scale_incoming(change.projection, total)?,
            }
        }
        recording.steps += done.steps;
        add(&mut recording.activity, &done);
        potentials.collect(simulation);
        recent.push((done.steps, done.spikes));
        let progress = Progress {
            step: recording.steps,
            steps,
            dt_ms,
            spikes: &recording.spikes,
            first_new,
            elapsed: started.elapsed() + Duration::from_secs_f64(seconds_before),
            activity: recording.activity,
        };
        let asked = simulation.any_process(watch(&progress).is_break())?;
        let neurons = simulation.neurons();
        if asked {
            recording.stopped = Some(Stop::Asked);
        } else if recording.spikes.len() > MOST_SPIKES {
            recording.stopped = Some(Stop::Full);
        } else if neurons >= RUNAWAY_NEURONS {
            // Pieces are shorter where something changes.
            let (mut taken, mut spikes) = (0, 0);
            for (steps, fired) in recent.iter().rev() {
                if taken >= window {
                    break;
                }
                (taken, spikes) = (taken + steps, spikes + fired);
            }
            let rate_hz = match taken >= window {
                true => spikes as f64 / (taken as f64 * dt_ms / 1e3) / neurons as f64,
                false => 0.0,
            };
            if rate_hz > max_rate_hz {
                recording.stopped = Some(Stop::Runaway { rate_hz });
            }
        }
    }
    recording.seconds = seconds_before + started.elapsed().as_secs_f64();
    recording.traces = potentials.traces;
    for recorder in &file.recorders {
        if let Recorder::Weights { projection } = recorder {
            recording.weights.push((*projection, simulation.weights(*projection)));
        }
    }
    Ok(recording)
}

impl TimedChange {
    /// The next step after `step` at which it happens.
    fn after(&self, step: u64) -> Option<u64> {
        let listed = self.steps.get(self.steps.partition_point(|own| *own <= step)).copied();
        let regular = (self.every > 0).then(|| (step / self.every + 1) * self.every);
        listed.into_iter().chain(regular).min()
    }
}

fn add(sum: &mut Activity, more: &Activity) {
    sum.steps += more.steps;
    sum.spikes += more.spikes;
    sum.synaptic_events += more.synaptic_events;
    sum.neuron_updates += more.neuron_updates;
    sum.poisson_draws += more.poisson_draws;
}

/// The potentials of some neurons, thinned to the interval of their recorder.
struct Potentials {
    traces: Vec<Traces>,
    /// For each neuron among those of the simulation: its recorder and place there, and how many steps make an interval.
    places: Vec<(u32, usize, usize, u64)>,
}

impl Potentials {
    fn begin(simulation: &mut Simulation, file: &CircuitFile, before: Vec<Traces>) -> Result<Self> {
        let dt_ms = file.circuit.dt_ms;
        let (mut traces, mut places) = (Vec::new(), Vec::new());
        for recorder in &file.recorders {
            let Recorder::Potential { population, neurons, interval_ms } = recorder else { continue };
            let every = ((interval_ms / dt_ms).round() as u64).max(1);
            let first = simulation.population(*population).start;
            for (place, neuron) in neurons.clone().enumerate() {
                let neuron = first + neuron as u32;
                simulation.record(neuron, Variable::Potential)?;
                places.push((neuron, traces.len(), place, every));
            }
            traces.push(Traces {
                population: file.circuit.populations[*population].name.clone(),
                variable: "V_m".to_owned(),
                unit: "mV".to_owned(),
                node_ids: neurons.clone().map(|neuron| neuron as u64).collect(),
                start_ms: every as f64 * dt_ms,
                interval_ms: every as f64 * dt_ms,
                values: Vec::new(),
            });
        }
        // A resumed run goes on with the traces that it has.
        if before.len() == traces.len() {
            traces = before;
        }
        Ok(Self { traces, places })
    }

    fn collect(&mut self, simulation: &mut Simulation) {
        if self.places.is_empty() {
            return;
        }
        let taken = simulation.take_traces();
        let mut columns: Vec<Vec<Vec<f32>>> =
            self.traces.iter().map(|own| vec![Vec::new(); own.node_ids.len()]).collect();
        for trace in &taken {
            let of_neuron = self.places.iter().filter(|place| place.0 == trace.neuron);
            for (_, recorder, place, every) in of_neuron {
                // A value of step n belongs to the end of the step.
                let moments = trace.values.iter().zip(trace.first_step + 1..);
                let kept = moments.filter(|(_, moment)| moment % every == 0).map(|(value, _)| *value as f32);
                columns[*recorder][*place].extend(kept);
            }
        }
        for (own, columns) in self.traces.iter_mut().zip(columns) {
            let moments = columns.iter().map(Vec::len).min().unwrap_or(0);
            if own.values.len() + moments * columns.len() > MOST_VALUES {
                continue;
            }
            for moment in 0..moments {
                own.values.extend(columns.iter().map(|column| column[moment]));
            }
        }
    }
}
