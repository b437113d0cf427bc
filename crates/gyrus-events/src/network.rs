//! A spiking blueprint that runs one sample at a time, step by step.
//!
//! At each step the nodes run in topological order. Weights take the events of their input and add a row of weights for each
//! (an accumulate, AC; a multiply-accumulate, MAC, where events carry numbers); neurons take the sums. What does not change
//! is computed once: a constant current into the first layer costs one dense product for all steps. An edge that closes a
//! cycle delivers one step later, after all other terms of the sum; before the first step, neurons were silent, so weights
//! deliver their bias then.

use gyrus_blueprint::{Blueprint, Discretization, Parameters};
use gyrus_kernels::dense::elementwise::add;
use gyrus_kernels::events::list_spikes;
use gyrus_kernels::spikes::packed;
use rayon::prelude::*;

use crate::layer::{Memory, Signal};
use crate::membrane::{Current, Membranes};
use crate::plan::{Form, Unit, Work, compile};
use crate::weights::{Sums, Synapses};
use crate::{EventsError, pipeline};

/// How a sample comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StimulusKind {
    /// As a current that is the same at every step.
    Constant,
    /// As numbers that enter at the first step only; what follows them without neurons between runs at that step alone.
    Once,
    /// As numbers of each step.
    Frames,
    /// As spikes.
    Spikes,
}

/// A sample, channels-last.
#[derive(Clone, Copy, Debug)]
pub enum Stimulus<'a> {
    /// `[elements]`
    Constant(&'a [f32]),
    /// `[elements]`
    Once(&'a [f32]),
    /// `[steps, elements]`
    Frames(&'a [f32]),
    /// Packed spikes, `[steps, words(elements)]`.
    Spikes(&'a [u32]),
}

/// What a node executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Accumulates: weights added because a spike came.
    pub accumulates: u64,
    /// Multiply-accumulates: products of weights with numbers that are no spikes; all products of a dense product.
    pub multiply_accumulates: u64,
    /// Updates of one membrane by one step.
    pub membrane_updates: u64,
    /// Spikes that left the node.
    pub spikes: u64,
}

impl NodeCounts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            accumulates: self.accumulates + other.accumulates,
            multiply_accumulates: self.multiply_accumulates + other.multiply_accumulates,
            membrane_updates: self.membrane_updates + other.membrane_updates,
            spikes: self.spikes + other.spikes,
        }
    }
}

/// What neurons put out at every step.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// Packed spikes, `[steps, words(neurons)]`.
    Spikes(Vec<u32>),
    /// Potentials, or signed spikes, `[steps, neurons]`.
    Numbers(Vec<f32>),
}

/// The output of a node of neurons.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRecord {
    /// Index in the blueprint.
    pub node: usize,
    /// Its output.
    pub output: Recorded,
}

/// What a run leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What the Output node said at every step, `[steps, outputs]`.
    pub answer: Vec<f32>,
    /// What was executed, by node of the blueprint.
    pub counts: Vec<NodeCounts>,
    /// The output of every node of neurons, if asked for.
    pub records: Vec<NodeRecord>,
}

impl Outcome {
    /// The mean over the steps of an answer of `outputs` numbers.
    #[must_use]
    pub fn mean(&self, outputs: usize) -> Vec<f32> {
        let mut mean = vec![0.0; outputs];
        let steps = self.answer.chunks_exact(outputs.max(1));
        let count = steps.len().max(1) as f32;
        steps.for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }

    /// What all nodes executed together.
    #[must_use]
    pub fn total(&self) -> NodeCounts {
        self.counts.iter().fold(NodeCounts::default(), |sum, &node| sum.plus(node))
    }
}

/// A spiking blueprint with its numbers, ready to run event by event. It does not change; see [`EventState`].
pub struct EventNetwork {
    names: Vec<String>,
    pub(crate) units: Vec<Unit>,
    stimulus: StimulusKind,
    inputs: usize,
    outputs: usize,
    /// Whether units are worth running side by side, see [`crate::pipeline`].
    pipelined: bool,
}

/// State of one sample, and the memory that a run works in; serves one run after the other.
#[derive(Default)]
pub struct EventState {
    units: Vec<UnitState>,
}

