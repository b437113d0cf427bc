//! The gradients of a convolution for its input, weight and bias, in one pass over the images.
//!
//! Each task takes a few images. It copies the output's gradient (zeroed where a fused ReLU was off) into a padded
//! scratch once and reads it twice: for the weight gradient, an outer product over pixels, and for the input gradient,
//! a convolution with the flipped kernel. A stride splits the input pixels into `stride * stride` phases, each an
//! ordinary convolution with a part of the kernel, so no zeros are multiplied. Cost: twice the forward pass.
//!
//! Weight gradients are summed per group of images, then over the groups in order. The grouping depends on the shape
//! alone, so the result is the same for any number of threads.

use pulp::{Arch, Simd, WithSimd};

use super::gradients::{ConvolutionGradients, gather_bias, images_per_group};
use super::pixels::{Frame, Pixels, copy_padded, pack_weights};
use super::shape::{Convolution, Tap, join_runs};
use super::{depthwise, winograd, winograd_backward};
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_scratch};
use crate::base::tile::{Epilogue, PANEL, Runs, Segment, outer, with_tile};
use crate::dense::elementwise::{Activation, activation_backward};

/// Floats of input and gradient per band of rows, so that the band stays in the cache for all tiles.
const BAND_LEN: usize = 12 << 10;

/// Input pixels that are reached by the same kernel elements.
struct Phase {
    offsets: Vec<usize>,
    length: usize,
    packed: Vec<f32>,
    /// Per pixel: offsets in floats into the padded gradient, and into the input's gradient.
    from_offsets: Vec<u32>,
    out_offsets: Vec<u32>,
}

/// For one axis and one phase: the kernel elements that reach it, each with how many output pixels it lies back.
fn reach(shape: &Convolution, axis: usize, phase: usize) -> Vec<(usize, usize)> {
    let (stride, dilation) = (shape.stride[axis], shape.dilation[axis]);
    (0..shape.kernel[axis])
        .filter(|tap| tap * dilation % stride == phase)
        .map(|tap| (tap, (tap * dilation - phase) / stride))
        .collect()
}

fn frame(shape: &Convolution) -> Frame {
    let out = shape.output_size();
    let input = [shape.height, shape.width];
    let mut before = [0; 2];
    let mut total = out;
    for axis in 0..2 {
        let reaches = (0..shape.stride[axis]).flat_map(|phase| reach(shape, axis, phase));
        before[axis] = reaches.map(|(_, back)| back).max().unwrap_or(0);
        let last = (input[axis] - 1 + shape.padding[2 * axis]) / shape.stride[axis];
        total[axis] = before[axis] + out[axis].max(last + 1);
    }
    Frame { top: before[0], left: before[1], height: total[0], width: total[1] }
}

fn phases(shape: &Convolution, weight: &[f32], frame: &Frame) -> Vec<Phase> {
    let (depth, results) = (shape.group_outputs(), shape.group_channels());
    let mut phases = Vec::new();
    for row_phase in 0..shape.stride[0] {
        for column_phase in 0..shape.stride[1] {
            let mut taps = Vec::new();
            for (u, back_rows) in reach(shape, 0, row_phase).into_iter().rev() {
                for (v, back_columns) in reach(shape, 1, column_phase).into_iter().rev() {
                    let pixel = (frame.top - back_rows) * frame.width + frame.left - back_columns;
                    taps.push(Tap { offset: pixel * shape.outputs, kernel: u * shape.kernel[1] + v });
                }
            }
            let (offsets, length) = join_runs(&taps, shape.outputs, depth);
            let group_len = results.next_multiple_of(PANEL) * depth * taps.len();
            let mut packed = vec![0.0; shape.groups * group_len];
            for group in 0..shape.groups {
                let at = |n, d, kernel| ((group * depth + d) * results + n) * shape.taps() + kernel;
                let packed = &mut packed[group * group_len..][..group_len];
                pack_weights(weight, &taps, depth, results, at, packed);
            }
            let (mut from_offsets, mut out_offsets) = (Vec::new(), Vec::new());
            // The first pixel of the phase, and every stride-th one after it.
            let start = |axis: usize, phase: usize| {
                let (stride, padding) = (shape.stride[axis], shape.padding[2 * axis]);
                (phase + stride - padding % stride) % stride
            };
            for row in (start(0, row_phase)..shape.height).step_by(shape.stride[0]) {
                for column in (start(1, column_phase)..shape.width).step_by(shape.stride[1]) {
                    let from_row = (row + shape.padding[0]) / shape.stride[0];
                    let from_column = (column + shape.padding[2]) / shape.stride[1];
                    from_offsets.push(((from_row * frame.width + from_column) * shape.outputs) as u32);
                    out_offsets.push(((row * shape.width + column) * shape.channels) as u32);
                }
            }
            phases.push(Phase { offsets, length, packed, from_offsets, out_offsets });
        }
    }
    phases
}

