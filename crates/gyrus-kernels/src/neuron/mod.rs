//! A layer of point neurons over its whole time axis: spikes or potentials from currents, and gradients back through time.
//!
//! One step of a neuron with incoming current `x`, state `v`, `i`, `a` (membrane, synapse, adaptation trace):
//!
//! 1. synapse, if the kind has one: `i <- synapse_decay * i + synapse_gain * x`; else `i = x`
//! 2. membrane: `u = decay * v + (gain * i + drive)`
//! 3. spike, if the kind fires: `z = 1 if u > theta + adaptation_strength * a, else 0` (strict; the second term only for
//!    adaptive kinds, with the trace before this step)
//! 4. reset: hard `v = z ? v_reset : u`, subtract `v = z ? u - theta : u`, none `v = u`; then, for adaptive kinds,
//!    `a <- adaptation_decay * a + z`
//!
//! Each product and sum above is one fused multiply-add, so every body of a network computes the same bits. The gradient
//! takes a [`Surrogate`] for `dz/du` and runs the steps backward (back-propagation through time); potentials are
//! recomputed from the input, so the forward pass leaves nothing behind but its output. Cost: forward one pass over `x`,
//! backward two over `x` and one over `dz`; a task keeps its neurons' state in the cache.

pub mod recurrent;
pub mod signed;
pub(crate) mod step;
mod surrogate;

use std::sync::{Mutex, PoisonError};

use pulp::Arch;

use crate::base::bits::BITS;
use crate::base::parallel::{SharedMut, for_each_task, with_scratch, with_words};
use crate::neuron::step::{Backward, CONSTANTS, Forward, distances, forward_in_place};
pub use crate::neuron::surrogate::Surrogate;
use crate::spikes::packed::words;

/// Neurons of one task, at most: all rows that a step needs, the next one's too, should stay in the first-level cache.
const BLOCK: usize = 512;
/// Floats of a task's history, about: they should stay in the second-level cache.
const HISTORY: usize = 1 << 16;
/// Groups of batch rows, at most; each has sums of its own of the constants' gradients.
const GROUPS: usize = 16;
/// Neurons times steps below which a layer stays on one thread.
const SERIAL_UPDATES: usize = 1 << 14;

/// What a spike does to the membrane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The membrane is set to `v_reset`.
    Hard,
    /// The membrane loses `theta`.
    Subtract,
    /// Nothing.
    None,
}

/// The equations of a neuron, see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeuronKind {
    /// Whether currents pass a decaying synapse first.
    pub synapse: bool,
    /// Whether it fires; what does not fire is not reset and puts out its potential.
    pub fires: bool,
    /// Whether spikes raise the threshold for a while; only of kinds that fire.
    pub adaptive: bool,
    /// What a spike does to the membrane.
    pub reset: Reset,
    /// The membrane before the first step, where no state is given; usually 0.
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
    /// Whether the same current comes at every step: then `x` is `[batch, neurons]`.
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

/// The state of a layer between calls; the caller's, so that nothing leaks from sample to sample.
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

/// Where the output goes.
pub enum NeuronOutput<'a> {
    /// Packed spikes `[steps * batch, words(neurons)]`, of kinds that fire.
    Spikes(&'a mut [u32]),
    /// Numbers of spikes over all steps `[batch, neurons]`, of kinds that fire; the spikes themselves are not kept.
    Counts(&'a mut [f32]),
    /// Potentials `u` `[steps * batch, neurons]`, of kinds that do not.
    Potentials(&'a mut [f32]),
}

/// How gradients flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackwardOptions<'a> {
    /// No gradient flows from the membrane after a reset to the spike that caused it.
    pub detach_reset: bool,
    /// Gradients through the state are cut before every step that is a multiple of this: truncated back-propagation.
    pub truncate: Option<usize>,
    /// The state that the forward pass began with; `None` is as [`NeuronState::new`].
    pub initial: Option<&'a NeuronState>,
}

impl BackwardOptions<'_> {
    /// Whether gradients do not pass from `step` to the step before.
    pub(crate) fn cuts(&self, step: usize) -> bool {
        self.truncate.is_some_and(|length| length > 0 && step.is_multiple_of(length))
    }
}

