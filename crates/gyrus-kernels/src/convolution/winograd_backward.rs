//! The gradients of Winograd's convolution; see [`super::winograd`] for the formula.
//!
//! Weight gradients are summed in transformed form per group of images, then over the groups in order, as in
//! [`super::backward`], and transformed back once at the end.

use pulp::{Arch, Simd, WithSimd};

use super::gradients::{ConvolutionGradients, gather_bias, images_per_group};
use super::shape::Convolution;
use super::winograd::{
    Block, Images, OUT, POSITIONS, SIDE, Tiles, both_axes, one_axis, packed_len, transform_weights,
};
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::tile::{PANEL, Segment, load, outer, store, with_tile};

/// [`convolution_backward`](super::convolution_backward), which has checked all lengths.
pub(crate) fn backward(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    activated: Option<&[f32]>,
    gradients: ConvolutionGradients<'_>,
) {
    let wants_weight = gradients.weight.is_some();
    let wants_bias = gradients.bias.is_some();
    let input = gradients.input.map(|g| SharedMut(g.as_mut_ptr()));
    let weight_len = if wants_weight { packed_len(shape) } else { 0 };
    let sums_len = weight_len + shape.outputs;
    let images_each = images_per_group(shape.batch, sums_len);
    let groups = shape.batch.div_ceil(images_each);
    let transposed_len = if input.is_some() { packed_len(shape) } else { 0 };
    with_scratch(transposed_len + groups * sums_len, |scratch| {
        let (transposed, all_sums) = scratch.split_at_mut(transposed_len);
        if input.is_some() {
            transform_weights(shape, weight, true, transposed);
        }
        let (transposed, sums) = (&*transposed, SharedMut(all_sums.as_mut_ptr()));
        for_each_task(groups, false, |group| {
            // SAFETY: each group has its own sums.
            let sums = unsafe { core::slice::from_raw_parts_mut(sums.get().add(group * sums_len), sums_len) };
            sums.fill(0.0);
            let (weight_sums, bias_sums) = sums.split_at_mut(weight_len);
            let group = Group {
                shape,
                images: group * images_each..shape.batch.min((group + 1) * images_each),
                x,
                dy,
                activated,
                input: input.map(|input| (transposed, input.get())),
                weight_sums: wants_weight.then_some(weight_sums),
                bias_sums: wants_bias.then_some(bias_sums),
            };
            group.run();
        });
        if let Some(dw) = gradients.weight {
            gather_weights(shape, all_sums, sums_len, dw);
        }
        if let Some(db) = gradients.bias {
            gather_bias(all_sums, sums_len, db);
        }
    });
}

/// A group of images: the inputs of their gradients, and where these go.
struct Group<'a> {
    shape: &'a Convolution,
    /// Images of the batch.
    images: core::ops::Range<usize>,
    x: &'a [f32],
    dy: &'a [f32],
    /// The output, where a ReLU was fused.
    activated: Option<&'a [f32]>,
    /// Transformed weights, [transposed](transform_weights), and the gradient of the whole input.
    input: Option<(&'a [f32], *mut f32)>,
    /// Sums of these images: `[position, channels, outputs]`.
    weight_sums: Option<&'a mut [f32]>,
    /// Sums of these images: `[outputs]`.
    bias_sums: Option<&'a mut [f32]>,
}

impl Group<'_> {
    /// Adds up and writes the gradients of these images.
    fn run(self) {
        let shape = self.shape;
        let tiles = Tiles::new(shape, self.images.len());
        let lengths = [
            tiles.block_len(shape.channels),
            tiles.block_len(shape.outputs),
            shape.channels.max(shape.outputs),
            shape.channels,
        ];
        with_scratch(lengths.iter().sum(), |scratch| {
            let (inputs, rest) = scratch.split_at_mut(lengths[0]);
            let (gradients, rest) = rest.split_at_mut(lengths[1]);
            let (zeros, ignored) = rest.split_at_mut(lengths[2]);
            zeros.fill(0.0);
            ignored.fill(0.0);
            Arch::new().dispatch(Blocks {
                work: self,
                tiles,
                inputs: inputs.as_mut_ptr(),
                gradients: gradients.as_mut_ptr(),
                zeros: zeros.as_mut_ptr(),
                ignored: ignored.as_mut_ptr(),
            });
        });
    }
}

