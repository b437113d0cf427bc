//! Padded images, packed weights, and the register tile over pixels: what the forward pass and the input's gradient
//! share.

use pulp::{Simd, WithSimd};

use super::shape::Tap;
use crate::base::tile::{Epilogue, PANEL, Runs, inner, with_tile};

/// Copies rows `rows` of the padded image, some of which may be padding, to `to`: `[rows, padded_width, channels]`.
pub(crate) fn copy_padded(
    image: &[f32],
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
        let from = &image[(row - top) * width * channels..][..width * channels];
        to[..left * channels].fill(0.0);
        to[left * channels..][..width * channels].copy_from_slice(from);
        to[(left + width) * channels..].fill(0.0);
    }
}

/// Zeros around the output's gradient, so that every phase stays inside.
pub(crate) struct Frame {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
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

/// A run of output pixels times all panels of one group.
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
    /// First result channel, and the number of channels.
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
            // SAFETY: the caller's offsets lie in its padded input and its output.
            unsafe {
                inner::<S, MR, NV, false, false>(
                    simd,
                    0..task.from_offsets.len(),
                    |pixel| task.from.wrapping_add(task.from_offsets[pixel] as usize),
                    task.runs,
                    (task.panels.as_ptr(), task.runs.offsets.len() * task.runs.length * PANEL),
                    |pixel| task.out.wrapping_add(task.out_offsets[pixel] as usize + task.column),
                    (task.column, task.columns),
                    task.epilogue,
                );
            }
        }
        with_tile!(simd, run(self));
    }
}