/// Where the gradients go.
pub struct NeuronGradients<'a> {
    /// As long as `x`: for a constant input, the sum over the steps.
    pub x: &'a mut [f32],
    /// As long as the constants; the sum over neurons where these have one value a row.
    pub constants: Option<&'a mut [f32]>,
}

/// A stretch of neurons: `first .. first + real`, in rows padded to `width`.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) first: usize,
    pub(crate) real: usize,
    pub(crate) width: usize,
}

impl Stretch {
    pub(crate) fn new(first: usize, real: usize) -> Stretch {
        Stretch { first, real, width: real.next_multiple_of(BITS) }
    }

    /// The stretch of row `row` of `[rows, neurons]`: in place if that is as wide as the padded row, else copied.
    fn row<'a>(&self, x: &'a [f32], row: usize, neurons: usize, padded: &'a mut [f32]) -> &'a [f32] {
        let x = &x[row * neurons + self.first..][..self.real];
        if self.real == self.width {
            return x;
        }
        self.pad(x, padded);
        padded
    }

    /// Where the stretch of row `row` of `[rows, neurons]` begins.
    fn place(&self, x: &[f32], row: usize, neurons: usize) -> *const f32 {
        x[row * neurons + self.first..].as_ptr()
    }

    pub(crate) fn pad(&self, from: &[f32], to: &mut [f32]) {
        to[..self.real].copy_from_slice(&from[..self.real]);
        to[self.real..].fill(0.0);
    }

    /// The constants of these neurons, one value each.
    pub(crate) fn expand(&self, constants: &[f32], neurons: usize, to: &mut [f32]) {
        let single = constants.len() == CONSTANTS;
        for (index, to) in to.chunks_exact_mut(self.width).enumerate() {
            if single {
                to[..self.real].fill(constants[index]);
                to[self.real..].fill(0.0);
            } else {
                self.pad(&constants[index * neurons + self.first..], to);
            }
        }
    }

    /// Rows `v`, `i`, `a` of sample `b` before the first step, each padded.
    pub(crate) fn begin(
        &self,
        kind: NeuronKind,
        state: Option<&NeuronState>,
        (b, neurons): (usize, usize),
        rows: [&mut [f32]; 3],
    ) {
        let [v, i, a] = rows;
        let at = b * neurons + self.first;
        match state {
            Some(state) => {
                self.pad(&state.v[at..], v);
                self.pad(&state.i[at..], i);
                self.pad(&state.a[at..], a);
            }
            None => {
                v.fill(0.0);
                v[..self.real].fill(kind.v_start);
                i.fill(0.0);
                a.fill(0.0);
            }
        }
    }
}

/// The first potential that is not finite: smallest step, then sample, then neuron.
#[derive(Default)]
pub(crate) struct Broken(Mutex<Option<(usize, usize, usize)>>);

impl Broken {
    /// Notes the first such potential of a row.
    pub(crate) fn note(&self, step: usize, b: usize, first: usize, u: &[f32]) {
        let Some(neuron) = u.iter().position(|u| !u.is_finite()) else { return };
        let found = (step, b, first + neuron);
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(place.map_or(found, |other| other.min(found)));
    }

    pub(crate) fn place(self) -> Option<(usize, usize)> {
        let place = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        place.map(|(step, _, neuron)| (step, neuron))
    }
}

