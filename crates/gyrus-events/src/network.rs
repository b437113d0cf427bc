//! A spiking blueprint that runs one sample at a time, step by step.
//!
//! At each step the nodes run in topological order. Nodes with weights add a row of weights for each event of their input (an
//! accumulate, AC; a multiply-accumulate, MAC, if events carry numbers); neurons receive the sums. Constant signals are
//! computed once: a constant current into the first layer costs one dense matmul for all steps. An edge that closes a cycle
//! delivers one step later, after all other terms of the sum; neurons are silent before the first step, so weights deliver
//! their bias then.

use gyrus_blueprint::{Blueprint, Discretization, Parameters};
use rayon::prelude::*;

use crate::pipeline;
use crate::plan::{Unit, Work, compile};
use crate::signal::Form;
use crate::step::{NodeCounts, Program, UnitState};
use crate::stimulus::{Stimulus, StimulusKind};
use crate::{Error, Result};

/// Output of neurons at every step.
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

/// Result of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The Output node's values at every step, `[steps, outputs]`.
    pub answer: Vec<f32>,
    /// Executed operations, by node of the blueprint.
    pub counts: Vec<NodeCounts>,
    /// The output of every node of neurons, if requested.
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

    /// The executed operations of all nodes.
    #[must_use]
    pub fn total(&self) -> NodeCounts {
        self.counts.iter().fold(NodeCounts::default(), |sum, &node| sum.plus(node))
    }
}

/// A spiking blueprint with its parameters, ready to run event by event. It is immutable; [`EventState`] holds the state.
pub struct EventNetwork {
    program: Program,
    outputs: usize,
    /// Whether running units in parallel pays, see [`crate::pipeline`].
    pipelined: bool,
}

/// State of one sample and working memory; can be reused by later runs.
#[derive(Default)]
pub struct EventState {
    units: Vec<UnitState>,
}

impl EventNetwork {
    /// Prepares a blueprint to run on samples of this kind.
    ///
    /// # Errors
    /// If a node has no event-driven form (the error names it), or a parameter is missing or of the wrong size.
    pub fn new(
        blueprint: &Blueprint,
        parameters: &Parameters,
        time: Discretization,
        stimulus: StimulusKind,
    ) -> Result<Self> {
        let form = match stimulus {
            StimulusKind::Constant | StimulusKind::Once => Form::Constant,
            StimulusKind::Frames => Form::Dense,
            StimulusKind::Spikes => Form::Binary,
        };
        let units = compile(blueprint, parameters, time, form)?;
        let width = |wanted: fn(&Work) -> bool| {
            units.iter().find(|unit| wanted(&unit.work)).map_or(0, |unit| unit.outputs)
        };
        let (inputs, outputs) =
            (width(|work| matches!(work, Work::Input)), width(|work| matches!(work, Work::Output)));
        let names = blueprint.nodes().iter().map(|node| node.name.clone()).collect();
        let pipelined = pipeline::pays(&units);
        Ok(Self { program: Program { names, units, stimulus, inputs }, outputs, pipelined })
    }

