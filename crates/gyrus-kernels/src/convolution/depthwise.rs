//! Depthwise convolution: one kernel per channel, so each pixel is a few vectors multiplied and added along the
//! channels.
//!
//! Cost: `2 * y.len() * kernel_height * kernel_width` operations; memory-bound.

use super::pixels::{Frame, copy_padded};
use super::shape::Convolution;
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_scratch};
use crate::base::tile::Epilogue;

/// Packs the weights as `[taps, channels]`.
pub(crate) fn pack(shape: &Convolution, weight: &[f32], packed: &mut [f32]) {
    for (tap, row) in packed.chunks_exact_mut(shape.channels).enumerate() {
        for (channel, to) in row.iter_mut().enumerate() {
            *to = weight[channel * shape.taps() + tap];
        }
    }
}

pub(crate) fn forward(shape: &Convolution, x: &[f32], packed: &[f32], epilogue: Epilogue<'_>, y: &mut [f32]) {
    let [out_height, out_width] = shape.output_size();
    let taps = shape.forward_taps();
    let channels = shape.channels;
    let padded_width = shape.padded_width();
    let padded_height = shape.height + shape.padding[0] + shape.padding[1];
    let image_len = shape.height * shape.width * channels;
    let out_len = out_height * out_width * channels;
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(shape.batch, false, |b| {
        // SAFETY: each task writes its own image.
        let y = unsafe { core::slice::from_raw_parts_mut(target.get().add(b * out_len), out_len) };
        with_scratch(padded_height * padded_width * channels, |padded| {
            let image = &x[b * image_len..][..image_len];
            let size = (shape.height, shape.width, channels);
            let (top, left) = (shape.padding[0], shape.padding[2]);
            copy_padded(image, size, 0..padded_height, top, left, padded_width, padded);
            vectorized(
                #[inline(always)]
                || {
                    for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
                        match epilogue.bias {
                            Some(bias) => y.copy_from_slice(bias),
                            None => y.fill(0.0),
                        }
                        let (row, column) = (pixel / out_width, pixel % out_width);
                        let start =
                            (row * shape.stride[0] * padded_width + column * shape.stride[1]) * channels;
                        for (tap, w) in taps.iter().zip(packed.chunks_exact(channels)) {
                            let x = &padded[start + tap.offset..][..channels];
                            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                                *y += x * w;
                            }
                        }
                        if let Some(residual) = epilogue.residual {
                            // SAFETY: each element is in the output.
                            y.iter_mut().for_each(|y| *y += unsafe { *residual.at(y) });
                        }
                        if epilogue.relu {
                            y.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
                        }
                    }
                },
            );
        });
    });
}

/// The output's gradient needs no frame here.
pub(crate) fn no_frame(shape: &Convolution) -> Frame {
    let [height, width] = shape.output_size();
    Frame { top: 0, left: 0, height, width }
}

/// The gradients of one image: `dx`, and `dw` (padded input, sums `[taps, channels]` to add to).
pub(crate) fn backward(
    shape: &Convolution,
    weight: &[f32],
    dy: &[f32],
    dx: Option<&mut [f32]>,
    dw: Option<(&[f32], &mut [f32])>,
) {
    let [out_height, out_width] = shape.output_size();
    let taps = shape.forward_taps();
    let channels = shape.channels;
    let padded_width = shape.padded_width();
    let dy = &dy[..out_height * out_width * channels];
    let start = |pixel: usize| {
        let (row, column) = (pixel / out_width, pixel % out_width);
        (row * shape.stride[0] * padded_width + column * shape.stride[1]) * channels
    };
    if let Some((padded, sums)) = dw {
        vectorized(
            #[inline(always)]
            || {
                for (pixel, dy) in dy.chunks_exact(channels).enumerate() {
                    for (tap, sum) in taps.iter().zip(sums.chunks_exact_mut(channels)) {
                        let x = &padded[start(pixel) + tap.offset..][..channels];
                        for ((sum, x), dy) in sum.iter_mut().zip(x).zip(dy) {
                            *sum += x * dy;
                        }
                    }
                }
            },
        );
    }
    let Some(dx) = dx else { return };
    let padded_height = shape.height + shape.padding[0] + shape.padding[1];
    with_scratch(weight.len() + padded_height * padded_width * channels, |scratch| {
        let (packed, padded) = scratch.split_at_mut(weight.len());
        pack(shape, weight, packed);
        padded.fill(0.0);
        vectorized(
            #[inline(always)]
            || {
                for (pixel, dy) in dy.chunks_exact(channels).enumerate() {
                    for (tap, w) in taps.iter().zip(packed.chunks_exact(channels)) {
                        let dx = &mut padded[start(pixel) + tap.offset..][..channels];
                        for ((dx, w), dy) in dx.iter_mut().zip(w).zip(dy) {
                            *dx += w * dy;
                        }
                    }
                }
            },
        );
        for (row, dx) in dx.chunks_exact_mut(shape.width * channels).enumerate() {
            let from = ((row + shape.padding[0]) * padded_width + shape.padding[2]) * channels;
            dx.copy_from_slice(&padded[from..][..shape.width * channels]);
        }
    });
}
