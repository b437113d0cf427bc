//! Frozen linear layers with low-rank adapters (LoRA, Hu et al. 2021): `y = x Wᵀ + b + scale * (x Aᵀ) Bᵀ`, and the
//! gradients for `x`, `A` and `B`. Frozen weights have no gradient and may be stored in any format (QLoRA, Dettmers et
//! al. 2023).
//!
//! Several linear layers of the same input (queries, keys and values) are fused: their results lie side by side in a
//! row of `y`. The adapter is one list of numbers: `A` of each part, `[rank, inputs]`, then `B` of each part,
//! `[outputs, rank]`. The low-rank part is added while a tile of the frozen product is still in the first-level cache.
//! Quantized weights are dequantized a panel or a few rows at a time and are never all in memory. Cost:
//! `2 * rows * inputs * outputs` operations forward and as many backward, and about
//! `6 * rank * rows * (inputs + outputs)` for the adapter.

use super::dequantize::{dequantize, dequantize_row};
use super::matrix::Matrix;
use crate::base::parallel::{SharedMut, with_scratch};
use crate::base::tile::{Epilogue, Residual};
use crate::dense::linear::{linear, linear_input_gradient};
use crate::dense::matmul::{Addend, Right, Strided, matmul_into};
use crate::dense::weight_gradient::{strips_of, weight_gradient, weight_gradient_strided};

/// Floats of dequantized weights in memory at a time.
const STORED: usize = 1 << 20;

/// One of the linear layers that share an input.
#[derive(Clone, Copy, Debug)]
pub struct LowRankPart<'a> {
    /// The frozen weight, `[outputs, inputs]`.
    pub weight: Matrix<'a>,
    /// Added to each row of the result: `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// Columns of `B`; 0 for a part without adapter.
    pub rank: usize,
    /// Factor of the adapter's result.
    pub scale: f32,
}

/// Linear layers of one input, whose results lie side by side.
#[derive(Clone, Copy, Debug)]
pub struct LowRank<'a> {
    /// Columns of `x`.
    pub inputs: usize,
    /// The linear layers.
    pub parts: &'a [LowRankPart<'a>],
}

/// Where the gradients of [`low_rank_backward`] go.
#[derive(Debug)]
pub struct LowRankGradients<'a> {
    /// `[rows, inputs]`
    pub input: Option<&'a mut [f32]>,
    /// As long as the adapter.
    pub adapter: Option<&'a mut [f32]>,
}

impl LowRank<'_> {
    /// Columns of a row of the result.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.parts.iter().map(|part| part.weight.rows()).sum()
    }

    /// The ranks of all parts together.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.parts.iter().map(|part| part.rank).sum()
    }

    /// Length of the adapter.
    #[must_use]
    pub fn adapter_len(&self) -> usize {
        let second: usize = self.parts.iter().map(|part| part.rank * part.weight.rows()).sum();
        self.rank() * self.inputs + second
    }

    fn check(&self, x: &[f32], adapter: &[f32], mask: Option<&[f32]>) -> usize {
        assert!(self.inputs > 0 && x.len().is_multiple_of(self.inputs), "x is [rows, inputs]");
        for part in self.parts {
            assert_eq!(part.weight.columns(), self.inputs, "every part multiplies x");
            assert!(part.bias.is_none_or(|bias| bias.len() == part.weight.rows()), "bias is [outputs]");
        }
        assert_eq!(adapter.len(), self.adapter_len(), "the adapter is every part's A and every part's B");
        assert!(mask.is_none_or(|mask| mask.len() == x.len()), "the mask has the shape of x");
        x.len() / self.inputs
    }

    /// Each part with its first column in the result, its first column among all ranks, and where its `B` begins.
    fn placed(&self) -> impl Iterator<Item = (&LowRankPart<'_>, usize, usize, usize)> {
        let (mut column, mut rank, mut second) = (0, 0, self.rank() * self.inputs);
        self.parts.iter().map(move |part| {
            let place = (part, column, rank, second);
            column += part.weight.rows();
            rank += part.rank;
            second += part.rank * part.weight.rows();
            place
        })
    }
}

/// Passes `x * mask` to `work`, or `x` if there is no mask.
fn masked<R>(x: &[f32], mask: Option<&[f32]>, work: impl FnOnce(&[f32]) -> R) -> R {
    let Some(mask) = mask else { return work(x) };
    with_scratch(x.len(), |product| {
        crate::dense::elementwise::multiply(x, mask, product);
        work(product)
    })
}

