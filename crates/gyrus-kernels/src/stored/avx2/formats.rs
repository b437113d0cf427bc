//! How blocks of the further formats become AVX2 registers.

use core::arch::x86_64::*;

use super::{Halves, four_bits, half, load};
use crate::stored::blocks::{
    Block, Expanded, IQ4_NL, IQ4_XS, Q2_K, Q3_K, Q4_1, Q5_0, Q5_1, Q5_K, STEPS, six_bits, sixteen_of_six_bits,
};

/// 16 bytes whose lower halves are the first 16 codes, and whose upper halves are the others.
#[inline(always)]
unsafe fn both_halves(at: *const u8) -> __m256i {
    // SAFETY: the caller passes a pointer to them, on a machine with AVX2.
    unsafe {
        let bytes = _mm_loadu_si128(at.cast());
        let both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
        _mm256_and_si256(both, _mm256_set1_epi8(15))
    }
}

/// Adds 16 to the codes whose bit is set.
#[inline(always)]
unsafe fn with_fifth(codes: __m256i, bits: *const u8) -> __m256i {
    // SAFETY: the caller passes a pointer to four bytes, on a machine with AVX2.
    unsafe {
        let bits = _mm256_set1_epi32(bits.cast::<i32>().read_unaligned());
        // Each byte of the bits beside the eight codes that they belong to.
        let places =
            _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
        let each = _mm256_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
        let chosen = _mm256_and_si256(_mm256_shuffle_epi8(bits, places), each);
        let set = _mm256_cmpeq_epi8(chosen, each);
        _mm256_or_si256(codes, _mm256_and_si256(set, _mm256_set1_epi8(16)))
    }
}

/// The steps that half bytes choose.
#[inline(always)]
unsafe fn steps(codes: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let table = _mm_loadu_si128(STEPS.as_ptr().cast());
        _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes)
    }
}

/// Bits `shift ..` of each byte, those of `mask`.
#[inline(always)]
unsafe fn bits(bytes: __m256i, shift: usize, mask: i8) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let shifted = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
    }
}

/// The scale of a block of 32, and the minimum that is stored to be added.
#[inline(always)]
unsafe fn scale_and_minimum(block: *const u8, scales: &mut [f32; 16], minima: &mut [f32; 16]) {
    // SAFETY: within the block.
    unsafe {
        scales[0] = half(block);
        minima[0] = -half(block.add(2));
    }
}

impl Halves for Q4_1 {
    #[inline(always)]
    unsafe fn span(block: *const u8, _: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { both_halves(block.add(4)) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], minima: &mut [f32; 16]) {
        // SAFETY: within the block.
        unsafe { scale_and_minimum(block, scales, minima) };
    }
}

impl Halves for Q5_0 {
    #[inline(always)]
    unsafe fn span(block: *const u8, _: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { with_fifth(both_halves(block.add(6)), block.add(2)) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // SAFETY: within the block.
        scales[0] = unsafe { half(block) };
    }
}

impl Halves for Q5_1 {
    #[inline(always)]
    unsafe fn span(block: *const u8, _: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { with_fifth(both_halves(block.add(8)), block.add(4)) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], minima: &mut [f32; 16]) {
        // SAFETY: within the block.
        unsafe { scale_and_minimum(block, scales, minima) };
    }
}

impl Halves for Q2_K {
    #[inline(always)]
    unsafe fn span(block: *const u8, span: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { bits(load(block.add(16 + 32 * (span / 4))), 2 * (span % 4), 3) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], minima: &mut [f32; 16]) {
        // SAFETY: within the block.
        unsafe {
            let (scale, minimum) = (half(block.add(80)), half(block.add(82)));
            for i in 0..16 {
                let both = *block.add(i);
                scales[i] = scale * f32::from(both & 15);
                minima[i] = minimum * f32::from(both >> 4);
            }
        }
    }
}

impl Halves for Q3_K {
    #[inline(always)]
    unsafe fn span(block: *const u8, span: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe {
            let lower = bits(load(block.add(32 + 32 * (span / 4))), 2 * (span % 4), 3);
            let upper = bits(load(block), span, 1);
            _mm256_or_si256(lower, _mm256_slli_epi16(upper, 2))
        }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // SAFETY: within the block.
        let (scale, packed) =
            unsafe { (half(block.add(108)), core::slice::from_raw_parts(block.add(96), 12)) };
        for (to, multiple) in scales.iter_mut().zip(sixteen_of_six_bits(packed)) {
            *to = scale * (f32::from(multiple) - 32.0);
        }
    }
}

impl Halves for Q5_K {
    #[inline(always)]
    unsafe fn span(block: *const u8, span: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe {
            let lower = four_bits(load(block.add(48 + span / 2 * 32)), span % 2 == 1);
            let upper = bits(load(block.add(16)), span, 1);
            _mm256_or_si256(lower, _mm256_slli_epi16(upper, 4))
        }
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

impl Halves for IQ4_NL {
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn span(block: *const u8, _: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { steps(both_halves(block.add(2))) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // SAFETY: within the block.
        scales[0] = unsafe { half(block) };
    }
}

impl Halves for IQ4_XS {
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn span(block: *const u8, span: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { steps(both_halves(block.add(8 + 16 * span))) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], minima: &mut [f32; 16]) {
        // SAFETY: within the block.
        Self::scales(unsafe { core::slice::from_raw_parts(block, Self::BYTES) }, scales, minima);
    }
}

impl Halves for Expanded {
    #[inline(always)]
    unsafe fn span(block: *const u8, span: usize) -> __m256i {
        // SAFETY: within the block.
        unsafe { load(block.add(32 * span)) }
    }

    #[inline(always)]
    unsafe fn spans(block: *const u8, scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // SAFETY: within the block, and as long as the scales.
        unsafe {
            core::ptr::copy_nonoverlapping(block.add(256), scales.as_mut_ptr().cast(), 64);
        }
    }
}
