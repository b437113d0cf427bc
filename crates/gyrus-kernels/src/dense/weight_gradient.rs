//! The gradient of a linear layer's weight, `dw = dyᵀ x`: a sum over rows, for which neither operand has a suitable
//! layout.
//!
//! The output's gradient is packed in blocks of columns as high as a register tile, the input in strips of 16 columns;
//! each task sums some blocks and strips. Each sum runs over the rows in order.

use pulp::{Arch, Simd, WithSimd};

use super::matmul::{SERIAL_OPERATIONS, Strided};
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::tile::{PANEL, Segment, outer, with_tile};

/// Outputs per task, about.
pub(super) const OUTPUTS: usize = 96;
/// Strips of 16 inputs per task.
pub(super) const STRIPS: usize = 4;
/// Size of a weight from which both are doubled, to save reads of data that no cache holds.
const LARGE: usize = 1 << 18;
/// Rows that a task takes through all of its tiles before the next ones: they stay in the second-level cache.
pub(super) const DEPTH: usize = 256;

/// Copies strips of 16 columns of `x`, `[rows, inputs]`.
pub(crate) fn strips_of(x: &[f32], inputs: usize) -> impl Fn(usize, usize, &mut [f32]) + Sync {
    move |first, columns, strip| {
        let rows = strip.as_chunks_mut::<PANEL>().0.iter_mut().zip(x.chunks_exact(inputs));
        if columns == PANEL {
            // A full panel is a copy of known size.
            for (to, row) in rows {
                to.copy_from_slice(&row[first..][..PANEL]);
            }
        } else {
            for (to, row) in rows {
                to[..columns].copy_from_slice(&row[first..][..columns]);
                to[columns..].fill(0.0);
            }
        }
    }
}

/// The weight gradient for an input that `fill(first column, columns, strip)` writes strip by strip, each
/// `[rows, PANEL]` with zeros beyond its columns; added to `dw` if `add`.
pub(crate) fn weight_gradient(
    dy: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    add: bool,
    dw: &mut [f32],
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    weight_gradient_strided(Strided { values: dy, stride: outputs }, (rows, inputs, outputs), add, dw, fill);
}

/// [`weight_gradient`] for some columns of a wider `dy`.
pub(crate) fn weight_gradient_strided(
    dy: Strided<'_>,
    (rows, inputs, outputs): (usize, usize, usize),
    add: bool,
    dw: &mut [f32],
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    assert_eq!(dw.len(), outputs * inputs, "dw is [outputs, inputs]");
    dy.check(rows, outputs);
    let height = row_height();
    let large = inputs * outputs >= LARGE;
    let (most_outputs, most_strips) = if large { (2 * OUTPUTS, 2 * STRIPS) } else { (OUTPUTS, STRIPS) };
    let group = most_outputs.next_multiple_of(height);
    let (strips, groups) = (inputs.div_ceil(PANEL), outputs.div_ceil(group));
    let serial = rows * inputs * outputs < SERIAL_OPERATIONS;
    let target = SharedMut(dw.as_mut_ptr());
    with_scratch(rows * (outputs + strips * PANEL), |scratch| {
        let (packed, all_strips) = scratch.split_at_mut(rows * outputs);
        pack_rows(dy, (rows, outputs), height, serial, packed);
        let strips_target = SharedMut(all_strips.as_mut_ptr());
        for_each_task(strips, serial, |strip| {
            let first = strip * PANEL;
            // SAFETY: each task has its own strip.
            let to = unsafe { strips_target.slice(strip * rows * PANEL, rows * PANEL) };
            fill(first, PANEL.min(inputs - first), to);
        });
        let (packed, all_strips) = (&*packed, &*all_strips);
        for_each_task(strips.div_ceil(most_strips) * groups, serial, |task| {
            let (first_strip, first) = (task / groups * most_strips, task % groups * group);
            let (strips, count) = (most_strips.min(strips - first_strip), group.min(outputs - first));
            let columns = (strips * PANEL).min(inputs - first_strip * PANEL);
            let stride = strips * PANEL;
            with_scratch(count.next_multiple_of(height) * stride, |sums| {
                // SAFETY: this task alone uses these columns of these rows.
                let row = |output: usize| unsafe {
                    target.slice((first + output) * inputs + first_strip * PANEL, columns)
                };
                sums.fill(0.0);
                if add {
                    for (output, sums) in sums.chunks_exact_mut(stride).take(count).enumerate() {
                        sums[..columns].copy_from_slice(row(output));
                    }
                }
                Arch::new().dispatch(WeightGradient {
                    packed: &packed[first * rows..(first + count) * rows],
                    strips: &all_strips[first_strip * rows * PANEL..][..strips * rows * PANEL],
                    rows,
                    outputs: count,
                    sums,
                });
                for (output, sums) in sums.chunks_exact(stride).take(count).enumerate() {
                    row(output).copy_from_slice(&sums[..columns]);
                }
            });
        });
    });
}