/// The gradients of [`convolution`](super::convolution).
///
/// `dy` is the gradient of the output. If the forward pass fused a ReLU, `activated` is its output: gradients stop
/// where it is zero. `x` is only read for the weight's gradient and may be empty without it.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn convolution_backward(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    activated: Option<&[f32]>,
    mut gradients: ConvolutionGradients<'_>,
) {
    let wants_weight = gradients.weight.is_some();
    if wants_weight {
        shape.check(x, weight, dy);
    } else {
        assert_eq!(
            weight.len(),
            shape.weight_len(),
            "weight is [outputs, channels / groups, kernel, kernel]"
        );
        assert_eq!(dy.len(), shape.output_len(), "dy is [batch, out_height, out_width, outputs]");
    }
    assert!(activated.is_none_or(|y| y.len() == dy.len()), "activated is as long as dy");
    assert!(
        gradients.input.as_ref().is_none_or(|g| g.len() == shape.input_len()),
        "gradient as long as the input"
    );
    assert!(
        gradients.weight.as_ref().is_none_or(|g| g.len() == weight.len()),
        "gradient as long as the weight"
    );
    assert!(
        gradients.bias.as_ref().is_none_or(|g| g.len() == shape.outputs),
        "gradient of the bias is [outputs]"
    );

    if winograd::fits(shape) {
        winograd_backward::backward(shape, x, weight, dy, activated, gradients);
        return;
    }
    if shape.is_depthwise() {
        match activated {
            None => depthwise::backward(shape, x, weight, dy, gradients),
            Some(y) => with_scratch(dy.len(), |masked| {
                activation_backward(Activation::Relu, y, dy, masked);
                depthwise::backward(shape, x, weight, masked, gradients);
            }),
        }
        return;
    }
    let [out_height, out_width] = shape.output_size();
    let frame = frame(shape);
    let phases = if gradients.input.is_some() { phases(shape, weight, &frame) } else { Vec::new() };
    let taps = shape.forward_taps();
    let (offsets, length) = join_runs(&taps, shape.channels, shape.group_channels());
    let (depth, results) = (shape.group_channels(), shape.group_outputs());
    // Sums of one group of images: [groups, taps * depth, results rounded up], then the bias.
    let results_wide = results.next_multiple_of(PANEL);
    let group_sums = taps.len() * depth * results_wide;
    let sums_len = shape.groups * group_sums + shape.outputs;
    let images_each = images_per_group(shape.batch, sums_len);
    let tasks = shape.batch.div_ceil(images_each);

    let padded_width = shape.padded_width();
    let padded_height = shape.height + shape.padding[0] + shape.padding[1];
    let x_len = padded_height * padded_width * shape.channels;
    let dy_len = frame.height * frame.width * shape.outputs;
    let image_len = shape.height * shape.width * shape.channels;
    let out_len = out_height * out_width * shape.outputs;
    let band_rows = {
        let row = shape.stride[0] * padded_width * shape.channels + frame.width * shape.outputs;
        (BAND_LEN / row).clamp(1, out_height)
    };
    let wants_bias = gradients.bias.is_some();
    let input_gradient = gradients.input.as_mut().map(|g| SharedMut(g.as_mut_ptr()));

    with_scratch(tasks * sums_len, |all_sums| {
        let sums_pointer = SharedMut(all_sums.as_mut_ptr());
        for_each_task(tasks, false, |task| {
            // SAFETY: each task has its own sums.
            let sums =
                unsafe { core::slice::from_raw_parts_mut(sums_pointer.get().add(task * sums_len), sums_len) };
            sums.fill(0.0);
            let (weight_sums, bias_sums) = sums.split_at_mut(sums_len - shape.outputs);
            // A panel's loads may run past the last pixel's outputs, hence the slack.
            with_scratch(x_len + dy_len + PANEL, |scratch| {
                let (padded_x, framed_dy) = scratch.split_at_mut(x_len);
                framed_dy.fill(0.0);
                for b in task * images_each..shape.batch.min((task + 1) * images_each) {
                    let dy = &dy[b * out_len..][..out_len];
                    let activated = activated.map(|y| &y[b * out_len..][..out_len]);
                    frame_gradient(shape, &frame, dy, activated, framed_dy);
                    if wants_bias {
                        sum_pixels(shape, &frame, framed_dy, bias_sums);
                    }
                    if wants_weight {
                        let image = &x[b * image_len..][..image_len];
                        let size = (shape.height, shape.width, shape.channels);
                        let (top, left) = (shape.padding[0], shape.padding[2]);
                        copy_padded(image, size, 0..padded_height, top, left, padded_width, padded_x);
                    }
                    if wants_weight {
                        for first in (0..out_height).step_by(band_rows) {
                            Arch::new().dispatch(WeightBand {
                                shape,
                                frame: &frame,
                                padded_x,
                                framed_dy,
                                runs: Runs { offsets: &offsets, length },
                                rows: first..out_height.min(first + band_rows),
                                sums: weight_sums,
                                group_sums,
                                results_wide,
                            });
                        }
                    }
                    if let Some(target) = input_gradient {
                        for phase in &phases {
                            input_phase(shape, phase, framed_dy, target.get().wrapping_add(b * image_len));
                        }
                    }
                }
            });
        });
        let all_sums = &*all_sums;
        if let Some(dw) = gradients.weight {
            let index = |output: usize, channel: usize, tap: usize| {
                let (group, n) = (output / results, output % results);
                group * group_sums + (tap * depth + channel) * results_wide + n
            };
            gather_weights(shape, all_sums, sums_len, index, dw);
        }
        if let Some(db) = gradients.bias {
            gather_bias(all_sums, sums_len, db);
        }
    });
}

