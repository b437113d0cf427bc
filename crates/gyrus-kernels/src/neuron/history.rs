//! What the backward pass through time needs from the forward pass, recomputed: the potentials and states of every
//! step.

use super::chunk::Chunk;
use super::kind::{CONSTANTS, NeuronKind, NeuronState};
use super::step::{Backward, Forward, distances};
use super::surrogate::Surrogate;
use crate::base::bits::BITS;

/// How gradients flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackwardOptions<'a> {
    /// Whether to stop gradients from the membrane after a reset to the spike that caused it.
    pub detach_reset: bool,
    /// Cuts gradients through the state before every step that is a multiple of this: truncated back-propagation.
    pub truncate: Option<usize>,
    /// The state in which the forward pass began; `None` is [`NeuronState::new`].
    pub initial: Option<&'a NeuronState>,
}

impl BackwardOptions<'_> {
    /// Whether no gradient passes from `step` to the step before it.
    pub(crate) fn cuts(&self, step: usize) -> bool {
        self.truncate.is_some_and(|length| length > 0 && step.is_multiple_of(length))
    }
}

/// What a task keeps of every step: rows of `u`, and of the state before the first step and after each.
pub(crate) struct History<'a> {
    width: usize,
    u: &'a mut [f32],
    v: &'a mut [f32],
    i: &'a mut [f32],
    a: &'a mut [f32],
    /// Steps from row to row of `v`, `i`, `a`: 0 where nothing needs to be kept.
    strides: [usize; 3],
}

impl<'a> History<'a> {
    fn strides(kind: NeuronKind, wants_constants: bool) -> [usize; 3] {
        [wants_constants, kind.synapse, kind.adaptive].map(usize::from)
    }

    /// Rows of `width` floats in a history.
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
        chunk: &Chunk,
        state: Option<&NeuronState>,
        place: (usize, usize),
    ) {
        let width = self.width;
        chunk.begin(kind, state, place, [&mut self.v[..width], &mut self.i[..width], &mut self.a[..width]]);
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

    /// One step backward.
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
        // SAFETY: all rows are `width` long, and kept for every step where the kind and the constants need them.
        unsafe { step_back.run() };
        if options.cuts(step) {
            adjoint.state.fill(0.0);
        }
    }
}

/// A task's gradients on their way back through time.
pub(crate) struct Adjoint<'a> {
    /// Of `v`, `i`, `a`: `[3, width]`.
    pub(crate) state: &'a mut [f32],
    /// Scratch for `dz/du`: `[width]`.
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
            let chunk = Chunk::new(first, block.min(neurons - first));
            for n in 0..chunk.real {
                let at = first / block * block_len + index * chunk.width + n;
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