/// The tile height of this machine, for operands packed in rows.
fn row_height() -> usize {
    struct Height;
    impl WithSimd for Height {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            match S::F32_LANES {
                16 => 12,
                8 => 6,
                4 => 4,
                2 => 2,
                _ => 1,
            }
        }
    }
    Arch::new().dispatch(Height)
}

/// Packs `[rows, columns]` in blocks of `height` columns, each `[rows, height]`, the last one narrower.
fn pack_rows(
    x: Strided<'_>,
    (rows, columns): (usize, usize),
    height: usize,
    serial: bool,
    packed: &mut [f32],
) {
    const ROWS: usize = 64;
    const BLOCKS: usize = 16;
    let target = SharedMut(packed.as_mut_ptr());
    let blocks = columns.div_ceil(height);
    let across = blocks.div_ceil(BLOCKS);
    // A few rows at a time, so that a cache line is still there when the next block needs the rest of it.
    for_each_task(rows.div_ceil(ROWS) * across, serial, |task| {
        let (first_row, first_block) = (task / across * ROWS, task % across * BLOCKS);
        let count = ROWS.min(rows - first_row);
        for block in first_block..blocks.min(first_block + BLOCKS) {
            let first = block * height;
            let width = height.min(columns - first);
            // SAFETY: each task has its own rows in each of its blocks; only the last block is narrower.
            let to = unsafe { target.slice(first * rows + first_row * width, count * width) };
            let from = (first_row..).map(|row| &x.values[row * x.stride + first..][..width]);
            match width {
                // The usual heights, as copies of known size.
                12 => to
                    .as_chunks_mut::<12>()
                    .0
                    .iter_mut()
                    .zip(from)
                    .for_each(|(to, row)| to.copy_from_slice(row)),
                6 => to
                    .as_chunks_mut::<6>()
                    .0
                    .iter_mut()
                    .zip(from)
                    .for_each(|(to, row)| to.copy_from_slice(row)),
                _ => to.chunks_exact_mut(width).zip(from).for_each(|(to, row)| to.copy_from_slice(row)),
            }
        }
    });
}

/// Sums of some outputs and strips over all rows: `[outputs.., strips * PANEL]`.
struct WeightGradient<'a> {
    packed: &'a [f32],
    strips: &'a [f32],
    rows: usize,
    outputs: usize,
    sums: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, task: WeightGradient<'_>) {
            let stride = task.strips.len() / task.rows.max(1);
            for chunk in (0..task.rows).step_by(DEPTH) {
                let count = DEPTH.min(task.rows - chunk);
                for pair in (0..stride).step_by(2 * PANEL) {
                    for first in (0..task.outputs).step_by(MR) {
                        let height = MR.min(task.outputs - first);
                        let x = task.packed.as_ptr().wrapping_add(first * task.rows + chunk * height);
                        let y = task.strips.as_ptr().wrapping_add(pair * task.rows + chunk * PANEL);
                        let out = task.sums.as_mut_ptr().wrapping_add(first * stride + pair);
                        // SAFETY: a block is `[rows, height]` (all before it are full), a strip is `[rows, PANEL]`, and
                        // `sums` is `[outputs.., strips * PANEL]`.
                        unsafe {
                            outer::<S, MR, NV, true, _>(
                                simd,
                                height,
                                (2 * PANEL).min(stride - pair),
                                |column| {
                                    let y = y.wrapping_add(column * task.rows);
                                    core::iter::once(Segment { x, y, count })
                                },
                                (height, PANEL, task.rows * PANEL),
                                (out, stride),
                            );
                        }
                    }
                }
            }
        }
        with_tile!(simd, run(self));
    }
}
