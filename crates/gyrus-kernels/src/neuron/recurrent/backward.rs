//! The gradients of a recurrent layer, back through time and through the weights.

use super::super::chunk::Chunk;
use super::super::history::{Adjoint, BackwardOptions, History, gather_constants};
use super::super::kind::{CONSTANTS, NeuronKind, NeuronShape};
use super::super::surrogate::Surrogate;
use super::feedback::{Feedback, Table, check, samples_each, with_table};
use crate::base::parallel::{SharedMut, for_each_task, with_indices, with_scratch, with_words};
use crate::dense::linear::{linear_packed, pack_plain, packed_len, sum_rows};
use crate::spikes::linear::spike_linear_weight_gradient;
use crate::spikes::packed::words;
use crate::spikes::sparse::UNROLLED;

/// Where the gradients go.
pub struct RecurrentGradients<'a> {
    /// As long as `x`: for a constant input, the sum over the steps.
    pub x: &'a mut [f32],
    /// `[neurons, neurons]`.
    pub weight: &'a mut [f32],
    /// `[neurons]`.
    pub bias: Option<&'a mut [f32]>,
    /// As long as the constants; the sum over neurons if the constants have one value per row.
    pub constants: Option<&'a mut [f32]>,
}

/// The gradients of [`recurrent_forward`](super::recurrent_forward), from its spikes `bits` and their gradient `dz`,
/// `[steps * batch, neurons]`.
///
/// The other arguments are those of [`neuron_backward`](crate::neuron::neuron_backward); truncation also cuts gradients
/// through the weights.
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
        // For each step, the spikes of the step before.
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

/// The inputs of the gradients.
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
    let chunk = Chunk::new(0, neurons);
    let width = chunk.width;
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
            // SAFETY: each task has its own sums.
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
                chunk.expand(constants, neurons, all_constants);
                current.fill(0.0);
                carry.fill(0.0);
                padded_dz.fill(0.0);
                let mut memory = Vec::with_capacity(count);
                for (b, memory_of_sample) in samples.clone().zip(remembered.chunks_exact_mut(sample_len)) {
                    let (history, rest) = memory_of_sample.split_at_mut(history_len);
                    let (currents, state) = rest.split_at_mut(steps * width);
                    let mut history = History::new(kind, wants_constants, steps, width, history);
                    history.begin(kind, &chunk, options.initial, (b, neurons));
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
