//! Quantizes floats to blocks exactly as ggml's reference quantizers do, so that files are identical.
//!
//! `Q8_0`, `Q5_0` and `Q4_0` round to steps of the largest value, `Q5_1` and `Q4_1` to steps between the smallest and the
//! largest. `Q4_K` and `Q6_K` try some 20 step widths per span and keep
//! the one with the least weighted squared error (for each, the best scale, and minimum, in closed form); then scales
//! and minima are rounded too, and the codes computed again with the rounded ones. Cost: some 20 passes for the latter.

use half::{bf16, f16};
use rayon::prelude::*;

use super::format::Format;
use crate::error::{Error, Result};

/// Values below this count as zero.
const SMALLEST: f32 = 1e-15;

/// Rows of `columns` values each in the given format.
///
/// # Errors
/// If `values` is not a whole number of rows, a row not a whole number of blocks, or the format is only read
/// ([`Format::is_written`]).
pub fn quantize(format: Format, values: &[f32], columns: usize) -> Result<Vec<u8>> {
    if !format.is_written() {
        return Err(Error::ReadOnly { format });
    }
    let row_bytes = format.row_bytes(columns).ok_or(Error::Columns { format, columns })?;
    if columns == 0 || !values.len().is_multiple_of(columns) {
        return if values.is_empty() {
            Ok(Vec::new())
        } else {
            Err(Error::Values { values: values.len(), columns })
        };
    }
    let mut bytes = vec![0u8; values.len() / columns * row_bytes];
    bytes.par_chunks_mut(row_bytes).zip(values.par_chunks(columns)).for_each(|(bytes, values)| {
        let blocks = bytes.chunks_exact_mut(format.block_bytes());
        for (block, values) in blocks.zip(values.chunks_exact(format.block_weights())) {
            match format {
                Format::F32 => block.copy_from_slice(&values[0].to_le_bytes()),
                Format::F16 => block.copy_from_slice(&f16::from_f32(values[0]).to_le_bytes()),
                Format::BF16 => block.copy_from_slice(&bf16::from_f32(values[0]).to_le_bytes()),
                Format::Q8_0 => q8_0(values, block),
                Format::Q4_0 => q4_0(values, block),
                Format::Q4_K => q4_k(values, block),
                Format::Q6_K => q6_k(values, block),
                Format::Q4_1 => q4_1(values, block),
                Format::Q5_0 => q5_0(values, block),
                Format::Q5_1 => q5_1(values, block),
                // Refused above.
                _ => {}
            }
        }
    });
    Ok(bytes)
}

/// Writes a 16-bit float and returns its rounded value.
fn put_half(value: f32, to: &mut [u8]) -> f32 {
    let half = f16::from_f32(value);
    to[..2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// The value farthest from zero, the first of several.
fn extreme(values: &[f32]) -> f32 {
    values.iter().fold(0.0f32, |extreme, &value| if value.abs() > extreme.abs() { value } else { extreme })
}

/// `1 / x`, or 0.
fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// The nearest code within bounds.
fn nearest(x: f32, least: i32, most: i32) -> i32 {
    (x.round_ties_even() as i32).clamp(least, most)
}

fn q8_0(values: &[f32], block: &mut [u8]) {
    let scale = extreme(values).abs() / 127.0;
    let inverse = inverse(scale);
    put_half(scale, block);
    for (code, value) in block[2..].iter_mut().zip(values) {
        *code = ((value * inverse).round() as i8).cast_unsigned();
    }
}

fn q4_0(values: &[f32], block: &mut [u8]) {
    // The extreme value gets code 0, the one without a positive counterpart: -8.
    let scale = extreme(values) / -8.0;
    let inverse = inverse(scale);
    put_half(scale, block);
    let code = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    let (low, high) = values.split_at(16);
    for ((byte, &low), &high) in block[2..].iter_mut().zip(low).zip(high) {
        *byte = code(low) | code(high) << 4;
    }
}

/// The smallest value and the step to the largest in `most` steps, as they are stored, and the codes of 32 values.
fn between(values: &[f32], most: u8, block: &mut [u8]) -> [u8; 32] {
    let smallest = values.iter().fold(f32::MAX, |a, &b| a.min(b));
    let largest = values.iter().fold(-f32::MAX, |a, &b| a.max(b));
    let scale = (largest - smallest) / f32::from(most);
    let inverse = inverse(scale);
    put_half(scale, block);
    put_half(smallest, &mut block[2..]);
    let mut codes = [0; 32];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (((value - smallest) * inverse + 0.5) as u8).min(most);
    }
    codes
}

/// The lower four bits of 32 codes, in 16 bytes.
fn put_half_bytes(codes: &[u8; 32], to: &mut [u8]) {
    let (low, high) = codes.split_at(16);
    for ((byte, low), high) in to.iter_mut().zip(low).zip(high) {
        *byte = low & 15 | (high & 15) << 4;
    }
}

/// The fifth bits of 32 codes, in four bytes.
fn put_fifth_bits(codes: &[u8; 32], to: &mut [u8]) {
    let bits = codes.iter().enumerate().fold(0u32, |bits, (i, code)| bits | u32::from(code >> 4) << i);
    to[..4].copy_from_slice(&bits.to_le_bytes());
}

fn q4_1(values: &[f32], block: &mut [u8]) {
    let codes = between(values, 15, block);
    put_half_bytes(&codes, &mut block[4..]);
}

fn q5_1(values: &[f32], block: &mut [u8]) {
    let codes = between(values, 31, block);
    put_fifth_bits(&codes, &mut block[4..]);
    put_half_bytes(&codes, &mut block[8..]);
}

fn q5_0(values: &[f32], block: &mut [u8]) {
    // The extreme value gets code 0: -16.
    let scale = extreme(values) / -16.0;
    let inverse = inverse(scale);
    put_half(scale, block);
    let mut codes = [0; 32];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = ((value * inverse + 16.5) as u8).min(31);
    }
    put_fifth_bits(&codes, &mut block[2..]);
    put_half_bytes(&codes, &mut block[6..]);
}

