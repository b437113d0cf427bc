//! Dot products of rows with NEON.
//!
//! `smull` multiplies eight codes of weights with those of inputs in 16 bits, `sadalp` adds pairs of those in 32 bits;
//! every 64-bit ARM has both. Codes are signed here, so they need no offset.

use core::arch::aarch64::*;

use super::activations::{Activations, LINE, Row, SPAN};
use super::blocks::{Block, LARGEST_BLOCK, MOST_SCALES};

/// Rows of weights times all inputs: `put(b, row, value)` receives the product of row `row` with input `b`.
pub(super) fn dots<B: Block>(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32)) {
    let row_bytes = x.columns / B::WEIGHTS * B::BYTES;
    for (row, weights) in weights.chunks_exact(row_bytes).enumerate() {
        for b in 0..x.batch() {
            put(b, row, dot::<B>(weights, x.row(b)));
        }
    }
}

/// One row of weights times one row of inputs.
fn dot<B: Block>(weights: &[u8], x: Row<'_>) -> f32 {
    let mut codes = [0u8; LARGEST_BLOCK];
    let (mut scales, mut minima) = ([0.0f32; MOST_SCALES], [0.0f32; MOST_SCALES]);
    let mut sum = 0.0;
    for (index, block) in weights.chunks_exact(B::BYTES).enumerate() {
        B::codes(block, &mut codes);
        B::scales(block, &mut scales, &mut minima);
        for span in 0..B::WEIGHTS / B::SPAN {
            let at = index * B::WEIGHTS + span * B::SPAN;
            let of_weights = &codes[span * B::SPAN..][..B::SPAN];
            let of_x = &x.codes[at / LINE].0[at % LINE..][..B::SPAN];
            // SAFETY: both hold SPAN codes, a multiple of 16; every 64-bit ARM has NEON.
            let dot = unsafe {
                let offset = vdupq_n_s8(B::OFFSET as u8 as i8);
                let mut lanes = vdupq_n_s32(0);
                for i in (0..B::SPAN).step_by(16) {
                    // Codes minus the offset fit into 8 bits, so wrapping subtraction gives them.
                    let w = vsubq_s8(vreinterpretq_s8_u8(vld1q_u8(of_weights.as_ptr().add(i))), offset);
                    let x = vld1q_s8(of_x.as_ptr().add(i));
                    lanes = vpadalq_s16(lanes, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
                    lanes = vpadalq_s16(lanes, vmull_high_s8(w, x));
                }
                vaddvq_s32(lanes)
            };
            sum += scales[span] * x.scales[at / SPAN] * dot as f32;
            if B::MINIMA {
                sum -= minima[span] * x.sums[at / B::SPAN];
            }
        }
    }
    sum
}
