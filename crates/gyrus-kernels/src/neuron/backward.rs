//! The gradients of a layer, back through time.

use super::chunk::{BLOCK, Chunk};
use super::history::{Adjoint, BackwardOptions, History, gather_constants};
use super::kind::{CONSTANTS, NeuronKind, NeuronShape};
use super::surrogate::Surrogate;
use crate::base::bits::BITS;
use crate::base::parallel::{SharedMut, for_each_task, with_scratch, with_words};

/// Floats of a task's history, about: it should stay in the second-level cache.
const HISTORY: usize = 1 << 16;

/// Where the gradients go.
pub struct NeuronGradients<'a> {
    /// As long as `x`: for a constant input, the sum over the steps.
    pub x: &'a mut [f32],
    /// As long as the constants; the sum over neurons if the constants have one value per row.
    pub constants: Option<&'a mut [f32]>,
}

/// The gradients of [`neuron_forward`](super::neuron_forward), from `dz`, the gradient of its output:
/// `[steps * batch, neurons]`, or `[batch, neurons]` for counts, in which every spike counts the same.
///
/// `kind`, `shape`, `constants` and `x` are those of the forward pass. The state after the last step is taken to have
/// no gradient.
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
            let chunk = Chunk::new(first, block.min(neurons - first));
            let Chunk { real, width, .. } = chunk;
            // SAFETY: each task has its own sums.
            let sums = unsafe { all_sums.slice(task * sums_len, sums_len) };
            with_scratch((history_rows + CONSTANTS + 8) * width, |scratch| {
                let (block_constants, scratch) = scratch.split_at_mut(CONSTANTS * width);
                let (state, scratch) = scratch.split_at_mut(3 * width);
                let (rows, memory) = scratch.split_at_mut(5 * width);
                let mut rows = rows.chunks_exact_mut(width);
                let [surrogates, padded_x, padded_dz, dx, total] =
                    core::array::from_fn(|_| rows.next().unwrap_or_default());
                chunk.expand(constants, neurons, block_constants);
                let mut history = History::new(kind, wants_constants, steps, width, memory);
                let constants_sums = wants_constants.then(|| &mut sums[..CONSTANTS * width]);
                let mut adjoint = Adjoint { state, surrogate: surrogates, constants: constants_sums };
                with_words(width / BITS, |z| {
                    for b in shape.group(group) {
                        history.begin(kind, &chunk, options.initial, (b, neurons));
                        for step in 0..steps {
                            let next_x =
                                chunk.place(x, shape.input_row((step + 1).min(steps - 1), b), neurons);
                            let x = chunk.row(x, shape.input_row(step, b), neurons, padded_x);
                            history.forward(kind, block_constants, step, (x, next_x), z);
                        }
                        adjoint.state.fill(0.0);
                        total.fill(0.0);
                        for step in (0..steps).rev() {
                            let x = chunk.row(x, shape.input_row(step, b), neurons, padded_x);
                            let row = if counted { b } else { step * batch + b };
                            let next_row = step.saturating_sub(1) * batch + b;
                            let next_dz = chunk.place(dz, if counted { b } else { next_row }, neurons);
                            let next_dx = match constant_input {
                                true => next_dz,
                                false => target.get().wrapping_add(next_row * neurons + first),
                            };
                            let dz = chunk.row(dz, row, neurons, padded_dz);
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
