//! Layers of neurons that hear their own last spikes, over the whole time axis.
//!
//! As [`neuron`](crate::neuron), with current `x[t] + (w z[t-1] + bias)` at step `t`; `z` before the first step is the
//! state's, or silence. The product with spikes skips zeros: additions in ascending order, the bias last. Samples do not
//! see each other, so a task takes a few of them through all steps and nothing waits between steps; what comes back
//! through the weights is a dense product of those samples a step. The gradient of the weight is one product over all
//! steps at the end. Cost: forward spikes times neurons, backward `2 * steps * batch * neurons^2` operations.

use pulp::{Arch, Simd, WithSimd};

use crate::base::bits::BITS;
use crate::base::parallel::{
    SharedMut, for_each_task, with_aligned_scratch, with_indices, with_scratch, with_words,
};
use crate::base::tile::store;
use crate::dense::linear::{linear_packed, pack_plain, packed_len, sum_rows};
use crate::neuron::step::{CONSTANTS, forward_in_place};
use crate::neuron::{
    Adjoint, BackwardOptions, Broken, History, NeuronKind, NeuronShape, NeuronState, Stretch, Surrogate,
    gather_constants,
};
use crate::spikes::linear::spike_linear_weight_gradient;
use crate::spikes::packed::words;
use crate::spikes::sparse::{UNROLLED, add_rows, lanes, list_bits, panel_vectors, transpose_floats};

/// Samples that a task takes, at most, unless there are very many: enough for a dense product.
const SAMPLES: usize = 8;
/// Tasks, at most.
const GROUPS: usize = 16;

/// How spikes come back.
#[derive(Clone, Copy)]
pub struct Feedback<'a> {
    /// `[neurons, neurons]`: to, from.
    pub weight: &'a [f32],
    /// `[neurons]`.
    pub bias: Option<&'a [f32]>,
}

/// Where the gradients go.
pub struct RecurrentGradients<'a> {
    /// As long as `x`: for a constant input, the sum over the steps.
    pub x: &'a mut [f32],
    /// `[neurons, neurons]`.
    pub weight: &'a mut [f32],
    /// `[neurons]`.
    pub bias: Option<&'a mut [f32]>,
    /// As long as the constants; the sum over neurons where these have one value a row.
    pub constants: Option<&'a mut [f32]>,
}

/// Samples of each task: more tasks than threads where the batch allows it.
fn samples_each(batch: usize) -> usize {
    batch.div_ceil(GROUPS).max(SAMPLES.min(batch.div_ceil(2))).max(1)
}

/// The transposed weight in panels `[panel][from][to]`, zero beyond the last neuron.
struct Table<'a> {
    floats: &'a [f32],
    neurons: usize,
    panels: usize,
    vectors: usize,
    bias: Option<&'a [f32]>,
}