/// Runs a layer over all its steps.
///
/// `x` is `[steps * batch, neurons]`, row `step * batch + b`, or `[batch, neurons]` for a constant input. `constants` are
/// nine rows, each of one value or of one a neuron: decay, gain, drive, theta, synapse decay, synapse gain, reset
/// potential, adaptation strength, adaptation decay. `state` is read before the first step and written after the last.
///
/// Returns the first step and neuron whose potential is not finite, if any.
///
/// # Panics
/// If a slice is not as long as its shape says, or the output is not what the kind puts out.
pub fn neuron_forward(
    kind: NeuronKind,
    shape: NeuronShape,
    constants: &[f32],
    x: &[f32],
    state: Option<&mut NeuronState>,
    output: NeuronOutput<'_>,
) -> Option<(usize, usize)> {
    assert_eq!(x.len(), shape.input_len(), "x is [steps * batch, neurons], or [batch, neurons] if constant");
    shape.check_constants(constants);
    let (mut spikes, mut counts, mut potentials) = (None, None, None);
    match output {
        NeuronOutput::Spikes(bits) => {
            assert!(kind.fires, "what does not fire puts out potentials");
            assert_eq!(bits.len(), shape.output_words(), "spikes are [steps * batch, words(neurons)]");
            spikes = Some(SharedMut(bits.as_mut_ptr()));
        }
        NeuronOutput::Counts(to) => {
            assert!(kind.fires, "what does not fire puts out potentials");
            assert_eq!(to.len(), shape.batch * shape.neurons, "counts are [batch, neurons]");
            to.fill(0.0);
            counts = Some(SharedMut(to.as_mut_ptr()));
        }
        NeuronOutput::Potentials(u) => {
            assert!(!kind.fires, "what fires puts out spikes");
            assert_eq!(u.len(), shape.output_len(), "potentials are [steps * batch, neurons]");
            potentials = Some(SharedMut(u.as_mut_ptr()));
        }
    }
    let final_state = state.map(|state| {
        state.check(&shape);
        [&mut state.v, &mut state.i, &mut state.a].map(|part| SharedMut(part.as_mut_ptr()))
    });
    let NeuronShape { steps, batch, neurons, .. } = shape;
    let blocks = neurons.div_ceil(BLOCK);
    let broken = Broken::default();
    for_each_task(shape.groups() * blocks, shape.serial(), |task| {
        let (group, first) = (task / blocks, task % blocks * BLOCK);
        let stretch = Stretch::new(first, BLOCK.min(neurons - first));
        let Stretch { real, width, .. } = stretch;
        with_scratch((CONSTANTS + 5) * width, |scratch| {
            let (block_constants, rows) = scratch.split_at_mut(CONSTANTS * width);
            stretch.expand(constants, neurons, block_constants);
            let mut rows = rows.chunks_exact_mut(width);
            let [v, i, a, padded, u] = core::array::from_fn(|_| rows.next().unwrap_or_default());
            let mut words_of_row = [0u32; BLOCK / BITS];
            for b in shape.group(group) {
                match final_state {
                    Some(state) => {
                        for (row, part) in [&mut *v, &mut *i, &mut *a].into_iter().zip(state) {
                            // SAFETY: each task reads and writes the state of its own samples and neurons.
                            stretch.pad(unsafe { part.slice(b * neurons + first, real) }, row);
                        }
                    }
                    None => stretch.begin(kind, None, (b, neurons), [&mut *v, &mut *i, &mut *a]),
                }
                let mut sound = true;
                for step in 0..steps {
                    let row = step * batch + b;
                    let next_x = stretch.place(x, shape.input_row((step + 1).min(steps - 1), b), neurons);
                    let x = stretch.row(x, shape.input_row(step, b), neurons, padded);
                    let z = match spikes {
                        // SAFETY: each task writes the words of its own samples and neurons, which begin at a whole word.
                        Some(bits) => unsafe {
                            bits.slice(row * words(neurons) + first / BITS, width / BITS)
                        },
                        None => &mut words_of_row[..width / BITS],
                    };
                    let state = [&mut *v, &mut *i, &mut *a];
                    let finite = forward_in_place(kind, block_constants, (x, next_x), state, u, z);
                    if !finite && sound {
                        sound = false;
                        broken.note(step, b, first, &u[..real]);
                    }
                    if let Some(counts) = counts {
                        // SAFETY: each task writes its own samples and neurons.
                        let counts = unsafe { counts.slice(b * neurons + first, real) };
                        add_bits(&words_of_row, counts);
                    }
                    if let Some(potentials) = potentials {
                        // SAFETY: each task writes its own samples and neurons.
                        unsafe { potentials.slice(row * neurons + first, real) }.copy_from_slice(&u[..real]);
                    }
                }
                if let Some(state) = final_state {
                    for (row, part) in [&*v, &*i, &*a].into_iter().zip(state) {
                        // SAFETY: as above.
                        unsafe { part.slice(b * neurons + first, real) }.copy_from_slice(&row[..real]);
                    }
                }
            }
        });
    });
    broken.place()
}

