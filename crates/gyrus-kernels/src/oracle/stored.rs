//! Stored weights, products with them, and adapters.

use half::{bf16, f16};

use super::narrow;
use crate::stored::low_rank::LowRank;
use crate::stored::{Format, Matrix, dequantize};

/// One weight of a chain of blocks, directly from the description of the format.
#[must_use]
pub fn weight(format: Format, bytes: &[u8], index: usize) -> f64 {
    let block = &bytes[index / format.block_weights() * format.block_bytes()..];
    let i = index % format.block_weights();
    let half = |at: usize| f64::from(f16::from_le_bytes([block[at], block[at + 1]]).to_f32());
    match format {
        Format::F32 => f64::from(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
        Format::F16 => half(0),
        Format::BF16 => f64::from(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
        Format::Q8_0 => half(0) * f64::from(block[2 + i].cast_signed()),
        Format::Q4_0 => half(0) * (f64::from(block[2 + i % 16] >> (i / 16 * 4) & 15) - 8.0),
        Format::Q4_K => {
            let (span, scales) = (i / 32, &block[4..16]);
            let (scale, minimum) = if span < 4 {
                (scales[span] & 63, scales[span + 4] & 63)
            } else {
                let last = scales[span + 4];
                (last & 15 | scales[span - 4] >> 6 << 4, last >> 4 | scales[span] >> 6 << 4)
            };
            let code = block[16 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
            half(0) * f64::from(scale) * f64::from(code) - half(2) * f64::from(minimum)
        }
        Format::Q6_K => {
            let (half_block, quarter, at) = (i / 128, i % 128 / 32, i % 32);
            let lower = block[half_block * 64 + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
            let upper = block[128 + half_block * 32 + at] >> (quarter * 2) & 3;
            let scale = block[192 + i / 16].cast_signed();
            half(208) * f64::from(scale) * (f64::from(lower | upper << 4) - 32.0)
        }
        Format::Q4_1 => half(0) * f64::from(half_byte(block, 4, i)) + half(2),
        Format::Q5_0 => half(0) * (f64::from(half_byte(block, 6, i) | fifth(block, 2, i)) - 16.0),
        Format::Q5_1 => half(0) * f64::from(half_byte(block, 8, i) | fifth(block, 4, i)) + half(2),
        Format::Q2_K => {
            let code = block[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            let (scale, minimum) = (block[i / 16] & 15, block[i / 16] >> 4);
            half(80) * f64::from(scale) * f64::from(code) - half(82) * f64::from(minimum)
        }
        Format::Q3_K => {
            let lower = block[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            let upper = block[i % 32] >> (i / 32) & 1;
            let (span, scales) = (i / 16, &block[96..108]);
            let scale =
                scales[span % 8] >> (span / 8 * 4) & 15 | (scales[8 + span % 4] >> (span / 4 * 2) & 3) << 4;
            half(108) * (f64::from(scale) - 32.0) * (f64::from(lower | upper << 2) - 4.0)
        }
        Format::Q5_K => {
            let as_q4_k = [&block[..16], &block[48..]].concat();
            let fifth = f64::from((block[16 + i % 32] >> (i / 32) & 1) << 4);
            // The scale of the span: the step between the first two codes of a block without minima.
            let mut step = as_q4_k.clone();
            step[2..4].fill(0);
            step[16..].fill(0x11);
            weight(Format::Q4_K, &as_q4_k, i) + weight(Format::Q4_K, &step, i) * fifth
        }
        Format::IQ4_NL => half(0) * step(half_byte(block, 2, i)),
        Format::IQ4_XS => {
            let span = i / 32;
            let upper = u16::from_le_bytes([block[2], block[3]]) >> (2 * span) & 3;
            let scale = u16::from(block[4 + span / 2] >> (span % 2 * 4) & 15) | upper << 4;
            half(0) * (f64::from(scale) - 32.0) * step(half_byte(block, 8 + span * 16, i % 32))
        }
        Format::MXFP4 => {
            let code = half_byte(block, 1, i);
            let (exponent, mantissa) = (i32::from(code >> 1 & 3), f64::from(code & 1));
            let size =
                if exponent == 0 { mantissa / 2.0 } else { (1.0 + mantissa / 2.0) * 2f64.powi(exponent - 1) };
            (if code & 8 == 0 { size } else { -size }) * 2f64.powi(i32::from(block[0]) - 127)
        }
        Format::TQ2_0 => half(64) * (f64::from(block[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - 1.0),
        Format::TQ1_0 => {
            let (byte, digit) = match i {
                0..160 => (i % 32, i / 32),
                160..240 => (32 + (i - 160) % 16, (i - 160) / 16),
                _ => (48 + (i - 240) % 4, (i - 240) / 4),
            };
            let shifted = block[byte].wrapping_mul(3u8.pow(digit as u32));
            half(52) * (f64::from((u16::from(shifted) * 3) >> 8) - 1.0)
        }
        // These look groups of weights up in tables, of which there is one copy; a golden file checks the decoding.
        Format::IQ1_S
        | Format::IQ1_M
        | Format::IQ2_XXS
        | Format::IQ2_XS
        | Format::IQ2_S
        | Format::IQ3_XXS
        | Format::IQ3_S => {
            let mut values = [0.0; 256];
            if let Ok(matrix) = Matrix::new(format, 1, 256, &block[..format.block_bytes()]) {
                dequantize(&matrix, &mut values);
            }
            f64::from(values[i])
        }
    }
}

/// Blocks of repeatable bytes for `rows` of `columns` weights, with scales of a sensible size.
///
/// # Panics
/// If a row is not a whole number of blocks.
#[must_use]
pub fn blocks(format: Format, rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    assert!(columns.is_multiple_of(format.block_weights()), "whole blocks");
    let length = rows * columns / format.block_weights() * format.block_bytes();
    let mut bytes: Vec<u8> = super::values(length, seed).iter().map(|v| (v * 127.9) as i8 as u8).collect();
    // Where 16-bit floats end.
    let ends: &[usize] = match format {
        Format::Q4_K | Format::Q5_K | Format::Q4_1 | Format::Q5_1 => &[1, 3],
        Format::Q2_K => &[81, 83],
        Format::Q3_K => &[109],
        Format::Q6_K => &[209],
        Format::TQ1_0 => &[53],
        Format::TQ2_0 => &[65],
        Format::IQ1_M => &[55],
        Format::MXFP4 => &[],
        Format::F32 => &[3],
        _ => &[1],
    };
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        if format == Format::MXFP4 {
            block[0] = 118 + block[0] % 4;
        }
        // About a hundredth.
        ends.iter().for_each(|&end| block[end] = block[end] & 0x83 | 0x20);
    }
    if format == Format::BF16 || format == Format::F32 {
        bytes.chunks_exact_mut(format.block_bytes()).for_each(|block| {
            let end = block.len() - 1;
            block[end] = block[end] & 0x80 | 0x3C;
        });
    }
    bytes
}

/// Half a byte of 16 bytes from `at` on, the lower halves first.
fn half_byte(block: &[u8], at: usize, i: usize) -> u8 {
    block[at + i % 16] >> (i / 16 * 4) & 15
}

/// The fifth bit, in its place.
fn fifth(block: &[u8], at: usize, i: usize) -> u8 {
    (block[at + i / 8] >> (i % 8) & 1) << 4
}

/// The steps of `IQ4_NL`.
fn step(code: u8) -> f64 {
    let steps = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    f64::from(steps[usize::from(code)])
}

/// The inputs as matrix products with small integers see them: 32 at a time, rounded to multiples of 1/127 of the largest.
#[must_use]
pub fn round_inputs(x: &[f32]) -> Vec<f64> {
    let mut rounded = Vec::with_capacity(x.len());
    for span in x.chunks(32) {
        let largest = span.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        let (scale, inverse) = (largest / 127.0, if largest > 0.0 { 127.0 / largest } else { 0.0 });
        rounded.extend(span.iter().map(|x| f64::from(scale) * f64::from((x * inverse).round_ties_even())));
    }
    rounded
}

/// See [`crate::stored::matmul`]; beside each output also the sum of the absolute values of its terms, which bounds its
/// error.
#[must_use]
pub fn matmul(format: Format, bytes: &[u8], columns: usize, x: &[f32]) -> Vec<(f64, f64)> {
    let row_bytes = columns / format.block_weights() * format.block_bytes();
    let x = match format {
        Format::F32 | Format::F16 | Format::BF16 => x.iter().map(|&x| f64::from(x)).collect(),
        _ => round_inputs(x),
    };
    let rows = bytes.chunks_exact(row_bytes);
    let rows: Vec<Vec<f64>> =
        rows.map(|row| (0..columns).map(|i| weight(format, row, i)).collect()).collect();
    let mut y = Vec::new();
    for x in x.chunks_exact(columns) {
        for row in &rows {
            let products = || row.iter().zip(x).map(|(w, x)| w * x);
            y.push((products().sum(), products().map(f64::abs).sum()));
        }
    }
    y
}

/// The result of [`crate::stored::low_rank::low_rank`], and its gradients for `x` and the adapter.
pub fn low_rank(
    shape: &LowRank<'_>,
    x: &[f32],
    adapter: &[f32],
    mask: Option<&[f32]>,
    (residual, dy): (&[f32], &[f32]),
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (inputs, outputs) = (shape.inputs, shape.outputs());
    let mut y: Vec<f64> = residual.iter().map(|&r| f64::from(r)).collect();
    let (mut dx, mut dadapter) = (vec![0.0f64; x.len()], vec![0.0f64; adapter.len()]);
    let (mut column, mut first, mut second) = (0, 0, shape.rank() * inputs);
    for part in shape.parts {
        let mut weight = vec![0.0; part.weight.rows() * inputs];
        dequantize(&part.weight, &mut weight);
        for row in 0..x.len() / inputs {
            let at = |i: usize| f64::from(x[row * inputs + i]);
            let kept = |i: usize| mask.map_or(1.0, |mask| f64::from(mask[row * inputs + i]));
            let a = |rank: usize, i: usize| f64::from(adapter[first + rank * inputs + i]);
            let inner: Vec<f64> =
                (0..part.rank).map(|rank| (0..inputs).map(|i| at(i) * kept(i) * a(rank, i)).sum()).collect();
            let mut slopes = vec![0.0f64; part.rank];
            for output in 0..part.weight.rows() {
                let place = row * outputs + column + output;
                let slope = f64::from(dy[place]);
                y[place] += part.bias.map_or(0.0, |bias| f64::from(bias[output]));
                for i in 0..inputs {
                    let weight = f64::from(weight[output * inputs + i]);
                    y[place] += weight * at(i);
                    dx[row * inputs + i] += weight * slope;
                }
                for rank in 0..part.rank {
                    let b_at = second + output * part.rank + rank;
                    let (b, scale) = (f64::from(adapter[b_at]), f64::from(part.scale));
                    y[place] += scale * inner[rank] * b;
                    dadapter[b_at] += scale * inner[rank] * slope;
                    slopes[rank] += scale * b * slope;
                }
            }
            for (rank, slope) in slopes.iter().enumerate() {
                for i in 0..inputs {
                    dx[row * inputs + i] += slope * a(rank, i) * kept(i);
                    dadapter[first + rank * inputs + i] += slope * at(i) * kept(i);
                }
            }
        }
        column += part.weight.rows();
        first += part.rank * inputs;
        second += part.rank * part.weight.rows();
    }
    (narrow(&y), narrow(&dx), narrow(&dadapter))
}