struct Blocks<'a> {
    work: Group<'a>,
    tiles: Tiles,
    /// A block's transformed inputs, later their gradients.
    inputs: *mut f32,
    /// A block's transformed output gradients.
    gradients: *mut f32,
    zeros: *mut f32,
    ignored: *mut f32,
}

impl WithSimd for Blocks<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, mut this: Blocks<'_>) {
            let shape = this.work.shape;
            let per_image = this.tiles.per_image();
            let end = this.work.images.end * per_image;
            let mut first = this.work.images.start * per_image;
            if let Some((_, dx)) = this.work.input {
                let image_len = shape.height * shape.width * shape.channels;
                let count = this.work.images.len() * image_len;
                // SAFETY: only this task writes the gradient of these images.
                unsafe { dx.add(this.work.images.start * image_len).write_bytes(0, count) };
            }
            while first < end {
                let block = Block { tiles: this.tiles, range: first..end.min(first + this.tiles.block) };
                // SAFETY: the scratch is as long as the block, and all images of the tiles exist.
                unsafe {
                    this.transform_gradient(simd, &block);
                    if this.work.weight_sums.is_some() {
                        let x = this.inputs_as(this.work.x.as_ptr().cast_mut(), this.zeros);
                        block.transform_input(simd, shape, x, this.inputs);
                        this.add_weight_gradient::<S, MR, NV>(simd, &block);
                    }
                    if let Some((packed, dx)) = this.work.input {
                        let (gradients, results) =
                            ((this.gradients.cast_const(), shape.outputs), (this.inputs, shape.channels));
                        block.multiply::<S, MR, NV>(simd, gradients, packed, results);
                        this.add_input_gradient(simd, &block, this.inputs_as(dx, this.ignored));
                    }
                }
                first = block.range.end;
            }
        }
        with_tile!(simd, run(self));
    }
}

impl Blocks<'_> {
    fn inputs_as(&self, first: *mut f32, outside: *mut f32) -> Images {
        let Convolution { height, width, channels, .. } = *self.work.shape;
        Images { first, outside, height, width, channels }
    }

    /// `A dY Aᵀ` of each tile: `[position, tile, outputs]`; and the sums for the bias.
    #[inline(always)]
    unsafe fn transform_gradient<S: Simd>(&mut self, simd: S, block: &Block) {
        let outputs = self.work.shape.outputs;
        let [height, width] = self.work.shape.output_size();
        let images = |first: *const f32| Images {
            first: first.cast_mut(),
            outside: self.zeros,
            height,
            width,
            channels: outputs,
        };
        let dy = images(self.work.dy.as_ptr());
        let activated = self.work.activated.map(|y| images(y.as_ptr()));
        let position_len = block.tiles.position_len(outputs);
        let zero = simd.splat_f32s(0.0);
        for (index, tile) in block.range.clone().enumerate() {
            let (image, row, column) = block.tiles.place(tile);
            let pixels = dy.square::<OUT>(image, row as isize, column as isize);
            let masks = activated.map(|y| y.square::<OUT>(image, row as isize, column as isize));
            for c in (0..outputs).step_by(S::F32_LANES) {
                // SAFETY: pixels are `outputs` long, as is a tile's place in each position.
                unsafe {
                    let mut g = pixels.map(|row| row.map(|pixel| load::<S>(pixel.add(c))));
                    if let Some(masks) = masks {
                        g = core::array::from_fn(|i| {
                            core::array::from_fn(|j| {
                                let on = simd.less_than_f32s(zero, load::<S>(masks[i][j].add(c)));
                                simd.select_f32s(on, g[i][j], zero)
                            })
                        });
                    }
                    if let Some(sums) = &mut self.work.bias_sums {
                        let sum =
                            simd.add_f32s(simd.add_f32s(g[0][0], g[0][1]), simd.add_f32s(g[1][0], g[1][1]));
                        let to = sums.as_mut_ptr().add(c);
                        store::<S>(to, simd.add_f32s(load::<S>(to), sum));
                    }
                    let w = both_axes(g, |g| one_axis::output_gradient(simd, g));
                    for (position, w) in w.into_iter().flatten().enumerate() {
                        store::<S>(self.gradients.add(position * position_len + index * outputs + c), w);
                    }
                }
            }
        }
    }

    /// For every position: transposed inputs times gradients, `[channels, tiles] × [tiles, outputs]`.
    #[inline(always)]
    unsafe fn add_weight_gradient<S: Simd, const MR: usize, const NV: usize>(
        &mut self,
        simd: S,
        block: &Block,
    ) {
        let (channels, outputs) = (self.work.shape.channels, self.work.shape.outputs);
        let Some(sums) = &mut self.work.weight_sums else { return };
        for position in 0..POSITIONS {
            let x = self.inputs.wrapping_add(position * block.tiles.position_len(channels));
            let y = self.gradients.wrapping_add(position * block.tiles.position_len(outputs));
            let sums = sums.as_mut_ptr().wrapping_add(position * channels * outputs);
            for channel in (0..channels).step_by(MR) {
                let rows = MR.min(channels - channel);
                let segments = |column| {
                    core::iter::once(Segment {
                        x: x.wrapping_add(channel),
                        y: y.wrapping_add(column),
                        count: block.range.len(),
                    })
                };
                let out = sums.wrapping_add(channel * outputs);
                // SAFETY: tiles are rows of `channels` and `outputs` floats, the sums `[channels, outputs]`.
                unsafe {
                    let strides = (channels, outputs, PANEL);
                    outer::<S, MR, NV, false, _>(simd, rows, outputs, segments, strides, (out, outputs));
                }
            }
        }
    }

    /// Adds `B m Bᵀ` of each tile to the gradient of the pixels that it read.
    #[inline(always)]
    unsafe fn add_input_gradient<S: Simd>(&self, simd: S, block: &Block, dx: Images) {
        let padding = self.work.shape.padding;
        let position_len = block.tiles.position_len(dx.channels);
        for (index, tile) in block.range.clone().enumerate() {
            let (image, row, column) = block.tiles.place(tile);
            let (row, column) = (row as isize - padding[0] as isize, column as isize - padding[2] as isize);
            let pixels = dx.square::<SIDE>(image, row, column);
            for c in (0..dx.channels).step_by(S::F32_LANES) {
                // SAFETY: pixels are `channels` long, as is a tile's place in each position.
                unsafe {
                    let at = self.inputs.add(index * dx.channels + c);
                    let m = core::array::from_fn(|i| {
                        core::array::from_fn(|j| load::<S>(at.add((SIDE * i + j) * position_len)))
                    });
                    let d = both_axes(m, |m| one_axis::input_gradient(simd, m));
                    for (pixel, d) in pixels.into_iter().flatten().zip(d.into_iter().flatten()) {
                        store::<S>(pixel.add(c), simd.add_f32s(load::<S>(pixel.add(c)), d));
                    }
                }
            }
        }
    }
}

