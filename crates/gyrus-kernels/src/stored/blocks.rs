//! The blocks of each integer format taken apart: codes, scales, minima.
//!
//! A weight is `scale * (code - OFFSET) - minimum`, with codes 0 ..= 255, as the 8-bit dot products need them.

mod codebooks;
mod grids;
mod simple;
mod wide;

pub(super) use codebooks::{IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};
use half::f16;
pub(super) use simple::{IQ4_NL, MXFP4, Q4_1, Q5_0, Q5_1, STEP_CODES, STEPS};
pub(super) use wide::{IQ4_XS, Q2_K, Q3_K, Q5_K, TQ1_0, TQ2_0, sixteen_of_six_bits};

/// `$work` with `$block` as the blocks of a format that the kernels multiply in place, `$expanded` with it as the blocks
/// of one that is expanded first, or `$floats`.
macro_rules! by_format {
    ($format:expr, $block:ident => $work:expr, expanded => $expanded:expr, floats => $floats:expr) => {
        match $format {
            Format::F32 | Format::F16 | Format::BF16 => $floats,
            Format::Q8_0 => by_format!(@ $block Q8_0 $work),
            Format::Q4_0 => by_format!(@ $block Q4_0 $work),
            Format::Q4_K => by_format!(@ $block Q4_K $work),
            Format::Q6_K => by_format!(@ $block Q6_K $work),
            Format::Q4_1 => by_format!(@ $block Q4_1 $work),
            Format::Q5_0 => by_format!(@ $block Q5_0 $work),
            Format::Q5_1 => by_format!(@ $block Q5_1 $work),
            Format::Q2_K => by_format!(@ $block Q2_K $work),
            Format::Q3_K => by_format!(@ $block Q3_K $work),
            Format::Q5_K => by_format!(@ $block Q5_K $work),
            Format::IQ4_NL => by_format!(@ $block IQ4_NL $work),
            Format::IQ4_XS => by_format!(@ $block IQ4_XS $work),
            Format::IQ1_S => by_format!(@ $block IQ1_S $expanded),
            Format::IQ1_M => by_format!(@ $block IQ1_M $expanded),
            Format::IQ2_XXS => by_format!(@ $block IQ2_XXS $expanded),
            Format::IQ2_XS => by_format!(@ $block IQ2_XS $expanded),
            Format::IQ2_S => by_format!(@ $block IQ2_S $expanded),
            Format::IQ3_XXS => by_format!(@ $block IQ3_XXS $expanded),
            Format::IQ3_S => by_format!(@ $block IQ3_S $expanded),
            Format::TQ1_0 => by_format!(@ $block TQ1_0 $expanded),
            Format::TQ2_0 => by_format!(@ $block TQ2_0 $expanded),
            Format::MXFP4 => by_format!(@ $block MXFP4 $expanded),
        }
    };
    (@ $block:ident $type:ident $work:expr) => {{
        type $block = crate::stored::blocks::$type;
        $work
    }};
}
pub(super) use by_format;

/// Weights of the largest block.
pub(super) const LARGEST_BLOCK: usize = 256;
/// Scales of a block, at most.
pub(super) const MOST_SCALES: usize = 16;

/// The memory layout of a format's block.
pub(super) trait Block {
    /// Weights of a block.
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Weights that share a scale.
    const SPAN: usize;
    /// The code of zero.
    const OFFSET: i32;
    /// Whether each scale comes with a minimum.
    const MINIMA: bool;

    /// The codes of a block: `codes` is `[WEIGHTS]`.
    fn codes(block: &[u8], codes: &mut [u8]);

    /// The scales, and the minima if there are any: `[WEIGHTS / SPAN]` each.
    fn scales(block: &[u8], scales: &mut [f32], minima: &mut [f32]);
}

/// Blocks of our own, into which those of other formats are expanded: 256 codes, and 16 scales as 32-bit floats.
pub(super) struct Expanded;
/// See [`super::Format::Q8_0`]: scale, 32 signed bytes.
#[allow(non_camel_case_types)]
pub(super) struct Q8_0;
/// See [`super::Format::Q4_0`]: scale, 16 bytes whose lower halves are the first 16 weights.
#[allow(non_camel_case_types)]
pub(super) struct Q4_0;
/// See [`super::Format::Q4_K`]: scales of the scales and of the minima, 8 of both in 6 bits each, then per 64 weights 32
/// bytes whose lower halves are the first 32.
#[allow(non_camel_case_types)]
pub(super) struct Q4_K;
/// See [`super::Format::Q6_K`]: lower 4 bits, upper 2 bits, 16 signed scales, the scale of the scales.
#[allow(non_camel_case_types)]
pub(super) struct Q6_K;