impl Table<'_> {
    /// Floats of a row of currents: whole panels, and whole words of spikes.
    fn row_len(&self) -> usize {
        (self.floats.len() / self.neurons).max(self.neurons.next_multiple_of(BITS))
    }

    /// `current = x + (w z + bias)` for the listed spikes.
    fn currents(&self, x: &[f32], z: &[u32], list: &mut [u16], current: &mut [f32]) {
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

fn with_table<R>(feedback: Feedback<'_>, neurons: usize, work: impl FnOnce(&Table<'_>) -> R) -> R {
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

/// The sums of the table's rows that a list picks.
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

fn check(kind: NeuronKind, shape: &NeuronShape, constants: &[f32], x: &[f32], bits: &[u32]) {
    assert!(kind.fires, "only neurons that fire hear their own spikes");
    assert_eq!(x.len(), shape.input_len(), "x is [steps * batch, neurons], or [batch, neurons] if constant");
    assert_eq!(bits.len(), shape.output_words(), "spikes are [steps * batch, words(neurons)]");
    shape.check_constants(constants);
}

/// Runs a recurrent layer over all its steps: `bits` becomes its packed spikes, `[steps * batch, words(neurons)]`.
///
/// The other arguments, and the result, are those of [`neuron_forward`](crate::neuron::neuron_forward).
///
/// # Panics
/// If a slice is not as long as its shape says, or the kind does not fire.
pub fn recurrent_forward(
    kind: NeuronKind,
    shape: NeuronShape,
    constants: &[f32],
    x: &[f32],
    feedback: Feedback<'_>,
    state: Option<&mut NeuronState>,
    bits: &mut [u32],
) -> Option<(usize, usize)> {
    check(kind, &shape, constants, x, bits);
    if let Some(state) = state.as_deref() {
        state.check(&shape);
    }
    if shape.output_len() == 0 {
        return None;
    }
    let NeuronShape { steps, batch, neurons, .. } = shape;
    let (each, width) = (samples_each(batch), words(neurons));
    let stretch = Stretch::new(0, neurons);
    let spikes = SharedMut(bits.as_mut_ptr());
    let initial = state.as_deref();
    let broken = Broken::default();
    // The state after the last step: v, i, a of each sample.
    let mut last = vec![0.0; batch * 3 * stretch.width];
    let all_last = SharedMut(last.as_mut_ptr());
    with_table(feedback, neurons, |table| {
        let row_len = table.row_len();
        for_each_task(batch.div_ceil(each), shape.serial(), |task| {
            with_scratch(CONSTANTS * stretch.width + stretch.width + row_len, |scratch| {
                let (all_constants, scratch) = scratch.split_at_mut(CONSTANTS * stretch.width);
                let (u, current) = scratch.split_at_mut(stretch.width);
                stretch.expand(constants, neurons, all_constants);
                current.fill(0.0);
                with_indices(neurons + UNROLLED, |list| {
                    for b in task * each..batch.min((task + 1) * each) {
                        // SAFETY: each task has the state of its own samples.
                        let rows = unsafe { all_last.slice(b * 3 * stretch.width, 3 * stretch.width) };
                        let mut parts = rows.chunks_exact_mut(stretch.width);
                        let [v, i, a] = core::array::from_fn(|_| parts.next().unwrap_or_default());
                        stretch.begin(kind, initial, (b, neurons), [&mut *v, &mut *i, &mut *a]);
                        let mut sound = true;
                        for step in 0..steps {
                            let x = &x[shape.input_row(step, b) * neurons..][..neurons];
                            let row = step * batch + b;
                            // SAFETY: each task reads and writes the spikes of its own samples.
                            let z = unsafe { spikes.slice(row * width, width) };
                            let before: &[u32] = match (step, initial) {
                                (0, None) => &[],
                                (0, Some(state)) => &state.z[b * width..][..width],
                                // SAFETY: as above, and this is another row.
                                _ => unsafe { spikes.slice((row - batch) * width, width) },
                            };
                            table.currents(x, before, list, current);
                            let current = &current[..stretch.width];
                            if !forward_in_place(
                                kind,
                                all_constants,
                                (current, current.as_ptr()),
                                [&mut *v, &mut *i, &mut *a],
                                u,
                                z,
                            ) && sound
                            {
                                sound = false;
                                broken.note(step, b, 0, &u[..neurons]);
                            }
                        }
                    }
                });
            });
        });
    });
    if let Some(state) = state {
        for (b, rows) in last.chunks_exact(3 * stretch.width).enumerate() {
            for (part, row) in
                [&mut state.v, &mut state.i, &mut state.a].into_iter().zip(rows.chunks_exact(stretch.width))
            {
                part[b * neurons..][..neurons].copy_from_slice(&row[..neurons]);
            }
        }
        if steps > 0 {
            state.z.copy_from_slice(&bits[(steps - 1) * batch * width..]);
        }
    }
    broken.place()
}

/// The gradients of [`recurrent_forward`], from its spikes `bits` and `dz`, their gradient, `[steps * batch, neurons]`.
///
/// The other arguments are those of [`neuron_backward`](crate::neuron::neuron_backward); truncation also cuts what comes
/// back through the weights.
///
/// # Panics
/// If a slice is not as long as its shape says, or the kind does not fire.
pub fn recurrent_backward(
    kind: NeuronKind,
    shape: NeuronShape,
    constants: &[f32],
    x: &[f32],
    feedback: Feedback<'_>,
    bits: &[u32],
    surrogate: Surrogate,
    dz: &[f32],
    options: BackwardOptions<'_>,
    gradients: RecurrentGradients<'_>,
) {
    check(kind, &shape, constants, x, bits);
    assert_eq!(dz.len(), shape.output_len(), "dz is [steps * batch, neurons]");
    assert_eq!(gradients.x.len(), x.len(), "the gradient of x is as long as x");
    assert!(
        gradients.constants.as_ref().is_none_or(|d| d.len() == constants.len()),
        "as long as the constants"
    );
    if let Some(state) = options.initial {
        state.check(&shape);
    }
    let NeuronShape { steps, batch, neurons, constant_input } = shape;
    if shape.output_len() == 0 {
        let RecurrentGradients { x, weight, bias, constants } = gradients;
        [Some(x), Some(weight), bias, constants].into_iter().flatten().for_each(|g| g.fill(0.0));
        return;
    }
    let (rows, width) = (steps * batch, words(neurons));
    let dx = gradients.x;
    let all_currents_len = if constant_input { rows * neurons } else { 0 };
    with_words(rows * width, |before| {
        // The spikes of the step before each.
        let first = batch.min(rows) * width;
        match options.initial {
            Some(state) => before[..first].copy_from_slice(&state.z[..first]),
            None => before[..first].fill(0),
        }
        before[first..].copy_from_slice(&bits[..rows * width - first]);
        with_scratch(all_currents_len, |all_currents| {
            let currents_gradient = if constant_input { &mut *all_currents } else { &mut *dx };
            let job = Job { kind, shape, constants, x, before, surrogate, dz, options: &options };
            through_time(&job, feedback, gradients.constants, currents_gradient);
            spike_linear_weight_gradient(
                before,
                currents_gradient,
                (rows, neurons, neurons),
                gradients.weight,
            );
            if let Some(bias) = gradients.bias {
                sum_rows(currents_gradient, neurons, bias);
            }
            if constant_input {
                dx.fill(0.0);
                for step in all_currents.chunks_exact(batch * neurons) {
                    dx.iter_mut().zip(step).for_each(|(dx, step)| *dx += step);
                }
            }
        });
    });
}

/// What the gradients depend on.
struct Job<'a> {
    kind: NeuronKind,
    shape: NeuronShape,
    constants: &'a [f32],
    x: &'a [f32],
    /// Spikes of the step before, `[steps * batch, words(neurons)]`.
    before: &'a [u32],
    surrogate: Surrogate,
    dz: &'a [f32],
    options: &'a BackwardOptions<'a>,
}

