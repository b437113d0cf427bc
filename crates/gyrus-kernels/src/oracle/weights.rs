//! Naive forms of [`crate::stored`].

use half::{bf16, f16};

use crate::stored::Format;

/// One weight of a chain of blocks, straight from the description of the format.
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

/// The inputs as products with small integers see them: 32 at a time rounded to 127ths of the largest.
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

/// See [`crate::stored::product`]: with each output also the sum of the products' sizes, which bounds its error.
#[must_use]
pub fn product(format: Format, bytes: &[u8], columns: usize, x: &[f32]) -> Vec<(f64, f64)> {
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
