//! Stored weights, products with them, and adapters.

use half::{bf16, f16};

use super::narrow;
use crate::stored::low_rank::LowRank;
use crate::stored::{Format, dequantize};

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
    }
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
    let mut y = Vec::new();
    for x in x.chunks_exact(columns) {
        for row in bytes.chunks_exact(row_bytes) {
            let products: Vec<f64> = x.iter().enumerate().map(|(i, x)| x * weight(format, row, i)).collect();
            y.push((products.iter().sum(), products.iter().map(|p| p.abs()).sum()));
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
