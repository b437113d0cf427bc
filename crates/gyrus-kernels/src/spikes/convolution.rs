//! Convolutions of images of spikes: forward, and the gradient of the weight.
//!
//! An image is a row of [`packed`] spikes, `height * width * channels` elements, channels-last; `y`, weights and
//! [`Convolution`] are those of [`convolution`](crate::convolution), with time in the batch. The spikes under each
//! output pixel are listed. Forward, the weights that they select are summed; backward, the pixel's gradient is added
//! to the gradients of those weights; so zeros cost next to nothing. Each output is one chain of additions in ascending
//! order of kernel row, kernel column and channel, with the bias last, whatever the algorithm.
//!
//! Where spikes are many, images are unpacked and go through the dense kernels (but never Winograd's forward pass,
//! which rounds differently).

use pulp::{Arch, Simd, WithSimd};

use crate::base::bits::BITS;
use crate::base::parallel::{
    SharedMut, for_each_task, with_aligned_scratch, with_indices, with_scratch, with_words,
};
use crate::base::tile::{load, store};
use crate::convolution::{
    Convolution, ConvolutionGradients, convolution_backward, direct_convolution, images_per_group,
};
use crate::spikes::packed::{self, unpack, words};
use crate::spikes::sparse::{UNROLLED, add_rows, lanes, list_bits, panel_vectors};

/// Share of active inputs above which the dense kernels are faster: forward, and for the weight.
const DENSE_SHARE: f64 = 0.3;
const DENSE_SHARE_OF_WEIGHT: f64 = 0.3;
/// Multiplications per pixel below which the dense kernels are faster however few the spikes, because listing costs
/// more.
const DENSE_MULTIPLICATIONS: usize = 1024;
/// Floats of images that the dense kernels unpack at a time.
const DENSE_LEN: usize = 1 << 19;

/// Elements of an image.
fn image_len(shape: &Convolution) -> usize {
    shape.height * shape.width * shape.channels
}

fn check(shape: &Convolution, bits: &[u32]) {
    let expected = shape.batch * words(image_len(shape));
    assert_eq!(bits.len(), expected, "bits is [batch, words(height * width * channels)]");
}

/// Whether spikes are few enough, and the shape can be listed and is worth it.
fn is_sparse(shape: &Convolution, bits: &[u32], dense_share: f64) -> bool {
    shape.groups == 1
        && shape.taps() * shape.channels * shape.outputs >= DENSE_MULTIPLICATIONS
        && shape.taps() * shape.channels <= usize::from(u16::MAX)
        && packed::count(bits) as f64 <= dense_share * (shape.batch * image_len(shape)) as f64
}

/// Convolution of spikes, plus bias `[outputs]`. `y` is `[batch, out_height, out_width, outputs]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn spike_convolution(
    shape: &Convolution,
    bits: &[u32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    check(shape, bits);
    assert_eq!(weight.len(), shape.weight_len(), "weight is [outputs, channels / groups, kernel, kernel]");
    assert_eq!(y.len(), shape.output_len(), "y is [batch, out_height, out_width, outputs]");
    assert!(bias.is_none_or(|b| b.len() == shape.outputs), "bias is [outputs]");
    if is_sparse(shape, bits, DENSE_SHARE) {
        sparse(shape, bits, weight, bias, y);
    } else {
        dense(shape, bits, weight, bias, y);
    }
}

/// Gradient of [`spike_convolution`] for its weight, from `dy`, `[batch, out_height, out_width, outputs]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn spike_convolution_weight_gradient(shape: &Convolution, bits: &[u32], dy: &[f32], dw: &mut [f32]) {
    check(shape, bits);
    assert_eq!(dy.len(), shape.output_len(), "dy is [batch, out_height, out_width, outputs]");
    assert_eq!(dw.len(), shape.weight_len(), "dw is [outputs, channels / groups, kernel, kernel]");
    if is_sparse(shape, bits, DENSE_SHARE_OF_WEIGHT) {
        sparse_weight_gradient(shape, bits, dy, dw);
    } else {
        dense_weight_gradient(shape, bits, dy, dw);
    }
}

