//! Linear layers, `y = x wᵀ + b`, and their gradients.
//!
//! Matrices are row-major and contiguous: `x` is `[rows, inputs]`, `w` is `[outputs, inputs]` (as in PyTorch), `y` is
//! `[rows, outputs]`. Cost: `2 * rows * inputs * outputs` operations each, plus one pass over `w` to pack it. A few
//! rows are memory-bound and use dot products over `w` in place.

use super::dot::{FEW_ROWS, few_rows};
use super::elementwise::Activation;
use super::matmul::{Right, SERIAL_OPERATIONS, matmul, pack_panel};
use super::weight_gradient::{strips_of, weight_gradient};
use crate::base::parallel::{SharedMut, for_each_task, vectorized};
use crate::base::tile::{Epilogue, PANEL, Residual};

/// Columns summed by one task.
const SUM_COLUMNS: usize = 256;

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
    let epilogue = Epilogue { bias, activation: relu.then_some(Activation::Relu), residual: None };
    if rows <= FEW_ROWS {
        few_rows(x, weight, epilogue, (rows, inputs, outputs), y);
    } else {
        matmul(x, Right::Transposed(weight), (rows, inputs, outputs), epilogue, y);
    }
}

/// [`linear`] without bias, in tiles even for a few rows: a row's bits do not depend on the other rows.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn linear_in_tiles(x: &[f32], weight: &[f32], shape: (usize, usize, usize), y: &mut [f32]) {
    let (rows, inputs, outputs) = shape;
    assert_eq!(x.len(), rows * inputs, "x is [rows, inputs]");
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert_eq!(y.len(), rows * outputs, "y is [rows, outputs]");
    matmul(x, Right::Transposed(weight), shape, Epilogue::NONE, y);
}

/// `y = x wᵀ + residual`; `residual` has the shape of `y`.
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
    let epilogue = Epilogue { residual, ..Epilogue::NONE };
    matmul(x, Right::Transposed(weight), (rows, inputs, outputs), epilogue, y);
}

/// Floats written by [`pack`].
#[must_use]
pub fn packed_len((inputs, outputs): (usize, usize)) -> usize {
    inputs * outputs.next_multiple_of(PANEL)
}

/// Packs the weights of [`linear`] for [`linear_packed`], once for many uses.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn pack(weight: &[f32], (inputs, outputs): (usize, usize), packed: &mut [f32]) {
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert_eq!(packed.len(), packed_len((inputs, outputs)), "packed is as long as packed_len says");
    let target = SharedMut(packed.as_mut_ptr());
    for_each_task(outputs.div_ceil(PANEL), weight.len() < SERIAL_OPERATIONS, |index| {
        // SAFETY: each task has its own panel.
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
    let epilogue = Epilogue { bias, activation: relu.then_some(Activation::Relu), residual: None };
    matmul(x, Right::Packed(packed), (rows, inputs, outputs), epilogue, y);
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
    matmul(dy, Right::Plain(weight), (rows, outputs, inputs), Epilogue::NONE, dx);
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

/// [`linear_weight_gradient`], added to `dw`.
pub(crate) fn add_linear_weight_gradient(
    dy: &[f32],
    x: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    dw: &mut [f32],
) {
    weight_gradient(dy, (rows, inputs, outputs), true, dw, strips_of(x, inputs));
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
        // SAFETY: each task sums its own columns.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::matmul::LEFT_BLOCK;
    use super::super::weight_gradient::{DEPTH, OUTPUTS, STRIPS};
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
            assert_close(&y, &oracle::dense::linear(&x, &w, Some(&b), relu, shape), 1e-4);
            let mut packed = vec![f32::NAN; packed_len((inputs, outputs))];
            pack(&w, (inputs, outputs), &mut packed);
            y.fill(f32::NAN);
            linear_packed(&x, &packed, Some(&b), relu, shape, &mut y);
            assert_close(&y, &oracle::dense::linear(&x, &w, Some(&b), relu, shape), 1e-4);
            let mut dx = vec![f32::NAN; rows * inputs];
            linear_input_gradient(&dy, &w, shape, &mut dx);
            let mut dw = vec![f32::NAN; outputs * inputs];
            linear_weight_gradient(&dy, &x, shape, &mut dw);
            let (expected_dx, expected_dw) = oracle::dense::linear_gradients(&dy, &x, &w, shape);
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
        assert_close(&y, &oracle::dense::linear(&x, &w, None, false, shape), 1e-3);
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
        let exact = oracle::dense::linear(&x, &w, None, false, shape);
        assert_close(y, &exact, 1e-4);
        assert_close(sum, &exact.iter().zip(&residual).map(|(y, r)| y + r).collect::<Vec<_>>(), 1e-4);
        let (exact_dx, exact_dw) = oracle::dense::linear_gradients(&dy, &x, &w, shape);
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
        // Enough for several tasks, the last one narrower; with whole numbers every order gives the same sum.
        let (rows, columns) = (500, 2 * SUM_COLUMNS + 33);
        let x: Vec<f32> = (0..rows * columns).map(|i| (i % 7) as f32).collect();
        let mut sums = vec![f32::NAN; columns];
        sum_rows(&x, columns, &mut sums);
        let sum = |column: usize| (0..rows).map(|row| x[row * columns + column]).sum::<f32>();
        assert_eq!(sums, (0..columns).map(sum).collect::<Vec<_>>());
    }
}
