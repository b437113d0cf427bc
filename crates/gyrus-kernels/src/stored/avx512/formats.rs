//! How 256 weights of the further formats become AVX-512 registers.

use core::arch::x86_64::*;

use super::{Registers, half, shifts};
use crate::stored::activations::GROUP;
use crate::stored::blocks::{
    Block, Expanded, IQ4_NL, IQ4_XS, Q2_K, Q3_K, Q4_1, Q5_0, Q5_1, Q5_K, STEP_CODES, six_bits,
    sixteen_of_six_bits,
};

/// Half bytes of four blocks of `BYTES`, whose halves begin at `AT`: the lower ones of the blocks from `chunk / 2 * 4` on,
/// or the upper ones for odd chunks.
#[inline(always)]
unsafe fn four_blocks<const BYTES: usize, const AT: usize>(group: *const u8, chunk: usize) -> __m512i {
    // SAFETY: within the eight blocks of the group.
    unsafe {
        let block = |i: usize| _mm_loadu_si128(group.add((chunk / 2 * 4 + i) * BYTES + AT).cast());
        let bytes = _mm512_castsi128_si512(block(0));
        let bytes = _mm512_mask_broadcast_i32x4(bytes, 0x00F0, block(1));
        let bytes = _mm512_mask_broadcast_i32x4(bytes, 0x0F00, block(2));
        let bytes = _mm512_mask_broadcast_i32x4(bytes, 0xF000, block(3));
        let bytes = if chunk.is_multiple_of(2) { bytes } else { _mm512_srli_epi16(bytes, 4) };
        _mm512_and_si512(bytes, _mm512_set1_epi8(15))
    }
}

/// Adds the fifth bits of the same weights; each block has 32 of them at `AT`, the first 16 for its lower halves.
#[inline(always)]
unsafe fn with_fifth<const BYTES: usize, const AT: usize>(
    codes: __m512i,
    group: *const u8,
    chunk: usize,
) -> __m512i {
    // SAFETY: within the eight blocks of the group.
    unsafe {
        let bits = |i: usize| {
            let at = group.add((chunk / 2 * 4 + i) * BYTES + AT + chunk % 2 * 2);
            u64::from(at.cast::<u16>().read_unaligned()) << (16 * i)
        };
        let mask = bits(0) | bits(1) | bits(2) | bits(3);
        _mm512_or_si512(codes, _mm512_maskz_set1_epi8(mask, 16))
    }
}

/// The 16-bit floats at word `AT` of eight blocks of `WORDS` words each.
#[inline(always)]
unsafe fn halves_of_blocks<const WORDS: usize, const AT: usize>(group: *const u8) -> __m512 {
    // Within the first 64 words, which two registers hold, or within the last 32.
    const fn places<const WORDS: usize, const AT: usize>() -> ([u16; 8], [u16; 8], u8) {
        let (mut first, mut last, mut mask) = ([0; 8], [0; 8], 0);
        let mut i = 0;
        while i < 8 {
            let place = WORDS * i + AT;
            if place < 64 {
                first[i] = place as u16;
            } else {
                last[i] = (place - (8 * WORDS - 32)) as u16;
                mask |= 1 << i;
            }
            i += 1;
        }
        (first, last, mask)
    }
    let (first, last, mask) = const { places::<WORDS, AT>() };
    // SAFETY: the caller passes a group of 16 * WORDS bytes, at least 128.
    unsafe {
        let index = |places: &[u16; 8]| _mm512_zextsi128_si512(_mm_loadu_si128(places.as_ptr().cast()));
        let (low, high) = (_mm512_loadu_si512(group.cast()), _mm512_loadu_si512(group.add(64).cast()));
        let all = _mm512_castsi512_si128(_mm512_permutex2var_epi16(low, index(&first), high));
        let all = if mask == 0 {
            all
        } else {
            let end = _mm512_loadu_si512(group.add(16 * WORDS - 64).cast());
            let end = _mm512_castsi512_si128(_mm512_permutexvar_epi16(index(&last), end));
            _mm_mask_blend_epi16(mask, all, end)
        };
        _mm512_zextps256_ps512(_mm256_cvtph_ps(all))
    }
}

