//! One step of neurons, the list of their spikes, and sums taken when it is over.

use crate::base::bits::BITS;
use crate::base::parallel::vectorized;
use crate::convolution::Convolution;
use crate::dense::quantized_relu::steps_in;
use crate::neuron::{NeuronKind, forward_in_place};
use crate::spikes::packed;

/// Events that are listed at once.
const AT_ONCE: usize = 8;

/// One step of a row of neurons whose length is a multiple of 32: [`neuron_forward`](crate::neuron::neuron_forward) for one
/// step, in place. `constants` are nine rows; `u` becomes the potentials before a reset, `z` the packed spikes. Neurons that
/// only fill a row up have zero constants and zero state. Returns whether every potential is finite.
///
/// # Panics
/// If the rows are not equally wide.
pub fn membrane_step(
    kind: NeuronKind,
    constants: &[f32],
    x: &[f32],
    state: [&mut [f32]; 3],
    u: &mut [f32],
    z: &mut [u32],
) -> bool {
    forward_in_place(kind, constants, (x, x.as_ptr()), state, u, z)
}

/// One step of [signed](crate::neuron::signed) neurons: the row `x` is added to the `sums`, and the spikes −1, 0 and 1 that are due
/// to `counts`; `spikes` becomes them, and `z` tells where they are. Rows are as in [`membrane_step`]. Returns whether every
/// sum is finite.
///
/// # Panics
/// If the rows are not equally wide.
pub fn signed_step(
    (levels, threshold): (f32, f32),
    x: &[f32],
    [sums, spikes, counts]: [&mut [f32]; 3],
    z: &mut [u32],
) -> bool {
    let width = x.len();
    assert!([sums.len(), spikes.len(), counts.len()] == [width; 3], "rows are equally wide");
    let scale = threshold.recip();
    vectorized(
        #[inline(always)]
        || {
            let mut broken = 0.0;
            for (((x, sum), count), spike) in x.iter().zip(&mut *sums).zip(&mut *counts).zip(&mut *spikes) {
                *sum += x;
                // Zero times what is not finite is NaN.
                broken += *sum * 0.0;
                *spike = (steps_in(*sum, levels, scale) - *count).clamp(-1.0, 1.0);
                *count += *spike;
            }
            packed::pack_row(spikes, z);
            broken == 0.0
        },
    )
}

/// Appends the indices of the set bits of a row of packed spikes.
pub fn list_spikes(bits: &[u32], events: &mut Vec<u32>) {
    vectorized(
        #[inline(always)]
        || {
            for (index, pair) in bits.chunks(2).enumerate() {
                let mut left = u64::from(pair[0]) | pair.get(1).map_or(0, |&high| u64::from(high) << BITS);
                let (base, count) = ((index * 2 * BITS) as u32, left.count_ones() as usize);
                let end = events.len() + count;
                // Some at once, whether there are so many or not: fewer branches that cannot be foretold.
                for _ in 0..count.div_ceil(AT_ONCE) {
                    events.extend_from_slice(&core::array::from_fn::<u32, AT_ONCE, _>(|_| {
                        let event = base + left.trailing_zeros();
                        left &= left.wrapping_sub(1);
                        event
                    }));
                }
                events.truncate(end);
            }
        },
    );
}

/// Takes finished sums, plus bias, and leaves zeros for the next step.
///
/// # Panics
/// If `sums` is not as long as `to`, or `bias` shorter.
pub fn take_sums(sums: &mut [f32], bias: Option<&[f32]>, to: &mut [f32]) {
    assert_eq!(sums.len(), to.len(), "a sum for each result");
    vectorized(
        #[inline(always)]
        || {
            match bias {
                Some(bias) => {
                    let bias = &bias[..to.len()];
                    for ((to, sum), bias) in to.iter_mut().zip(&*sums).zip(bias) {
                        *to = sum + bias;
                    }
                }
                None => to.copy_from_slice(sums),
            }
            sums.fill(0.0);
        },
    );
}

/// Whether a convolution of floats goes Winograd's way, whose sums are not those of single products.
#[must_use]
pub fn takes_winograd(shape: &Convolution) -> bool {
    crate::convolution::takes_winograd(shape)
}
