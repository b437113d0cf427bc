//! One step of one unit, both for runs of [`EventNetwork`](crate::EventNetwork) on one thread and for those of
//! [`crate::pipeline`] on several.

use gyrus_kernels::dense::elementwise::add;
use gyrus_kernels::events::list_spikes;
use gyrus_kernels::spikes::packed;

use crate::layer::Memory;
use crate::membrane::{Current, Membranes};
use crate::plan::{Unit, Work};
use crate::signal::{Form, Signal};
use crate::stimulus::{Stimulus, StimulusKind, enter};
use crate::weights::{Sums, Synapses};
use crate::{Error, Result};

/// Operations that a node executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Accumulates: weights added because of a spike.
    pub accumulates: u64,
    /// Multiply-accumulates: products of weights with numbers other than spikes; all products of a dense matmul.
    pub multiply_accumulates: u64,
    /// Updates of single membranes by one step.
    pub membrane_updates: u64,
    /// Spikes that the node fired.
    pub spikes: u64,
}

impl NodeCounts {
    /// The sum of both.
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

#[derive(Default)]
pub(crate) struct UnitState {
    pub(crate) out: Signal,
    /// The input as a row of numbers, if it is a sum.
    row: Vec<f32>,
    sums: Sums,
    pub(crate) membranes: Membranes,
    memory: Memory,
    /// For the Output node: its values at every step.
    pub(crate) answer: Vec<f32>,
}

/// The units of a network, ready to step.
pub(crate) struct Program {
    /// Names of the blueprint's nodes.
    pub(crate) names: Vec<String>,
    pub(crate) units: Vec<Unit>,
    pub(crate) stimulus: StimulusKind,
    /// Elements of a sample at one step.
    pub(crate) inputs: usize,
}

impl Program {
    /// The last step at which a constant signal changes.
    fn last_change(&self) -> usize {
        usize::from(self.stimulus == StimulusKind::Once)
    }

    /// Counts before the first step, one per node.
    pub(crate) fn no_counts(&self) -> Vec<NodeCounts> {
        vec![NodeCounts::default(); self.names.len()]
    }

    /// Resets all state to that before the first step.
    pub(crate) fn begin(&self, states: &mut Vec<UnitState>) {
        states.resize_with(self.units.len(), UnitState::default);
        for (unit, state) in self.units.iter().zip(states) {
            state.out.begin(unit.output, unit.outputs);
            state.answer.clear();
            let sums = |synapses: &Synapses, sums: &mut Sums| {
                if sums.sums.len() == synapses.sums_len() {
                    // A run that ended in an error may have left some sums.
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
                        // The response to silence; only a cycle reads it before it is overwritten.
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
    ) -> Result<()> {
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

    /// Whether a unit with a constant signal has nothing left to compute.
    fn rests(&self, unit: &Unit, step: usize) -> bool {
        unit.output == Form::Constant && step > 0 && !matches!(unit.work, Work::Output)
    }

    /// One step of a unit, given the states of its sources at this step.
    pub(crate) fn step_of<'a>(
        &self,
        unit: &Unit,
        own: &mut UnitState,
        sources: impl Iterator<Item = &'a UnitState> + Clone,
        (stimulus, step): (Stimulus<'_>, usize),
        counts: &mut [NodeCounts],
    ) -> Result<()> {
        let signals = sources.map(|source| &source.out);
        if !unit.is_alone() && !self.rests(unit, step) {
            let mut row = std::mem::take(&mut own.row);
            self.sum(unit, signals.clone(), &mut row);
            own.row = row;
        }
        self.run_unit(unit, signals.clone().next(), own, stimulus, step, counts)
    }

    /// One step of a unit on its only source, or on the row of the sum of all sources.
    fn run_unit(
        &self,
        unit: &Unit,
        first: Option<&Signal>,
        own: &mut UnitState,
        stimulus: Stimulus<'_>,
        step: usize,
        counts: &mut [NodeCounts],
    ) -> Result<()> {
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

    /// The sum of all inputs as a row of numbers: first the sources, then those that arrive a step later.
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

    /// Runs a unit on its only source, or on the row of the sum.
    fn work(
        &self,
        unit: &Unit,
        source: Option<&Signal>,
        own: &mut UnitState,
        step: usize,
        counts: &mut [NodeCounts],
    ) -> Result<()> {
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
                let updates = updates.map_err(|neuron| Error::NotFinite {
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
