//! Matrix products of a linear layer: `y = x wᵀ + b` and its two gradients.
//!
//! Matrices are row-major and contiguous: `x` is `[rows, inputs]`, `w` is `[outputs, inputs]` (as PyTorch keeps it),
//! `y` is `[rows, outputs]`. Cost: `2 * rows * inputs * outputs` operations each, plus one pass over `w` to pack it.
//! One or a few rows are memory-bound, so they take dot products over `w` in place instead.

use pulp::{Arch, Simd, WithSimd};

use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_scratch};
use crate::base::tile::{Epilogue, PANEL, Residual, Runs, Segment, inner, outer, with_tile};
use crate::stored::{Matrix, dequantize_row};

/// Up to this many rows a product reads the weights in place.
pub(crate) const FEW_ROWS: usize = 4;
/// Rows that one task takes through a panel: a multiple of every tile height.
const ROW_BLOCK: usize = 48;
/// Columns that one task sums.
const SUM_COLUMNS: usize = 256;
/// Outputs of a weight that one task sums up, about.
const OUTPUTS: usize = 96;
/// Strips of 16 inputs that one task sums up.
const STRIPS: usize = 4;
/// Elements of a weight from which both are twice as many: fewer reads of what no cache holds.
const LARGE: usize = 1 << 18;
/// Rows that a task takes through all of its tiles before the next ones: they stay in the second cache.
const DEPTH: usize = 256;
/// Floats of the left operand that one task takes through its panels, at most: they stay in the second cache.
const LEFT_BLOCK: usize = 1 << 16;
/// Panels that one task multiplies such a block with.
const PANELS: usize = 8;
/// Operations below which a product stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 18;

/// A matrix whose rows begin `stride` floats apart.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Strided<'a> {
    /// Columns from `first` on of a matrix `[rows, stride]`.
    pub(crate) fn columns(values: &'a [f32], stride: usize, first: usize) -> Self {
        Self { values: values.get(first..).unwrap_or_default(), stride }
    }

    fn check(&self, rows: usize, columns: usize) {
        let needed = if rows == 0 { 0 } else { (rows - 1) * self.stride + columns };
        assert!(columns <= self.stride && self.values.len() >= needed, "the matrix has all rows and columns");
    }
}

/// A second product that is added to the first: `left right`, `depth` deep.
#[derive(Clone, Copy)]
pub(crate) struct Second<'a> {
    pub(crate) left: Strided<'a>,
    pub(crate) right: Right<'a>,
    pub(crate) depth: usize,
}

/// How the right operand lies in memory.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// `[columns, depth]`: used transposed.
    Transposed(&'a [f32]),
    /// The same in any format.
    Stored(Matrix<'a>),
    /// `[depth, columns]`: used as it is.
    Plain(&'a [f32]),
    /// All panels, ready to use.
    Packed(&'a [f32]),
}

/// `y = x wᵀ + bias`, then zero where negative if `relu`.
///
/// `x` is `[rows, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`, `y` `[rows, outputs]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn linear(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    (rows, inputs, outputs): (usize, usize, usize),
    y: &mut [f32],
) {
    assert_eq!(x.len(), rows * inputs, "x is [rows, inputs]");
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert_eq!(y.len(), rows * outputs, "y is [rows, outputs]");
    assert!(bias.is_none_or(|b| b.len() == outputs), "bias is [outputs]");
    let epilogue = Epilogue { bias, relu, residual: None };
    if rows <= FEW_ROWS {
        few_rows(x, weight, epilogue, (rows, inputs, outputs), y);
    } else {
        product(x, Right::Transposed(weight), (rows, inputs, outputs), epilogue, y);
    }
}

/// [`linear`] without bias, in tiles even for a few rows: a row has the same bits whatever rows are beside it.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn linear_in_tiles(x: &[f32], weight: &[f32], shape: (usize, usize, usize), y: &mut [f32]) {
    let (rows, inputs, outputs) = shape;
    assert_eq!(x.len(), rows * inputs, "x is [rows, inputs]");
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert_eq!(y.len(), rows * outputs, "y is [rows, outputs]");
    product(x, Right::Transposed(weight), shape, Epilogue::NONE, y);
}

/// `y = x wᵀ + residual`; `residual` is as `y`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn linear_residual(
    x: &[f32],
    weight: &[f32],
    residual: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    y: &mut [f32],
) {
    assert_eq!(x.len(), rows * inputs, "x is [rows, inputs]");
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert!(y.len() == rows * outputs && residual.len() == y.len(), "y and residual are [rows, outputs]");
    let residual = Some(Residual { residual: residual.as_ptr(), out: y.as_ptr() });
    let epilogue = Epilogue { bias: None, relu: false, residual };
    product(x, Right::Transposed(weight), (rows, inputs, outputs), epilogue, y);
}

