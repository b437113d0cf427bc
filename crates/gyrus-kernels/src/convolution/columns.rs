//! Convolutions as matrix products: the inputs of each output pixel are gathered into a row of a matrix (im2col), a few
//! thousand pixels at a time, and the rows are multiplied with the packed weights.
//!
//! Gathering costs `taps * channels` floats a pixel, which many outputs repay: the product takes two panels at once, and
//! reads weights that exceed the cache once for all pixels instead of once for each band of rows. Every output is the same
//! sum in the same order as in the direct form.

use super::shape::Convolution;
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::tile::{Epilogue, PANEL};
use crate::dense::matmul::{Right, matmul};

/// Floats that are gathered at a time, at most.
const GATHERED: usize = 1 << 19;
/// Pixels that one task gathers.
const TASK_PIXELS: usize = 48;

/// Whether gathering pays.
pub(super) fn fits(shape: &Convolution) -> bool {
    shape.groups == 1 && shape.outputs >= 4 * PANEL && shape.taps() * shape.channels >= 4 * PANEL
}

/// The forward pass; the caller has checked all lengths. `packed` holds the panels `[taps, channels, 16]` of all outputs.
pub(super) fn forward(shape: &Convolution, x: &[f32], packed: &[f32], epilogue: Epilogue<'_>, y: &mut [f32]) {
    let depth = shape.taps() * shape.channels;
    let chunk = (GATHERED / depth / TASK_PIXELS).max(1) * TASK_PIXELS;
    let [out_height, out_width] = shape.output_size();
    let total = shape.batch * out_height * out_width;
    with_scratch(chunk.min(total) * depth, |gathered| {
        for (index, y) in y.chunks_mut(chunk * shape.outputs).enumerate() {
            let pixels = y.len() / shape.outputs;
            let gathered = &mut gathered[..pixels * depth];
            let target = SharedMut(gathered.as_mut_ptr());
            for_each_task(pixels.div_ceil(TASK_PIXELS), gathered.len() < 1 << 14, |task| {
                let first = task * TASK_PIXELS;
                let count = TASK_PIXELS.min(pixels - first);
                // SAFETY: each task has its own pixels.
                let rows = unsafe { target.slice(first * depth, count * depth) };
                for (pixel, row) in (index * chunk + first..).zip(rows.chunks_exact_mut(depth)) {
                    let (image, within) =
                        (pixel / (out_height * out_width), pixel % (out_height * out_width));
                    gather(shape, x, image, (within / out_width, within % out_width), row);
                }
            });
            matmul(gathered, Right::Packed(packed), (pixels, depth, shape.outputs), epilogue, y);
        }
    });
}

/// The inputs of one output pixel, `[kernel row, kernel column, channel]`; zeros outside of the image.
fn gather(shape: &Convolution, x: &[f32], image: usize, (row, column): (usize, usize), to: &mut [f32]) {
    let channels = shape.channels;
    // The kernel columns that lie inside: `v` with `0 <= left + v * dilation < width`.
    let left = (column * shape.stride[1]) as isize - shape.padding[2] as isize;
    let step = shape.dilation[1];
    let inside = |from: isize| from.max(0).cast_unsigned().div_ceil(step).min(shape.kernel[1]);
    let (start, end) = (inside(-left), inside(shape.width as isize - left));
    for (u, to) in to.chunks_exact_mut(shape.kernel[1] * channels).enumerate() {
        let y = (row * shape.stride[0] + u * shape.dilation[0]) as isize - shape.padding[0] as isize;
        if y < 0 || y >= shape.height as isize || start >= end {
            to.fill(0.0);
            continue;
        }
        to[..start * channels].fill(0.0);
        to[end * channels..].fill(0.0);
        let first = (image * shape.height + y.cast_unsigned()) * shape.width;
        let from = (first as isize + left + (start * step) as isize).cast_unsigned() * channels;
        let to = &mut to[start * channels..end * channels];
        if step == 1 {
            to.copy_from_slice(&x[from..][..to.len()]);
        } else {
            for (v, to) in to.chunks_exact_mut(channels).enumerate() {
                to.copy_from_slice(&x[from + v * step * channels..][..channels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convolution::{direct_convolution, pack, packed_len};
    use crate::oracle::values;

    #[test]
    fn gathered_pixels_give_the_bits_of_the_direct_form() {
        for (height, width, kernel, stride, padding, dilation) in [
            (9, 7, [3, 3], [2, 2], [1, 1, 1, 1], [1, 1]),
            (30, 31, [7, 7], [2, 2], [3, 3, 3, 3], [1, 1]),
            (8, 9, [1, 1], [2, 3], [0, 0, 0, 0], [1, 1]),
            (6, 5, [3, 5], [1, 1], [2, 0, 7, 1], [2, 3]),
            (4, 4, [2, 3], [1, 2], [0, 1, 4, 4], [1, 1]),
        ] {
            let (channels, outputs) = (70, 4 * PANEL + 5);
            let shape = Convolution {
                batch: 3,
                height,
                width,
                channels,
                outputs,
                kernel,
                stride,
                padding,
                dilation,
                groups: 1,
            };
            assert!(fits(&shape));
            let (x, weight) = (values(shape.input_len(), 1), values(shape.weight_len(), 2));
            let bias = values(outputs, 3);
            let (mut expected, mut y) = (vec![0.0; shape.output_len()], vec![f32::NAN; shape.output_len()]);
            direct_convolution(&shape, &x, &weight, Some(&bias), &mut expected);
            let mut packed = vec![0.0; packed_len(&shape)];
            pack(&shape, &weight, &mut packed);
            forward(&shape, &x, &packed, Epilogue { bias: Some(&bias), ..Epilogue::NONE }, &mut y);
            assert!(y.iter().zip(&expected).all(|(y, e)| y.to_bits() == e.to_bits()), "{shape:?}");
        }
    }
}
