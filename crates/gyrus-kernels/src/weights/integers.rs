//! Products with weights that are small integers.
//!
//! A span of weights and inputs under one scale each is a dot product of integers, exact: `y = sum over spans of
//! scale_w * scale_x * sum(code_w * code_x)`, minus `minimum * sum(x)` where there are minima.

use super::Matrix;
use super::activations::{self, Activations};
use super::blocks::{Block, LARGEST_BLOCK, MOST_SCALES};
use crate::parallel::{SharedMut, for_each_task};

/// Bytes of weights that one task takes.
const TASK_BYTES: usize = 1 << 16;
/// Bytes of weights below which a product stays on one thread.
const SERIAL_BYTES: usize = 1 << 15;

/// `y = x wᵀ`, with whole rows of both.
pub(super) fn product<B: Block>(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let x = &Activations::new(x, matrix.columns, B::OFFSET);
    let rows = matrix.rows;
    let rows_of_task = (TASK_BYTES / matrix.row_bytes().max(1)).max(1);
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(rows.div_ceil(rows_of_task), matrix.bytes.len() < SERIAL_BYTES, |task| {
        let first = task * rows_of_task;
        let count = rows_of_task.min(rows - first);
        for batch in 0..x.batch() {
            // SAFETY: this task alone writes these outputs of each row of the batch.
            let y = unsafe { target.slice(batch * rows + first, count) };
            for (row, y) in y.iter_mut().enumerate() {
                *y = dot::<B>(matrix.rows_at(first + row, 1), x, batch);
            }
        }
    });
}

/// One row of weights times one row of inputs.
fn dot<B: Block>(row: &[u8], x: &Activations, batch: usize) -> f32 {
    let mut codes = [0u8; LARGEST_BLOCK];
    let (mut scales, mut minima) = ([0.0f32; MOST_SCALES], [0.0f32; MOST_SCALES]);
    let mut sum = 0.0;
    let spans = x.columns / activations::SPAN;
    let (x_codes, x_scales) =
        (&x.codes[batch * x.columns..][..x.columns], &x.scales[batch * spans..][..spans]);
    let x_sums = &x.sums[batch * spans..][..spans];
    for (index, block) in row.chunks_exact(B::BYTES).enumerate() {
        B::codes(block, &mut codes);
        B::scales(block, &mut scales, &mut minima);
        for span in 0..B::WEIGHTS / B::SPAN {
            let at = index * B::WEIGHTS + span * B::SPAN;
            let mut dot = 0i32;
            for (code, x) in codes[span * B::SPAN..][..B::SPAN].iter().zip(&x_codes[at..]) {
                dot += (i32::from(*code) - B::OFFSET) * i32::from(*x);
            }
            sum += scales[span] * x_scales[at / activations::SPAN] * dot as f32;
            if B::MINIMA {
                sum -= minima[span] * x_sums[at / activations::SPAN];
            }
        }
    }
    sum
}