#[derive(Default)]
pub(crate) struct UnitState {
    out: Signal,
    /// The input as a row of numbers, where it is a sum or events that must become one.
    row: Vec<f32>,
    sums: Sums,
    membranes: Membranes,
    memory: Memory,
    /// Of the Output node: what it said at every step.
    answer: Vec<f32>,
}

impl EventNetwork {
    /// Makes a blueprint ready to run on samples of this kind.
    ///
    /// # Errors
    /// If a node has no event-driven form (the error names it), or a parameter is missing or of the wrong size.
    pub fn new(
        blueprint: &Blueprint,
        parameters: &Parameters,
        time: Discretization,
        stimulus: StimulusKind,
    ) -> Result<Self, EventsError> {
        let form = match stimulus {
            StimulusKind::Constant | StimulusKind::Once => Form::Constant,
            StimulusKind::Frames => Form::Dense,
            StimulusKind::Spikes => Form::Binary,
        };
        let units = compile(blueprint, parameters, time, form)?;
        let width = |wanted: fn(&Work) -> bool| {
            units.iter().find(|unit| wanted(&unit.work)).map_or(0, |unit| unit.outputs)
        };
        Ok(Self {
            names: blueprint.nodes().iter().map(|node| node.name.clone()).collect(),
            stimulus,
            inputs: width(|work| matches!(work, Work::Input)),
            outputs: width(|work| matches!(work, Work::Output)),
            pipelined: pipeline::pays(&units),
            units,
        })
    }

    /// Elements of a sample.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers of an answer at one step.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The last step at which a constant signal changes.
    fn last_change(&self) -> usize {
        usize::from(self.stimulus == StimulusKind::Once)
    }

    /// Runs one sample for `steps`, from the state before the first step. `record` keeps what all neurons put out. On a
    /// pool of several threads, large networks without cycles run the units of different steps side by side: for many
    /// samples in turn, keep its threads awake ([`gyrus_kernels::keep_awake`]).
    ///
    /// # Errors
    /// If the sample is not of the kind and size that the network takes, or a potential is not a finite number.
    pub fn run(
        &self,
        state: &mut EventState,
        stimulus: Stimulus<'_>,
        steps: usize,
        record: bool,
    ) -> Result<Outcome, EventsError> {
        self.check(stimulus, steps)?;
        if self.pipelined
            && !record
            && rayon::current_num_threads() > 1
            && rayon::current_thread_index().is_some()
        {
            self.begin(state);
            if let Some(counts) = pipeline::run(self, &mut state.units, stimulus, steps) {
                return Ok(self.outcome(counts, state));
            }
            // The error is that of the first step and unit, whichever met one first.
        }
        self.run_in_turn(state, stimulus, steps, record)
    }

    /// [`Self::run`] on one thread.
    fn run_in_turn(
        &self,
        state: &mut EventState,
        stimulus: Stimulus<'_>,
        steps: usize,
        record: bool,
    ) -> Result<Outcome, EventsError> {
        let mut counts = self.no_counts();
        let mut records = if record { self.empty_records() } else { Vec::new() };
        self.begin(state);
        for step in 0..steps {
            let mut recorded = 0;
            for index in 0..self.units.len() {
                self.step(index, &mut state.units, stimulus, step, &mut counts)?;
                if record && let Work::Neurons(..) = self.units[index].work {
                    let node = &state.units[index];
                    match &mut records[recorded].output {
                        Recorded::Spikes(bits) => bits.extend(&node.membranes.words),
                        Recorded::Numbers(numbers) => {
                            let start = numbers.len();
                            numbers.resize(start + self.units[index].outputs, 0.0);
                            node.out.write(self.units[index].output, &mut numbers[start..]);
                        }
                    }
                    recorded += 1;
                }
            }
        }
        Ok(Outcome { records, ..self.outcome(counts, state) })
    }

    /// Counts before the first step, one for each node.
    pub(crate) fn no_counts(&self) -> Vec<NodeCounts> {
        vec![NodeCounts::default(); self.names.len()]
    }