/// A scale and minimum for values that become codes 0 ..= 15, so that `x ≈ scale * code - minimum`.
///
/// Each value's error is weighted by its absolute value plus the span's root mean square.
fn scale_and_minimum(values: &[f32]) -> (f32, f32) {
    const MOST: f32 = 15.0;
    let mean_square = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
    let root = mean_square.sqrt();
    let weight = |x: f32| root + x.abs();
    let (mut lowest, mut highest) = (values[0], values[0]);
    let (mut sum_w, mut sum_x) = (0.0, 0.0);
    for &x in values {
        (lowest, highest) = (lowest.min(x), highest.max(x));
        sum_w += weight(x);
        sum_x += weight(x) * x;
    }
    lowest = lowest.min(0.0);
    if highest == lowest {
        return (0.0, -lowest);
    }
    let code = |x: f32, base: f32, inverse: f32| nearest(inverse * (x - base), 0, 15) as f32;
    // The error of the codes that `inverse` and the earlier base give, under another scale and base.
    let error = |scale: f32, base: f32, inverse: f32, before: f32| {
        values.iter().fold(0.0, |error, &x| {
            let difference = scale * code(x, before, inverse) + base - x;
            error + weight(x) * (difference * difference)
        })
    };
    let inverse = MOST / (highest - lowest);
    let mut best = (1.0 / inverse, lowest);
    let mut least_error = error(best.0, lowest, inverse, lowest);
    for step in 0..=20 {
        // As in ggml, further steps start from the best base so far.
        let before = best.1;
        let inverse = (-1.0 + 0.1 * step as f32 + MOST) / (highest - before);
        let (mut sum_l, mut sum_ll, mut sum_xl) = (0.0, 0.0, 0.0);
        for &x in values {
            let l = code(x, before, inverse);
            sum_l += weight(x) * l;
            sum_ll += weight(x) * l * l;
            sum_xl += weight(x) * l * x;
        }
        let determinant = sum_w * sum_ll - sum_l * sum_l;
        if determinant > 0.0 {
            let mut scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
            let mut base = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
            if base > 0.0 {
                (scale, base) = (sum_xl / sum_ll, 0.0);
            }
            let error = error(scale, base, inverse, before);
            if error < least_error {
                (best, least_error) = ((scale, base), error);
            }
        }
    }
    (best.0, -best.1)
}

