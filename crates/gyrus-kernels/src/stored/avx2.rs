//! Dot products of rows with AVX2.
//!
//! `vpmaddubsw` multiplies 32 codes of weights with those of inputs and adds pairs in 16 bits, which can hold them: two
//! products of a code up to 128 and one up to 127. `vpmaddwd` by ones adds those in 32 bits.

use core::arch::x86_64::*;

mod formats;

use super::activations::{Activations, GROUP, LINE, Row, SPAN};
use super::blocks::{Block, Q4_0, Q4_K, Q6_K, Q8_0, six_bits};

/// Whether this machine has the instructions of this module.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// How a block of a format becomes registers and scales.
///
/// All functions are inlined into [`dots`], which enables the instructions.
pub(super) trait Halves: Block {
    /// Whether codes are signed and need no offset.
    const SIGNED: bool = false;

    /// Codes `32 * span ..` of a block.
    unsafe fn span(block: *const u8, span: usize) -> __m256i;
    /// The scale of each span of a block, and the minima: `[WEIGHTS / SPAN]`.
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], minima: &mut [f32; 16]);
}

/// A 16-bit float.
#[inline(always)]
pub(super) unsafe fn half(at: *const u8) -> f32 {
    // SAFETY: the caller passes a pointer to two bytes, on a machine with F16C.
    unsafe {
        let bits = i32::from(at.cast::<u16>().read_unaligned());
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)))
    }
}

/// 32 bytes.
#[inline(always)]
unsafe fn load(at: *const u8) -> __m256i {
    // SAFETY: the caller passes a pointer to them, on a machine with AVX.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// The lower 4 bits of each byte, or with `upper` the upper ones.
#[inline(always)]
unsafe fn four_bits(bytes: __m256i, upper: bool) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let bytes = if upper { _mm256_srli_epi16(bytes, 4) } else { bytes };
        _mm256_and_si256(bytes, _mm256_set1_epi8(15))
    }
}

impl Halves for Q8_0 {
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn span(block: *const u8, _: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { load(block.add(2)) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // SAFETY: within the block.
        scales[0] = unsafe { half(block) };
    }
}

impl Halves for Q4_0 {
    #[inline(always)]
    unsafe fn span(block: *const u8, _: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe {
            let bytes = _mm_loadu_si128(block.add(2).cast());
            let both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
            _mm256_and_si256(both, _mm256_set1_epi8(15))
        }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // SAFETY: within the block.
        scales[0] = unsafe { half(block) };
    }
}

impl Halves for Q4_K {
    #[inline(always)]
    unsafe fn span(block: *const u8, span: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { four_bits(load(block.add(16 + span / 2 * 32)), span % 2 == 1) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], minima: &mut [f32; 16]) {
        // SAFETY: within the block.
        let (scale, minimum, packed) =
            unsafe { (half(block), half(block.add(2)), core::slice::from_raw_parts(block.add(4), 12)) };
        let (multiples, multiples_of_minimum) = six_bits(packed);
        for i in 0..8 {
            scales[i] = scale * f32::from(multiples[i]);
            minima[i] = minimum * f32::from(multiples_of_minimum[i]);
        }
    }
}

impl Halves for Q6_K {
    #[inline(always)]
    unsafe fn span(block: *const u8, span: usize) -> __m256i {
        let (half, quarter) = (span / 4, span % 4);
        // SAFETY: within the block.
        unsafe {
            let lower = four_bits(load(block.add(64 * half + 32 * (quarter % 2))), quarter >= 2);
            let upper = load(block.add(128 + 32 * half));
            let upper = match quarter {
                0 => _mm256_slli_epi16(upper, 4),
                1 => _mm256_slli_epi16(upper, 2),
                2 => upper,
                _ => _mm256_srli_epi16(upper, 2),
            };
            _mm256_or_si256(lower, _mm256_and_si256(upper, _mm256_set1_epi8(0x30)))
        }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // SAFETY: within the block.
        unsafe {
            let scale = half(block.add(208));
            for (i, to) in scales.iter_mut().enumerate() {
                *to = scale * f32::from((*block.add(192 + i)).cast_signed());
            }
        }
    }
}

/// Rows of weights times all inputs: `put(b, row, value)` receives the product of row `row` with input `b`.
///
/// # Safety
/// The machine is [`available`]; `weights` are whole rows of `x.columns`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dots<B: Halves>(weights: &[u8], x: &Activations, put: &dyn Fn(usize, usize, f32)) {
    let row_bytes = x.columns / B::WEIGHTS * B::BYTES;
    for (row, weights) in weights.chunks_exact(row_bytes).enumerate() {
        for b in 0..x.batch() {
            // SAFETY: guaranteed by the caller.
            put(b, row, unsafe { dot::<B>(weights, x.row(b)) });
        }
    }
}

/// One row of weights times one row of inputs.
///
/// # Safety
/// As for [`dots`].
#[inline(always)]
unsafe fn dot<B: Halves>(weights: &[u8], x: Row<'_>) -> f32 {
    const { assert!(LINE == 2 * SPAN && GROUP.is_multiple_of(SPAN)) };
    let (codes, starts): (*const u8, *const u8) = (x.codes.as_ptr().cast(), x.starts.as_ptr().cast());
    let (mut scales, mut minima) = ([0.0f32; 16], [0.0f32; 16]);
    let mut minimum_sum = 0.0f32;
    // SAFETY: blocks are whole, and so are the inputs, which are padded.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); 2];
        for (index, block) in weights.chunks_exact(B::BYTES).enumerate() {
            B::spans(block.as_ptr(), &mut scales, &mut minima);
            for span in 0..B::WEIGHTS / SPAN {
                let at = index * (B::WEIGHTS / SPAN) + span;
                let of_weights = B::span(block.as_ptr(), span);
                let of_x = load(codes.add(at * SPAN));
                let pairs = if B::SIGNED {
                    // One of them has to be unsigned: the sign goes to the other.
                    _mm256_maddubs_epi16(_mm256_abs_epi8(of_weights), _mm256_sign_epi8(of_x, of_weights))
                } else {
                    _mm256_maddubs_epi16(of_weights, of_x)
                };
                let mut dot = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                if !B::SIGNED && B::OFFSET != 0 {
                    dot = _mm256_add_epi32(dot, load(starts.add(at * SPAN)));
                }
                let scale = if B::SPAN == SPAN {
                    _mm256_set1_ps(scales[span])
                } else {
                    _mm256_set_m128(_mm_set1_ps(scales[2 * span + 1]), _mm_set1_ps(scales[2 * span]))
                };
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(x.scales[at]));
                sums[span % 2] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sums[span % 2]);
                if B::MINIMA && B::SPAN == SPAN {
                    minimum_sum += minima[span] * x.sums[at];
                } else if B::MINIMA {
                    minimum_sum += minima[2 * span] * x.sums[2 * at];
                    minimum_sum += minima[2 * span + 1] * x.sums[2 * at + 1];
                }
            }
        }
        let mut lanes = [0.0f32; 8];
        _mm256_storeu_ps(lanes.as_mut_ptr(), _mm256_add_ps(sums[0], sums[1]));
        lanes.iter().sum::<f32>() - minimum_sum
    }
}