/// Minima that are stored to be added, of the first eight lanes.
#[inline(always)]
unsafe fn negated(minima: __m512) -> __m512 {
    // SAFETY: the caller has AVX-512.
    unsafe { _mm512_sub_ps(_mm512_setzero_ps(), minima) }
}

impl Registers for Q4_1 {
    const JOINED: bool = true;
    const STARTS: bool = false;
    const VECTOR_MINIMA: bool = true;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: guaranteed by the caller.
        unsafe { four_blocks::<20, 4>(group, chunk) }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: guaranteed by the caller.
        unsafe { (halves_of_blocks::<10, 0>(group), negated(halves_of_blocks::<10, 1>(group))) }
    }
}

impl Registers for Q5_0 {
    const JOINED: bool = true;
    const STARTS: bool = false;
    const VECTOR_MINIMA: bool = true;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: guaranteed by the caller.
        unsafe { with_fifth::<22, 2>(four_blocks::<22, 6>(group, chunk), group, chunk) }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let scales = halves_of_blocks::<11, 0>(group);
            (scales, _mm512_mul_ps(scales, _mm512_set1_ps(Self::OFFSET as f32)))
        }
    }
}

impl Registers for Q5_1 {
    const JOINED: bool = true;
    const STARTS: bool = false;
    const VECTOR_MINIMA: bool = true;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: guaranteed by the caller.
        unsafe { with_fifth::<24, 4>(four_blocks::<24, 8>(group, chunk), group, chunk) }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: guaranteed by the caller.
        unsafe { (halves_of_blocks::<12, 0>(group), negated(halves_of_blocks::<12, 1>(group))) }
    }
}

/// 64 codes of two bits: bits `4 * (chunk % 2) ..` of 32 bytes, then the two bits above.
#[inline(always)]
unsafe fn two_bits(bytes: *const u8, chunk: usize) -> __m512i {
    // SAFETY: the caller passes a pointer to two times 32 bytes.
    unsafe {
        let bytes = _mm512_broadcast_i64x4(_mm256_loadu_si256(bytes.add(32 * (chunk / 2)).cast()));
        let by = 4 * (chunk % 2) as i64;
        let shifts = _mm512_set_epi64(by + 2, by + 2, by + 2, by + 2, by, by, by, by);
        _mm512_and_si512(_mm512_srlv_epi64(bytes, shifts), _mm512_set1_epi8(3))
    }
}

/// `value` in the bytes whose bit is set: bit `2 * chunk` of 32 bytes, then the bit above.
#[inline(always)]
unsafe fn bits(bytes: *const u8, chunk: usize, value: i8) -> __m512i {
    // SAFETY: the caller passes a pointer to 32 bytes.
    unsafe {
        let bytes = _mm512_broadcast_i64x4(_mm256_loadu_si256(bytes.cast()));
        let low = _mm256_set1_epi8((1u8 << (2 * chunk)).cast_signed());
        let high = _mm256_set1_epi8((2u8 << (2 * chunk)).cast_signed());
        let both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
        _mm512_maskz_set1_epi8(_mm512_test_epi8_mask(bytes, both), value)
    }
}

impl Registers for Q2_K {
    const STARTS: bool = false;
    const VECTOR_MINIMA: bool = true;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the block.
        unsafe { two_bits(group.add(16), chunk) }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: within the block.
        unsafe {
            let both = _mm512_cvtepu8_epi32(_mm_loadu_si128(group.cast()));
            let floats = |multiples: __m512i, scale: f32| {
                _mm512_mul_ps(_mm512_cvtepi32_ps(multiples), _mm512_set1_ps(scale))
            };
            let scales = floats(_mm512_and_si512(both, _mm512_set1_epi32(15)), half(group.add(80)));
            (scales, floats(_mm512_srli_epi32(both, 4), half(group.add(82))))
        }
    }
}

impl Registers for Q3_K {
    const STARTS: bool = true;
    const VECTOR_MINIMA: bool = false;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the block.
        unsafe { _mm512_or_si512(two_bits(group.add(32), chunk), bits(group, chunk, 4)) }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: within the block.
        unsafe {
            let multiples = sixteen_of_six_bits(core::slice::from_raw_parts(group.add(96), 12));
            let multiples = _mm512_cvtepu8_epi32(_mm_loadu_si128(multiples.as_ptr().cast()));
            let multiples = _mm512_cvtepi32_ps(_mm512_sub_epi32(multiples, _mm512_set1_epi32(32)));
            (_mm512_mul_ps(multiples, _mm512_set1_ps(half(group.add(108)))), _mm512_setzero_ps())
        }
    }
}