    /// Elements of a sample.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.program.inputs
    }

    /// Numbers of an answer at one step.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Runs one sample for `steps`, from the state before the first step. `record` keeps the output of all neurons. On a
    /// pool of several threads, large networks without cycles run different steps of different units in parallel; if you run
    /// many samples one after another, keep the pool's threads awake ([`gyrus_kernels::keep_awake`]).
    ///
    /// # Errors
    /// If the sample is not of the kind and size that the network takes, or a potential is not a finite number.
    pub fn run(
        &self,
        state: &mut EventState,
        stimulus: Stimulus<'_>,
        steps: usize,
        record: bool,
    ) -> Result<Outcome> {
        self.check(stimulus, steps)?;
        if self.pipelined
            && !record
            && rayon::current_num_threads() > 1
            && rayon::current_thread_index().is_some()
        {
            self.program.begin(&mut state.units);
            if let Some(counts) = pipeline::run(&self.program, &mut state.units, stimulus, steps) {
                return Ok(self.outcome(counts, state));
            }
            // Run again on one thread, to report the error of the first step and unit.
        }
        self.run_serially(state, stimulus, steps, record)
    }

    /// [`Self::run`] on one thread.
    fn run_serially(
        &self,
        state: &mut EventState,
        stimulus: Stimulus<'_>,
        steps: usize,
        record: bool,
    ) -> Result<Outcome> {
        let mut counts = self.program.no_counts();
        let mut records = if record { self.empty_records() } else { Vec::new() };
        self.program.begin(&mut state.units);
        for step in 0..steps {
            let mut recorded = 0;
            for index in 0..self.program.units.len() {
                self.program.step(index, &mut state.units, stimulus, step, &mut counts)?;
                if record && let Work::Neurons(..) = self.program.units[index].work {
                    let node = &state.units[index];
                    match &mut records[recorded].output {
                        Recorded::Spikes(bits) => bits.extend(&node.membranes.words),
                        Recorded::Numbers(numbers) => {
                            let start = numbers.len();
                            numbers.resize(start + self.program.units[index].outputs, 0.0);
                            node.out.write(self.program.units[index].output, &mut numbers[start..]);
                        }
                    }
                    recorded += 1;
                }
            }
        }
        Ok(Outcome { records, ..self.outcome(counts, state) })
    }

    fn outcome(&self, counts: Vec<NodeCounts>, state: &mut EventState) -> Outcome {
        let said = self.program.units.iter().position(|unit| matches!(unit.work, Work::Output));
        let answer = said.map_or_else(Vec::new, |index| std::mem::take(&mut state.units[index].answer));
        Outcome { answer, counts, records: Vec::new() }
    }

    /// Runs many samples, on all threads of the current pool; the results are those of [`EventNetwork::run`].
    ///
    /// # Errors
    /// As [`EventNetwork::run`]; of several errors, that of the first sample.
    pub fn run_all(&self, stimuli: &[Stimulus<'_>], steps: usize, record: bool) -> Result<Vec<Outcome>> {
        let run = |state: &mut EventState, stimulus: &Stimulus<'_>| {
            self.check(*stimulus, steps)?;
            self.run_serially(state, *stimulus, steps, record)
        };
        let outcomes: Vec<_> = stimuli.par_iter().map_init(EventState::default, run).collect();
        outcomes.into_iter().collect()
    }

    fn check(&self, stimulus: Stimulus<'_>, steps: usize) -> Result<()> {
        let words = self.program.inputs.div_ceil(u32::BITS as usize);
        let kind = stimulus.kind();
        let (got, one) = match stimulus {
            Stimulus::Constant(x) | Stimulus::Once(x) => (x.len(), Some(self.program.inputs)),
            Stimulus::Frames(x) => (x.len(), steps.checked_mul(self.program.inputs)),
            Stimulus::Spikes(bits) => (bits.len(), steps.checked_mul(words)),
        };
        if kind != self.program.stimulus {
            let (got, expected) = (
                format!("the kind {kind:?}"),
                format!("{:?}, for which the network was made", self.program.stimulus),
            );
            return Err(Error::Given { what: "the sample", got, expected });
        }
        if one != Some(got) {
            let what = if kind == StimulusKind::Spikes { "words" } else { "numbers" };
            let expected = match kind {
                StimulusKind::Constant | StimulusKind::Once => format!("{} of them", self.program.inputs),
                StimulusKind::Frames => format!("{} per step for {steps} steps", self.program.inputs),
                StimulusKind::Spikes => format!("{words} per step for {steps} steps"),
            };
            return Err(Error::Given { what: "the sample", got: format!("{got} {what}"), expected });
        }
        // Bits beyond the last element would be events of no element.
        let beyond = u32::MAX.checked_shl((self.program.inputs % u32::BITS as usize) as u32).unwrap_or(0);
        if let Stimulus::Spikes(bits) = stimulus
            && !self.program.inputs.is_multiple_of(u32::BITS as usize)
            && let Some(step) = bits.chunks_exact(words).position(|row| row[words - 1] & beyond != 0)
        {
            let got = format!("a spike beyond element {} at step {step}", self.program.inputs - 1);
            return Err(Error::Given { what: "the sample", got, expected: "zeros there".to_owned() });
        }
        Ok(())
    }

    fn empty_records(&self) -> Vec<NodeRecord> {
        let neurons = self.program.units.iter().filter(|unit| matches!(unit.work, Work::Neurons(..)));
        let record = |unit: &Unit| NodeRecord {
            node: unit.node,
            output: match unit.output {
                Form::Binary => Recorded::Spikes(Vec::new()),
                _ => Recorded::Numbers(Vec::new()),
            },
        };
        neurons.map(record).collect()
    }
}