/// Adds up the tasks' sums in order and writes them in the weight's layout.
fn gather_weights(
    shape: &Convolution,
    all_sums: &[f32],
    sums_len: usize,
    index: impl Fn(usize, usize, usize) -> usize + Sync,
    dw: &mut [f32],
) {
    let target = SharedMut(dw.as_mut_ptr());
    let (depth, taps) = (shape.group_channels(), shape.taps());
    for_each_task(shape.outputs.div_ceil(PANEL), dw.len() < 1 << 14, |block| {
        let outputs = block * PANEL..shape.outputs.min((block + 1) * PANEL);
        for channel in 0..depth {
            for tap in 0..taps {
                for output in outputs.clone() {
                    let at = index(output, channel, tap);
                    let sum: f32 = all_sums.chunks_exact(sums_len).map(|sums| sums[at]).sum();
                    // SAFETY: each task writes the weights of its own outputs.
                    unsafe { *target.get().add((output * depth + channel) * taps + tap) = sum };
                }
            }
        }
    });
}

/// Copies the gradient into its frame, with zeros where the fused ReLU was off.
fn frame_gradient(shape: &Convolution, frame: &Frame, dy: &[f32], activated: Option<&[f32]>, to: &mut [f32]) {
    let [_, out_width] = shape.output_size();
    let row_len = out_width * shape.outputs;
    vectorized(
        #[inline(always)]
        || {
            for (row, from) in dy.chunks_exact(row_len).enumerate() {
                let to = &mut to[((row + frame.top) * frame.width + frame.left) * shape.outputs..][..row_len];
                match activated {
                    None => to.copy_from_slice(from),
                    Some(y) => {
                        for ((to, from), y) in to.iter_mut().zip(from).zip(&y[row * row_len..][..row_len]) {
                            let gradient = *from;
                            *to = if *y > 0.0 { gradient } else { 0.0 };
                        }
                    }
                }
            }
        },
    );
}

