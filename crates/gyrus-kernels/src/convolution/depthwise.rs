//! Depthwise convolution: one kernel per channel, so each pixel is a few vectors multiplied and added along the channels.
//!
//! Images are read in place. A [`Line`] computes a row of pixels from rows of another image, eight pixels of a vector of channels at
//! a time, whose sums stay in registers: the forward pass is one, and so is each row and column phase of the input's gradient. Where
//! the kernel reaches over the edge, pixels are computed one by one with the part of it that is inside.
//! Cost: `2 * y.len() * kernel_height * kernel_width` operations; one vector load each.

use pulp::{Arch, Scalar, Simd, WithSimd};

use super::gradients::{ConvolutionGradients, gather_bias, images_per_group};
use super::shape::Convolution;
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_scratch};
use crate::base::tile::{Epilogue, finish_vector, load, store};

/// Tasks that a pass is cut into, at least, when there is enough work.
const TASKS: usize = 16;
/// Operations below which everything stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 16;

/// Packs the weights as `[taps, channels]`.
pub(crate) fn pack(shape: &Convolution, weight: &[f32], packed: &mut [f32]) {
    for (tap, row) in packed.chunks_exact_mut(shape.channels).enumerate() {
        for (channel, to) in row.iter_mut().enumerate() {
            *to = weight[channel * shape.taps() + tap];
        }
    }
}

/// One kernel element that reaches a row.
#[derive(Clone, Copy)]
struct Tap {
    /// The first float of its row.
    row: usize,
    /// The column that it reads for result 0; may lie outside.
    column: isize,
    /// Its index in the kernel.
    kernel: usize,
}

/// A row of results, `result k = sum over taps of weight[tap] * from[tap.row][k * advance + tap.column]`, for each channel.
struct Line<'a> {
    /// An image, `[.., width, channels]`.
    from: *const f32,
    width: usize,
    channels: usize,
    advance: usize,
    taps: &'a [Tap],
    /// `[taps, channels]`
    packed: &'a [f32],
    out: *mut f32,
    /// Floats between results.
    spacing: usize,
    count: usize,
    epilogue: Epilogue<'a>,
}

impl WithSimd for Line<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.channels < S::F32_LANES {
            self.run(Scalar::new());
        } else {
            self.run(simd);
        }
    }
}

impl Line<'_> {
    /// Results for which every tap reads inside.
    fn inside(&self) -> core::ops::Range<usize> {
        let columns = self.taps.iter().map(|tap| tap.column);
        let (Some(least), Some(most)) = (columns.clone().min(), columns.max()) else { return 0..self.count };
        let first = usize::try_from(-least).unwrap_or(0).div_ceil(self.advance).min(self.count);
        let end = self.width as isize - most;
        let end = usize::try_from(end).unwrap_or(0).div_ceil(self.advance).min(self.count);
        first..end.max(first)
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S) {
        let inside = self.inside();
        let mut some = Vec::new();
        for result in (0..inside.start).chain(inside.end..self.count) {
            some.clear();
            some.extend(self.taps.iter().filter(|tap| {
                let column = (result * self.advance) as isize + tap.column;
                (0..self.width as isize).contains(&column)
            }));
            self.block::<S, 1>(simd, result, &some);
        }
        let mut result = inside.start;
        while inside.end - result >= 8 {
            self.block::<S, 8>(simd, result, self.taps);
            result += 8;
        }
        if inside.end - result >= 4 {
            self.block::<S, 4>(simd, result, self.taps);
            result += 4;
        }
        if inside.len() >= 4 && result < inside.end {
            // Some results again, which is faster than one by one.
            self.block::<S, 4>(simd, inside.end - 4, self.taps);
            return;
        }
        for result in result..inside.end {
            self.block::<S, 1>(simd, result, self.taps);
        }
    }

    /// Results `first .. first + P` with these taps, which all read inside.
    #[inline(always)]
    fn block<S: Simd, const P: usize>(&self, simd: S, first: usize, taps: &[Tap]) {
        let (channels, lanes) = (self.channels, S::F32_LANES);
        let step = self.advance * channels;
        let from = self.from.wrapping_add(first * step);
        let out = self.out.wrapping_add(first * self.spacing);
        let mut channel = 0;
        loop {
            let mut sums = [simd.splat_f32s(0.0); P];
            for tap in taps {
                let offset = tap.row as isize + tap.column * channels as isize + channel as isize;
                let x = from.wrapping_offset(offset);
                // SAFETY: the tap's columns of all results lie in its row, and `channel + lanes <= channels`.
                unsafe {
                    let weight = load::<S>(self.packed.as_ptr().add(tap.kernel * channels + channel));
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.mul_add_e_f32s(load::<S>(x.wrapping_add(i * step)), weight, *sum);
                    }
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let out = out.wrapping_add(i * self.spacing + channel);
                // SAFETY: the caller of the line owns these results.
                unsafe { finish_vector::<S>(simd, sum, out, channel, self.epilogue) };
            }
            if channel + lanes >= channels {
                return;
            }
            // The last vector may repeat channels of the one before.
            channel = (channel + lanes).min(channels - lanes);
        }
    }
}