/// Passes `scale * B` to `work`.
fn scaled<R>(part: &LowRankPart<'_>, second: &[f32], work: impl FnOnce(&[f32]) -> R) -> R {
    with_scratch(second.len(), |scaled| {
        scaled.iter_mut().zip(second).for_each(|(scaled, b)| *scaled = part.scale * b);
        work(scaled)
    })
}

/// Writes the result to `y`, `[rows, outputs]`, and `x Aᵀ` of all parts to `inner`, `[rows, rank]`.
///
/// `x` is `[rows, inputs]`; with a mask (dropout), the adapter's input is `x * mask`; `residual` is added to `y`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn low_rank(
    shape: &LowRank<'_>,
    x: &[f32],
    adapter: &[f32],
    mask: Option<&[f32]>,
    residual: Option<&[f32]>,
    y: &mut [f32],
    inner: &mut [f32],
) {
    let rows = shape.check(x, adapter, mask);
    let (inputs, outputs, rank) = (shape.inputs, shape.outputs(), shape.rank());
    assert_eq!(y.len(), rows * outputs, "y is [rows, outputs]");
    assert!(residual.is_none_or(|residual| residual.len() == y.len()), "the residual has the shape of y");
    assert_eq!(inner.len(), rows * rank, "inner is [rows, rank]");
    if rank > 0 {
        masked(x, mask, |x| linear(x, &adapter[..rank * inputs], None, false, (rows, inputs, rank), inner));
    }
    let start = y.as_ptr();
    let y = SharedMut(y.as_mut_ptr());
    for (part, column, first_rank, second_at) in shape.placed() {
        let second = &adapter[second_at..][..part.rank * part.weight.rows()];
        scaled(part, second, |second| {
            for_each_block(&part.weight, |first, weight| {
                let count = weight.rows();
                let epilogue = Epilogue {
                    bias: part.bias.map(|bias| &bias[first..][..count]),
                    activation: None,
                    // Both are addressed by the place in `y`.
                    residual: residual.map(|r| Residual { residual: r.as_ptr(), out: start }),
                };
                let low = (part.rank > 0).then(|| Addend {
                    left: Strided::columns(inner, rank, first_rank),
                    right: Right::Transposed(&second[first * part.rank..][..count * part.rank]),
                    depth: part.rank,
                });
                let floats = |row: usize, to: &mut [f32]| dequantize_row(&weight, row, to);
                let right = weight.as_floats().map_or(Right::Rows(&floats), Right::Transposed);
                let target = SharedMut(y.get().wrapping_add(column + first));
                // SAFETY: these columns of all rows of `y`, which no other product writes in the meantime.
                unsafe {
                    let left = Strided { values: x, stride: inputs };
                    matmul_into(left, right, low, (rows, inputs, count), epilogue, (target, outputs));
                }
            });
        });
    }
}

/// Calls `work(first row, rows)` for blocks of the weight: for all of it if it is stored as floats.
fn for_each_block<'a>(weight: &Matrix<'a>, mut work: impl FnMut(usize, Matrix<'a>)) {
    if weight.as_floats().is_some() {
        return work(0, *weight);
    }
    let block = block_rows(weight);
    for first in (0..weight.rows()).step_by(block) {
        work(first, weight.row_range(first, block.min(weight.rows() - first)));
    }
}

/// Rows of a weight that are dequantized together.
fn block_rows(weight: &Matrix<'_>) -> usize {
    (STORED / weight.columns().max(1)).max(1).next_multiple_of(crate::base::tile::PANEL)
}