/// Floats that [`pack`] writes.
#[must_use]
pub fn packed_len((inputs, outputs): (usize, usize)) -> usize {
    inputs * outputs.next_multiple_of(PANEL)
}

/// Rearranges the weights of [`linear`] for [`linear_packed`], once for many uses.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn pack(weight: &[f32], (inputs, outputs): (usize, usize), packed: &mut [f32]) {
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert_eq!(packed.len(), packed_len((inputs, outputs)), "packed is as long as packed_len says");
    let target = SharedMut(packed.as_mut_ptr());
    for_each_task(outputs.div_ceil(PANEL), weight.len() < SERIAL_OPERATIONS, |index| {
        // SAFETY: each task has a panel of its own.
        let panel = unsafe { target.slice(index * inputs * PANEL, inputs * PANEL) };
        pack_panel(Right::Transposed(weight), inputs, outputs, index * PANEL, panel);
    });
}

/// [`pack`] of a weight `[inputs, outputs]`.
pub(crate) fn pack_plain(weight: &[f32], (inputs, outputs): (usize, usize), packed: &mut [f32]) {
    for (index, panel) in packed.chunks_exact_mut((inputs * PANEL).max(1)).enumerate() {
        pack_panel(Right::Plain(weight), inputs, outputs, index * PANEL, panel);
    }
}

/// [`linear`] with weights from [`pack`].
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn linear_packed(
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    (rows, inputs, outputs): (usize, usize, usize),
    y: &mut [f32],
) {
    assert_eq!(x.len(), rows * inputs, "x is [rows, inputs]");
    assert_eq!(packed.len(), packed_len((inputs, outputs)), "packed is as long as packed_len says");
    assert_eq!(y.len(), rows * outputs, "y is [rows, outputs]");
    assert!(bias.is_none_or(|b| b.len() == outputs), "bias is [outputs]");
    let epilogue = Epilogue { bias, relu, residual: None };
    product(x, Right::Packed(packed), (rows, inputs, outputs), epilogue, y);
}

/// Gradient of [`linear`] for its input: `dx = dy w`.
///
/// `dy` is `[rows, outputs]`, `dx` is `[rows, inputs]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn linear_input_gradient(
    dy: &[f32],
    weight: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    dx: &mut [f32],
) {
    assert_eq!(dy.len(), rows * outputs, "dy is [rows, outputs]");
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert_eq!(dx.len(), rows * inputs, "dx is [rows, inputs]");
    product(dy, Right::Plain(weight), (rows, outputs, inputs), Epilogue::NONE, dx);
}

/// Gradient of [`linear`] for its weight: `dw = dyᵀ x`, `[outputs, inputs]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn linear_weight_gradient(
    dy: &[f32],
    x: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    dw: &mut [f32],
) {
    assert_eq!(dy.len(), rows * outputs, "dy is [rows, outputs]");
    assert_eq!(x.len(), rows * inputs, "x is [rows, inputs]");
    weight_gradient(dy, (rows, inputs, outputs), false, dw, strips_of(x, inputs));
}