/// How many bands of `rows` there are, and how many rows a band has.
fn bands(batch: usize, rows: usize) -> (usize, usize) {
    let band = rows.div_ceil(TASKS.div_ceil(batch.max(1)).min(rows).max(1)).max(1);
    (rows.div_ceil(band), band)
}

pub(crate) fn forward(shape: &Convolution, x: &[f32], packed: &[f32], epilogue: Epilogue<'_>, y: &mut [f32]) {
    let [out_height, out_width] = shape.output_size();
    let channels = shape.channels;
    let (image_len, out_row) = (shape.height * shape.width * channels, out_width * channels);
    let (bands, band) = bands(shape.batch, out_height);
    let target = SharedMut(y.as_mut_ptr());
    let serial = y.len() * shape.taps() < SERIAL_OPERATIONS;
    for_each_task(shape.batch * bands, serial, |task| {
        let (b, first) = (task / bands, task % bands * band);
        let image = &x[b * image_len..][..image_len];
        let mut taps = Vec::with_capacity(shape.taps());
        for row in first..out_height.min(first + band) {
            taps.clear();
            for u in 0..shape.kernel[0] {
                let at = row * shape.stride[0] + u * shape.dilation[0];
                let Some(at) = at.checked_sub(shape.padding[0]).filter(|at| *at < shape.height) else {
                    continue;
                };
                for v in 0..shape.kernel[1] {
                    taps.push(Tap {
                        row: at * shape.width * channels,
                        column: (v * shape.dilation[1]) as isize - shape.padding[2] as isize,
                        kernel: u * shape.kernel[1] + v,
                    });
                }
            }
            Arch::new().dispatch(Line {
                from: image.as_ptr(),
                width: shape.width,
                channels,
                advance: shape.stride[1],
                taps: &taps,
                packed,
                // Only this task writes these rows.
                out: target.get().wrapping_add((b * out_height + row) * out_row),
                spacing: channels,
                count: out_width,
                epilogue,
            });
        }
    });
}