/// Gradients of [`low_rank`] for `x` and the adapter, if requested, given the `inner` of the forward pass.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn low_rank_backward(
    shape: &LowRank<'_>,
    (x, adapter, inner): (&[f32], &[f32], &[f32]),
    mask: Option<&[f32]>,
    dy: &[f32],
    gradients: LowRankGradients<'_>,
) {
    let rows = shape.check(x, adapter, mask);
    let (inputs, outputs, rank) = (shape.inputs, shape.outputs(), shape.rank());
    assert_eq!(dy.len(), rows * outputs, "dy is [rows, outputs]");
    assert_eq!(inner.len(), rows * rank, "inner is [rows, rank]");
    let LowRankGradients { input, adapter: dadapter } = gradients;
    with_scratch(rows * rank, |slopes| {
        let target = SharedMut(slopes.as_mut_ptr());
        for (part, column, first_rank, second_at) in shape.placed().filter(|(part, ..)| part.rank > 0) {
            let count = part.weight.rows();
            scaled(part, &adapter[second_at..][..part.rank * count], |second| {
                // SAFETY: these columns of all rows of `slopes`, which nothing else writes in the meantime.
                unsafe {
                    matmul_into(
                        Strided::columns(dy, outputs, column),
                        Right::Plain(second),
                        None,
                        (rows, count, part.rank),
                        Epilogue::NONE,
                        (SharedMut(target.get().wrapping_add(first_rank)), rank),
                    );
                }
            });
        }
        let (slopes, first) = (&*slopes, &adapter[..rank * inputs]);
        if let Some(dx) = input {
            assert_eq!(dx.len(), rows * inputs, "dx is [rows, inputs]");
            frozen_input_gradient(shape, (slopes, first), mask.is_none(), dy, dx);
            if let Some(mask) = mask.filter(|_| rank > 0) {
                with_scratch(rows * inputs, |through| {
                    linear_input_gradient(slopes, first, (rows, inputs, rank), through);
                    dx.iter_mut().zip(mask).zip(&*through).for_each(|((dx, mask), g)| *dx += mask * g);
                });
            }
        }
        let Some(dadapter) = dadapter else { return };
        assert_eq!(dadapter.len(), adapter.len(), "the gradient is as long as the adapter");
        let (dfirst, _) = dadapter.split_at_mut(rank * inputs);
        masked(x, mask, |x| {
            weight_gradient(slopes, (rows, inputs, rank), false, dfirst, strips_of(x, inputs));
        });
        for (part, column, first_rank, second_at) in shape.placed().filter(|(part, ..)| part.rank > 0) {
            let dsecond = &mut dadapter[second_at..][..part.rank * part.weight.rows()];
            let size = (rows, part.rank, part.weight.rows());
            weight_gradient_strided(
                Strided::columns(dy, outputs, column),
                size,
                false,
                dsecond,
                |first, columns, strip| {
                    for (row, to) in strip.chunks_exact_mut(crate::base::tile::PANEL).enumerate() {
                        to[..columns].copy_from_slice(&inner[row * rank + first_rank + first..][..columns]);
                        to[columns..].fill(0.0);
                    }
                },
            );
            dsecond.iter_mut().for_each(|g| *g *= part.scale);
        }
    });
}

/// The gradient of [`low_rank`] for `x`, `[rows, inputs]`, if no part has an adapter.
///
/// # Panics
/// If a slice is not as long as its shape says, or a part has an adapter.
pub fn low_rank_input_gradient(shape: &LowRank<'_>, dy: &[f32], dx: &mut [f32]) {
    assert_eq!(shape.rank(), 0, "no part has an adapter");
    assert!(shape.inputs > 0 && dx.len().is_multiple_of(shape.inputs), "dx is [rows, inputs]");
    assert_eq!(dy.len(), dx.len() / shape.inputs * shape.outputs(), "dy is [rows, outputs]");
    frozen_input_gradient(shape, (&[], &[]), false, dy, dx);
}