    fn outcome(&self, counts: Vec<NodeCounts>, state: &mut EventState) -> Outcome {
        let said = self.units.iter().position(|unit| matches!(unit.work, Work::Output));
        let answer = said.map_or_else(Vec::new, |index| std::mem::take(&mut state.units[index].answer));
        Outcome { answer, counts, records: Vec::new() }
    }

    /// Runs many samples, on all threads of the current pool; the results are those of [`EventNetwork::run`].
    ///
    /// # Errors
    /// As [`EventNetwork::run`]; of several errors the first sample's.
    pub fn run_all(
        &self,
        stimuli: &[Stimulus<'_>],
        steps: usize,
        record: bool,
    ) -> Result<Vec<Outcome>, EventsError> {
        let run = |state: &mut EventState, stimulus: &Stimulus<'_>| {
            self.check(*stimulus, steps)?;
            self.run_in_turn(state, *stimulus, steps, record)
        };
        let outcomes: Vec<_> = stimuli.par_iter().map_init(EventState::default, run).collect();
        outcomes.into_iter().collect()
    }

    fn check(&self, stimulus: Stimulus<'_>, steps: usize) -> Result<(), EventsError> {
        let words = self.inputs.div_ceil(u32::BITS as usize);
        let (kind, got, one) = match stimulus {
            Stimulus::Constant(x) => (StimulusKind::Constant, x.len(), Some(self.inputs)),
            Stimulus::Once(x) => (StimulusKind::Once, x.len(), Some(self.inputs)),
            Stimulus::Frames(x) => (StimulusKind::Frames, x.len(), steps.checked_mul(self.inputs)),
            Stimulus::Spikes(bits) => (StimulusKind::Spikes, bits.len(), steps.checked_mul(words)),
        };
        if kind != self.stimulus {
            let (got, expected) =
                (format!("the kind {kind:?}"), format!("{:?}, as the network was made for", self.stimulus));
            return Err(EventsError::Given { what: "the sample", got, expected });
        }
        if one != Some(got) {
            let what = if kind == StimulusKind::Spikes { "words" } else { "numbers" };
            let expected = match kind {
                StimulusKind::Constant | StimulusKind::Once => format!("{} of them", self.inputs),
                StimulusKind::Frames => format!("{} for each of {steps} steps", self.inputs),
                StimulusKind::Spikes => format!("{words} for each of {steps} steps"),
            };
            return Err(EventsError::Given { what: "the sample", got: format!("{got} {what}"), expected });
        }
        // Bits beyond the last element would be events of no one.
        let beyond = u32::MAX.checked_shl((self.inputs % u32::BITS as usize) as u32).unwrap_or(0);
        if let Stimulus::Spikes(bits) = stimulus
            && !self.inputs.is_multiple_of(u32::BITS as usize)
            && let Some(step) = bits.chunks_exact(words).position(|row| row[words - 1] & beyond != 0)
        {
            let got = format!("a spike beyond element {} at step {step}", self.inputs - 1);
            return Err(EventsError::Given { what: "the sample", got, expected: "zeros there".to_owned() });
        }
        Ok(())
    }

    fn empty_records(&self) -> Vec<NodeRecord> {
        let neurons = self.units.iter().filter(|unit| matches!(unit.work, Work::Neurons(..)));
        let record = |unit: &Unit| NodeRecord {
            node: unit.node,
            output: match unit.output {
                Form::Binary => Recorded::Spikes(Vec::new()),
                _ => Recorded::Numbers(Vec::new()),
            },
        };
        neurons.map(record).collect()
    }

