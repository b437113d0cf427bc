//! Two-dimensional convolution over channels-last pictures: shape, forward pass and what both passes share.
//!
//! `x` is `[batch, height, width, channels]`, `weight` `[outputs, channels / groups, kernel_height, kernel_width]` (as
//! PyTorch keeps it), `y` `[batch, out_height, out_width, outputs]`:
//!
//! `y[b, i, j, o] = bias[o] + sum_{u, v, c} weight[o, c, u, v] * x[b, i * s - p + u * d, j * s - p + v * d, c]`
//!
//! Each picture is copied into a zero-padded scratch that stays in the cache; with channels last, the inputs of one
//! output pixel are then a few contiguous runs that the register tile reads in place: no im2col. Cost:
//! `2 * y.len() * kernel_height * kernel_width * channels / groups` operations. 3×3 kernels of stride 1 between
//! 32 channels or more (multiples of 16) take Winograd's way instead, with 4 multiplications for 9.

pub(crate) mod backward;
mod depthwise;
pub mod pooling;
pub(crate) mod winograd;
mod winograd_backward;

use pulp::{Arch, Simd, WithSimd};

use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::tile::{Epilogue, PANEL, Residual, Runs, inner, with_tile};

pub use backward::{ConvolutionGradients, convolution_backward};

/// Tasks that a forward pass is cut into, at least, when there is enough to do.
const TASKS: usize = 16;

/// The shape of a convolution. All sizes in pixels or channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Pictures.
    pub batch: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Steps down and across.
    pub stride: [usize; 2],
    /// Zeros added at the top, bottom, left and right.
    pub padding: [usize; 4],
    /// Distance between kernel elements, down and across; 1 is a dense kernel.
    pub dilation: [usize; 2],
    /// Channel groups that do not see each other; `channels` of them is a depthwise convolution.
    pub groups: usize,
}

impl Convolution {
    /// Height and width of the output.
    ///
    /// # Panics
    /// If the kernel does not fit into the padded input, or the groups do not divide the channels.
    pub fn output_size(&self) -> [usize; 2] {
        let span = self.span();
        let padded =
            [self.height + self.padding[0] + self.padding[1], self.width + self.padding[2] + self.padding[3]];
        assert!(span[0] <= padded[0] && span[1] <= padded[1], "the kernel is larger than the padded input");
        assert!(
            self.channels.is_multiple_of(self.groups) && self.outputs.is_multiple_of(self.groups),
            "groups divide the input and output channels"
        );
        [(padded[0] - span[0]) / self.stride[0] + 1, (padded[1] - span[1]) / self.stride[1] + 1]
    }

    /// Floats in the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// Floats in the output.
    pub fn output_len(&self) -> usize {
        let [height, width] = self.output_size();
        self.batch * height * width * self.outputs
    }

    /// Floats in the weight.
    pub fn weight_len(&self) -> usize {
        self.outputs * self.group_channels() * self.taps()
    }

    /// Input pixels that the dilated kernel spans.
    fn span(&self) -> [usize; 2] {
        core::array::from_fn(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }

    pub(crate) fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    pub(crate) fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    pub(crate) fn padded_width(&self) -> usize {
        self.width + self.padding[2] + self.padding[3]
    }

    /// Depthwise with one output a channel: too thin for the register tile, it has loops of its own.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.channels && self.outputs == self.channels && self.channels > 1
    }

    /// Rows of the padded input under output rows `first .. first + count`.
    pub(crate) fn rows_under(&self, first: usize, count: usize) -> core::ops::Range<usize> {
        let top = first * self.stride[0];
        top..top + (count - 1) * self.stride[0] + self.span()[0]
    }

    /// Kernel elements in memory order, each with its place in the padded picture and in the kernel.
    pub(crate) fn forward_taps(&self) -> Vec<Tap> {
        let mut taps = Vec::with_capacity(self.taps());
        for u in 0..self.kernel[0] {
            for v in 0..self.kernel[1] {
                let pixel = u * self.dilation[0] * self.padded_width() + v * self.dilation[1];
                taps.push(Tap { offset: pixel * self.channels, kernel: u * self.kernel[1] + v });
            }
        }
        taps
    }