/// [`linear_weight_gradient`], added to what is in `dw`.
pub(crate) fn add_linear_weight_gradient(
    dy: &[f32],
    x: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    dw: &mut [f32],
) {
    weight_gradient(dy, (rows, inputs, outputs), true, dw, strips_of(x, inputs));
}

/// Copies strips of 16 columns out of `x`, `[rows, inputs]`.
pub(crate) fn strips_of(x: &[f32], inputs: usize) -> impl Fn(usize, usize, &mut [f32]) + Sync {
    move |first, columns, strip| {
        let rows = strip.as_chunks_mut::<PANEL>().0.iter_mut().zip(x.chunks_exact(inputs));
        if columns == PANEL {
            // A whole panel is a copy of known size.
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

/// [`linear_weight_gradient`] of an input that `fill(first column, columns, strip)` writes strip by strip, each
/// `[rows, PANEL]` with zeros beyond its columns; added to what is in `dw` if `add`.
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
            // SAFETY: each task has a strip of its own.
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

/// Sums the rows of `[rows, columns]` into `[columns]`: the gradient of a bias.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn sum_rows(x: &[f32], columns: usize, sums: &mut [f32]) {
    assert_eq!(sums.len(), columns, "sums is [columns]");
    assert!(columns > 0 && x.len().is_multiple_of(columns), "x is [rows, columns]");
    let target = SharedMut(sums.as_mut_ptr());
    for_each_task(columns.div_ceil(SUM_COLUMNS), x.len() < SERIAL_OPERATIONS, |block| {
        let first = block * SUM_COLUMNS;
        let width = SUM_COLUMNS.min(columns - first);
        // SAFETY: each task sums columns of its own.
        let sums = unsafe { target.slice(first, width) };
        sums.fill(0.0);
        vectorized(
            #[inline(always)]
            || {
                for row in x.chunks_exact(columns) {
                    for (sum, value) in sums.iter_mut().zip(&row[first..][..width]) {
                        *sum += value;
                    }
                }
            },
        );
    });
}

/// The tile height of this machine, for operands packed by rows.
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

/// Rearranges `[rows, columns]` into blocks of `height` columns, each `[rows, height]`, the last one narrower.
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
    // Few rows at a time, so that a cache line is still there when the next block wants the rest of it.
    for_each_task(rows.div_ceil(ROWS) * across, serial, |task| {
        let (first_row, first_block) = (task / across * ROWS, task % across * BLOCKS);
        let count = ROWS.min(rows - first_row);
        for block in first_block..blocks.min(first_block + BLOCKS) {
            let first = block * height;
            let width = height.min(columns - first);
            // SAFETY: each task has rows of its own in each of its blocks, which lie behind whole ones.
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

/// Sums of some outputs and strips, `[outputs.., strips * PANEL]`, over all rows.
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
                for (index, strip) in task.strips.chunks_exact(task.rows * PANEL).enumerate() {
                    for first in (0..task.outputs).step_by(MR) {
                        let height = MR.min(task.outputs - first);
                        // SAFETY: a block is `[rows, height]` behind whole ones, a strip `[rows, PANEL]`, and `sums`
                        // `[outputs.., strips * PANEL]`.
                        unsafe {
                            let segment = Segment {
                                x: task.packed.as_ptr().add(first * task.rows + chunk * height),
                                y: strip.as_ptr().add(chunk * PANEL),
                                count,
                            };
                            let out = task.sums.as_mut_ptr().add(first * stride + index * PANEL);
                            outer::<S, MR, NV>(
                                simd,
                                height,
                                core::iter::once(segment),
                                height,
                                PANEL,
                                out,
                                stride,
                            );
                        }
                    }
                }
            }
        }
        with_tile!(simd, run(self));
    }
}

/// Packs columns `first .. first + 16` of the right operand, missing columns as zeros.
fn pack_panel(right: Right<'_>, depth: usize, columns: usize, first: usize, panel: &mut [f32]) {
    let width = PANEL.min(columns - first);
    match right {
        Right::Plain(b) => {
            for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                to[..width].copy_from_slice(&b[k * columns + first..][..width]);
                to[width..].fill(0.0);
            }
        }
        Right::Stored(matrix) => with_scratch(width * depth, |rows| {
            for (n, row) in rows.chunks_exact_mut(depth.max(1)).enumerate() {
                dequantize_row(&matrix, first + n, row);
            }
            pack_panel(Right::Transposed(rows), depth, width, 0, panel);
        }),
        Right::Transposed(b) if width == PANEL => {
            let rows: [&[f32]; PANEL] = core::array::from_fn(|n| &b[(first + n) * depth..][..depth]);
            for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                for n in 0..PANEL {
                    to[n] = rows[n][k];
                }
            }
        }
        Right::Transposed(b) => {
            for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                for n in 0..width {
                    to[n] = b[(first + n) * depth + k];
                }
                to[width..].fill(0.0);
            }
        }
        Right::Packed(panels) => panel.copy_from_slice(&panels[first * depth..][..PANEL * depth]),
    }
}

