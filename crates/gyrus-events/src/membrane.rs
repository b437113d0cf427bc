//! Neurons of a node, updated in blocks of 256 that rest while no event reaches them.
//!
//! The update is the kernel's own ([`membrane_step`]), so every step is the same chain of fused multiply-adds as in the clocked
//! body. If a step without events changed nothing in a block and fired no spike, further such steps would not change it
//! either: the block is skipped until an event reaches it. For an IF without bias that is every block without events; a leaky
//! neuron rests once its membrane has come to rest.

use gyrus_blueprint::{Image, NeuronModel, Reset};
use gyrus_kernels::events::{TOUCHED, membrane_step, signed_step};
use gyrus_kernels::neuron::{NeuronKind, Reset as KernelReset};

use crate::weights::{Sums, Synapses};

/// Neurons of a block: as many as one entry of the map of touched sums covers.
pub(crate) const BLOCK: usize = TOUCHED;
const WORD: usize = 32;
const CONSTANTS: usize = 9;

/// The equations of a node's neurons.
pub(crate) enum Cells {
    /// The equations of [`NeuronModel`].
    Model {
        kind: NeuronKind,
        /// `[9, width]` for each distinct block: for every block if neurons differ, otherwise for a full block and the last one.
        constants: Vec<Vec<f32>>,
    },
    /// [`SignedIF`](gyrus_blueprint::NodeKind::SignedIF): the membrane is the sum of all input, the synapse the spike, the
    /// trace the net count.
    Signed { levels: f32, threshold: f32 },
}

/// A node of neurons.
pub(crate) struct Neurons {
    pub(crate) cells: Cells,
    pub(crate) neurons: usize,
    /// Membranes before the first step, channels-last.
    starts: Vec<f32>,
}

/// State of a node of neurons.
#[derive(Default)]
pub(crate) struct Membranes {
    /// Rows padded to whole words of spikes.
    v: Vec<f32>,
    i: Vec<f32>,
    a: Vec<f32>,
    /// Spikes of this step.
    pub(crate) words: Vec<u32>,
    /// For each block, whether a step without events leaves it unchanged.
    resting: Vec<bool>,
    current: Vec<f32>,
    u: Vec<f32>,
    before: Vec<f32>,
}

/// Input of neurons at a step.
pub(crate) enum Current<'a> {
    /// Sums of events, with a map of the neurons that received any.
    Sums(&'a Synapses, &'a mut Sums),
    /// A number per neuron, and whether the row is the same as at the previous step.
    Row(&'a [f32], bool),
}

fn width(real: usize) -> usize {
    real.next_multiple_of(WORD)
}

fn blocks(neurons: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..neurons.div_ceil(BLOCK)).map(move |block| {
        let first = block * BLOCK;
        (block, first, BLOCK.min(neurons - first))
    })
}

impl Neurons {
    /// Neurons in the layout of `image`, from a model whose rows are channels-first.
    pub(crate) fn new(model: &NeuronModel, neurons: usize, image: Image) -> Self {
        let rows: Vec<Vec<f32>> = model.constants.iter().map(|row| image.channels_last(row)).collect();
        let differ = rows.iter().any(|row| row.len() > 1);
        let block_of = |first: usize, real: usize| {
            let mut constants = vec![0.0; CONSTANTS * width(real)];
            for (row, to) in rows.iter().zip(constants.chunks_exact_mut(width(real).max(1))) {
                match row[..] {
                    [value] => to[..real].fill(value),
                    _ => to[..real].copy_from_slice(&row[first..first + real]),
                }
            }
            constants
        };
        let count = neurons.div_ceil(BLOCK);
        let wanted = |&(block, ..): &(usize, usize, usize)| differ || block == 0 || block + 1 == count;
        let constants =
            blocks(neurons).filter(wanted).map(|(_, first, real)| block_of(first, real)).collect();
        let kind = NeuronKind {
            synapse: model.synapse,
            fires: model.fires,
            adaptive: model.adaptive,
            reset: match model.reset {
                Reset::Hard => KernelReset::Hard,
                Reset::Subtract => KernelReset::Subtract,
                Reset::None => KernelReset::None,
            },
            v_start: 0.0,
        };
        Self {
            cells: Cells::Model { kind, constants },
            neurons,
            starts: spread(&image.channels_last(&model.v_start), neurons),
        }
    }

    pub(crate) fn signed(levels: usize, threshold: f64, starts: Vec<f32>) -> Self {
        let (levels, threshold) = (levels as f32, threshold as f32);
        Self { cells: Cells::Signed { levels, threshold }, neurons: starts.len(), starts }
    }

    /// Whether the output is spikes rather than potentials.
    pub(crate) fn fires(&self) -> bool {
        matches!(self.cells, Cells::Signed { .. } | Cells::Model { kind: NeuronKind { fires: true, .. }, .. })
    }