fn q4_k(values: &[f32], block: &mut [u8]) {
    let mut scales = [0.0f32; 8];
    let mut minima = [0.0f32; 8];
    for (span, values) in values.chunks_exact(32).enumerate() {
        (scales[span], minima[span]) = scale_and_minimum(values);
    }
    let largest = |x: &[f32; 8]| x.iter().fold(0.0f32, |a, &b| a.max(b));
    let (largest_scale, largest_minimum) = (largest(&scales), largest(&minima));
    let steps = |x: &[f32; 8], largest: f32| {
        let inverse = if largest > 0.0 { 63.0 / largest } else { 0.0 };
        x.map(|x| nearest(inverse * x, 0, 63) as u8)
    };
    let (multiples, multiples_of_minimum) = (steps(&scales, largest_scale), steps(&minima, largest_minimum));
    let scale = put_half(largest_scale / 63.0, &mut block[0..]);
    let minimum = put_half(largest_minimum / 63.0, &mut block[2..]);
    for i in 0..4 {
        let (scale, minimum) = (multiples[i + 4], multiples_of_minimum[i + 4]);
        block[4 + i] = multiples[i] | scale >> 4 << 6;
        block[8 + i] = multiples_of_minimum[i] | minimum >> 4 << 6;
        block[12 + i] = scale & 15 | (minimum & 15) << 4;
    }
    let mut codes = [0u8; 256];
    for (span, (codes, values)) in codes.chunks_exact_mut(32).zip(values.chunks_exact(32)).enumerate() {
        let scale = scale * f32::from(multiples[span]);
        let minimum = minimum * f32::from(multiples_of_minimum[span]);
        if scale != 0.0 {
            for (code, value) in codes.iter_mut().zip(values) {
                *code = nearest((value + minimum) / scale, 0, 15) as u8;
            }
        }
    }
    for (bytes, codes) in block[16..].chunks_exact_mut(32).zip(codes.chunks_exact(64)) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = codes[i] | codes[i + 32] << 4;
        }
    }
}

/// A scale for values that become codes -32 ..= 31, so that `x ≈ scale * code`; each error is weighted by the value's
/// square.
fn scale(values: &[f32]) -> f32 {
    const MOST: f32 = 32.0;
    let extreme = extreme(values);
    if extreme.abs() < SMALLEST {
        return 0.0;
    }
    let sums = |inverse: f32| {
        values.iter().fold((0.0f32, 0.0f32), |(sum_lx, sum_ll), &x| {
            let l = nearest(inverse * x, -32, 31) as f32;
            (sum_lx + x * x * x * l, sum_ll + x * x * l * l)
        })
    };
    let (sum_lx, sum_ll) = sums(-MOST / extreme);
    let mut scale = if sum_ll == 0.0 { 0.0 } else { sum_lx / sum_ll };
    let mut best = scale * sum_lx;
    for step in (-9..=9).filter(|&step| step != 0) {
        let (sum_lx, sum_ll) = sums(-(MOST + 0.1 * step as f32) / extreme);
        if sum_ll > 0.0 && sum_lx * sum_lx > best * sum_ll {
            scale = sum_lx / sum_ll;
            best = scale * sum_lx;
        }
    }
    scale
}

fn q6_k(values: &[f32], block: &mut [u8]) {
    let mut scales = [0.0f32; 16];
    for (to, values) in scales.iter_mut().zip(values.chunks_exact(16)) {
        *to = scale(values);
    }
    let extreme = extreme(&scales);
    // A block of zeros is all zero bytes.
    block.fill(0);
    if extreme.abs() < SMALLEST {
        return;
    }
    let inverse = -128.0 / extreme;
    let step = put_half(1.0 / inverse, &mut block[208..]);
    let mut codes = [32u8; 256];
    for (span, (codes, values)) in codes.chunks_exact_mut(16).zip(values.chunks_exact(16)).enumerate() {
        let multiple = nearest(inverse * scales[span], -128, 127) as i8;
        block[192 + span] = multiple.cast_unsigned();
        let scale = step * f32::from(multiple);
        if scale != 0.0 {
            for (code, value) in codes.iter_mut().zip(values) {
                *code = (nearest(value / scale, -32, 31) + 32) as u8;
            }
        }
    }
    for half in 0..2 {
        let codes = &codes[half * 128..][..128];
        for i in 0..32 {
            let [a, b, c, d] = [codes[i], codes[i + 32], codes[i + 64], codes[i + 96]];
            block[half * 64 + i] = a & 15 | (c & 15) << 4;
            block[half * 64 + i + 32] = b & 15 | (d & 15) << 4;
            block[128 + half * 32 + i] = a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6;
        }
    }
}