struct Block<'a> {
    left: Strided<'a>,
    depth: usize,
    rows: core::ops::Range<usize>,
    panel: &'a [f32],
    /// What is added: its left operand, its depth and its panel.
    second: Option<(Strided<'a>, usize, &'a [f32])>,
    out: SharedMut,
    out_stride: usize,
    column: usize,
    columns: usize,
    epilogue: Epilogue<'a>,
}

impl WithSimd for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, block: Block<'_>) {
            let (left, out) = (block.left.values.as_ptr(), block.out.get());
            let place = |row: usize| out.wrapping_add(row * block.out_stride + block.column);
            // SAFETY: rows lie within `left` and `out`; this task alone writes this panel's columns of its rows.
            unsafe {
                inner::<S, MR, NV, false>(
                    simd,
                    block.rows.clone(),
                    |row| left.wrapping_add(row * block.left.stride),
                    Runs { offsets: &[0], length: block.depth },
                    block.panel.as_ptr(),
                    place,
                    block.column,
                    block.columns,
                    block.epilogue,
                );
            }
            let Some((left, depth, panel)) = block.second else { return };
            // What was just written is still near.
            let residual = Some(Residual { residual: out, out });
            // SAFETY: as above; `product_into` has checked the second product's operands as well.
            unsafe {
                inner::<S, MR, NV, false>(
                    simd,
                    block.rows,
                    |row| left.values.as_ptr().wrapping_add(row * left.stride),
                    Runs { offsets: &[0], length: depth },
                    panel.as_ptr(),
                    place,
                    block.column,
                    block.columns,
                    Epilogue { residual, ..Epilogue::NONE },
                );
            }
        }
        // A single row would do the work of a whole tile.
        match (self.rows.len(), S::F32_LANES) {
            (1, 16) => run::<S, 1, 1>(simd, self),
            (1, 8) => run::<S, 1, 2>(simd, self),
            (1, 4) => run::<S, 1, 4>(simd, self),
            _ => with_tile!(simd, run(self)),
        }
    }
}

/// `out = left right`, `left` `[rows, depth]`, `out` `[rows, columns]`.
fn product(
    left: &[f32],
    right: Right<'_>,
    (rows, depth, columns): (usize, usize, usize),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let target = SharedMut(out.as_mut_ptr());
    // SAFETY: `out` is as long as its shape says, as all callers check.
    unsafe {
        product_into(
            Strided { values: left, stride: depth },
            right,
            None,
            (rows, depth, columns),
            epilogue,
            (target, columns),
        );
    }
}

