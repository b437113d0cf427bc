//! The forward pass of a layer over all its steps.

use pulp::Arch;

use super::chunk::{BLOCK, Broken, Chunk};
use super::kind::{CONSTANTS, NeuronKind, NeuronOutput, NeuronShape, NeuronState};
use super::step::forward_in_place;
use crate::base::bits::BITS;
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::spikes::packed::words;

/// Runs a layer over all its steps.
///
/// `x` is `[steps * batch, neurons]`, row `step * batch + b`, or `[batch, neurons]` for a constant input. `constants`
/// are nine rows, each of one value or of one value per neuron: decay, gain, drive, theta, synapse decay, synapse gain,
/// reset potential, adaptation strength, adaptation decay. `state` is read before the first step and written after the
/// last.
///
/// Returns the first step and neuron whose potential is not finite, if any.
///
/// # Panics
/// If a slice is not as long as its shape says, or the output does not suit the kind.
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
            assert!(kind.fires, "neurons that do not fire output potentials");
            assert_eq!(bits.len(), shape.output_words(), "spikes are [steps * batch, words(neurons)]");
            spikes = Some(SharedMut(bits.as_mut_ptr()));
        }
        NeuronOutput::Counts(to) => {
            assert!(kind.fires, "neurons that do not fire output potentials");
            assert_eq!(to.len(), shape.batch * shape.neurons, "counts are [batch, neurons]");
            to.fill(0.0);
            counts = Some(SharedMut(to.as_mut_ptr()));
        }
        NeuronOutput::Potentials(u) => {
            assert!(!kind.fires, "neurons that fire output spikes");
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
        let chunk = Chunk::new(first, BLOCK.min(neurons - first));
        let Chunk { real, width, .. } = chunk;
        with_scratch((CONSTANTS + 5) * width, |scratch| {
            let (block_constants, rows) = scratch.split_at_mut(CONSTANTS * width);
            chunk.expand(constants, neurons, block_constants);
            let mut rows = rows.chunks_exact_mut(width);
            let [v, i, a, padded, u] = core::array::from_fn(|_| rows.next().unwrap_or_default());
            let mut words_of_row = [0u32; BLOCK / BITS];
            for b in shape.group(group) {
                match final_state {
                    Some(state) => {
                        for (row, part) in [&mut *v, &mut *i, &mut *a].into_iter().zip(state) {
                            // SAFETY: each task reads and writes the state of its own samples and neurons.
                            chunk.pad(unsafe { part.slice(b * neurons + first, real) }, row);
                        }
                    }
                    None => chunk.begin(kind, None, (b, neurons), [&mut *v, &mut *i, &mut *a]),
                }
                let mut sound = true;
                for step in 0..steps {
                    let row = step * batch + b;
                    let next_x = chunk.place(x, shape.input_row((step + 1).min(steps - 1), b), neurons);
                    let x = chunk.row(x, shape.input_row(step, b), neurons, padded);
                    let z = match spikes {
                        // SAFETY: each task writes the words of its own samples and neurons, which begin at a whole
                        // word.
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