/// The gradients of all images; `dy` is that of the results before the activation.
pub(crate) fn backward(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    gradients: ConvolutionGradients<'_>,
) {
    if let Some(dx) = gradients.input {
        input_gradient(shape, weight, dy, dx);
    }
    if gradients.weight.is_none() && gradients.bias.is_none() {
        return;
    }
    let [out_height, out_width] = shape.output_size();
    let (channels, taps) = (shape.channels, shape.taps());
    let (image_len, out_len) = (shape.height * shape.width * channels, out_height * out_width * channels);
    let (weight_len, wants_weight) = (taps * channels, gradients.weight.is_some());
    let sums_len = weight_len + channels;
    let images_each = images_per_group(shape.batch, sums_len);
    let groups = shape.batch.div_ceil(images_each);
    with_scratch(groups * sums_len, |all_sums| {
        let target = SharedMut(all_sums.as_mut_ptr());
        for_each_task(groups, dy.len() * taps < SERIAL_OPERATIONS, |group| {
            // SAFETY: each task has its own sums.
            let sums = unsafe { target.slice(group * sums_len, sums_len) };
            sums.fill(0.0);
            let (weight_sums, bias_sums) = sums.split_at_mut(weight_len);
            for b in group * images_each..shape.batch.min((group + 1) * images_each) {
                let dy = &dy[b * out_len..][..out_len];
                vectorized(
                    #[inline(always)]
                    || {
                        for pixel in dy.chunks_exact(channels) {
                            bias_sums.iter_mut().zip(pixel).for_each(|(sum, dy)| *sum += dy);
                        }
                    },
                );
                if wants_weight {
                    let image = &x[b * image_len..][..image_len];
                    Arch::new().dispatch(WeightSums { shape, image, dy, sums: weight_sums });
                }
            }
        });
        let all_sums = &*all_sums;
        if let Some(dw) = gradients.weight {
            for (channel, dw) in dw.chunks_exact_mut(taps).enumerate() {
                for (tap, dw) in dw.iter_mut().enumerate() {
                    let at = tap * channels + channel;
                    *dw = all_sums.chunks_exact(sums_len).map(|sums| sums[at]).sum();
                }
            }
        }
        if let Some(db) = gradients.bias {
            gather_bias(all_sums, sums_len, db);
        }
    });
}

/// The gradient of the input: rows and columns of one phase are reached by the same kernel elements.
fn input_gradient(shape: &Convolution, weight: &[f32], dy: &[f32], dx: &mut [f32]) {
    let [out_height, out_width] = shape.output_size();
    let (channels, stride) = (shape.channels, shape.stride);
    let (image_len, out_len) = (shape.height * shape.width * channels, out_height * out_width * channels);
    let (bands, band) = bands(shape.batch, shape.height);
    let serial = dx.len() * shape.taps() < SERIAL_OPERATIONS;
    with_scratch(weight.len(), |packed| {
        pack(shape, weight, packed);
        let packed = &*packed;
        let target = SharedMut(dx.as_mut_ptr());
        for_each_task(shape.batch * bands, serial, |task| {
            let (b, first) = (task / bands, task % bands * band);
            let dy = &dy[b * out_len..][..out_len];
            let mut taps = Vec::with_capacity(shape.taps());
            for row in first..shape.height.min(first + band) {
                for phase in 0..stride[1].min(shape.width) {
                    taps.clear();
                    for u in 0..shape.kernel[0] {
                        let from = (row + shape.padding[0]).checked_sub(u * shape.dilation[0]);
                        let from = from.filter(|from| from.is_multiple_of(stride[0]));
                        let Some(at) = from.map(|from| from / stride[0]).filter(|at| *at < out_height) else {
                            continue;
                        };
                        for v in 0..shape.kernel[1] {
                            let column =
                                (phase + shape.padding[2]) as isize - (v * shape.dilation[1]) as isize;
                            if column % stride[1] as isize == 0 {
                                taps.push(Tap {
                                    row: at * out_width * channels,
                                    column: column / stride[1] as isize,
                                    kernel: u * shape.kernel[1] + v,
                                });
                            }
                        }
                    }
                    Arch::new().dispatch(Line {
                        from: dy.as_ptr(),
                        width: out_width,
                        channels,
                        advance: 1,
                        taps: &taps,
                        packed,
                        // Only this task writes these rows.
                        out: target
                            .get()
                            .wrapping_add(b * image_len + (row * shape.width + phase) * channels),
                        spacing: stride[1] * channels,
                        count: (shape.width - phase).div_ceil(stride[1]),
                        epilogue: Epilogue::NONE,
                    });
                }
            }
        });
    });
}

/// Adds `x * dy` of one image to the sums, `[taps, channels]`.
struct WeightSums<'a> {
    shape: &'a Convolution,
    image: &'a [f32],
    dy: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for WeightSums<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.shape.channels < S::F32_LANES {
            self.run(Scalar::new());
        } else {
            self.run(simd);
        }
    }
}