/// Adds each bit to its count.
fn add_bits(bits: &[u32], counts: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (&word, counts) in bits.iter().zip(counts.chunks_mut(BITS)) {
                if word != 0 {
                    for (i, count) in counts.iter_mut().enumerate() {
                        *count += (word >> i & 1) as f32;
                    }
                }
            }
        },
    );
}

/// What a task remembers of every step: rows of `u`, and of the state before the first step and after each.
pub(crate) struct History<'a> {
    width: usize,
    u: &'a mut [f32],
    v: &'a mut [f32],
    i: &'a mut [f32],
    a: &'a mut [f32],
    /// Steps from row to row of `v`, `i`, `a`: 0 where nothing needs to be remembered.
    strides: [usize; 3],
}

impl<'a> History<'a> {
    fn strides(kind: NeuronKind, wants_constants: bool) -> [usize; 3] {
        [wants_constants, kind.synapse, kind.adaptive].map(usize::from)
    }

    /// Rows of `width` floats that a history takes.
    pub(crate) fn rows(kind: NeuronKind, wants_constants: bool, steps: usize) -> usize {
        steps + Self::strides(kind, wants_constants).map(|stride| stride * steps + 1).iter().sum::<usize>()
    }

    pub(crate) fn new(
        kind: NeuronKind,
        wants_constants: bool,
        steps: usize,
        width: usize,
        memory: &'a mut [f32],
    ) -> History<'a> {
        let strides = Self::strides(kind, wants_constants);
        let (u, rest) = memory.split_at_mut(steps * width);
        let (v, rest) = rest.split_at_mut((strides[0] * steps + 1) * width);
        let (i, a) = rest.split_at_mut((strides[1] * steps + 1) * width);
        History { width, u, v, i, a, strides }
    }

    /// The state before the first step.
    pub(crate) fn begin(
        &mut self,
        kind: NeuronKind,
        stretch: &Stretch,
        state: Option<&NeuronState>,
        place: (usize, usize),
    ) {
        let width = self.width;
        stretch.begin(kind, state, place, [&mut self.v[..width], &mut self.i[..width], &mut self.a[..width]]);
    }

    pub(crate) fn forward(
        &mut self,
        kind: NeuronKind,
        constants: &[f32],
        step: usize,
        (x, next_x): (&[f32], *const f32),
        z: &mut [u32],
    ) -> bool {
        let width = self.width;
        let pair = |rows: &mut [f32], stride: usize| {
            // Both from one borrow, since they may be the same row.
            let rows = rows[step * stride * width..][..(stride + 1) * width].as_mut_ptr();
            (rows.cast_const(), rows.wrapping_add(stride * width))
        };
        let [of_v, of_i, of_a] = self.strides;
        let (v, i, a) = (pair(self.v, of_v), pair(self.i, of_i), pair(self.a, of_a));
        let u = &mut self.u[step * width..][..width];
        // SAFETY: all rows are `width` long.
        unsafe { Forward { kind, constants, x, v, i, a, u, z, next_x }.run() }
    }

    pub(crate) fn u(&self, step: usize) -> &[f32] {
        &self.u[step * self.width..][..self.width]
    }

    /// One step back; `memory` is that of [`Adjoint`].
    pub(crate) fn backward(
        &self,
        kind: NeuronKind,
        constants: &[f32],
        step: usize,
        (x, dz): (&[f32], &[f32]),
        next: [*const f32; 2],
        surrogate: Surrogate,
        options: &BackwardOptions<'_>,
        adjoint: &mut Adjoint<'_>,
        dx: &mut [f32],
    ) {
        let width = self.width;
        let row = |rows: &[f32], at: usize, stride: usize| rows[at * stride * width..][..width].as_ptr();
        let [of_v, of_i, of_a] = self.strides;
        let u = self.u(step);
        if kind.fires {
            let a = kind.adaptive.then(|| &self.a[step * of_a * width..][..width]);
            distances(constants, u, a, adjoint.surrogate);
            surrogate.derivatives(adjoint.surrogate);
        }
        let step_back = Backward {
            kind,
            detach_reset: options.detach_reset,
            constants,
            x,
            dz,
            surrogate: adjoint.surrogate,
            u,
            v_before: row(self.v, step, of_v),
            i: (row(self.i, step, of_i), row(self.i, step + 1, of_i)),
            a_before: row(self.a, step, of_a),
            state_gradient: adjoint.state,
            dx,
            next,
            dconstants: adjoint.constants.as_deref_mut(),
        };
        // SAFETY: all rows are `width` long, and remembered for every step where the kind and the constants need them.
        unsafe { step_back.run() };
        if options.cuts(step) {
            adjoint.state.fill(0.0);
        }
    }
}

