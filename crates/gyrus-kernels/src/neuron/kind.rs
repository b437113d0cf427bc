//! What describes a layer of neurons: equations, size, state and output.

use crate::spikes::packed::words;

/// Rows of constants.
pub(crate) const CONSTANTS: usize = 9;

/// Groups of batch rows, at most; each sums the constants' gradients separately.
const GROUPS: usize = 16;
/// Neurons times steps below which a layer stays on one thread.
const SERIAL_UPDATES: usize = 1 << 14;

/// The effect of a spike on the membrane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The membrane is set to `v_reset`.
    Hard,
    /// `theta` is subtracted from the membrane.
    Subtract,
    /// Nothing.
    None,
}

/// Selects the equations of a neuron; see the [module](super).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeuronKind {
    /// Whether currents first pass through a decaying synapse.
    pub synapse: bool,
    /// Whether it fires. Neurons that do not are never reset, and their output is the potential.
    pub fires: bool,
    /// Whether spikes raise the threshold for a while; only for kinds that fire.
    pub adaptive: bool,
    /// The effect of a spike on the membrane.
    pub reset: Reset,
    /// The membrane before the first step, if no state is given; usually 0.
    pub v_start: f32,
}

/// The size of a layer over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeuronShape {
    /// Time steps.
    pub steps: usize,
    /// Samples.
    pub batch: usize,
    /// Neurons of a sample.
    pub neurons: usize,
    /// Whether every step has the same current; `x` is then `[batch, neurons]`.
    pub constant_input: bool,
}

impl NeuronShape {
    /// Floats in `x`.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.batch * self.neurons * if self.constant_input { 1 } else { self.steps }
    }

    /// Elements of the output: `[steps * batch, neurons]`.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.steps * self.batch * self.neurons
    }

    /// Words of the output as packed spikes: `[steps * batch, words(neurons)]`.
    #[must_use]
    pub fn output_words(&self) -> usize {
        self.steps * self.batch * words(self.neurons)
    }

    /// The row of `x` that sample `b` sees at `step`.
    pub(crate) fn input_row(&self, step: usize, b: usize) -> usize {
        if self.constant_input { b } else { step * self.batch + b }
    }

    pub(crate) fn check_constants(&self, constants: &[f32]) {
        let len = constants.len();
        assert!(
            len == CONSTANTS || len == CONSTANTS * self.neurons,
            "constants are nine rows of 1 or of neurons"
        );
    }

    pub(crate) fn groups(&self) -> usize {
        self.batch.div_ceil(self.batch.div_ceil(GROUPS).max(1))
    }

    /// Samples of one group.
    pub(crate) fn group(&self, index: usize) -> core::ops::Range<usize> {
        let each = self.batch.div_ceil(GROUPS).max(1);
        index * each..self.batch.min((index + 1) * each)
    }

    pub(crate) fn serial(&self) -> bool {
        self.output_len() < SERIAL_UPDATES
    }
}

/// The state of a layer between calls. It belongs to the caller, so nothing leaks from sample to sample.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronState {
    /// Membrane, `[batch, neurons]`.
    pub v: Vec<f32>,
    /// Synapse, `[batch, neurons]`; used by kinds that have one.
    pub i: Vec<f32>,
    /// Adaptation trace, `[batch, neurons]`; used by adaptive kinds.
    pub a: Vec<f32>,
    /// Spikes of the last step, `[batch, words(neurons)]`; used by recurrent layers.
    pub z: Vec<u32>,
}

impl NeuronState {
    /// The state before the first step.
    #[must_use]
    pub fn new(kind: NeuronKind, shape: NeuronShape) -> NeuronState {
        let len = shape.batch * shape.neurons;
        NeuronState {
            v: vec![kind.v_start; len],
            i: vec![0.0; len],
            a: vec![0.0; len],
            z: vec![0; shape.batch * words(shape.neurons)],
        }
    }

    pub(crate) fn check(&self, shape: &NeuronShape) {
        let len = shape.batch * shape.neurons;
        assert!([self.v.len(), self.i.len(), self.a.len()] == [len; 3], "v, i and a are [batch, neurons]");
        assert_eq!(self.z.len(), shape.batch * words(shape.neurons), "z is [batch, words(neurons)]");
    }
}

/// The kind of output, and where it goes.
pub enum NeuronOutput<'a> {
    /// Packed spikes `[steps * batch, words(neurons)]`, for kinds that fire.
    Spikes(&'a mut [u32]),
    /// Spike counts over all steps `[batch, neurons]`, for kinds that fire; the spikes themselves are not kept.
    Counts(&'a mut [f32]),
    /// Potentials `u` `[steps * batch, neurons]`, for kinds that do not fire.
    Potentials(&'a mut [f32]),
}