    /// Resets the state to that before the first step.
    pub(crate) fn begin(&self, state: &mut Membranes) {
        let padded = width(self.neurons);
        let (synapse, adaptive) = match self.cells {
            Cells::Model { kind, .. } => (kind.synapse, kind.adaptive),
            Cells::Signed { .. } => (true, true),
        };
        let fill = |row: &mut Vec<f32>, len: usize| {
            row.clear();
            row.resize(len, 0.0);
        };
        fill(&mut state.v, padded);
        state.v[..self.neurons].copy_from_slice(&self.starts);
        // Kinds without a synapse or trace never read theirs: one block of zeros is enough for all.
        fill(&mut state.i, if synapse { padded } else { BLOCK });
        fill(&mut state.a, if adaptive { padded } else { BLOCK });
        state.words.clear();
        state.words.resize(padded / WORD, 0);
        state.resting.clear();
        state.resting.resize(self.neurons.div_ceil(BLOCK), false);
        state.current.resize(BLOCK, 0.0);
        state.u.resize(BLOCK, 0.0);
        state.before.resize(3 * BLOCK, 0.0);
    }

    /// One step. `potentials` receives the output of kinds that do not fire. Returns the number of updated membranes.
    ///
    /// # Errors
    /// The first neuron whose potential is not a finite number.
    pub(crate) fn step(
        &self,
        mut current: Current<'_>,
        state: &mut Membranes,
        potentials: &mut [f32],
    ) -> Result<u64, usize> {
        let mut updates = 0;
        let count = self.neurons.div_ceil(BLOCK);
        for (block, first, real) in blocks(self.neurons) {
            let touched = match &current {
                Current::Sums(synapses, sums) => synapses.touches(sums, first, real),
                Current::Row(_, same) => !same,
            };
            if !touched && state.resting[block] {
                continue;
            }
            let width = width(real);
            let x = &mut state.current[..width];
            let x = match &mut current {
                Current::Sums(synapses, sums) => {
                    synapses.take(sums, first, &mut x[..real]);
                    x[real..].fill(0.0);
                    &*x
                }
                Current::Row(row, _) if real == width => &row[first..first + real],
                Current::Row(row, _) => {
                    x[..real].copy_from_slice(&row[first..first + real]);
                    x[real..].fill(0.0);
                    &*x
                }
            };
            let row = |row: &Vec<f32>| if row.len() > BLOCK { first } else { 0 };
            let (of_i, of_a) = (row(&state.i), row(&state.a));
            let v = &mut state.v[first..first + width];
            let i = &mut state.i[of_i..of_i + width];
            let a = &mut state.a[of_a..of_a + width];
            let words = &mut state.words[first / WORD..][..width / WORD];
            let u = &mut state.u[..width];
            if !touched {
                for (row, before) in [&*v, &*i, &*a].into_iter().zip(state.before.chunks_exact_mut(BLOCK)) {
                    before[..width].copy_from_slice(row);
                }
            }
            updates += real as u64;
            let finite = match &self.cells {
                Cells::Model { kind, constants } => {
                    let of_block = match constants.len() {
                        len if len == count => block,
                        _ => usize::from(block + 1 == count),
                    };
                    membrane_step(*kind, &constants[of_block], x, [&mut *v, &mut *i, &mut *a], u, words)
                }
                Cells::Signed { levels, threshold } => {
                    let finite = signed_step((*levels, *threshold), x, [&mut *v, &mut *i, &mut *a], words);
                    u.copy_from_slice(v);
                    finite
                }
            };
            if !finite && let Some(neuron) = u[..real].iter().position(|u| !u.is_finite()) {
                return Err(first + neuron);
            }
            if !potentials.is_empty() {
                potentials[first..first + real].copy_from_slice(&u[..real]);
            }
            state.resting[block] = !touched
                && words.iter().all(|word| *word == 0)
                && [&*v, &*i, &*a].into_iter().zip(state.before.chunks_exact(BLOCK)).all(|(row, before)| {
                    row.iter().zip(before).all(|(now, before)| now.to_bits() == before.to_bits())
                });
        }
        if let Current::Sums(_, sums) = current {
            sums.touched.fill(false);
        }
        Ok(updates)
    }

    /// The spikes of signed kinds: −1, 0 or 1 per neuron.
    pub(crate) fn signs<'a>(&self, state: &'a Membranes) -> Option<&'a [f32]> {
        matches!(self.cells, Cells::Signed { .. }).then_some(&state.i[..])
    }
}

/// One value per neuron.
fn spread(row: &[f32], neurons: usize) -> Vec<f32> {
    match row {
        [value] => vec![*value; neurons],
        _ => row.to_vec(),
    }
}