/// The gradient of every current, `[steps * batch, neurons]`, and of the constants.
fn through_time(job: &Job<'_>, feedback: Feedback<'_>, dconstants: Option<&mut [f32]>, to: &mut [f32]) {
    let &Job { kind, shape, constants, surrogate, options, .. } = job;
    let NeuronShape { steps, batch, neurons, .. } = shape;
    let (each, words) = (samples_each(batch), words(neurons));
    let stretch = Stretch::new(0, neurons);
    let width = stretch.width;
    let wants_constants = dconstants.is_some();
    let sums_len = if wants_constants { CONSTANTS * width } else { 0 };
    let tasks = batch.div_ceil(each);
    let history_len = History::rows(kind, wants_constants, steps) * width;
    let target = SharedMut(to.as_mut_ptr());
    let work = |table: &Table<'_>, packed: &[f32], sums: &mut [f32]| {
        let all_sums = SharedMut(sums.as_mut_ptr());
        let row_len = table.row_len();
        let sample_len = history_len + steps * width + 3 * width;
        for_each_task(tasks, shape.serial(), |task| {
            let samples = task * each..batch.min((task + 1) * each);
            // SAFETY: each task has sums of its own.
            let sums = unsafe { all_sums.slice(task * sums_len, sums_len) };
            let count = samples.len();
            let rows_len = (CONSTANTS + 3) * width + row_len + count * neurons;
            with_scratch(count * sample_len + rows_len, |scratch| {
                let (remembered, scratch) = scratch.split_at_mut(count * sample_len);
                let (all_constants, scratch) = scratch.split_at_mut(CONSTANTS * width);
                let (derivatives, scratch) = scratch.split_at_mut(width);
                let (padded_dz, scratch) = scratch.split_at_mut(width);
                let (dx, scratch) = scratch.split_at_mut(width);
                let (current, carry) = scratch.split_at_mut(row_len);
                stretch.expand(constants, neurons, all_constants);
                current.fill(0.0);
                carry.fill(0.0);
                padded_dz.fill(0.0);
                let mut memory = Vec::with_capacity(count);
                for (b, memory_of_sample) in samples.clone().zip(remembered.chunks_exact_mut(sample_len)) {
                    let (history, rest) = memory_of_sample.split_at_mut(history_len);
                    let (currents, state) = rest.split_at_mut(steps * width);
                    let mut history = History::new(kind, wants_constants, steps, width, history);
                    history.begin(kind, &stretch, options.initial, (b, neurons));
                    state.fill(0.0);
                    with_indices(neurons + UNROLLED, |list| {
                        with_words(words, |z| {
                            for (step, kept) in currents.chunks_exact_mut(width).enumerate() {
                                let x = &job.x[shape.input_row(step, b) * neurons..][..neurons];
                                let before = &job.before[(step * batch + b) * words..][..words];
                                table.currents(x, before, list, current);
                                kept.copy_from_slice(&current[..width]);
                                history.forward(kind, all_constants, step, (kept, kept.as_ptr()), z);
                            }
                        });
                    });
                    memory.push((history, currents, state));
                }
                let mut adjoint_constants = wants_constants.then_some(sums);
                for step in (0..steps).rev() {
                    for ((b, carry), (history, currents, state)) in
                        samples.clone().zip(carry.chunks_exact(neurons)).zip(&mut memory)
                    {
                        let row = step * batch + b;
                        let dz = &job.dz[row * neurons..][..neurons];
                        for ((to, dz), carry) in padded_dz.iter_mut().zip(dz).zip(carry) {
                            *to = dz + carry;
                        }
                        let mut adjoint = Adjoint {
                            state,
                            surrogate: derivatives,
                            constants: adjoint_constants.as_deref_mut(),
                        };
                        let current = &currents[step * width..][..width];
                        let row_of_dz = (current, &*padded_dz);
                        history.backward(
                            kind,
                            all_constants,
                            step,
                            row_of_dz,
                            [row_of_dz.1.as_ptr(); 2],
                            surrogate,
                            options,
                            &mut adjoint,
                            dx,
                        );
                        // SAFETY: each task writes its own samples.
                        unsafe { target.slice(row * neurons, neurons) }.copy_from_slice(&dx[..neurons]);
                    }
                    if options.cuts(step) {
                        carry.fill(0.0);
                    } else if step > 0 {
                        // SAFETY: as above; samples follow each other.
                        let rows = unsafe {
                            target.slice((step * batch + samples.start) * neurons, count * neurons)
                        };
                        linear_packed(rows, packed, None, false, (count, neurons, neurons), carry);
                    }
                }
            });
        });
    };
    with_table(feedback, neurons, |table| {
        with_scratch(packed_len((neurons, neurons)), |packed| {
            pack_plain(feedback.weight, (neurons, neurons), packed);
            with_scratch(tasks * sums_len, |sums| {
                sums.fill(0.0);
                work(table, packed, sums);
                if let Some(dconstants) = dconstants {
                    gather_constants(sums, (tasks, neurons, width), dconstants);
                }
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::neuron::surrogate::EVERY;
    use crate::oracle::neuron::{self as oracle, Layer};
    use crate::oracle::{assert_close, pack, spike_values, values};

    fn firing_kinds() -> Vec<NeuronKind> {
        oracle::every_kind().into_iter().filter(|kind| kind.fires).collect()
    }

    fn values_of(duals: &[oracle::Dual]) -> Vec<f32> {
        duals.iter().map(|dual| dual.value).collect()
    }

    fn check(layer: &Layer) {
        let Layer { kind, shape, surrogate, detach_reset, truncate, .. } = *layer;
        let neurons = shape.neurons;
        let (constants, x) = (values_of(&layer.constants), values_of(&layer.x));
        let (weight, bias) = layer.recurrent.as_ref().map(|(w, b)| (values_of(w), values_of(b))).unwrap();
        let feedback = Feedback { weight: &weight, bias: Some(&bias) };
        let mut bits = vec![u32::MAX; shape.output_words()];
        let mut after = layer.state.clone();
        assert_eq!(recurrent_forward(kind, shape, &constants, &x, feedback, after.as_mut(), &mut bits), None);
        assert_eq!(bits, pack(&values_of(&oracle::run(layer)), neurons), "{kind:?}");

        let dz = values(shape.output_len(), 22);
        let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; weight.len()]);
        let (mut db, mut dc) = (vec![f32::NAN; neurons], vec![f32::NAN; constants.len()]);
        let options = BackwardOptions { detach_reset, truncate, initial: layer.state.as_ref() };
        let gradients =
            RecurrentGradients { x: &mut dx, weight: &mut dw, bias: Some(&mut db), constants: Some(&mut dc) };
        recurrent_backward(kind, shape, &constants, &x, feedback, &bits, surrogate, &dz, options, gradients);
        let expected = |part: fn(&mut Layer) -> &mut Vec<oracle::Dual>| oracle::gradient(layer, &dz, part);
        assert_close(&dx, &expected(|layer| &mut layer.x), 5e-4);
        assert_close(&dw, &expected(|layer| &mut layer.recurrent.as_mut().unwrap().0), 5e-4);
        assert_close(&db, &expected(|layer| &mut layer.recurrent.as_mut().unwrap().1), 5e-4);
        assert_close(&dc, &expected(|layer| &mut layer.constants), 5e-4);
    }

    fn layer(kind: NeuronKind, shape: NeuronShape, columns: usize, with_state: bool) -> Layer {
        let (n, len) = (shape.neurons, shape.batch * shape.neurons);
        let weight: Vec<f32> = values(n * n, 8).iter().map(|w| w / (n as f32).sqrt()).collect();
        let bias: Vec<f32> = values(n, 9).iter().map(|b| 0.2 * b).collect();
        Layer {
            kind,
            shape,
            surrogate: EVERY[0],
            detach_reset: false,
            truncate: None,
            constants: oracle::constant(&oracle::constants(columns, 5)),
            x: oracle::constant(&values(shape.input_len(), 21)),
            recurrent: Some((oracle::constant(&weight), oracle::constant(&bias))),
            state: with_state.then(|| NeuronState {
                v: values(len, 31),
                i: values(len, 32),
                a: values(len, 33).iter().map(|a| a.abs()).collect(),
                z: pack(&spike_values(len, 0.5, 34), n),
            }),
        }
    }

    #[test]
    fn every_kind_and_option_matches_forward_mode_differentiation() {
        let shape = NeuronShape { steps: 6, batch: 3, neurons: 4, constant_input: false };
        let mut surrogates = EVERY.into_iter().cycle();
        for kind in firing_kinds() {
            for detach_reset in [false, true] {
                for (truncate, with_state) in [(None, true), (Some(1), false), (Some(2), true)] {
                    let mut layer = layer(kind, shape, if detach_reset { 1 } else { 4 }, with_state);
                    layer.surrogate = surrogates.next().unwrap();
                    (layer.detach_reset, layer.truncate) = (detach_reset, truncate);
                    check(&layer);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_shape_matches_forward_mode_differentiation(
            steps in 0usize..4, batch in 1usize..4, neurons in 1usize..36, constant_input: bool,
            kind in proptest::sample::select(firing_kinds()),
        ) {
            check(&layer(kind, NeuronShape { steps, batch, neurons, constant_input }, 1, false));
        }
    }

    #[test]
    fn state_carries_on_and_threads_do_not_matter() {
        let whole = NeuronShape { steps: 20, batch: 19, neurons: 150, constant_input: false };
        let half = NeuronShape { steps: 10, ..whole };
        for kind in firing_kinds() {
            let layer = layer(kind, whole, 150, false);
            let (constants, x) = (values_of(&layer.constants), values_of(&layer.x));
            let (weight, _) = layer.recurrent.as_ref().map(|(w, b)| (values_of(w), values_of(b))).unwrap();
            let feedback = Feedback { weight: &weight, bias: None };
            let run = |shape: NeuronShape, x: &[f32], state: &mut NeuronState, threads| {
                let mut bits = vec![0; shape.output_words()];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    recurrent_forward(kind, shape, &constants, x, feedback, Some(state), &mut bits);
                });
                bits
            };
            let (mut once, mut twice) = (NeuronState::new(kind, whole), NeuronState::new(kind, whole));
            let all = run(whole, &x, &mut once, 1);
            let (early, late) = x.split_at(half.input_len());
            let mut parts = run(half, early, &mut twice, 3);
            parts.extend(run(half, late, &mut twice, 2));
            assert_eq!(all, parts);
            assert_eq!(once, twice);

            let dz = values(whole.output_len(), 2);
            let gradients = |threads| {
                let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let options = BackwardOptions::default();
                let to = RecurrentGradients { x: &mut dx, weight: &mut dw, bias: None, constants: None };
                pool.install(|| {
                    recurrent_backward(
                        kind, whole, &constants, &x, feedback, &all, EVERY[0], &dz, options, to,
                    );
                });
                (dx, dw)
            };
            assert_eq!(gradients(1), gradients(3));
        }
    }

    #[test]
    fn a_potential_that_is_not_finite_is_named() {
        let shape = NeuronShape { steps: 5, batch: 3, neurons: 40, constant_input: false };
        let layer = layer(firing_kinds()[0], shape, 1, false);
        let (constants, mut x) = (values_of(&layer.constants), values_of(&layer.x));
        x[(2 * 3 + 1) * 40 + 39] = f32::NAN;
        let weight = values(1600, 1);
        let feedback = Feedback { weight: &weight, bias: None };
        let mut bits = vec![0; shape.output_words()];
        let place = recurrent_forward(layer.kind, shape, &constants, &x, feedback, None, &mut bits);
        assert_eq!(place, Some((2, 39)));
    }
}
