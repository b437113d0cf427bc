//! The forward pass, with the algorithm that suits the shape.

use pulp::Arch;

use super::pixels::{Pixels, copy_padded, pack_weights};
use super::shape::{Convolution, join_runs};
use super::{columns, depthwise, winograd};
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::tile::{Epilogue, PANEL, Residual, Runs};
use crate::dense::elementwise::Activation;
use crate::dense::matmul::{Right, matmul};

/// Tasks that a forward pass is cut into, at least, when there is enough work.
const TASKS: usize = 16;

/// Whether the forward pass uses Winograd's algorithm. Transformed weights are 16/9 as large as the weights themselves: for
/// so many channels they exceed the cache and are what takes the time, the more so since such layers see few pixels.
pub(crate) fn takes_winograd(shape: &Convolution) -> bool {
    winograd::fits(shape) && shape.channels * shape.outputs < 1 << 18
}

/// Floats written by [`pack`].
#[must_use]
pub fn packed_len(shape: &Convolution) -> usize {
    if shape.is_depthwise() {
        shape.weight_len()
    } else if takes_winograd(shape) {
        winograd::packed_len(shape)
    } else {
        direct_len(shape)
    }
}

/// Packs weights for [`convolution_packed`], once for many uses. The result depends neither on the batch nor on the
/// size of the images.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn pack(shape: &Convolution, weight: &[f32], packed: &mut [f32]) {
    assert_eq!(weight.len(), shape.weight_len(), "weight is [outputs, channels / groups, kernel, kernel]");
    assert_eq!(packed.len(), packed_len(shape), "packed is as long as packed_len says");
    if shape.is_depthwise() {
        depthwise::pack(shape, weight, packed);
    } else if takes_winograd(shape) {
        winograd::transform_weights(shape, weight, false, packed);
    } else {
        pack_direct(shape, weight, packed);
    }
}

/// Floats written by [`pack_direct`].
fn direct_len(shape: &Convolution) -> usize {
    shape.groups * shape.group_outputs().next_multiple_of(PANEL) * shape.group_channels() * shape.taps()
}

/// Weights for [`direct`].
fn pack_direct(shape: &Convolution, weight: &[f32], packed: &mut [f32]) {
    let (depth, results) = (shape.group_channels(), shape.group_outputs());
    let taps = shape.forward_taps();
    let group_len = packed.len() / shape.groups;
    for (group, packed) in packed.chunks_exact_mut(group_len).enumerate() {
        let at = |n, d, kernel| ((group * results + n) * depth + d) * taps.len() + kernel;
        pack_weights(weight, &taps, depth, results, at, packed);
    }
}

/// [`convolution`] in which every output is one sum in ascending order of kernel row, kernel column and channel, with
/// the bias added last.
pub(crate) fn direct_convolution(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    shape.check(x, weight, y);
    with_scratch(direct_len(shape), |packed| {
        pack_direct(shape, weight, packed);
        direct(shape, x, packed, Epilogue { bias, ..Epilogue::NONE }, y);
    });
}

/// Convolution, plus bias, plus `residual`, then the activation. For shapes see the [module](super); the residual is as long
/// as `y`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn convolution(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    activation: Option<Activation>,
    y: &mut [f32],
) {
    with_scratch(packed_len(shape), |packed| {
        pack(shape, weight, packed);
        convolution_packed(shape, x, packed, bias, residual, activation, y);
    });
}

/// [`convolution`] with weights from [`pack`].
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn convolution_packed(
    shape: &Convolution,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    activation: Option<Activation>,
    y: &mut [f32],
) {
    assert_eq!(x.len(), shape.input_len(), "x is [batch, height, width, channels]");
    assert_eq!(packed.len(), packed_len(shape), "packed is as long as packed_len says");
    assert_eq!(y.len(), shape.output_len(), "y is [batch, out_height, out_width, outputs]");
    assert!(bias.is_none_or(|b| b.len() == shape.outputs), "bias is [outputs]");
    assert!(residual.is_none_or(|r| r.len() == y.len()), "the residual is as long as y");
    let residual = residual.map(|r| Residual { residual: r.as_ptr(), out: y.as_ptr() });
    let epilogue = Epilogue { bias, activation, residual };
    if shape.is_depthwise() {
        depthwise::forward(shape, x, packed, epilogue, y);
    } else if takes_winograd(shape) {
        winograd::forward(shape, x, packed, epilogue, y);
    } else if shape.is_pointwise() {
        let pixels = x.len() / shape.channels;
        matmul(x, Right::Packed(packed), (pixels, shape.channels, shape.outputs), epilogue, y);
    } else if columns::fits(shape) {
        columns::forward(shape, x, packed, epilogue, y);
    } else {
        direct(shape, x, packed, epilogue, y);
    }
}

/// The forward pass pixel by pixel.
fn direct(shape: &Convolution, x: &[f32], packed: &[f32], epilogue: Epilogue<'_>, y: &mut [f32]) {
    let [out_height, out_width] = shape.output_size();
    let (depth, results) = (shape.group_channels(), shape.group_outputs());
    let taps = shape.forward_taps();
    let (offsets, length) = join_runs(&taps, shape.channels, depth);
    let group_len = packed.len() / shape.groups;

    // A small batch is cut into bands of rows so that every thread has work.
    let bands = TASKS.div_ceil(shape.batch).min(out_height).max(1);
    let band_rows = out_height.div_ceil(bands);
    let bands = out_height.div_ceil(band_rows);
    let padded_width = shape.padded_width();
    let from_offsets: Vec<u32> = (0..band_rows * out_width)
        .map(|pixel| {
            let (row, column) = (pixel / out_width, pixel % out_width);
            ((row * shape.stride[0] * padded_width + column * shape.stride[1]) * shape.channels) as u32
        })
        .collect();
    let out_offsets: Vec<u32> =
        (0..band_rows * out_width).map(|pixel| (pixel * shape.outputs) as u32).collect();
    let target = SharedMut(y.as_mut_ptr());
    let image_len = shape.height * shape.width * shape.channels;
    let unpadded = shape.padding == [0; 4];
    let serial = shape.output_len() * taps.len() * depth < 1 << 17;

    for_each_task(shape.batch * bands, serial, |task| {
        let (b, band) = (task / bands, task % bands);
        let first = band * band_rows;
        let count = band_rows.min(out_height - first);
        let rows = shape.rows_under(first, count);
        let image = &x[b * image_len..][..image_len];
        // SAFETY: tasks own disjoint bands of the output.
        let out = unsafe { target.get().add((b * out_height + first) * out_width * shape.outputs) };
        let run = |from: &[f32]| {
            for group in 0..shape.groups {
                let shifted: Vec<usize>;
                let offsets = if group == 0 {
                    &offsets
                } else {
                    shifted = offsets.iter().map(|offset| offset + group * depth).collect();
                    &shifted
                };
                Arch::new().dispatch(Pixels {
                    from: from.as_ptr(),
                    from_offsets: &from_offsets[..count * out_width],
                    runs: Runs { offsets, length },
                    panels: &packed[group * group_len..][..group_len],
                    out,
                    out_offsets: &out_offsets[..count * out_width],
                    column: group * results,
                    columns: results,
                    epilogue,
                });
            }
        };
        if unpadded {
            run(&image[rows.start * shape.width * shape.channels..]);
        } else {
            with_scratch(rows.len() * padded_width * shape.channels, |padded| {
                let size = (shape.height, shape.width, shape.channels);
                copy_padded(image, size, rows, shape.padding[0], shape.padding[2], padded_width, padded);
                run(padded);
            });
        }
    });
}
