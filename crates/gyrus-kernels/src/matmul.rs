//! Matrix products of a linear layer: `y = x wᵀ + b` and its two gradients.
//!
//! Matrices are row-major and contiguous: `x` is `[rows, inputs]`, `w` is `[outputs, inputs]` (as PyTorch keeps it),
//! `y` is `[rows, outputs]`. Cost: `2 * rows * inputs * outputs` operations each, plus one pass over `w` to pack it.
//! One or a few rows are memory-bound, so they take dot products over `w` in place instead.

use pulp::{Arch, Simd, WithSimd};

use crate::parallel::{SharedMut, for_each_task, with_scratch};
use crate::tile::{Epilogue, PANEL, Residual, Runs, Segment, inner, outer, with_tile};

/// Up to this many rows a product reads the weights in place.
const FEW_ROWS: usize = 4;
/// Rows that one task takes through a panel: a multiple of every tile height.
const ROW_BLOCK: usize = 48;
/// Columns that one task sums.
const SUM_COLUMNS: usize = 256;
/// Operations below which a product stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 18;

/// How the right operand lies in memory.
#[derive(Clone, Copy)]
enum Right<'a> {
    /// `[columns, depth]`: used transposed.
    Transposed(&'a [f32]),
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
    for (index, panel) in packed.chunks_exact_mut(inputs * PANEL).enumerate() {
        pack_panel(Right::Transposed(weight), inputs, outputs, index * PANEL, panel);
    }
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
fn strips_of(x: &[f32], inputs: usize) -> impl Fn(usize, usize, &mut [f32]) + Sync {
    move |first, columns, strip| {
        for (row, to) in strip.chunks_exact_mut(PANEL).enumerate() {
            to[..columns].copy_from_slice(&x[row * inputs + first..][..columns]);
            to[columns..].fill(0.0);
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
    assert_eq!(dw.len(), outputs * inputs, "dw is [outputs, inputs]");
    let strips = inputs.div_ceil(PANEL);
    // Strips of one task share the packed copy of `dy`.
    let serial = rows * inputs * outputs < SERIAL_OPERATIONS;
    let target = SharedMut(dw.as_mut_ptr());
    with_scratch(rows * outputs, |packed| {
        let height = row_height();
        pack_rows(dy, rows, outputs, height, packed);
        let packed = &*packed;
        for_each_task(strips, serial, |strip| {
            let first = strip * PANEL;
            let columns = PANEL.min(inputs - first);
            with_scratch(rows * PANEL + outputs.next_multiple_of(height) * PANEL, |scratch| {
                let (strip_of_x, sums) = scratch.split_at_mut(rows * PANEL);
                fill(first, columns, strip_of_x);
                sums.fill(0.0);
                if add {
                    for (output, row) in sums.chunks_exact_mut(PANEL).take(outputs).enumerate() {
                        // SAFETY: this task alone uses columns `first .. first + columns` of each row.
                        let from = unsafe { target.slice(output * inputs + first, columns) };
                        row[..columns].copy_from_slice(from);
                    }
                }
                Arch::new().dispatch(WeightGradient { packed, strip: strip_of_x, rows, outputs, sums });
                for (output, row) in sums.chunks_exact(PANEL).take(outputs).enumerate() {
                    // SAFETY: this task alone writes columns `first .. first + columns` of each row.
                    unsafe {
                        let to = target.get().add(output * inputs + first);
                        core::ptr::copy_nonoverlapping(row.as_ptr(), to, columns);
                    }
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
        Arch::new().dispatch(
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
fn pack_rows(x: &[f32], rows: usize, columns: usize, height: usize, packed: &mut [f32]) {
    let mut to = packed;
    for first in (0..columns).step_by(height) {
        let width = height.min(columns - first);
        let (block, rest) = to.split_at_mut(rows * width);
        for (row, target) in block.chunks_exact_mut(width).enumerate() {
            target.copy_from_slice(&x[row * columns + first..][..width]);
        }
        to = rest;
    }
}

struct WeightGradient<'a> {
    packed: &'a [f32],
    strip: &'a [f32],
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
            let mut block = task.packed.as_ptr();
            for first in (0..task.outputs).step_by(MR) {
                let height = MR.min(task.outputs - first);
                // SAFETY: a block is `[rows, height]`, the strip `[rows, PANEL]`, `sums` `[outputs.., PANEL]`.
                unsafe {
                    let segment = Segment { x: block, y: task.strip.as_ptr(), count: task.rows };
                    let out = task.sums.as_mut_ptr().add(first * PANEL);
                    outer::<S, MR, NV>(simd, height, core::iter::once(segment), height, PANEL, out, PANEL);
                    block = block.add(task.rows * height);
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
    left: &'a [f32],
    depth: usize,
    rows: core::ops::Range<usize>,
    panel: &'a [f32],
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
            let (left, out) = (block.left.as_ptr(), block.out.get());
            // SAFETY: rows lie within `left` and `out`; this task alone writes this panel's columns of its rows.
            unsafe {
                inner::<S, MR, NV, false>(
                    simd,
                    block.rows,
                    |row| left.wrapping_add(row * block.depth),
                    Runs { offsets: &[0], length: block.depth },
                    block.panel.as_ptr(),
                    |row| out.wrapping_add(row * block.out_stride + block.column),
                    block.column,
                    block.columns,
                    block.epilogue,
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
    let panels = columns.div_ceil(PANEL);
    let serial = rows * depth * columns < SERIAL_OPERATIONS;
    let target = SharedMut(out.as_mut_ptr());
    let run = |panel: &[f32], index: usize, rows: core::ops::Range<usize>| {
        let column = index * PANEL;
        Arch::new().dispatch(Block {
            left,
            depth,
            rows,
            panel,
            out: target,
            out_stride: columns,
            column,
            columns: PANEL.min(columns - column),
            epilogue,
        });
    };
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
