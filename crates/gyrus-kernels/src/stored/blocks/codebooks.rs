//! Blocks of 256 weights whose codes choose groups of magnitudes from a table: [`IQ1_S`], [`IQ1_M`], [`IQ2_XXS`],
//! [`IQ2_XS`], [`IQ2_S`], [`IQ3_XXS`], [`IQ3_S`].

use super::{Block, grids, half_at};

/// See [`crate::stored::Format::IQ1_S`]: scale, lower 8 bits of each group of 8, per 32 weights the upper bits, a multiple
/// of the scale and the sign of an eighth that is added to all.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ1_S;
/// See [`crate::stored::Format::IQ1_M`]: lower 8 bits of each group of 8, half a byte for each with upper bits and the
/// sign of the eighth, multiples of the scale, whose own bits are spread over the tops of those.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ1_M;
/// See [`crate::stored::Format::IQ2_XXS`]: scale, per 32 weights four groups of 8, their signs and the multiple.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ2_XXS;
/// See [`crate::stored::Format::IQ2_XS`]: scale, 16 bits for each group of 8 and its signs, multiples.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ2_XS;
/// See [`crate::stored::Format::IQ2_S`]: scale, lower 8 bits of each group of 8, signs, upper bits, multiples.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ2_S;
/// See [`crate::stored::Format::IQ3_XXS`]: scale, 8 bits for each group of 4, per 32 weights the signs and the multiple.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ3_XXS;
/// See [`crate::stored::Format::IQ3_S`]: scale, lower 8 bits of each group of 4, upper bits, signs, multiples.
#[allow(non_camel_case_types)]
pub(in crate::stored) struct IQ3_S;

/// The code of zero where magnitudes have signs: above every magnitude.
const ZERO: u8 = 64;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Codes of magnitudes, negative where the bit of `signs` is set.
fn signed(magnitudes: impl IntoIterator<Item = u8>, signs: u8, codes: &mut [u8]) {
    for (i, (code, magnitude)) in codes.iter_mut().zip(magnitudes).enumerate() {
        *code = if signs >> i & 1 == 0 { ZERO + magnitude } else { ZERO - magnitude };
    }
}

/// Eight signs of which seven are stored: the number of minus signs is even.
fn even_signs(seven: u32) -> u8 {
    let seven = (seven & 127) as u8;
    seven | ((seven.count_ones() & 1) as u8) << 7
}

/// Half a byte.
fn half_byte(bytes: &[u8], index: usize) -> u8 {
    bytes[index / 2] >> (4 * (index % 2)) & 15
}

/// Multiples of the scale in half bytes: `scale * (1/2 + multiple) * factor`.
fn scales_of_half_bytes(bytes: &[u8], scale: f32, factor: f32, scales: &mut [f32]) {
    for (i, to) in scales.iter_mut().enumerate() {
        *to = scale * (0.5 + f32::from(half_byte(bytes, i))) * factor;
    }
}

impl Block for IQ2_XXS {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 66;
    const SPAN: usize = 32;
    const OFFSET: i32 = ZERO as i32;
    const MINIMA: bool = false;

    fn codes(block: &[u8], codes: &mut [u8]) {
        for (bytes, codes) in block[2..66].chunks_exact(8).zip(codes[..256].chunks_exact_mut(32)) {
            let signs = word(bytes, 4);
            for (i, codes) in codes.chunks_exact_mut(8).enumerate() {
                let group = grids::IQ2_XXS[usize::from(bytes[i])];
                signed(group.to_le_bytes(), even_signs(signs >> (7 * i)), codes);
            }
        }
    }

    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let scale = half_at(block, 0);
        for (to, bytes) in scales[..8].iter_mut().zip(block[2..66].chunks_exact(8)) {
            *to = scale * (0.5 + (word(bytes, 4) >> 28) as f32) * 0.25;
        }
    }
}

impl Block for IQ2_XS {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 74;
    const SPAN: usize = 16;
    const OFFSET: i32 = ZERO as i32;
    const MINIMA: bool = false;

    fn codes(block: &[u8], codes: &mut [u8]) {
        for (i, codes) in codes[..256].chunks_exact_mut(8).enumerate() {
            let bits = short(block, 2 + 2 * i);
            let group = grids::IQ2_XS[usize::from(bits & 511)];
            signed(group.to_le_bytes(), even_signs(u32::from(bits >> 9)), codes);
        }
    }

    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales_of_half_bytes(&block[66..74], half_at(block, 0), 0.25, &mut scales[..16]);
    }
}

impl Block for IQ2_S {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 82;
    const SPAN: usize = 16;
    const OFFSET: i32 = ZERO as i32;
    const MINIMA: bool = false;