/// `out = left right`, and the second product added to it where there is one. `out`'s rows begin as many floats apart as
/// is said beside it.
///
/// # Safety
/// `out` is writable for all of its rows, and no one else uses these columns meanwhile.
///
/// # Panics
/// If the second product is asked of an epilogue that does not let sums pass (`relu`), or an operand is too short.
pub(crate) unsafe fn product_into(
    left: Strided<'_>,
    right: Right<'_>,
    second: Option<Second<'_>>,
    (rows, depth, columns): (usize, usize, usize),
    epilogue: Epilogue<'_>,
    (target, out_stride): (SharedMut, usize),
) {
    left.check(rows, depth);
    let Some(second) = second else {
        run_product(left, right, None, (rows, depth, columns), epilogue, (target, out_stride));
        return;
    };
    assert!(!epilogue.relu, "what is added later would pass the nonlinearity");
    second.left.check(rows, second.depth);
    with_scratch(packed_len((second.depth, columns)), |packed| {
        for (index, panel) in packed.chunks_exact_mut((second.depth * PANEL).max(1)).enumerate() {
            pack_panel(second.right, second.depth, columns, index * PANEL, panel);
        }
        let second = Some((second.left, second.depth, &*packed));
        run_product(left, right, second, (rows, depth, columns), epilogue, (target, out_stride));
    });
}

/// [`product_into`], with the second product's panels packed.
fn run_product(
    left: Strided<'_>,
    right: Right<'_>,
    second: Option<(Strided<'_>, usize, &[f32])>,
    (rows, depth, columns): (usize, usize, usize),
    epilogue: Epilogue<'_>,
    (target, out_stride): (SharedMut, usize),
) {
    let panels = columns.div_ceil(PANEL);
    let serial = rows * depth * columns < SERIAL_OPERATIONS;
    let run = |panel: &[f32], index: usize, rows: core::ops::Range<usize>| {
        let column = index * PANEL;
        let second = second
            .map(|(left, depth, packed)| (left, depth, &packed[index * depth * PANEL..][..depth * PANEL]));
        Arch::new().dispatch(Block {
            left,
            depth,
            rows,
            panel,
            second,
            out: target,
            out_stride,
            column,
            columns: PANEL.min(columns - column),
            epilogue,
        });
    };
    if panels >= 4 && rows * depth > 2 * LEFT_BLOCK {
        // The left operand would come from far away for each panel: some of its rows meet some panels instead.
        let block = (LEFT_BLOCK / depth / ROW_BLOCK).max(1) * ROW_BLOCK;
        let groups = panels.div_ceil(PANELS);
        let run_blocks = |packed: &[f32]| {
            for_each_task(rows.div_ceil(block) * groups, serial, |task| {
                let (first, group) = (task / groups * block, task % groups * PANELS);
                for index in group..panels.min(group + PANELS) {
                    let panel = &packed[index * depth * PANEL..][..depth * PANEL];
                    run(panel, index, first..rows.min(first + block));
                }
            });
        };
        if let Right::Packed(packed) = right {
            run_blocks(packed);
            return;
        }
        with_scratch(panels * depth * PANEL, |packed| {
            let target = SharedMut(packed.as_mut_ptr());
            for_each_task(panels, serial, |index| {
                // SAFETY: each task has a panel of its own.
                let panel = unsafe { target.slice(index * depth * PANEL, depth * PANEL) };
                pack_panel(right, depth, columns, index * PANEL, panel);
            });
            run_blocks(packed);
        });
        return;
    }
    if panels >= 4 {
        // Enough panels to go round: each task packs its own, which then is hot in its cache.
        for_each_task(panels, serial, |index| match right {
            Right::Packed(all) => run(&all[index * depth * PANEL..][..depth * PANEL], index, 0..rows),
            _ => with_scratch(depth * PANEL, |panel| {
                pack_panel(right, depth, columns, index * PANEL, panel);
                run(panel, index, 0..rows);
            }),
        });
        return;
    }
    let all_panels = |packed: &[f32]| {
        for_each_task(rows.div_ceil(ROW_BLOCK), serial, |block| {
            let first = block * ROW_BLOCK;
            for (index, panel) in packed.chunks_exact(depth * PANEL).enumerate() {
                run(panel, index, first..rows.min(first + ROW_BLOCK));
            }
        });
    };
    match right {
        Right::Packed(packed) => all_panels(packed),
        _ => with_scratch(panels * depth * PANEL, |packed| {
            for (index, panel) in packed.chunks_exact_mut(depth * PANEL).enumerate() {
                pack_panel(right, depth, columns, index * PANEL, panel);
            }
            all_panels(packed);
        }),
    }
}

/// Rows of weights that one task multiplies with a few rows of input.
const DOT_BLOCK: usize = 32;

struct Dots<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    inputs: usize,
    out: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x_body, x_tail) = S::as_simd_f32s(self.x);
        let dot = |row: &[f32]| {
            let (body, tail) = S::as_simd_f32s(row);
            // Four chains hide the latency of the addition.
            let mut sums = [simd.splat_f32s(0.0); 4];
            let (body4, body_rest) = body.as_chunks::<4>();
            let (x4, x_rest) = x_body.as_chunks::<4>();
            for (w, x) in body4.iter().zip(x4) {
                for i in 0..4 {
                    sums[i] = simd.mul_add_e_f32s(w[i], x[i], sums[i]);
                }
            }
            for (&w, &x) in body_rest.iter().zip(x_rest) {
                sums[0] = simd.mul_add_e_f32s(w, x, sums[0]);
            }
            let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
            let mut total = simd.reduce_sum_f32s(sum);
            for (w, x) in tail.iter().zip(x_tail) {
                total += w * x;
            }
            total
        };
        for (row, out) in self.weight.chunks_exact(self.inputs).zip(self.out.iter_mut()) {
            *out = dot(row);
        }
    }
}