impl WeightSums<'_> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S) {
        let (shape, image, dy) = (self.shape, self.image, self.dy);
        let [out_height, out_width] = shape.output_size();
        for row in 0..out_height {
            let dy = &dy[row * out_width * shape.channels..][..out_width * shape.channels];
            for u in 0..shape.kernel[0] {
                let at = row * shape.stride[0] + u * shape.dilation[0];
                let Some(at) = at.checked_sub(shape.padding[0]).filter(|at| *at < shape.height) else {
                    continue;
                };
                let x = &image[at * shape.width * shape.channels..][..shape.width * shape.channels];
                match shape.kernel[1] {
                    3 => self.row::<S, 3>(simd, x, dy, u, 0),
                    5 => self.row::<S, 5>(simd, x, dy, u, 0),
                    7 => self.row::<S, 7>(simd, x, dy, u, 0),
                    width => (0..width).for_each(|v| self.row::<S, 1>(simd, x, dy, u, v)),
                }
            }
        }
    }

    /// Adds the products of a row of inputs and a row of gradients to the sums of kernel elements `(u, first .. first + K)`.
    #[inline(always)]
    fn row<S: Simd, const K: usize>(&mut self, simd: S, x: &[f32], dy: &[f32], u: usize, first: usize) {
        let shape = self.shape;
        let (channels, stride, dilation) = (shape.channels, shape.stride[1], shape.dilation[1]);
        let [_, out_width] = shape.output_size();
        // Of the column that each element reads for result 0.
        let column = |v: usize| ((first + v) * dilation) as isize - shape.padding[2] as isize;
        let reads = |result: usize, v: usize| {
            let column = (result * stride) as isize + column(v);
            (0..shape.width as isize).contains(&column).then(|| column as usize * channels)
        };
        let begin = usize::try_from(-column(0)).unwrap_or(0).div_ceil(stride).min(out_width);
        let end = usize::try_from(shape.width as isize - column(K - 1)).unwrap_or(0).div_ceil(stride);
        let end = end.min(out_width).max(begin);
        let mut channel = 0;
        while channel < channels {
            // The last vector may begin among channels of the one before; it then adds to the others only.
            let lanes = S::F32_LANES;
            if channel + lanes > channels {
                for result in 0..out_width {
                    for v in 0..K {
                        let Some(at) = reads(result, v) else { continue };
                        for channel in channel..channels {
                            let sum = (u * shape.kernel[1] + first + v) * channels + channel;
                            self.sums[sum] += x[at + channel] * dy[result * channels + channel];
                        }
                    }
                }
                return;
            }
            let place: [usize; K] =
                core::array::from_fn(|v| (u * shape.kernel[1] + first + v) * channels + channel);
            // SAFETY: `channel + lanes <= channels`, so all vectors lie in their pixels; `reads` and the range from
            // `begin` to `end` keep columns inside of their row.
            unsafe {
                let mut sums: [S::f32s; K] =
                    core::array::from_fn(|v| load::<S>(self.sums.as_ptr().add(place[v])));
                let offset: [isize; K] = core::array::from_fn(|v| column(v) * channels as isize);
                for result in begin..end {
                    let dy = load::<S>(dy.as_ptr().add(result * channels + channel));
                    let x = x.as_ptr().wrapping_add(result * stride * channels + channel);
                    for v in 0..K {
                        sums[v] = simd.mul_add_e_f32s(load::<S>(x.wrapping_offset(offset[v])), dy, sums[v]);
                    }
                }
                for v in 0..K {
                    store::<S>(self.sums.as_mut_ptr().add(place[v]), sums[v]);
                }
                for result in (0..begin).chain(end..out_width) {
                    let dy = load::<S>(dy.as_ptr().add(result * channels + channel));
                    for (v, place) in place.iter().enumerate() {
                        let Some(at) = reads(result, v) else { continue };
                        let sum = self.sums.as_mut_ptr().add(*place);
                        let x = load::<S>(x.as_ptr().add(at + channel));
                        store::<S>(sum, simd.mul_add_e_f32s(x, dy, load::<S>(sum)));
                    }
                }
            }
            channel += lanes;
        }
    }
}