    pub(crate) fn check(&self, x: &[f32], weight: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.input_len(), "x is [batch, height, width, channels]");
        assert_eq!(weight.len(), self.weight_len(), "weight is [outputs, channels / groups, kernel, kernel]");
        assert_eq!(y.len(), self.output_len(), "y is [batch, out_height, out_width, outputs]");
    }
}

/// One kernel element: where it reads, in floats from its pixel's pointer, and its index in the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) offset: usize,
    pub(crate) kernel: usize,
}

/// Joins taps whose channels follow each other in memory into longer runs; all runs are equally long.
pub(crate) fn join_runs(taps: &[Tap], channels: usize, group_channels: usize) -> (Vec<usize>, usize) {
    let single = || (taps.iter().map(|tap| tap.offset).collect(), group_channels);
    if group_channels != channels || taps.is_empty() {
        return single();
    }
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for tap in taps {
        match joined.last_mut() {
            Some((offset, length)) if *offset + *length == tap.offset => *length += channels,
            _ => joined.push((tap.offset, channels)),
        }
    }
    if joined.iter().all(|run| run.1 == joined[0].1) {
        let length = joined[0].1;
        (joined.into_iter().map(|run| run.0).collect(), length)
    } else {
        single()
    }
}

/// Copies rows `rows` of the padded picture, which need not all exist, into `to`: `[rows, padded_width, channels]`.
pub(crate) fn copy_padded(
    picture: &[f32],
    (height, width, channels): (usize, usize, usize),
    rows: core::ops::Range<usize>,
    top: usize,
    left: usize,
    padded_width: usize,
    to: &mut [f32],
) {
    let row_len = padded_width * channels;
    for (row, to) in rows.zip(to.chunks_exact_mut(row_len)) {
        if row < top || row >= top + height {
            to.fill(0.0);
            continue;
        }
        let from = &picture[(row - top) * width * channels..][..width * channels];
        to[..left * channels].fill(0.0);
        to[left * channels..][..width * channels].copy_from_slice(from);
        to[(left + width) * channels..].fill(0.0);
    }
}

/// Packs the weights of one group for [`inner`]: panels of 16 results, each `[taps, depth, 16]`.
///
/// `at(result, depth, kernel)` is the weight's index.
pub(crate) fn pack_weights(
    weight: &[f32],
    taps: &[Tap],
    depth: usize,
    results: usize,
    at: impl Fn(usize, usize, usize) -> usize,
    packed: &mut [f32],
) {
    let mut rows = packed.chunks_exact_mut(PANEL);
    for first in (0..results).step_by(PANEL) {
        for tap in taps {
            for (d, row) in (0..depth).zip(&mut rows) {
                for (n, to) in (first..).zip(row) {
                    *to = if n < results { weight[at(n, d, tap.kernel)] } else { 0.0 };
                }
            }
        }
    }
}

/// A stretch of output pixels times all panels of one group.
pub(crate) struct Pixels<'a> {
    /// Padded input.
    pub(crate) from: *const f32,
    /// Floats from `from` to each pixel's first input.
    pub(crate) from_offsets: &'a [u32],
    pub(crate) runs: Runs<'a>,
    /// Panels of the group.
    pub(crate) panels: &'a [f32],
    pub(crate) out: *mut f32,
    /// Floats from `out` to each pixel's first result.
    pub(crate) out_offsets: &'a [u32],
    /// First result channel, and how many.
    pub(crate) column: usize,
    pub(crate) columns: usize,
    pub(crate) epilogue: Epilogue<'a>,
}