/// Gradients of a task on their way back through time.
pub(crate) struct Adjoint<'a> {
    /// Of `v`, `i`, `a`: `[3, width]`.
    pub(crate) state: &'a mut [f32],
    /// Room for `dz/du`: `[width]`.
    pub(crate) surrogate: &'a mut [f32],
    /// Sums for the constants: `[9, width]`.
    pub(crate) constants: Option<&'a mut [f32]>,
}

/// Adds up the sums `[groups, blocks, 9, block width]` of the constants' gradients, in order.
pub(crate) fn gather_constants(
    sums: &[f32],
    (groups, neurons, block): (usize, usize, usize),
    dconstants: &mut [f32],
) {
    let blocks = neurons.div_ceil(block);
    let block_len = CONSTANTS * block.next_multiple_of(BITS);
    let single = dconstants.len() == CONSTANTS;
    for index in 0..CONSTANTS {
        let mut total = 0.0f64;
        for first in (0..blocks).map(|b| b * block) {
            let stretch = Stretch::new(first, block.min(neurons - first));
            for n in 0..stretch.real {
                let at = first / block * block_len + index * stretch.width + n;
                let sum: f32 = (0..groups).map(|group| sums[group * blocks * block_len + at]).sum();
                if single {
                    total += f64::from(sum);
                } else {
                    dconstants[index * neurons + first + n] = sum;
                }
            }
        }
        if single {
            dconstants[index] = total as f32;
        }
    }
}

