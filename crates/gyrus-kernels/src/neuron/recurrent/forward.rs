//! The forward pass of a recurrent layer.

use super::super::chunk::{Broken, Chunk};
use super::super::kind::{CONSTANTS, NeuronKind, NeuronShape, NeuronState};
use super::super::step::forward_in_place;
use super::feedback::{Feedback, check, samples_each, with_table};
use crate::base::parallel::{SharedMut, for_each_task, with_indices, with_scratch};
use crate::spikes::packed::words;
use crate::spikes::sparse::UNROLLED;

/// Runs a recurrent layer over all its steps; `bits` receives its packed spikes, `[steps * batch, words(neurons)]`.
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
    let chunk = Chunk::new(0, neurons);
    let spikes = SharedMut(bits.as_mut_ptr());
    let initial = state.as_deref();
    let broken = Broken::default();
    // The state after the last step: v, i, a of each sample.
    let mut last = vec![0.0; batch * 3 * chunk.width];
    let all_last = SharedMut(last.as_mut_ptr());
    with_table(feedback, neurons, |table| {
        let row_len = table.row_len();
        for_each_task(batch.div_ceil(each), shape.serial(), |task| {
            with_scratch(CONSTANTS * chunk.width + chunk.width + row_len, |scratch| {
                let (all_constants, scratch) = scratch.split_at_mut(CONSTANTS * chunk.width);
                let (u, current) = scratch.split_at_mut(chunk.width);
                chunk.expand(constants, neurons, all_constants);
                current.fill(0.0);
                with_indices(neurons + UNROLLED, |list| {
                    for b in task * each..batch.min((task + 1) * each) {
                        // SAFETY: each task has the state of its own samples.
                        let rows = unsafe { all_last.slice(b * 3 * chunk.width, 3 * chunk.width) };
                        let mut parts = rows.chunks_exact_mut(chunk.width);
                        let [v, i, a] = core::array::from_fn(|_| parts.next().unwrap_or_default());
                        chunk.begin(kind, initial, (b, neurons), [&mut *v, &mut *i, &mut *a]);
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
                            let current = &current[..chunk.width];
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
        for (b, rows) in last.chunks_exact(3 * chunk.width).enumerate() {
            for (part, row) in
                [&mut state.v, &mut state.i, &mut state.a].into_iter().zip(rows.chunks_exact(chunk.width))
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