/// `dx = dy W` over all parts, plus the adapter's `slopes A` if `add_adapter`.
fn frozen_input_gradient(
    shape: &LowRank<'_>,
    (slopes, first): (&[f32], &[f32]),
    add_adapter: bool,
    dy: &[f32],
    dx: &mut [f32],
) {
    let (inputs, outputs, rank) = (shape.inputs, shape.outputs(), shape.rank());
    let rows = dx.len() / inputs;
    let target = SharedMut(dx.as_mut_ptr());
    let mut begun = false;
    for (part, column, ..) in shape.placed() {
        let mut block = |at: usize, weight: &[f32], count: usize| {
            let low = (!begun && add_adapter && rank > 0).then_some(Addend {
                left: Strided { values: slopes, stride: rank },
                right: Right::Plain(first),
                depth: rank,
            });
            let residual = begun.then_some(Residual { residual: target.get(), out: target.get() });
            let left = Strided::columns(dy, outputs, column + at);
            let epilogue = Epilogue { residual, ..Epilogue::NONE };
            // SAFETY: `dx` is `[rows, inputs]`, and only this product writes it in the meantime.
            unsafe {
                matmul_into(
                    left,
                    Right::Plain(weight),
                    low,
                    (rows, count, inputs),
                    epilogue,
                    (target, inputs),
                );
            }
            begun = true;
        };
        match part.weight.as_floats() {
            Some(weight) => block(0, weight, part.weight.rows()),
            None => for_each_block(&part.weight, |at, weight| {
                with_scratch(weight.rows() * inputs, |floats| {
                    dequantize(&weight, floats);
                    block(at, floats, weight.rows());
                });
            }),
        }
    }
    if !begun {
        dx.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};
    use crate::stored::{Format, quantize};

    struct Case {
        rows: usize,
        inputs: usize,
        /// Outputs and rank of each part.
        parts: Vec<(usize, usize)>,
        format: Format,
        dropped: bool,
    }

    impl Case {
        fn run(&self, check: bool) -> [Vec<f32>; 3] {
            let &Case { rows, inputs, ref parts, format, dropped } = self;
            let weights: Vec<Vec<u8>> = (parts.iter().enumerate())
                .map(|(i, &(outputs, _))| {
                    quantize(format, &values(outputs * inputs, 10 + i as u64), inputs).unwrap()
                })
                .collect();
            let biases: Vec<Vec<f32>> = parts.iter().map(|&(outputs, _)| values(outputs, 5)).collect();
            let lent: Vec<LowRankPart<'_>> = (0..parts.len())
                .map(|i| LowRankPart {
                    weight: Matrix::new(format, parts[i].0, inputs, &weights[i]).unwrap(),
                    bias: (i % 2 == 0).then_some(&biases[i]),
                    rank: parts[i].1,
                    scale: 0.5 + i as f32,
                })
                .collect();
            let shape = LowRank { inputs, parts: &lent };
            let (outputs, rank) = (shape.outputs(), shape.rank());
            let (x, adapter) = (values(rows * inputs, 1), values(shape.adapter_len(), 2));
            let mask: Option<Vec<f32>> = dropped
                .then(|| values(rows * inputs, 3).iter().map(|v| if *v > 0.0 { 2.0 } else { 0.0 }).collect());
            let (residual, dy) = (values(rows * outputs, 4), values(rows * outputs, 6));
            let (mut y, mut inner) = (vec![f32::NAN; rows * outputs], vec![f32::NAN; rows * rank]);
            low_rank(&shape, &x, &adapter, mask.as_deref(), Some(&residual), &mut y, &mut inner);
            let (mut dx, mut dadapter) = (vec![f32::NAN; x.len()], vec![f32::NAN; adapter.len()]);
            let gradients = LowRankGradients { input: Some(&mut dx), adapter: Some(&mut dadapter) };
            low_rank_backward(&shape, (&x, &adapter, &inner), mask.as_deref(), &dy, gradients);
            if check {
                let mask = mask.as_deref();
                let exact = oracle::stored::low_rank(&shape, &x, &adapter, mask, (&residual, &dy));
                assert_close(&y, &exact.0, 2e-4);
                assert_close(&dx, &exact.1, 2e-4);
                assert_close(&dadapter, &exact.2, 1e-3);
            }
            [y, dx, dadapter]
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn it_and_its_gradient_match_the_oracle(
            rows in 1usize..70, blocks in 1usize..4,
            parts in prop::collection::vec((1usize..40, 0usize..20), 1..4), dropped: bool, format in 0usize..3,
        ) {
            let format = [Format::F32, Format::Q8_0, Format::BF16][format];
            Case { rows, inputs: 32 * blocks, parts, format, dropped }.run(true);
        }
    }

    #[test]
    fn large_weights_of_every_written_format_match_the_oracle_and_threads_change_no_bit() {
        for format in Format::ALL.into_iter().filter(|format| format.is_written()) {
            let case =
                Case { rows: 20, inputs: 512, parts: vec![(2100, 16), (33, 3)], format, dropped: false };
            let all = case.run(true);
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| case.run(false)) == all, "{threads} threads, {format:?}");
            }
        }
    }

    #[test]
    fn rows_that_fill_several_blocks_match_the_oracle() {
        let parts = vec![(150, 16), (70, 16), (70, 0)];
        Case { rows: 600, inputs: 320, parts, format: Format::F32, dropped: true }.run(true);
    }
}