/// Adds the gradient of every pixel to `[outputs]`.
fn sum_pixels(shape: &Convolution, frame: &Frame, framed_dy: &[f32], sums: &mut [f32]) {
    let [out_height, out_width] = shape.output_size();
    vectorized(
        #[inline(always)]
        || {
            for row in 0..out_height {
                let start = ((row + frame.top) * frame.width + frame.left) * shape.outputs;
                for pixel in framed_dy[start..][..out_width * shape.outputs].chunks_exact(shape.outputs) {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += value;
                    }
                }
            }
        },
    );
}

fn input_phase(shape: &Convolution, phase: &Phase, framed_dy: &[f32], out: *mut f32) {
    let (depth, results) = (shape.group_outputs(), shape.group_channels());
    let group_len = phase.packed.len() / shape.groups;
    for group in 0..shape.groups {
        let offsets: Vec<usize> = phase.offsets.iter().map(|offset| offset + group * depth).collect();
        Arch::new().dispatch(Pixels {
            from: framed_dy.as_ptr(),
            from_offsets: &phase.from_offsets,
            runs: Runs { offsets: &offsets, length: phase.length },
            panels: &phase.packed[group * group_len..][..group_len],
            out,
            out_offsets: &phase.out_offsets,
            column: group * results,
            columns: results,
            epilogue: Epilogue::NONE,
        });
    }
}

struct WeightBand<'a> {
    shape: &'a Convolution,
    frame: &'a Frame,
    padded_x: &'a [f32],
    framed_dy: &'a [f32],
    runs: Runs<'a>,
    rows: core::ops::Range<usize>,
    sums: &'a mut [f32],
    group_sums: usize,
    results_wide: usize,
}

impl WithSimd for WeightBand<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, band: WeightBand<'_>) {
            let shape = band.shape;
            let [_, out_width] = shape.output_size();
            let padded_row = shape.stride[0] * shape.padded_width() * shape.channels;
            let framed_row = band.frame.width * shape.outputs;
            let framed_start = (band.frame.top * band.frame.width + band.frame.left) * shape.outputs;
            for group in 0..shape.groups {
                let x = band.padded_x.as_ptr().wrapping_add(group * shape.group_channels());
                let y = band.framed_dy.as_ptr().wrapping_add(framed_start + group * shape.group_outputs());
                let sums = band.sums.as_mut_ptr().wrapping_add(group * band.group_sums);
                for (index, &offset) in band.runs.offsets.iter().enumerate() {
                    for k in (0..band.runs.length).step_by(MR) {
                        let height = MR.min(band.runs.length - k);
                        let row_of_sums = (index * band.runs.length + k) * band.results_wide;
                        let segments = |column| {
                            band.rows.clone().map(move |row| Segment {
                                x: x.wrapping_add(row * padded_row + offset + k),
                                y: y.wrapping_add(row * framed_row + column),
                                count: out_width,
                            })
                        };
                        // SAFETY: the pixels lie in the padded copies (the gradient's has a panel of slack), and the
                        // sums are `[taps * depth, results_wide]`.
                        unsafe {
                            outer::<S, MR, NV, false, _>(
                                simd,
                                height,
                                band.results_wide,
                                segments,
                                (shape.stride[1] * shape.channels, shape.outputs, PANEL),
                                (sums.wrapping_add(row_of_sums), band.results_wide),
                            );
                        }
                    }
                }
            }
        }
        with_tile!(simd, run(self));
    }
}