/// The gradients of [`neuron_forward`], from `dz`, the gradient of its output, `[steps * batch, neurons]`, or `[batch,
/// neurons]` of counts, where every spike counts the same.
///
/// `kind`, `shape`, `constants` and `x` are as they were forward. What comes after the last step is taken not to matter.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn neuron_backward(
    kind: NeuronKind,
    shape: NeuronShape,
    constants: &[f32],
    x: &[f32],
    surrogate: Surrogate,
    dz: &[f32],
    options: BackwardOptions<'_>,
    gradients: NeuronGradients<'_>,
) {
    assert_eq!(x.len(), shape.input_len(), "x is [steps * batch, neurons], or [batch, neurons] if constant");
    let counted = kind.fires && dz.len() == shape.batch * shape.neurons;
    assert!(
        counted || dz.len() == shape.output_len(),
        "dz is [steps * batch, neurons], or [batch, neurons] of counts"
    );
    assert_eq!(gradients.x.len(), x.len(), "the gradient of x is as long as x");
    shape.check_constants(constants);
    let wants_constants = gradients.constants.is_some();
    assert!(
        gradients.constants.as_ref().is_none_or(|d| d.len() == constants.len()),
        "as long as the constants"
    );
    if let Some(state) = options.initial {
        state.check(&shape);
    }
    let NeuronShape { steps, batch, neurons, constant_input } = shape;
    let history_rows = History::rows(kind, wants_constants, steps);
    let block = (HISTORY / history_rows / BITS * BITS).clamp(BITS, BLOCK);
    let blocks = neurons.div_ceil(block);
    let sums_len = if wants_constants { CONSTANTS * block } else { 0 };
    let target = SharedMut(gradients.x.as_mut_ptr());
    let tasks = shape.groups() * blocks;
    with_scratch(tasks * sums_len, |sums| {
        sums.fill(0.0);
        let all_sums = SharedMut(sums.as_mut_ptr());
        for_each_task(tasks, shape.serial(), |task| {
            let (group, first) = (task / blocks, task % blocks * block);
            let stretch = Stretch::new(first, block.min(neurons - first));
            let Stretch { real, width, .. } = stretch;
            // SAFETY: each task has sums of its own.
            let sums = unsafe { all_sums.slice(task * sums_len, sums_len) };
            with_scratch((history_rows + CONSTANTS + 8) * width, |scratch| {
                let (block_constants, scratch) = scratch.split_at_mut(CONSTANTS * width);
                let (state, scratch) = scratch.split_at_mut(3 * width);
                let (rows, memory) = scratch.split_at_mut(5 * width);
                let mut rows = rows.chunks_exact_mut(width);
                let [surrogates, padded_x, padded_dz, dx, total] =
                    core::array::from_fn(|_| rows.next().unwrap_or_default());
                stretch.expand(constants, neurons, block_constants);
                let mut history = History::new(kind, wants_constants, steps, width, memory);
                let constants_sums = wants_constants.then(|| &mut sums[..CONSTANTS * width]);
                let mut adjoint = Adjoint { state, surrogate: surrogates, constants: constants_sums };
                with_words(width / BITS, |z| {
                    for b in shape.group(group) {
                        history.begin(kind, &stretch, options.initial, (b, neurons));
                        for step in 0..steps {
                            let next_x =
                                stretch.place(x, shape.input_row((step + 1).min(steps - 1), b), neurons);
                            let x = stretch.row(x, shape.input_row(step, b), neurons, padded_x);
                            history.forward(kind, block_constants, step, (x, next_x), z);
                        }
                        adjoint.state.fill(0.0);
                        total.fill(0.0);
                        for step in (0..steps).rev() {
                            let x = stretch.row(x, shape.input_row(step, b), neurons, padded_x);
                            let row = if counted { b } else { step * batch + b };
                            let next_row = step.saturating_sub(1) * batch + b;
                            let next_dz = stretch.place(dz, if counted { b } else { next_row }, neurons);
                            let next_dx = match constant_input {
                                true => next_dz,
                                false => target.get().wrapping_add(next_row * neurons + first),
                            };
                            let dz = stretch.row(dz, row, neurons, padded_dz);
                            let mut back = |dx: &mut [f32]| {
                                history.backward(
                                    kind,
                                    block_constants,
                                    step,
                                    (x, dz),
                                    [next_dz, next_dx],
                                    surrogate,
                                    &options,
                                    &mut adjoint,
                                    dx,
                                );
                            };
                            if constant_input {
                                back(dx);
                                total.iter_mut().zip(&*dx).for_each(|(total, dx)| *total += dx);
                                continue;
                            }
                            // SAFETY: each task writes its own samples and neurons.
                            let to = unsafe { target.slice((step * batch + b) * neurons + first, real) };
                            if real == width {
                                back(to);
                            } else {
                                back(dx);
                                to.copy_from_slice(&dx[..real]);
                            }
                        }
                        if constant_input {
                            // SAFETY: as above.
                            let to = unsafe { target.slice(b * neurons + first, real) };
                            to.copy_from_slice(&total[..real]);
                        }
                    }
                });
            });
        });
        if let Some(dconstants) = gradients.constants {
            gather_constants(sums, (shape.groups(), neurons, block), dconstants);
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::neuron::surrogate::EVERY;
    use crate::oracle::neuron::{self as oracle, Layer};
    use crate::oracle::{assert_close, pack, values};

    /// A state as if the layer had run before.
    fn state(shape: NeuronShape) -> NeuronState {
        let len = shape.batch * shape.neurons;
        let a = values(len, 33).iter().map(|a| a.abs()).collect();
        let z = vec![0; shape.batch * words(shape.neurons)];
        NeuronState { v: values(len, 31), i: values(len, 32), a, z }
    }

    fn layer(kind: NeuronKind, shape: NeuronShape, constants: Vec<f32>, with_state: bool) -> Layer {
        Layer {
            kind,
            shape,
            surrogate: EVERY[0],
            detach_reset: false,
            truncate: None,
            constants: oracle::constant(&constants),
            x: oracle::constant(&values(shape.input_len(), 21)),
            recurrent: None,
            state: with_state.then(|| state(shape)),
        }
    }

    /// Compares output bit for bit, and gradients.
    fn check(layer: &Layer) {
        let Layer { kind, shape, .. } = *layer;
        let values_of = |duals: &[oracle::Dual]| duals.iter().map(|d| d.value).collect::<Vec<f32>>();
        let (constants, x) = (values_of(&layer.constants), values_of(&layer.x));
        let expected = values_of(&oracle::run(layer));
        let mut after = layer.state.clone();
        if kind.fires {
            let mut bits = vec![u32::MAX; shape.output_words()];
            let output = NeuronOutput::Spikes(&mut bits);
            assert_eq!(neuron_forward(kind, shape, &constants, &x, after.as_mut(), output), None);
            assert_eq!(bits, pack(&expected, shape.neurons), "{kind:?}");
        } else {
            let mut u = vec![f32::NAN; shape.output_len()];
            let output = NeuronOutput::Potentials(&mut u);
            assert_eq!(neuron_forward(kind, shape, &constants, &x, after.as_mut(), output), None);
            assert_eq!(u, expected, "{kind:?}");
        }
        let dz = values(shape.output_len(), 22);
        let (mut dx, mut dconstants) = (vec![f32::NAN; x.len()], vec![f32::NAN; constants.len()]);
        let Layer { surrogate, detach_reset, truncate, .. } = *layer;
        let options = BackwardOptions { detach_reset, truncate, initial: layer.state.as_ref() };
        let gradients = NeuronGradients { x: &mut dx, constants: Some(&mut dconstants) };
        neuron_backward(kind, shape, &constants, &x, surrogate, &dz, options, gradients);
        assert_close(&dx, &oracle::gradient(layer, &dz, |layer| &mut layer.x), 2e-4);
        assert_close(&dconstants, &oracle::gradient(layer, &dz, |layer| &mut layer.constants), 2e-4);
        let mut alone = vec![f32::NAN; x.len()];
        let gradients = NeuronGradients { x: &mut alone, constants: None };
        neuron_backward(kind, shape, &constants, &x, surrogate, &dz, options, gradients);
        assert_eq!(alone, dx, "wanting less does not change the rest");
        if kind.fires {
            check_counts(layer, &constants, &x, &expected);
        }
    }

    /// Counts are the sums of `spikes` over time, and their gradient that of spikes which all count the same.
    fn check_counts(layer: &Layer, constants: &[f32], x: &[f32], spikes: &[f32]) {
        let Layer { kind, shape, surrogate, detach_reset, truncate, .. } = *layer;
        let step = shape.batch * shape.neurons;
        let mut counts = vec![f32::NAN; step];
        let output = NeuronOutput::Counts(&mut counts);
        assert_eq!(neuron_forward(kind, shape, constants, x, layer.state.clone().as_mut(), output), None);
        let count = |index: usize| (0..shape.steps).map(|t| spikes[t * step + index]).sum::<f32>();
        assert_eq!(counts, (0..step).map(count).collect::<Vec<_>>(), "{kind:?}");
        let of_counts = values(step, 23);
        let options = BackwardOptions { detach_reset, truncate, initial: layer.state.as_ref() };
        let gradient = |dz: &[f32]| {
            let mut dx = vec![f32::NAN; x.len()];
            let gradients = NeuronGradients { x: &mut dx, constants: None };
            neuron_backward(kind, shape, constants, x, surrogate, dz, options, gradients);
            dx
        };
        assert_eq!(gradient(&of_counts), gradient(&of_counts.repeat(shape.steps)), "{kind:?}");
    }

    #[test]
    fn every_kind_and_option_matches_forward_mode_differentiation() {
        let shape = NeuronShape { steps: 7, batch: 2, neurons: 3, constant_input: false };
        let mut surrogates = EVERY.into_iter().cycle();
        for kind in oracle::every_kind() {
            for detach_reset in [false, true] {
                for truncate in [None, Some(1), Some(3)] {
                    for (columns, with_state) in [(1, false), (3, true)] {
                        let mut layer = layer(kind, shape, oracle::constants(columns, 5), with_state);
                        layer.surrogate = surrogates.next().unwrap();
                        (layer.detach_reset, layer.truncate) = (detach_reset, truncate);
                        check(&layer);
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_shape_matches_forward_mode_differentiation(
            steps in 0usize..4, batch in 1usize..4, neurons in 1usize..40, constant_input: bool, single: bool,
            kind in proptest::sample::select(oracle::every_kind()),
            surrogate in proptest::sample::select(EVERY.to_vec()),
        ) {
            let shape = NeuronShape { steps, batch, neurons, constant_input };
            let constants = oracle::constants(if single { 1 } else { neurons }, 6);
            let mut layer = layer(kind, shape, constants, false);
            layer.surrogate = surrogate;
            check(&layer);
        }
    }

    #[test]
    fn state_carries_on_where_it_was_left_and_threads_do_not_matter() {
        let whole = NeuronShape { steps: 20, batch: 5, neurons: 600, constant_input: false };
        let x = values(whole.input_len(), 1);
        for kind in oracle::every_kind().into_iter().filter(|kind| kind.fires) {
            let constants = oracle::constants(600, 2);
            let run = |shape: NeuronShape, x: &[f32], state: &mut NeuronState, threads| {
                let mut bits = vec![0; shape.output_words()];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let output = NeuronOutput::Spikes(&mut bits);
                pool.install(|| neuron_forward(kind, shape, &constants, x, Some(state), output));
                bits
            };
            let (mut once, mut twice) = (NeuronState::new(kind, whole), NeuronState::new(kind, whole));
            let all = run(whole, &x, &mut once, 1);
            assert!(all.iter().any(|word| *word != 0), "{kind:?} is silent");
            let half = NeuronShape { steps: 10, ..whole };
            let (early, late) = x.split_at(half.input_len());
            let mut parts = run(half, early, &mut twice, 3);
            parts.extend(run(half, late, &mut twice, 2));
            assert_eq!(all, parts);
            assert_eq!(once, twice);
        }
    }

    #[test]
    fn gradients_of_large_layers_do_not_depend_on_threads() {
        let shape = NeuronShape { steps: 40, batch: 20, neurons: 300, constant_input: false };
        let kind = oracle::every_kind()[9];
        let (x, dz) = (values(shape.input_len(), 1), values(shape.output_len(), 2));
        let run = |threads| {
            let (mut dx, mut dconstants) = (vec![0.0; x.len()], vec![0.0; 9]);
            let gradients = NeuronGradients { x: &mut dx, constants: Some(&mut dconstants) };
            let options = BackwardOptions::default();
            let constants = oracle::constants(1, 2);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                neuron_backward(kind, shape, &constants, &x, EVERY[0], &dz, options, gradients);
            });
            (dx, dconstants)
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn the_first_potential_that_is_not_finite_is_named() {
        let shape = NeuronShape { steps: 6, batch: 3, neurons: 700, constant_input: false };
        let constants = oracle::constants(1, 2);
        let place = |step: usize, b: usize, n: usize| (step * 3 + b) * 700 + n;
        for kind in oracle::every_kind() {
            let run = |x: &[f32]| {
                let (mut bits, mut u) = (vec![0; shape.output_words()], vec![0.0; shape.output_len()]);
                let output = if kind.fires {
                    NeuronOutput::Spikes(&mut bits)
                } else {
                    NeuronOutput::Potentials(&mut u)
                };
                neuron_forward(kind, shape, &constants, x, None, output)
            };
            let mut x = values(shape.input_len(), 1);
            assert_eq!(run(&x), None);
            x[place(4, 0, 3)] = f32::NAN;
            assert_eq!(run(&x), Some((4, 3)));
            x[place(3, 2, 699)] = f32::INFINITY;
            x[place(3, 2, 650)] = f32::NEG_INFINITY;
            assert_eq!(run(&x), Some((3, 650)));
            x[place(3, 1, 698)] = f32::NAN;
            assert_eq!(run(&x), Some((3, 698)), "the smaller sample comes first");
        }
    }

    #[test]
    fn a_leaky_membrane_under_constant_current_follows_its_closed_form() {
        // u(n) = v0 d^n + (1 - d^n) I for decay d and gain 1 - d.
        let kind =
            NeuronKind { synapse: false, fires: false, adaptive: false, reset: Reset::None, v_start: 0.5 };
        let shape = NeuronShape { steps: 50, batch: 1, neurons: 1, constant_input: true };
        let mut u = [0.0; 50];
        let constants = [0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        neuron_forward(kind, shape, &constants, &[2.0], None, NeuronOutput::Potentials(&mut u));
        let expected: Vec<f32> = (1..=50).map(|n| 2.0 - 1.5 * 0.9f32.powi(n)).collect();
        assert_close(&u, &expected, 1e-5);
    }
}