/// Adds up the tasks' sums in order and writes `Gᵀ u G` of them in the weight's layout.
fn gather_weights(shape: &Convolution, all_sums: &[f32], sums_len: usize, dw: &mut [f32]) {
    let target = SharedMut(dw.as_mut_ptr());
    let (channels, outputs) = (shape.channels, shape.outputs);
    for_each_task(outputs / PANEL, channels * outputs < 1 << 10, |panel| {
        Arch::new().dispatch(WeightGradient { panel, channels, outputs, all_sums, sums_len, to: target });
    });
}

struct WeightGradient<'a> {
    panel: usize,
    channels: usize,
    outputs: usize,
    all_sums: &'a [f32],
    sums_len: usize,
    to: SharedMut,
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let first = self.panel * PANEL;
        for channel in 0..self.channels {
            let mut g = [[0.0f32; PANEL]; 9];
            for v in (0..PANEL).step_by(S::F32_LANES) {
                let sum = |position: usize| {
                    let at = (position * self.channels + channel) * self.outputs + first + v;
                    let mut sum = simd.splat_f32s(0.0);
                    for sums in self.all_sums.chunks_exact(self.sums_len) {
                        // SAFETY: `v + F32_LANES <= PANEL`, within a row of the sums.
                        sum = simd.add_f32s(sum, unsafe { load::<S>(sums[at..].as_ptr()) });
                    }
                    sum
                };
                let u = core::array::from_fn(|i| core::array::from_fn(|j| sum(SIDE * i + j)));
                let results = both_axes(u, |u| one_axis::weight_gradient(simd, u));
                for (g, result) in g.iter_mut().zip(results.into_iter().flatten()) {
                    // SAFETY: within a row of `g`.
                    unsafe { store::<S>(g.as_mut_ptr().add(v), result) };
                }
            }
            for n in 0..PANEL {
                for (tap, g) in g.iter().enumerate() {
                    // SAFETY: only this task writes the weights of its outputs.
                    unsafe { *self.to.get().add(((first + n) * self.channels + channel) * 9 + tap) = g[n] };
                }
            }
        }
    }
}