    /// Sets all state to that before the first step.
    fn begin(&self, state: &mut EventState) {
        state.units.resize_with(self.units.len(), UnitState::default);
        for (unit, state) in self.units.iter().zip(&mut state.units) {
            state.out.begin(unit.output, unit.outputs);
            state.answer.clear();
            let sums = |synapses: &Synapses, sums: &mut Sums| {
                if sums.sums.len() == synapses.sums_len() {
                    // A run that ended in an error may have left some.
                    sums.sums.fill(0.0);
                    sums.touched.fill(false);
                } else {
                    *sums = synapses.sums();
                }
            };
            match &unit.work {
                Work::Synapses(synapses) => {
                    sums(synapses, &mut state.sums);
                    if let Some(bias) = &synapses.bias {
                        // What it answers to silence; overwritten before anyone but a cycle looks.
                        let row = state.out.row.iter_mut().zip(bias.iter().cycle());
                        row.for_each(|(to, bias)| *to = *bias);
                    }
                }
                Work::Neurons(neurons, synapses) => {
                    if let Some(synapses) = synapses {
                        sums(synapses, &mut state.sums);
                    }
                    neurons.begin(&mut state.membranes);
                }
                Work::Layer(layer) => layer.begin(&mut state.memory, (unit.inputs, unit.outputs)),
                Work::Input | Work::Output => {}
            }
        }
    }

    /// One step of a unit.
    pub(crate) fn step(
        &self,
        index: usize,
        states: &mut [UnitState],
        stimulus: Stimulus<'_>,
        step: usize,
        counts: &mut [NodeCounts],
    ) -> Result<(), EventsError> {
        let unit = &self.units[index];
        let mut row = std::mem::take(&mut states[index].row);
        if !unit.is_alone() && !self.rests(unit, step) {
            let sources = unit.sources.iter().chain(&unit.delayed);
            self.sum(unit, sources.map(|&source| &states[source].out), &mut row);
        }
        let mut own = std::mem::take(&mut states[index]);
        own.row = row;
        let source = unit.sources.first().map(|&source| &states[source].out);
        let result = self.run_unit(unit, source, &mut own, stimulus, step, counts);
        states[index] = own;
        result
    }

    /// Whether a constant signal has nothing to do any more.
    fn rests(&self, unit: &Unit, step: usize) -> bool {
        unit.output == Form::Constant && step > 0 && !matches!(unit.work, Work::Output)
    }

    /// One step of a unit whose sources' signals, of which `first` is the first, are those of this step.
    pub(crate) fn step_of<'a>(
        &self,
        unit: &Unit,
        own: &mut UnitState,
        sources: impl Iterator<Item = &'a UnitState> + Clone,
        (stimulus, step): (Stimulus<'_>, usize),
        counts: &mut [NodeCounts],
    ) -> Result<(), EventsError> {
        let signals = sources.map(|source| &source.out);
        if !unit.is_alone() && !self.rests(unit, step) {
            let mut row = std::mem::take(&mut own.row);
            self.sum(unit, signals.clone(), &mut row);
            own.row = row;
        }
        self.run_unit(unit, signals.clone().next(), own, stimulus, step, counts)
    }

    /// One step of a unit on its only source, or on the row of the sum of all.
    fn run_unit(
        &self,
        unit: &Unit,
        first: Option<&Signal>,
        own: &mut UnitState,
        stimulus: Stimulus<'_>,
        step: usize,
        counts: &mut [NodeCounts],
    ) -> Result<(), EventsError> {
        if self.rests(unit, step) {
            if self.stimulus == StimulusKind::Once && step == 1 {
                own.out.row.fill(0.0);
            }
            return Ok(());
        }
        match &unit.work {
            Work::Input => {
                enter(stimulus, step, self.inputs, &mut own.out);
                Ok(())
            }
            _ => self.work(unit, first.filter(|_| unit.is_alone()), own, step, counts),
        }
    }