    fn codes(block: &[u8], codes: &mut [u8]) {
        for (i, codes) in codes[..256].chunks_exact_mut(8).enumerate() {
            let upper = block[66 + i / 4] >> (2 * (i % 4)) & 3;
            let group = grids::IQ2_S[usize::from(block[2 + i]) | usize::from(upper) << 8];
            signed(group.to_le_bytes(), block[34 + i], codes);
        }
    }

    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales_of_half_bytes(&block[74..82], half_at(block, 0), 0.25, &mut scales[..16]);
    }
}

impl Block for IQ3_XXS {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 98;
    const SPAN: usize = 32;
    const OFFSET: i32 = ZERO as i32;
    const MINIMA: bool = false;

    fn codes(block: &[u8], codes: &mut [u8]) {
        for (i, codes) in codes[..256].chunks_exact_mut(8).enumerate() {
            let signs = even_signs(word(block, 66 + i / 4 * 4) >> (7 * (i % 4)));
            let groups = [block[2 + 2 * i], block[3 + 2 * i]].map(|code| grids::IQ3_XXS[usize::from(code)]);
            signed(groups.into_iter().flat_map(u32::to_le_bytes), signs, codes);
        }
    }

    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let scale = half_at(block, 0);
        for (i, to) in scales[..8].iter_mut().enumerate() {
            *to = scale * (0.5 + (word(block, 66 + 4 * i) >> 28) as f32) * 0.5;
        }
    }
}

impl Block for IQ3_S {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 110;
    const SPAN: usize = 32;
    const OFFSET: i32 = ZERO as i32;
    const MINIMA: bool = false;

    fn codes(block: &[u8], codes: &mut [u8]) {
        for (i, codes) in codes[..256].chunks_exact_mut(8).enumerate() {
            let groups = [2 * i, 2 * i + 1].map(|group| {
                let upper = block[66 + group / 8] >> (group % 8) & 1;
                grids::IQ3_S[usize::from(block[2 + group]) | usize::from(upper) << 8]
            });
            signed(groups.into_iter().flat_map(u32::to_le_bytes), block[74 + i], codes);
        }
    }

    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let scale = half_at(block, 0);
        for (i, to) in scales[..8].iter_mut().enumerate() {
            *to = scale * f32::from(1 + 2 * half_byte(&block[106..110], i));
        }
    }
}

/// Codes of the two formats that add an eighth: eight times -1, 0 or 1, and one more or less.
fn with_eighth(group: usize, less: bool, codes: &mut [u8]) {
    let eighth = if less { -1 } else { 1 };
    for (code, plus_one) in codes.iter_mut().zip(grids::IQ1[group].to_le_bytes()) {
        *code = (8 * (i32::from(plus_one) - 1) + eighth + i32::from(ZERO)) as u8;
    }
}

impl Block for IQ1_S {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 50;
    const SPAN: usize = 32;
    const OFFSET: i32 = ZERO as i32;
    const MINIMA: bool = false;

    fn codes(block: &[u8], codes: &mut [u8]) {
        for (i, codes) in codes[..256].chunks_exact_mut(8).enumerate() {
            let bits = short(block, 34 + i / 4 * 2);
            let upper = usize::from(bits >> (3 * (i % 4)) & 7);
            with_eighth(usize::from(block[2 + i]) | upper << 8, bits & 0x8000 != 0, codes);
        }
    }

    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let scale = half_at(block, 0);
        for (i, to) in scales[..8].iter_mut().enumerate() {
            let multiple = 2 * (short(block, 34 + 2 * i) >> 12 & 7) + 1;
            *to = scale * f32::from(multiple) * 0.125;
        }
    }
}

impl Block for IQ1_M {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 56;
    const SPAN: usize = 16;
    const OFFSET: i32 = ZERO as i32;
    const MINIMA: bool = false;

    fn codes(block: &[u8], codes: &mut [u8]) {
        for (i, codes) in codes[..256].chunks_exact_mut(8).enumerate() {
            let bits = half_byte(&block[32..48], i);
            with_eighth(usize::from(block[i]) | usize::from(bits & 7) << 8, bits & 8 != 0, codes);
        }
    }

    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let parts = [48, 50, 52, 54].map(|at| short(block, at));
        let bits = (0..4).fold(0, |bits, i| bits | (parts[i] & 0xF000) >> (12 - 4 * i));
        let scale = half_at(&bits.to_le_bytes(), 0);
        for (i, to) in scales[..16].iter_mut().enumerate() {
            let multiple = 2 * (parts[i / 4] >> (3 * (i % 4)) & 7) + 1;
            *to = scale * f32::from(multiple) * 0.125;
        }
    }
}
