//! Blocks of 256 weights without tables, except the 16 steps: [`Q2_K`], [`Q3_K`], [`Q5_K`], [`IQ4_XS`], [`TQ1_0`],
//! [`TQ2_0`].

use super::simple::{STEP_CODES, chosen};
use super::{Block, half_at, halves, six_bits};

/// See [`crate::stored::Format::Q2_K`]: 16 scales and minima of 4 bits, per 128 weights 32 bytes whose lowest two bits
/// are the first 32, then the scales of both.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct Q2_K;
/// See [`crate::stored::Format::Q3_K`]: 32 bytes with the third bit of each 32 weights, two bits as in [`Q2_K`], scales
/// in 6 bits, the scale of the scales.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct Q3_K;
/// See [`crate::stored::Format::Q5_K`]: as [`super::Q4_K`], with 32 bytes of fifth bits after the scales.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct Q5_K;
/// See [`crate::stored::Format::IQ4_XS`]: the scale of the scales, their upper two bits, their lower four, per 32 weights
/// 16 bytes as in [`super::IQ4_NL`].
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ4_XS;
/// See [`crate::stored::Format::TQ1_0`]: bytes that hold five weights each as a fraction in base three, four bytes with
/// four each, the scale.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct TQ1_0;
/// See [`crate::stored::Format::TQ2_0`]: two bits per weight in the order of [`Q2_K`], the scale.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct TQ2_0;

/// Two bits for each of 256 weights: per 128 weights, 32 bytes whose lowest two bits are the first 32.
#[inline(always)]
fn two_bits(bytes: &[u8], codes: &mut [u8]) {
    for (bytes, codes) in bytes.chunks_exact(32).zip(codes[..256].chunks_exact_mut(128)) {
        for (quarter, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = byte >> (2 * quarter) & 3;
            }
        }
    }
}

/// One bit for each of 256 weights, at place `shift` of their codes: bit `i` of 32 bytes belongs to the weights from
/// `32 * i` on.
#[inline(always)]
fn add_bits(bytes: &[u8], shift: u32, codes: &mut [u8]) {
    for (span, codes) in codes[..256].chunks_exact_mut(32).enumerate() {
        for (code, byte) in codes.iter_mut().zip(bytes) {
            *code |= (byte >> span & 1) << shift;
        }
    }
}

impl Block for Q2_K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 84;
    const SPAN: usize = 16;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        two_bits(&block[16..80], codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], minima: &mut [f32]) {
        let (scale, minimum) = (half_at(block, 80), half_at(block, 82));
        for i in 0..16 {
            scales[i] = scale * f32::from(block[i] & 15);
            minima[i] = minimum * f32::from(block[i] >> 4);
        }
    }
}

impl Block for Q3_K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 110;
    const SPAN: usize = 16;
    const OFFSET: i32 = 4;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        two_bits(&block[32..96], codes);
        add_bits(&block[..32], 2, codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let scale = half_at(block, 108);
        for (to, multiple) in scales[..16].iter_mut().zip(sixteen_of_six_bits(&block[96..108])) {
            *to = scale * (f32::from(multiple) - 32.0);
        }
    }
}

/// The 16 multiples of the scale of a [`Q3_K`] block, in 12 bytes: eight bytes with the lower four bits of two each, then
/// the upper two bits of four each.
#[inline(always)]
pub(in crate::stored) fn sixteen_of_six_bits(packed: &[u8]) -> [u8; 16] {
    let word = |at: usize| u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]]);
    let (first, second, upper) = (word(0), word(4), word(8));
    let join = |lower: u32, upper: u32| u128::from(lower & 0x0F0F_0F0F | (upper & 0x0303_0303) << 4);
    let all = join(first, upper)
        | join(second, upper >> 2) << 32
        | join(first >> 4, upper >> 4) << 64
        | join(second >> 4, upper >> 6) << 96;
    all.to_le_bytes()
}

impl Block for Q5_K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;
    const SPAN: usize = 32;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        for (bytes, codes) in block[48..176].chunks_exact(32).zip(codes[..256].chunks_exact_mut(64)) {
            let (low, high) = codes.split_at_mut(32);
            halves(bytes, low, high);
        }
        add_bits(&block[16..48], 4, codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], minima: &mut [f32]) {
        let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
        let (multiples, multiples_of_minimum) = six_bits(&block[4..16]);
        for i in 0..8 {
            scales[i] = scale * f32::from(multiples[i]);
            minima[i] = minimum * f32::from(multiples_of_minimum[i]);
        }
    }
}

impl Block for IQ4_XS {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 136;
    const SPAN: usize = 32;
    const OFFSET: i32 = 128;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        for (bytes, codes) in block[8..136].chunks_exact(16).zip(codes[..256].chunks_exact_mut(32)) {
            chosen(bytes, &STEP_CODES, codes);
        }
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let scale = half_at(block, 0);
        let upper = u16::from_le_bytes([block[2], block[3]]);
        for (i, to) in scales[..8].iter_mut().enumerate() {
            let lower = block[4 + i / 2] >> (4 * (i % 2)) & 15;
            let multiple = u16::from(lower) | (upper >> (2 * i) & 3) << 4;
            *to = scale * (f32::from(multiple) - 32.0);
        }
    }
}

impl Block for TQ1_0 {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 54;
    const SPAN: usize = 256;
    const OFFSET: i32 = 1;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        // A byte is a fraction of 256; multiplying it by three moves the next digit out of it.
        let digits = |bytes: &[u8], codes: &mut [u8]| {
            let mut power = 1u8;
            for codes in codes.chunks_exact_mut(bytes.len()) {
                for (code, byte) in codes.iter_mut().zip(bytes) {
                    *code = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8;
                }
                power = power.wrapping_mul(3);
            }
        };
        digits(&block[..32], &mut codes[..160]);
        digits(&block[32..48], &mut codes[160..240]);
        digits(&block[48..52], &mut codes[240..256]);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 52);
    }
}

impl Block for TQ2_0 {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 66;
    const SPAN: usize = 256;
    const OFFSET: i32 = 1;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        two_bits(&block[..64], codes);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 64);
    }
}