/// Runs `work(part of the shape, its first image, its floats)` for blocks of unpacked images.
fn for_each_unpacked(shape: &Convolution, bits: &[u32], mut work: impl FnMut(&Convolution, usize, &[f32])) {
    let len = image_len(shape);
    let each = (DENSE_LEN / len.max(1)).max(1).min(shape.batch);
    with_scratch(each * len, |x| {
        for first in (0..shape.batch).step_by(each.max(1)) {
            let batch = each.min(shape.batch - first);
            let x = &mut x[..batch * len];
            unpack(&bits[first * words(len)..][..batch * words(len)], len, x);
            work(&Convolution { batch, ..*shape }, first, x);
        }
    });
}

fn dense(shape: &Convolution, bits: &[u32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let out_len = shape.output_len() / shape.batch.max(1);
    for_each_unpacked(shape, bits, |part, first, x| {
        let y = &mut y[first * out_len..][..part.batch * out_len];
        direct_convolution(part, x, weight, bias, y);
    });
}

fn dense_weight_gradient(shape: &Convolution, bits: &[u32], dy: &[f32], dw: &mut [f32]) {
    let out_len = shape.output_len() / shape.batch.max(1);
    let len = dw.len();
    dw.fill(0.0);
    with_scratch(2 * len, |scratch| {
        let (weight, sums) = scratch.split_at_mut(len);
        // Only the gradient of the input would read the weight.
        weight.fill(0.0);
        for_each_unpacked(shape, bits, |part, first, x| {
            let dy = &dy[first * out_len..][..part.batch * out_len];
            let gradients = ConvolutionGradients { input: None, weight: Some(sums), bias: None };
            convolution_backward(part, x, weight, dy, None, gradients);
            dw.iter_mut().zip(&*sums).for_each(|(dw, sum)| *dw += sum);
        });
    });
}

/// How outputs are cut into panels of registers; a table has a row of full panels for each kernel element and channel.
#[derive(Clone, Copy)]
struct Panels {
    vectors: usize,
    width: usize,
    count: usize,
}

impl Panels {
    fn new(outputs: usize) -> Panels {
        let lanes = lanes();
        let vectors = panel_vectors(outputs, lanes);
        let width = vectors * lanes;
        Panels { vectors, width, count: outputs.div_ceil(width) }
    }

    /// Floats of a table: `[panel][tap, channel][width]`.
    fn table_len(&self, sources: usize) -> usize {
        self.count * sources * self.width
    }
}

/// Appends the spikes among bits `run` to the list at `length`, as indices from `base`, and returns the new length.
///
/// # Safety
/// As for [`window`].
#[inline(always)]
unsafe fn list_run(
    bits: &[u32],
    run: core::ops::Range<usize>,
    base: usize,
    list: *mut u16,
    mut length: usize,
) -> usize {
    for start in run.clone().step_by(2 * BITS) {
        let (word, shift) = (start / BITS, start % BITS);
        let [a, b, c] = [bits[word], bits[word + 1], bits[word + 2]].map(u64::from);
        // In two steps, since shifting by 64 is not defined.
        let mut found = (a | b << BITS) >> shift | (c << (BITS - 1 - shift + BITS)) << 1;
        let left = run.end - start;
        if left < 2 * BITS {
            found &= (1 << left) - 1;
        }
        // SAFETY: guaranteed by the caller.
        length = unsafe { list_bits(found, (base + start - run.start) as u16, list, length) };
    }
    length
}

/// Lists the spikes under output pixel `(row, column)` as indices `tap * channels + channel`, and returns their number.
///
/// # Safety
/// `list` has room for all of them and [`UNROLLED`] more. `bits` has two words more than the image.
#[inline(always)]
unsafe fn window(shape: &Convolution, bits: &[u32], (row, column): (usize, usize), list: *mut u16) -> usize {
    let [height, width, channels] = [shape.height, shape.width, shape.channels];
    let mut length = 0;
    for u in 0..shape.kernel[0] {
        let y = (row * shape.stride[0] + u * shape.dilation[0]).wrapping_sub(shape.padding[0]);
        if y >= height {
            continue;
        }
        let left = column * shape.stride[1];
        if shape.dilation[1] == 1 {
            // Kernel elements that lie within the image.
            let first = shape.padding[2].saturating_sub(left);
            let last = shape.kernel[1].min((width + shape.padding[2]).saturating_sub(left));
            if first < last {
                let start = (y * width + left + first - shape.padding[2]) * channels;
                let (end, base) =
                    (start + (last - first) * channels, (u * shape.kernel[1] + first) * channels);
                // SAFETY: guaranteed by the caller.
                length = unsafe { list_run(bits, start..end, base, list, length) };
            }
        } else {
            for v in 0..shape.kernel[1] {
                let x = (left + v * shape.dilation[1]).wrapping_sub(shape.padding[2]);
                if x < width {
                    let (start, base) = ((y * width + x) * channels, (u * shape.kernel[1] + v) * channels);
                    // SAFETY: as above.
                    length = unsafe { list_run(bits, start..start + channels, base, list, length) };
                }
            }
        }
    }
    length
}

/// An image's sums, or its part of the weight gradient.
struct Image<'a> {
    shape: &'a Convolution,
    panels: Panels,
    /// The image and two extra words.
    bits: &'a [u32],
    list: &'a mut [u16],
    work: Work<'a>,
}

