//! The recurrent weights, laid out for sparse spikes.

use pulp::{Arch, Simd, WithSimd};

use super::super::kind::{NeuronKind, NeuronShape};
use crate::base::bits::BITS;
use crate::base::parallel::{SharedMut, for_each_task, with_aligned_scratch};
use crate::base::tile::store;
use crate::spikes::sparse::{add_rows, lanes, list_bits, panel_vectors, transpose_floats};

/// Samples per task, at most, unless there are very many: enough for a dense product.
const SAMPLES: usize = 8;
/// Tasks, at most.
const GROUPS: usize = 16;

/// The weights of the recurrent connections.
#[derive(Clone, Copy)]
pub struct Feedback<'a> {
    /// `[neurons, neurons]`: target, source.
    pub weight: &'a [f32],
    /// `[neurons]`.
    pub bias: Option<&'a [f32]>,
}

/// Samples per task: more tasks than threads where the batch allows it.
pub(super) fn samples_each(batch: usize) -> usize {
    batch.div_ceil(GROUPS).max(SAMPLES.min(batch.div_ceil(2))).max(1)
}

/// The transposed weight in panels `[panel][source][target]`, with zeros beyond the last neuron.
pub(super) struct Table<'a> {
    floats: &'a [f32],
    neurons: usize,
    panels: usize,
    vectors: usize,
    bias: Option<&'a [f32]>,
}

impl Table<'_> {
    /// Floats of a row of currents: whole panels, and whole words of spikes.
    pub(super) fn row_len(&self) -> usize {
        (self.floats.len() / self.neurons).max(self.neurons.next_multiple_of(BITS))
    }

    /// `current = x + (w z + bias)` for the listed spikes.
    pub(super) fn currents(&self, x: &[f32], z: &[u32], list: &mut [u16], current: &mut [f32]) {
        let mut length = 0;
        for (word, &bits) in z.iter().enumerate() {
            // SAFETY: the list has room for every neuron and UNROLLED more.
            length = unsafe { list_bits(u64::from(bits), (word * BITS) as u16, list.as_mut_ptr(), length) };
        }
        Arch::new().dispatch(Sums { table: self, list: &list[..length], sums: current });
        let current = &mut current[..self.neurons];
        match self.bias {
            Some(bias) => {
                for ((current, x), bias) in current.iter_mut().zip(x).zip(bias) {
                    *current = x + (*current + bias);
                }
            }
            None => current.iter_mut().zip(x).for_each(|(current, x)| *current += x),
        }
    }
}

pub(super) fn with_table<R>(feedback: Feedback<'_>, neurons: usize, work: impl FnOnce(&Table<'_>) -> R) -> R {
    assert_eq!(feedback.weight.len(), neurons * neurons, "weight is [neurons, neurons]");
    assert!(feedback.bias.is_none_or(|bias| bias.len() == neurons), "bias is [neurons]");
    assert!(neurons <= usize::from(u16::MAX) + 1, "at most 65536 recurrent neurons");
    let lanes = lanes();
    let vectors = panel_vectors(neurons, lanes);
    let width = vectors * lanes;
    let panels = neurons.div_ceil(width);
    with_aligned_scratch(panels * width * neurons, |floats| {
        floats.fill(0.0);
        let target = SharedMut(floats.as_mut_ptr());
        for_each_task(panels, neurons * neurons < 1 << 16, |panel| {
            let columns = width.min(neurons - panel * width);
            let weight = &feedback.weight[panel * width * neurons..][..columns * neurons];
            let to = target.get().wrapping_add(panel * width * neurons);
            // SAFETY: each task fills its own panel, `[neurons, width]`.
            unsafe { transpose_floats(weight, neurons, (columns, neurons), to, width) };
        });
        work(&Table { floats, neurons, panels, vectors, bias: feedback.bias })
    })
}

/// The sums of the listed rows of the table.
struct Sums<'a> {
    table: &'a Table<'a>,
    list: &'a [u16],
    sums: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const NV: usize>(simd: S, task: Sums<'_>) {
            let width = NV * S::F32_LANES;
            let panel_len = width * task.table.neurons;
            for panel in 0..task.table.panels {
                let mut registers = [simd.splat_f32s(0.0); NV];
                // SAFETY: the table has a row for every listed neuron, and `sums` whole panels.
                unsafe {
                    let table = task.table.floats.as_ptr().add(panel * panel_len);
                    add_rows::<S, NV>(simd, task.list, table, &mut registers);
                    for (v, register) in registers.into_iter().enumerate() {
                        store::<S>(task.sums.as_mut_ptr().add(panel * width + v * S::F32_LANES), register);
                    }
                }
            }
        }
        assert!(self.sums.len() >= self.table.panels * self.table.vectors * S::F32_LANES);
        match self.table.vectors {
            1 => run::<S, 1>(simd, self),
            2 => run::<S, 2>(simd, self),
            4 => run::<S, 4>(simd, self),
            _ => run::<S, 8>(simd, self),
        }
    }
}

pub(super) fn check(kind: NeuronKind, shape: &NeuronShape, constants: &[f32], x: &[f32], bits: &[u32]) {
    assert!(kind.fires, "recurrent neurons must fire");
    assert_eq!(x.len(), shape.input_len(), "x is [steps * batch, neurons], or [batch, neurons] if constant");
    assert_eq!(bits.len(), shape.output_words(), "spikes are [steps * batch, words(neurons)]");
    shape.check_constants(constants);
}