/// The 16-bit float at an offset in a block.
#[inline(always)]
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

impl Block for Q8_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;
    const SPAN: usize = 32;
    const OFFSET: i32 = 128;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        codes[..32].iter_mut().zip(&block[2..34]).for_each(|(code, byte)| *code = byte ^ 0x80);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
    }
}

impl Block for Q4_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;
    const SPAN: usize = 32;
    const OFFSET: i32 = 8;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        let (low, high) = codes[..32].split_at_mut(16);
        halves(&block[2..18], low, high);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
    }
}

/// The lower and the upper 4 bits of each byte.
#[inline(always)]
fn halves(bytes: &[u8], low: &mut [u8], high: &mut [u8]) {
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = byte & 15;
        *high = byte >> 4;
    }
}

impl Block for Q4_K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 144;
    const SPAN: usize = 32;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        for (bytes, codes) in block[16..144].chunks_exact(32).zip(codes[..256].chunks_exact_mut(64)) {
            let (low, high) = codes.split_at_mut(32);
            halves(bytes, low, high);
        }
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

/// The 8 multiples of the scale and of the minimum of a [`Q4_K`] block: 6 bits each, in 12 bytes.
///
/// Bytes 0 to 3 and 4 to 7 hold the first four of both in their lower 6 bits; bytes 8 to 11 the lower 4 bits of the last
/// four of both, whose upper 2 bits are those of bytes 0 to 7.
#[inline(always)]
pub(super) fn six_bits(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let word = |at: usize| u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]]);
    let (first, second, third) = (word(0), word(4), word(8));
    let low = |word: u32| word & 0x3F3F_3F3F;
    let high = |word: u32| word >> 2 & 0x3030_3030;
    let join = |a: u32, b: u32| (u64::from(a) | u64::from(b) << 32).to_le_bytes();
    (
        join(low(first), third & 0x0F0F_0F0F | high(first)),
        join(low(second), third >> 4 & 0x0F0F_0F0F | high(second)),
    )
}

impl Block for Q6_K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;
    const SPAN: usize = 16;
    const OFFSET: i32 = 32;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        let (lower, rest) = block.split_at(128);
        for half in 0..2 {
            let (lower, upper) = (&lower[half * 64..][..64], &rest[half * 32..][..32]);
            let codes = &mut codes[half * 128..][..128];
            for i in 0..32 {
                codes[i] = lower[i] & 15 | (upper[i] & 3) << 4;
                codes[i + 32] = lower[i + 32] & 15 | (upper[i] >> 2 & 3) << 4;
                codes[i + 64] = lower[i] >> 4 | (upper[i] >> 4 & 3) << 4;
                codes[i + 96] = lower[i + 32] >> 4 | (upper[i] >> 6) << 4;
            }
        }
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        let scale = half_at(block, 208);
        for (to, multiple) in scales[..16].iter_mut().zip(&block[192..208]) {
            *to = scale * f32::from(multiple.cast_signed());
        }
    }
}

impl Block for Expanded {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 256 + 16 * 4;
    const SPAN: usize = 16;
    const OFFSET: i32 = 64;
    const MINIMA: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], codes: &mut [u8]) {
        codes[..256].copy_from_slice(&block[..256]);
    }

    #[inline(always)]
    fn scales(block: &[u8], scales: &mut [f32], _: &mut [f32]) {
        for (to, bytes) in scales[..16].iter_mut().zip(block[256..320].as_chunks::<4>().0) {
            *to = f32::from_le_bytes(*bytes);
        }
    }
}

/// The weights of whole blocks as floats.
pub(super) fn dequantize<B: Block>(bytes: &[u8], values: &mut [f32]) {
    let mut codes = [0u8; LARGEST_BLOCK];
    let (mut scales, mut minima) = ([0.0f32; MOST_SCALES], [0.0f32; MOST_SCALES]);
    for (block, values) in bytes.chunks_exact(B::BYTES).zip(values.chunks_exact_mut(B::WEIGHTS)) {
        B::codes(block, &mut codes);
        B::scales(block, &mut scales, &mut minima);
        for (span, values) in values.chunks_exact_mut(B::SPAN).enumerate() {
            for (value, code) in values.iter_mut().zip(&codes[span * B::SPAN..]) {
                *value = scales[span] * (i32::from(*code) - B::OFFSET) as f32;
                if B::MINIMA {
                    *value -= minima[span];
                }
            }
        }
    }
}
