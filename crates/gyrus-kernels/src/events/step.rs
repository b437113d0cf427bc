//! One step of neurons, listing their spikes, and taking finished sums.

use crate::base::bits::BITS;
use crate::base::parallel::vectorized;
use crate::convolution::Convolution;
use crate::dense::quantized_relu::steps_in;
use crate::neuron::{NeuronKind, forward_in_place};
use crate::spikes::packed;

/// Events listed per iteration.
const AT_ONCE: usize = 8;

/// One step of a row of neurons whose length is a multiple of 32, in place:
/// [`neuron_forward`](crate::neuron::neuron_forward) for one step. `constants` are nine rows; `u` receives the
/// potentials before a reset, `z` the packed spikes. Padding neurons have zero constants and zero state. Returns
/// whether every potential is finite.
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

/// One step of [signed](crate::neuron::signed) neurons: adds the row `x` to the `sums`, and the spikes −1, 0 and 1 that
/// are due to `counts`; `spikes` receives them, and `z` the bits of the neurons that fired. Rows are as in
/// [`membrane_step`]. Returns whether every sum is finite.
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
                // Zero times a number that is not finite is NaN.
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
                // Several per iteration, whether or not there are as many: fewer branches that cannot be predicted.
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

/// Moves finished sums, plus bias, to `to` and leaves zeros for the next step.
///
/// # Panics
/// If `sums` is not as long as `to`, or `bias` is shorter.
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

/// Whether a convolution of floats uses Winograd's algorithm, whose sums differ from those of single products.
#[must_use]
pub fn takes_winograd(shape: &Convolution) -> bool {
    crate::convolution::takes_winograd(shape)
}
