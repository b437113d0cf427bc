//! Products with weights that are small integers.
//!
//! A span of weights and inputs under one scale each is a dot product of integers, exact: `y = sum over spans of
//! scale_w * scale_x * sum(code_w * code_x)`, minus `minimum * sum(x)` where there are minima. Each output is one sum in
//! an order of its own, whatever the batch and the tasks.

use super::Matrix;
use super::activations::{self, Activations, Order};
use super::blocks::{Block, LARGEST_BLOCK, MOST_SCALES};
#[cfg(target_arch = "x86_64")]
use super::{avx512, tiles};
use crate::parallel::{SharedMut, for_each_task};

/// Bytes of weights that one task takes.
const TASK_BYTES: usize = 1 << 16;
/// Bytes of weights below which a product of one row stays on one thread.
const SERIAL_BYTES: usize = 1 << 15;

/// A format with all ways to multiply.
#[cfg(target_arch = "x86_64")]
pub(super) trait Multiply: Block + avx512::Registers {}
#[cfg(target_arch = "x86_64")]
impl<B: Block + avx512::Registers> Multiply for B {}
/// A format with all ways to multiply.
#[cfg(not(target_arch = "x86_64"))]
pub(super) trait Multiply: Block {}
#[cfg(not(target_arch = "x86_64"))]
impl<B: Block> Multiply for B {}

/// `y = x wᵀ`, with whole rows of both.
pub(super) fn product<B: Multiply>(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if x.len() / matrix.columns >= tiles::FEWEST && avx512::available() {
        // SAFETY: the machine has been asked.
        return unsafe { tiles::product::<B>(matrix, x, y) };
    }
    let (dots, order) = dots_of_this_machine::<B>();
    let x = &Activations::new(x, matrix.columns, B::OFFSET, order);
    let (rows, batch) = (matrix.rows, x.batch());
    let rows_of_task = (TASK_BYTES / matrix.row_bytes().max(1)).max(1);
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(rows.div_ceil(rows_of_task), matrix.bytes.len() * batch < SERIAL_BYTES, |task| {
        let first = task * rows_of_task;
        let count = rows_of_task.min(rows - first);
        let weights = matrix.rows_at(first, count);
        // SAFETY: the machine has been asked; rows are whole; this task alone writes these outputs of each input.
        let put =
            |b: usize, row: usize, value: f32| unsafe { *target.get().add(b * rows + first + row) = value };
        dots(weights, x, &put);
    });
}

/// Multiplies whole rows of weights with all inputs, and hands on each result with its input and row.
type Dots = fn(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32));

/// The fastest way to multiply on this machine, and the order of inputs it wants.
fn dots_of_this_machine<B: Multiply>() -> (Dots, Order) {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        return (avx512_dots::<B>, if B::JOINED { Order::Halves } else { Order::Plain });
    }
    (dots::<B>, Order::Plain)
}

/// By AVX-512, four inputs at a time.
#[cfg(target_arch = "x86_64")]
fn avx512_dots<B: Multiply>(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32)) {
    let mut first = 0;
    while first < x.batch() {
        let rest = x.batch() - first;
        // SAFETY: chosen on a machine that has it, with whole rows.
        unsafe {
            if rest >= 4 {
                avx512::dots::<B, 4>(weights, x, first, |n, row, value| put(first + n, row, value));
                first += 4;
            } else if rest >= 2 {
                avx512::dots::<B, 2>(weights, x, first, |n, row, value| put(first + n, row, value));
                first += 2;
            } else {
                avx512::dots::<B, 1>(weights, x, first, |n, row, value| put(first + n, row, value));
                first += 1;
            }
        }
    }
}

/// By any machine.
fn dots<B: Block>(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32)) {
    let row_bytes = x.columns / B::WEIGHTS * B::BYTES;
    for (row, weights) in weights.chunks_exact(row_bytes).enumerate() {
        for b in 0..x.batch() {
            put(b, row, dot::<B>(weights, x.row(b)));
        }
    }
}

/// One row of weights times one row of inputs.
fn dot<B: Block>(row: &[u8], x: activations::Row<'_>) -> f32 {
    let mut codes = [0u8; LARGEST_BLOCK];
    let (mut scales, mut minima) = ([0.0f32; MOST_SCALES], [0.0f32; MOST_SCALES]);
    let mut sum = 0.0;
    for (index, block) in row.chunks_exact(B::BYTES).enumerate() {
        B::codes(block, &mut codes);
        B::scales(block, &mut scales, &mut minima);
        for span in 0..B::WEIGHTS / B::SPAN {
            let at = index * B::WEIGHTS + span * B::SPAN;
            let mut dot = 0i32;
            let x_codes = &x.codes[at / activations::LINE].0[at % activations::LINE..];
            for (code, x) in codes[span * B::SPAN..][..B::SPAN].iter().zip(x_codes) {
                dot += (i32::from(*code) - B::OFFSET) * i32::from(*x);
            }
            sum += scales[span] * x.scales[at / activations::SPAN] * dot as f32;
            if B::MINIMA {
                sum -= minima[span] * x.sums[at / activations::SPAN];
            }
        }
    }
    sum
}