/// The sum of products of two equally long slices.
pub(crate) fn dot(weight: &[f32], x: &[f32]) -> f32 {
    let mut out = [0.0];
    Arch::new().dispatch(Dots { x, weight, inputs: weight.len(), out: &mut out });
    out[0]
}

fn few_rows(
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue<'_>,
    (rows, inputs, outputs): (usize, usize, usize),
    y: &mut [f32],
) {
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(outputs.div_ceil(DOT_BLOCK), inputs * outputs < SERIAL_OPERATIONS, |block| {
        let first = block * DOT_BLOCK;
        let count = DOT_BLOCK.min(outputs - first);
        for row in 0..rows {
            // SAFETY: this task alone writes these outputs of each row.
            let out =
                unsafe { core::slice::from_raw_parts_mut(target.get().add(row * outputs + first), count) };
            let weight = &weight[first * inputs..][..count * inputs];
            Arch::new().dispatch(Dots { x: &x[row * inputs..][..inputs], weight, inputs, out });
            for (n, value) in out.iter_mut().enumerate() {
                if let Some(bias) = epilogue.bias {
                    *value += bias[first + n];
                }
                if epilogue.relu && *value < 0.0 {
                    *value = 0.0;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle;
    use crate::oracle::{assert_close, values};

    proptest! {
        #[test]
        fn products_match_the_oracle(rows in 1usize..40, inputs in 1usize..70, outputs in 1usize..70, relu: bool) {
            let shape = (rows, inputs, outputs);
            let (x, w) = (values(rows * inputs, 1), values(outputs * inputs, 2));
            let (b, dy) = (values(outputs, 3), values(rows * outputs, 4));
            let mut y = vec![f32::NAN; rows * outputs];
            linear(&x, &w, Some(&b), relu, shape, &mut y);
            assert_close(&y, &oracle::linear(&x, &w, Some(&b), relu, shape), 1e-4);
            let mut packed = vec![f32::NAN; packed_len((inputs, outputs))];
            pack(&w, (inputs, outputs), &mut packed);
            y.fill(f32::NAN);
            linear_packed(&x, &packed, Some(&b), relu, shape, &mut y);
            assert_close(&y, &oracle::linear(&x, &w, Some(&b), relu, shape), 1e-4);
            let mut dx = vec![f32::NAN; rows * inputs];
            linear_input_gradient(&dy, &w, shape, &mut dx);
            let mut dw = vec![f32::NAN; outputs * inputs];
            linear_weight_gradient(&dy, &x, shape, &mut dw);
            let (expected_dx, expected_dw) = oracle::linear_gradients(&dy, &x, &w, shape);
            assert_close(&dx, &expected_dx, 1e-4);
            assert_close(&dw, &expected_dw, 1e-4);
        }
    }

    #[test]
    fn large_products_match_the_oracle_on_several_threads() {
        let shape = (67, 530, 261);
        let (x, w) = (values(67 * 530, 1), values(261 * 530, 2));
        let mut y = vec![0.0; 67 * 261];
        linear(&x, &w, None, false, shape, &mut y);
        assert_close(&y, &oracle::linear(&x, &w, None, false, shape), 1e-3);
        let mut first_row = vec![0.0; 261];
        linear(&x[..530], &w, None, false, (1, 530, 261), &mut first_row);
        assert_close(&first_row, &y[..261], 1e-3);
    }

    #[test]
    fn products_in_several_blocks_match_the_oracle_and_threads_change_no_bit() {
        let (rows, inputs, outputs) = (600, 300, 150);
        assert!(
            rows * inputs > 2 * LEFT_BLOCK && rows > DEPTH && outputs > OUTPUTS && inputs > STRIPS * PANEL
        );
        let shape = (rows, inputs, outputs);
        let (x, w, dy) = (values(rows * inputs, 1), values(outputs * inputs, 2), values(rows * outputs, 3));
        let residual = values(rows * outputs, 4);
        let run = || {
            let (mut y, mut sum) = (vec![f32::NAN; rows * outputs], vec![f32::NAN; rows * outputs]);
            let (mut dx, mut dw) = (vec![f32::NAN; rows * inputs], vec![f32::NAN; outputs * inputs]);
            linear(&x, &w, None, false, shape, &mut y);
            linear_residual(&x, &w, &residual, shape, &mut sum);
            linear_input_gradient(&dy, &w, shape, &mut dx);
            linear_weight_gradient(&dy, &x, shape, &mut dw);
            let mut twice = dw.clone();
            add_linear_weight_gradient(&dy, &x, shape, &mut twice);
            (y, sum, dx, dw, twice)
        };
        let all = run();
        let (y, sum, dx, dw, twice) = &all;
        let exact = oracle::linear(&x, &w, None, false, shape);
        assert_close(y, &exact, 1e-4);
        assert_close(sum, &exact.iter().zip(&residual).map(|(y, r)| y + r).collect::<Vec<_>>(), 1e-4);
        let (exact_dx, exact_dw) = oracle::linear_gradients(&dy, &x, &w, shape);
        assert_close(dx, &exact_dx, 1e-4);
        assert_close(dw, &exact_dw, 1e-4);
        assert_close(twice, &exact_dw.iter().map(|dw| 2.0 * dw).collect::<Vec<_>>(), 1e-4);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(run) == all, "{threads} threads");
        }
    }

    #[test]
    fn bias_gradient_is_the_column_sum() {
        let mut sums = [0.0; 3];
        sum_rows(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0], 3, &mut sums);
        assert_eq!(sums, [11.0, 22.0, 33.0]);
        // Enough for several tasks, the last one narrower; whole numbers, so that any order gives the same.
        let (rows, columns) = (500, 2 * SUM_COLUMNS + 33);
        let x: Vec<f32> = (0..rows * columns).map(|i| (i % 7) as f32).collect();
        let mut sums = vec![f32::NAN; columns];
        sum_rows(&x, columns, &mut sums);
        let sum = |column: usize| (0..rows).map(|row| x[row * columns + column]).sum::<f32>();
        assert_eq!(sums, (0..columns).map(sum).collect::<Vec<_>>());
    }
}