impl Registers for Q5_K {
    const STARTS: bool = false;
    const VECTOR_MINIMA: bool = true;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the block.
        unsafe {
            let codes = _mm256_loadu_si256(group.add(48 + 32 * chunk).cast());
            let both = _mm512_broadcast_i64x4(codes);
            let lower = _mm512_and_si512(_mm512_srlv_epi64(both, shifts(0b1111_0000)), _mm512_set1_epi8(15));
            _mm512_or_si512(lower, bits(group.add(16), chunk, 16))
        }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: within the block.
        unsafe {
            let (scales, minima) = six_bits(core::slice::from_raw_parts(group.add(4), 12));
            let floats = |bytes: [u8; 8], scale: f32| {
                let bytes = _mm_cvtsi64_si128(i64::from_le_bytes(bytes));
                let floats = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
                _mm512_zextps256_ps512(_mm256_mul_ps(floats, _mm256_set1_ps(scale)))
            };
            (floats(scales, half(group)), floats(minima, half(group.add(2))))
        }
    }
}

/// The codes of the steps that two times 16 bytes choose, by their lower halves and then their upper ones.
#[inline(always)]
unsafe fn steps(first: __m128i, second: __m128i) -> __m512i {
    // SAFETY: the caller has AVX-512.
    unsafe {
        let bytes = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(first), 0xFF00, second);
        let halves = _mm512_srlv_epi64(bytes, shifts(0b1100_1100));
        let table = _mm512_broadcast_i32x4(_mm_loadu_si128(STEP_CODES.as_ptr().cast()));
        _mm512_shuffle_epi8(table, _mm512_and_si512(halves, _mm512_set1_epi8(15)))
    }
}

impl Registers for IQ4_NL {
    const STARTS: bool = true;
    const VECTOR_MINIMA: bool = false;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the eight blocks of the group.
        unsafe {
            let block = |i: usize| _mm_loadu_si128(group.add((2 * chunk + i) * Self::BYTES + 2).cast());
            steps(block(0), block(1))
        }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: guaranteed by the caller.
        unsafe { (halves_of_blocks::<9, 0>(group), _mm512_setzero_ps()) }
    }
}

impl Registers for IQ4_XS {
    const STARTS: bool = true;
    const VECTOR_MINIMA: bool = false;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the block.
        unsafe {
            let bytes = |i: usize| _mm_loadu_si128(group.add(8 + 32 * chunk + 16 * i).cast());
            steps(bytes(0), bytes(1))
        }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: within the block.
        unsafe {
            let upper = u32::from(group.add(2).cast::<u16>().read_unaligned());
            let lower = group.add(4).cast::<u32>().read_unaligned();
            // Lane i takes the bits 4 i .. of the one and 2 i .. of the other.
            let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
            let spread = |bits: u32, by: __m256i, mask: i32| {
                let bits = _mm256_srlv_epi32(_mm256_set1_epi32(bits.cast_signed()), by);
                _mm256_and_si256(bits, _mm256_set1_epi32(mask))
            };
            let lower = spread(lower, _mm256_slli_epi32(lanes, 2), 15);
            let upper = spread(upper, _mm256_slli_epi32(lanes, 1), 3);
            let multiples = _mm256_or_si256(lower, _mm256_slli_epi32(upper, 4));
            let multiples = _mm256_cvtepi32_ps(_mm256_sub_epi32(multiples, _mm256_set1_epi32(32)));
            let scales = _mm256_mul_ps(multiples, _mm256_set1_ps(half(group)));
            (_mm512_zextps256_ps512(scales), _mm512_setzero_ps())
        }
    }
}

impl Registers for Expanded {
    const STARTS: bool = true;
    const VECTOR_MINIMA: bool = false;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        const { assert!(GROUP == Expanded::WEIGHTS) };
        // SAFETY: within the block.
        unsafe { _mm512_loadu_si512(group.add(64 * chunk).cast()) }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: within the block.
        unsafe { (_mm512_loadu_ps(group.add(256).cast()), _mm512_setzero_ps()) }
    }
}