    /// The sum of what comes in, from the sources and then those that come a step later, as a row of numbers.
    fn sum<'a>(&self, unit: &Unit, signals: impl Iterator<Item = &'a Signal>, row: &mut Vec<f32>) {
        row.resize(unit.inputs, 0.0);
        let mut first = true;
        let mut term = Vec::new();
        let mut before = Vec::new();
        let sources = unit.sources.iter().chain(&unit.delayed);
        for (&source, signal) in sources.zip(signals) {
            let form = self.units[source].output;
            if first {
                signal.write(form, row);
                first = false;
                continue;
            }
            before.clone_from(row);
            let term = if form.events() {
                term.resize(unit.inputs, 0.0);
                signal.write(form, &mut term);
                &term
            } else {
                &signal.row
            };
            add(&before, term, row);
        }
    }

    /// Runs a unit on its only source, or on the row of its sum.
    fn work(
        &self,
        unit: &Unit,
        source: Option<&Signal>,
        own: &mut UnitState,
        step: usize,
        counts: &mut [NodeCounts],
    ) -> Result<(), EventsError> {
        let summed = Signal { row: std::mem::take(&mut own.row), ..Signal::default() };
        let from = source.unwrap_or(&summed);
        let mut row_for_events = Vec::new();
        match &unit.work {
            Work::Input => {}
            Work::Output => {
                let start = own.answer.len();
                own.answer.resize(start + unit.outputs, 0.0);
                from.write(unit.input, &mut own.answer[start..]);
            }
            Work::Synapses(synapses) => {
                let counts = &mut counts[synapses.node];
                if synapses.weights.scatters() {
                    scatter(synapses, from, unit.input, &mut own.sums, counts);
                    synapses.take_all(&mut own.sums, &mut own.out.row);
                } else {
                    let x = if unit.input.events() {
                        row_for_events.resize(unit.inputs, 0.0);
                        from.write(unit.input, &mut row_for_events);
                        &row_for_events
                    } else {
                        &from.row
                    };
                    synapses.product(x, &mut own.out.row);
                    counts.multiply_accumulates += synapses.dense_products;
                }
            }
            Work::Neurons(neurons, synapses) => {
                let current = match synapses {
                    Some(synapses) => {
                        scatter(synapses, from, unit.input, &mut own.sums, &mut counts[synapses.node]);
                        Current::Sums(synapses, &mut own.sums)
                    }
                    None if unit.input.events() => {
                        row_for_events.resize(unit.inputs, 0.0);
                        from.write(unit.input, &mut row_for_events);
                        Current::Row(&row_for_events, false)
                    }
                    None => {
                        Current::Row(&from.row, unit.input == Form::Constant && step > self.last_change())
                    }
                };
                let updates = neurons.step(current, &mut own.membranes, &mut own.out.row);
                let updates = updates.map_err(|neuron| EventsError::NotFinite {
                    node: self.names[unit.node].clone(),
                    step: step as u64,
                    neuron,
                })?;
                let counts = &mut counts[unit.node];
                counts.membrane_updates += updates;
                if unit.packed {
                    own.out.words.clone_from(&own.membranes.words);
                    counts.spikes += packed::count(&own.out.words);
                } else if neurons.fires() {
                    own.out.events.clear();
                    list_spikes(&own.membranes.words, &mut own.out.events);
                    counts.spikes += own.out.events.len() as u64;
                    if let Some(signs) = neurons.signs(&own.membranes) {
                        own.out.values.clear();
                        own.out.values.extend(own.out.events.iter().map(|&event| signs[event as usize]));
                    }
                }
            }
            Work::Layer(layer) => {
                layer.step(from, (unit.input, unit.output), &mut own.memory, &mut own.out);
            }
        }
        own.row = summed.row;
        Ok(())
    }
}

/// The sample's numbers or spikes of one step.
fn enter(stimulus: Stimulus<'_>, step: usize, inputs: usize, to: &mut Signal) {
    match stimulus {
        Stimulus::Constant(x) | Stimulus::Once(x) => to.row.copy_from_slice(x),
        Stimulus::Frames(x) => to.row.copy_from_slice(&x[step * inputs..][..inputs]),
        Stimulus::Spikes(bits) => {
            let words = inputs.div_ceil(u32::BITS as usize);
            to.events.clear();
            list_spikes(&bits[step * words..][..words], &mut to.events);
        }
    }
}

/// Adds a signal of events to the sums of weights, and counts.
fn scatter(synapses: &Synapses, from: &Signal, form: Form, sums: &mut Sums, counts: &mut NodeCounts) {
    let values = (form == Form::Graded).then_some(&from.values[..]);
    let additions = synapses.add(&from.events, values, sums);
    // Signed spikes are added or subtracted; other numbers are multiplied.
    let accumulates = values.is_none_or(|values| values.iter().all(|value| [-1.0, 0.0, 1.0].contains(value)));
    match accumulates {
        true => counts.accumulates += additions,
        false => counts.multiply_accumulates += additions,
    }
}