enum Work<'a> {
    Forward { table: &'a [f32], bias: Option<&'a [f32]>, y: &'a mut [f32] },
    Weight { dy: &'a [f32], sums: &'a mut [f32] },
}

impl WithSimd for Image<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const NV: usize>(simd: S, image: Image<'_>) {
            let Image { shape, panels, bits, list, mut work } = image;
            let [_, out_width] = shape.output_size();
            let sources = shape.taps() * shape.channels;
            let width = NV * S::F32_LANES;
            let pixels = shape.output_len() / shape.batch;
            let mut line = vec![0.0f32; width];
            for (pixel, first) in (0..pixels).step_by(shape.outputs).enumerate() {
                // SAFETY: the list has room for every source and UNROLLED more.
                let length =
                    unsafe { window(shape, bits, (pixel / out_width, pixel % out_width), list.as_mut_ptr()) };
                let list = &list[..length];
                for panel in 0..panels.count {
                    let column = panel * width;
                    let columns = width.min(shape.outputs - column);
                    let at = first + column..first + column + columns;
                    // SAFETY: tables have a row of `width` floats for each source, and so has `line`.
                    unsafe {
                        match &mut work {
                            Work::Forward { table, bias, y } => {
                                let mut registers = [simd.splat_f32s(0.0); NV];
                                let table = table.as_ptr().add(panel * sources * width);
                                add_rows::<S, NV>(simd, list, table, &mut registers);
                                if columns == width {
                                    let y = y[at].as_mut_ptr();
                                    for (v, mut register) in registers.into_iter().enumerate() {
                                        if let Some(bias) = bias {
                                            let bias = bias[column..][..width].as_ptr();
                                            let bias = load::<S>(bias.add(v * S::F32_LANES));
                                            register = simd.add_f32s(register, bias);
                                        }
                                        store::<S>(y.add(v * S::F32_LANES), register);
                                    }
                                    continue;
                                }
                                for (v, register) in registers.into_iter().enumerate() {
                                    store::<S>(line.as_mut_ptr().add(v * S::F32_LANES), register);
                                }
                                let y = &mut y[at];
                                match bias {
                                    Some(bias) => {
                                        for ((y, sum), bias) in y.iter_mut().zip(&line).zip(&bias[column..]) {
                                            *y = sum + bias;
                                        }
                                    }
                                    None => y.copy_from_slice(&line[..columns]),
                                }
                            }
                            Work::Weight { dy, sums } => {
                                let mut from = &dy[at];
                                if columns < width {
                                    line[..columns].copy_from_slice(from);
                                    from = &line;
                                }
                                let gradient: [S::f32s; NV] =
                                    core::array::from_fn(|v| load::<S>(from.as_ptr().add(v * S::F32_LANES)));
                                let sums = sums.as_mut_ptr().add(panel * sources * width);
                                for &source in list {
                                    let row = sums.add(source as usize * width);
                                    for (v, gradient) in gradient.into_iter().enumerate() {
                                        let to = row.add(v * S::F32_LANES);
                                        store::<S>(to, simd.add_f32s(load::<S>(to), gradient));
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        match self.panels.vectors {
            1 => run::<S, 1>(simd, self),
            2 => run::<S, 2>(simd, self),
            4 => run::<S, 4>(simd, self),
            _ => run::<S, 8>(simd, self),
        }
    }
}

/// Lends an image's bits with two words of slack, and room for a list.
fn with_image<R>(
    shape: &Convolution,
    bits: &[u32],
    b: usize,
    work: impl FnOnce(&[u32], &mut [u16]) -> R,
) -> R {
    let width = words(image_len(shape));
    with_words(width + 2, |padded| {
        padded[..width].copy_from_slice(&bits[b * width..][..width]);
        padded[width..].fill(0);
        with_indices(shape.taps() * shape.channels + UNROLLED, |list| work(padded, list))
    })
}

fn sparse(shape: &Convolution, bits: &[u32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let panels = Panels::new(shape.outputs);
    let (taps, channels) = (shape.taps(), shape.channels);
    let sources = taps * channels;
    let out_len = shape.output_len() / shape.batch.max(1);
    let target = SharedMut(y.as_mut_ptr());
    with_aligned_scratch(panels.table_len(sources), |table| {
        table.fill(0.0);
        for (output, weight) in weight.chunks_exact(sources).enumerate() {
            let (panel, n) = (output / panels.width, output % panels.width);
            for (channel, weight) in weight.chunks_exact(taps).enumerate() {
                for (tap, &weight) in weight.iter().enumerate() {
                    table[(panel * sources + tap * channels + channel) * panels.width + n] = weight;
                }
            }
        }
        let table = &*table;
        for_each_task(shape.batch, shape.output_len() < 1 << 14, |b| {
            with_image(shape, bits, b, |bits, list| {
                // SAFETY: each task writes its own image.
                let y = unsafe { target.slice(b * out_len, out_len) };
                let work = Work::Forward { table, bias, y };
                Arch::new().dispatch(Image { shape, panels, bits, list, work });
            });
        });
    });
}

fn sparse_weight_gradient(shape: &Convolution, bits: &[u32], dy: &[f32], dw: &mut [f32]) {
    let panels = Panels::new(shape.outputs);
    let (taps, channels) = (shape.taps(), shape.channels);
    let sources = taps * channels;
    let out_len = shape.output_len() / shape.batch.max(1);
    let sums_len = panels.table_len(sources);
    let each = images_per_group(shape.batch, sums_len.max(1)).max(1);
    let groups = shape.batch.div_ceil(each);
    with_aligned_scratch(groups * sums_len, |all_sums| {
        let shared_sums = SharedMut(all_sums.as_mut_ptr());
        for_each_task(groups, shape.output_len() < 1 << 14, |group| {
            // SAFETY: each task has its own sums.
            let sums = unsafe { shared_sums.slice(group * sums_len, sums_len) };
            sums.fill(0.0);
            for b in group * each..shape.batch.min((group + 1) * each) {
                with_image(shape, bits, b, |bits, list| {
                    let work = Work::Weight { dy: &dy[b * out_len..][..out_len], sums };
                    Arch::new().dispatch(Image { shape, panels, bits, list, work });
                });
            }
        });
        let all_sums = &*all_sums;
        for (output, dw) in dw.chunks_exact_mut(sources).enumerate() {
            let (panel, n) = (output / panels.width, output % panels.width);
            for (channel, dw) in dw.chunks_exact_mut(taps).enumerate() {
                for (tap, dw) in dw.iter_mut().enumerate() {
                    let at = (panel * sources + tap * channels + channel) * panels.width + n;
                    *dw = (0..groups).map(|group| all_sums[group * sums_len + at]).sum();
                }
            }
        }
    });
}

#[cfg(test)]
mod tests;
