//! A chunk of the neurons of a layer, in rows padded to whole words of spikes; and the first potential that is not
//! finite.

use std::sync::{Mutex, PoisonError};

use super::kind::{CONSTANTS, NeuronKind, NeuronState};
use crate::base::bits::BITS;

/// Neurons per task, at most: all rows of a step and of the next one should stay in the first-level cache.
pub(super) const BLOCK: usize = 512;

/// A chunk of neurons: `first .. first + real`, in rows padded to `width`.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    pub(crate) first: usize,
    pub(crate) real: usize,
    pub(crate) width: usize,
}

impl Chunk {
    pub(crate) fn new(first: usize, real: usize) -> Chunk {
        Chunk { first, real, width: real.next_multiple_of(BITS) }
    }

    /// The chunk of row `row` of `[rows, neurons]`: in place if it fills the padded row, else copied.
    pub(super) fn row<'a>(
        &self,
        x: &'a [f32],
        row: usize,
        neurons: usize,
        padded: &'a mut [f32],
    ) -> &'a [f32] {
        let x = &x[row * neurons + self.first..][..self.real];
        if self.real == self.width {
            return x;
        }
        self.pad(x, padded);
        padded
    }

    /// Where the chunk of row `row` of `[rows, neurons]` begins.
    pub(super) fn place(&self, x: &[f32], row: usize, neurons: usize) -> *const f32 {
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
    /// Records the first such potential of a row.
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