impl WithSimd for Pixels<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, task: Pixels<'_>) {
            let panel_len = task.runs.offsets.len() * task.runs.length * PANEL;
            for index in 0..task.columns.div_ceil(PANEL) {
                let column = task.column + index * PANEL;
                // SAFETY: the caller built offsets that lie in its padded input and its output.
                unsafe {
                    inner::<S, MR, NV, false>(
                        simd,
                        0..task.from_offsets.len(),
                        |pixel| task.from.wrapping_add(task.from_offsets[pixel] as usize),
                        task.runs,
                        task.panels.as_ptr().add(index * panel_len),
                        |pixel| task.out.wrapping_add(task.out_offsets[pixel] as usize + column),
                        column,
                        PANEL.min(task.columns - index * PANEL),
                        task.epilogue,
                    );
                }
            }
        }
        with_tile!(simd, run(self));
    }
}

/// Floats that [`pack`] writes.
#[must_use]
pub fn packed_len(shape: &Convolution) -> usize {
    if shape.is_depthwise() {
        shape.weight_len()
    } else if winograd::fits(shape) {
        winograd::packed_len(shape)
    } else {
        direct_len(shape)
    }
}

/// Rearranges weights for [`convolution_packed`], once for many uses. Neither the batch nor the size of the pictures
/// matters.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn pack(shape: &Convolution, weight: &[f32], packed: &mut [f32]) {
    assert_eq!(weight.len(), shape.weight_len(), "weight is [outputs, channels / groups, kernel, kernel]");
    assert_eq!(packed.len(), packed_len(shape), "packed is as long as packed_len says");
    if shape.is_depthwise() {
        depthwise::pack(shape, weight, packed);
    } else if winograd::fits(shape) {
        winograd::transform_weights(shape, weight, false, packed);
    } else {
        pack_direct(shape, weight, packed);
    }
}

/// Floats that [`pack_direct`] writes.
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

/// [`convolution`] whose every output is one sum in ascending order of kernel row, kernel column and channel, and then
/// the bias.
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

/// Convolution, plus bias, plus `residual`, then zero where negative if `relu`. Shapes as in the [module](self); the
/// residual is as long as `y`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn convolution(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    with_scratch(packed_len(shape), |packed| {
        pack(shape, weight, packed);
        convolution_packed(shape, x, packed, bias, residual, relu, y);
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
    relu: bool,
    y: &mut [f32],
) {
    assert_eq!(x.len(), shape.input_len(), "x is [batch, height, width, channels]");
    assert_eq!(packed.len(), packed_len(shape), "packed is as long as packed_len says");
    assert_eq!(y.len(), shape.output_len(), "y is [batch, out_height, out_width, outputs]");
    assert!(bias.is_none_or(|b| b.len() == shape.outputs), "bias is [outputs]");
    assert!(residual.is_none_or(|r| r.len() == y.len()), "the residual is as long as y");
    let residual = residual.map(|r| Residual { residual: r.as_ptr(), out: y.as_ptr() });
    let epilogue = Epilogue { bias, relu, residual };
    if shape.is_depthwise() {
        depthwise::forward(shape, x, packed, epilogue, y);
    } else if winograd::fits(shape) {
        winograd::forward(shape, x, packed, epilogue, y);
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

    // Few pictures are cut into bands of rows so that every thread has some.
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
    let picture_len = shape.height * shape.width * shape.channels;
    let unpadded = shape.padding == [0; 4];
    let serial = shape.output_len() * taps.len() * depth < 1 << 17;

    for_each_task(shape.batch * bands, serial, |task| {
        let (b, band) = (task / bands, task % bands);
        let first = band * band_rows;
        let count = band_rows.min(out_height - first);
        let rows = shape.rows_under(first, count);
        let picture = &x[b * picture_len..][..picture_len];
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
            run(&picture[rows.start * shape.width * shape.channels..]);
        } else {
            with_scratch(rows.len() * padded_width * shape.channels, |padded| {
                let size = (shape.height, shape.width, shape.channels);
                copy_padded(picture, size, rows, shape.padding[0], shape.padding[2], padded_width, padded);
                run(padded);
            });
        }
    });
}
