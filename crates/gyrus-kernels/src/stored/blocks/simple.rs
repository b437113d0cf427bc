//! Blocks of 32 weights: [`Q4_1`], [`Q5_0`], [`Q5_1`], [`IQ4_NL`], [`MXFP4`].

use super::{Block, half_at, halves};

/// See [`crate::stored::Format::Q4_1`]: scale, minimum to be added, 16 bytes as in [`super::Q4_0`].
#[allow(non_camel_case_types)]
pub(in crate::stored) struct Q4_1;
/// See [`crate::stored::Format::Q5_0`]: scale, the fifth bits of all weights, 16 bytes as in [`super::Q4_0`].
#[allow(non_camel_case_types)]
pub(in crate::stored) struct Q5_0;
/// See [`crate::stored::Format::Q5_1`]: as [`Q5_0`], with a minimum after the scale.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct Q5_1;
/// See [`crate::stored::Format::IQ4_NL`]: scale, 16 bytes as in [`super::Q4_0`], whose halves choose from [`STEPS`].
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ4_NL;
/// See [`crate::stored::Format::MXFP4`]: the exponent of the scale, 16 bytes as in [`super::Q4_0`], whose halves choose
/// from [`TINY_FLOATS`].
pub(in crate::stored) struct MXFP4;

/// The 16 steps of [`IQ4_NL`] and [`super::IQ4_XS`].
pub(in crate::stored) const STEPS: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// [`STEPS`] as codes.
pub(in crate::stored) const STEP_CODES: [u8; 16] = with_offset(STEPS, IQ4_NL::OFFSET);
/// Twice the values of a float of 4 bits: a sign, two bits of exponent, one of mantissa.
const TINY_FLOATS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
const TINY_CODES: [u8; 16] = with_offset(TINY_FLOATS, MXFP4::OFFSET);

const fn with_offset(values: [i8; 16], offset: i32) -> [u8; 16] {
    let mut codes = [0; 16];
    let mut i = 0;
    while i < 16 {
        codes[i] = (values[i] as i32 + offset) as u8;
        i += 1;
    }
    codes
}

/// The fifth bits: `bits[i]` is added to `codes[i]` as 16.
#[inline(always)]
fn add_fifth(bits: &[u8], codes: &mut [u8]) {
    let bits = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
    for (i, code) in codes[..32].iter_mut().enumerate() {
        *code |= ((bits >> i & 1) as u8) << 4;
    }
}

impl Block for Q4_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;
    const SPAN: usize = 32;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        let (low, high) = codes[..32].split_at_mut(16);
        halves(&block[4..20], low, high);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], minima: &mut [f32]) {
        scales[0] = half_at(block, 0);
        minima[0] = -half_at(block, 2);
    }
}

impl Block for Q5_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;
    const SPAN: usize = 32;
    const OFFSET: i32 = 16;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        let (low, high) = codes[..32].split_at_mut(16);
        halves(&block[6..22], low, high);
        add_fifth(&block[2..6], codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
    }
}

impl Block for Q5_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 24;
    const SPAN: usize = 32;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        let (low, high) = codes[..32].split_at_mut(16);
        halves(&block[8..24], low, high);
        add_fifth(&block[4..8], codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], minima: &mut [f32]) {
        scales[0] = half_at(block, 0);
        minima[0] = -half_at(block, 2);
    }
}

impl Block for IQ4_NL {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;
    const SPAN: usize = 32;
    const OFFSET: i32 = 128;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        chosen(&block[2..18], &STEP_CODES, codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
    }
}

/// 32 codes from a table: the lower halves of the bytes choose the first 16.
#[inline(always)]
pub(super) fn chosen(bytes: &[u8], table: &[u8; 16], codes: &mut [u8]) {
    let (low, high) = codes[..32].split_at_mut(16);
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = table[usize::from(byte & 15)];
        *high = table[usize::from(byte >> 4)];
    }
}

impl Block for MXFP4 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 17;
    const SPAN: usize = 32;
    const OFFSET: i32 = 64;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        chosen(&block[1..17], &TINY_CODES, codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        // Half of 2^(exponent - 127), because the values are doubled; the smallest two are subnormal.
        let exponent = u32::from(block[0]);
        let bits = if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 };
        scales[0] = f32::from_bits(bits);
    }
}
