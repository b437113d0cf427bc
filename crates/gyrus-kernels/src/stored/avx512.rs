//! Dot products of rows with AVX-512 and its 8-bit dot products (VNNI).
//!
//! Four registers of 64 codes, 256 weights, at a time: `vpdpbusd` multiplies 64 codes of weights with those of inputs
//! and adds them in fours, as integers; each lane is then scaled by the factor that its weights and inputs share.

use core::arch::x86_64::*;

mod formats;

use super::activations::{Activations, GROUP, HALF, LINE, Row, SPAN};
use super::avx2::half;
use super::blocks::{Block, Expanded, Q4_0, Q4_K, Q6_K, Q8_0, six_bits};

/// Whether this machine has the instructions of this module.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("f16c")
}

/// How 256 weights of a format become registers. All functions take a pointer to [`GROUP`] weights.
///
/// They are inlined into [`Sums::add`], whose caller enables the instructions.
pub(super) trait Registers: Block {
    /// Whether the weights and inputs of a pair of chunks are arranged so that the four lanes of each quarter share a
    /// scale in both; one scaling then serves two products. See [`super::activations::Order::Halves`].
    const JOINED: bool = false;
    /// Whether the offset is subtracted by what products start from, rather than as a minimum.
    const STARTS: bool;
    /// Whether there are minima.
    const VECTOR_MINIMA: bool;

    /// Codes `64 * chunk ..` of the weights, in the order of the inputs.
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i;
    /// The scale of each span, in the first lanes, and the minima.
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512);
}

/// Shifts that move the upper halves of bytes down in the lanes whose bit is set.
#[inline(always)]
unsafe fn shifts(lanes: u8) -> __m512i {
    // SAFETY: the caller has AVX-512.
    unsafe { _mm512_maskz_set1_epi64(lanes, 4) }
}

impl Registers for Q8_0 {
    const STARTS: bool = true;
    const VECTOR_MINIMA: bool = false;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the eight blocks of the group.
        unsafe {
            let block = group.add(2 * chunk * Self::BYTES + 2);
            let low = _mm512_castsi256_si512(_mm256_loadu_si256(block.cast()));
            let high = _mm256_loadu_si256(block.add(Self::BYTES).cast());
            _mm512_xor_si512(_mm512_inserti64x4(low, high, 1), _mm512_set1_epi8(-128))
        }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // Scales lie 17 words apart: four of them within 64 words.
        const PLACES: [u16; 8] = [0, 17, 34, 51, 0, 17, 34, 51];
        // SAFETY: the last word read is the 132nd of 136.
        unsafe {
            let places = _mm512_zextsi128_si512(_mm_loadu_si128(PLACES.as_ptr().cast()));
            let word = |at: usize| _mm512_loadu_si512(group.add(2 * at).cast());
            let first = _mm512_permutex2var_epi16(word(0), places, word(32));
            let last = _mm512_permutex2var_epi16(word(68), places, word(100));
            let all = _mm_blend_epi16(_mm512_castsi512_si128(first), _mm512_castsi512_si128(last), 0xF0);
            (_mm512_zextps256_ps512(_mm256_cvtph_ps(all)), _mm512_setzero_ps())
        }
    }
}

impl Registers for Q4_0 {
    const JOINED: bool = true;
    const STARTS: bool = false;
    const VECTOR_MINIMA: bool = true;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the eight blocks of the group.
        unsafe {
            // Four blocks, whose lower halves are the even chunks and whose upper halves are the odd ones.
            let block = |i: usize| {
                let block = group.add((chunk / 2 * 4 + i) * Self::BYTES + 2);
                _mm_loadu_si128(block.cast())
            };
            let bytes = _mm512_castsi128_si512(block(0));
            let bytes = _mm512_mask_broadcast_i32x4(bytes, 0x00F0, block(1));
            let bytes = _mm512_mask_broadcast_i32x4(bytes, 0x0F00, block(2));
            let bytes = _mm512_mask_broadcast_i32x4(bytes, 0xF000, block(3));
            let bytes = if chunk.is_multiple_of(2) { bytes } else { _mm512_srli_epi16(bytes, 4) };
            _mm512_and_si512(bytes, _mm512_set1_epi8(15))
        }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // Scales lie 9 words apart: all within 64 words.
        const PLACES: [u16; 8] = [0, 9, 18, 27, 36, 45, 54, 63];
        // SAFETY: 128 of 144 bytes.
        unsafe {
            let places = _mm512_zextsi128_si512(_mm_loadu_si128(PLACES.as_ptr().cast()));
            let low = _mm512_loadu_si512(group.cast());
            let high = _mm512_loadu_si512(group.add(64).cast());
            let all = _mm512_castsi512_si128(_mm512_permutex2var_epi16(low, places, high));
            let scales = _mm512_zextps256_ps512(_mm256_cvtph_ps(all));
            (scales, _mm512_mul_ps(scales, _mm512_set1_ps(Self::OFFSET as f32)))
        }
    }
}

impl Registers for Q4_K {
    const STARTS: bool = false;
    const VECTOR_MINIMA: bool = true;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // SAFETY: within the block.
        unsafe {
            let codes = _mm256_loadu_si256(group.add(16 + 32 * chunk).cast());
            let both = _mm512_broadcast_i64x4(codes);
            _mm512_and_si512(_mm512_srlv_epi64(both, shifts(0b1111_0000)), _mm512_set1_epi8(15))
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

impl Registers for Q6_K {
    const STARTS: bool = true;
    const VECTOR_MINIMA: bool = false;

    #[inline(always)]
    unsafe fn chunk(group: *const u8, chunk: usize) -> __m512i {
        // Each half of the block has 64 bytes of lower bits, whose lower halves are its first 64 codes, and 32 bytes of
        // upper bits, a quarter of each for each 32 codes.
        // SAFETY: within the block.
        unsafe {
            let lower = _mm512_loadu_si512(group.add(64 * (chunk / 2)).cast());
            let upper = _mm256_loadu_si256(group.add(128 + 32 * (chunk / 2)).cast());
            let upper = _mm512_broadcast_i64x4(upper);
            let (lower, upper) = if chunk.is_multiple_of(2) {
                (lower, _mm512_sllv_epi64(upper, _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4)))
            } else {
                let lower = _mm512_srli_epi64(lower, 4);
                (lower, _mm512_srlv_epi64(upper, _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0)))
            };
            let lower = _mm512_and_si512(lower, _mm512_set1_epi8(15));
            _mm512_or_si512(lower, _mm512_and_si512(upper, _mm512_set1_epi8(0x30)))
        }
    }

    #[inline(always)]
    unsafe fn vector_of_scales(group: *const u8) -> (__m512, __m512) {
        // SAFETY: within the block.
        unsafe {
            let multiples = _mm512_cvtepi8_epi32(_mm_loadu_si128(group.add(192).cast()));
            let scale = _mm512_set1_ps(half(group.add(208)));
            (_mm512_mul_ps(_mm512_cvtepi32_ps(multiples), scale), _mm512_setzero_ps())
        }
    }
}

/// Rows of weights that are multiplied together, so that each read of the inputs serves several.
const ROWS: usize = 2;
/// Bytes of 256 weights in the largest format.
pub(super) const MOST_GROUP_BYTES: usize = Expanded::BYTES;
/// How far ahead of their use, in bytes, weights are prefetched.
const AHEAD: usize = 5120;

/// Rows of weights times rows `first .. first + N` of `x`: `put(n, row, value)` receives the product of row `row` with
/// input `first + n`.
///
/// # Safety
/// The machine is [`available`]; `weights` are whole rows of `x.columns`, and `x` has these rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c")]
pub(super) unsafe fn dots<B: Registers, const N: usize>(
    weights: &[u8],
    x: &Activations,
    first: usize,
    put: impl Fn(usize, usize, f32),
) {
    let row_bytes = x.columns / B::WEIGHTS * B::BYTES;
    let inputs: [_; N] = core::array::from_fn(|n| x.row(first + n));
    let rows = weights.len() / row_bytes;
    let mut row = 0;
    while row + ROWS <= rows {
        let weights = core::array::from_fn(|i| &weights[(row + i) * row_bytes..][..row_bytes]);
        // SAFETY: this function enables the features; the rest is guaranteed by the caller.
        let sums = unsafe { block::<B, ROWS, N>(weights, inputs, x.columns) };
        for (i, sums) in sums.iter().enumerate() {
            sums.iter().enumerate().for_each(|(n, &sum)| put(n, row + i, sum));
        }
        row += ROWS;
    }
    if row < rows {
        // The last of an odd number is multiplied beside itself, which is cheaper than code for a single row.
        let last = &weights[row * row_bytes..][..row_bytes];
        // SAFETY: as above.
        let [sums, _] = unsafe { block::<B, ROWS, N>([last; ROWS], inputs, x.columns) };
        sums.iter().enumerate().for_each(|(n, &sum)| put(n, row, sum));
    }
}

/// `R` rows of weights times `N` rows of inputs.
///
/// # Safety
/// As for [`dots`].
#[inline(always)]
unsafe fn block<B: Registers, const R: usize, const N: usize>(
    weights: [&[u8]; R],
    inputs: [Row<'_>; N],
    columns: usize,
) -> [[f32; N]; R] {
    let group_bytes = GROUP / B::WEIGHTS * B::BYTES;
    let whole = columns / GROUP;
    // SAFETY: the caller has AVX-512.
    let mut sums = unsafe { Sums::new() };
    for index in 0..whole {
        let groups = weights.map(|weights| weights.as_ptr().wrapping_add(index * group_bytes));
        // SAFETY: the groups are whole, and the inputs are padded to whole groups.
        unsafe { sums.add::<B>(groups, &inputs, index) };
    }
    if whole * GROUP < columns {
        // Blocks of zeros complete the last group.
        let mut last = [[0u8; MOST_GROUP_BYTES]; R];
        for (last, weights) in last.iter_mut().zip(weights) {
            let rest = &weights[whole * group_bytes..];
            last[..rest.len()].copy_from_slice(rest);
        }
        // SAFETY: as above.
        unsafe { sums.add::<B>(last.each_ref().map(|last| last.as_ptr()), &inputs, whole) };
    }
    let mut results = [[0.0; N]; R];
    for (r, results) in results.iter_mut().enumerate() {
        for (n, result) in results.iter_mut().enumerate() {
            // SAFETY: the caller has AVX-512.
            *result = unsafe { sums.total::<B>(r, n) };
        }
    }
    results
}

/// The sums of a block, spread over lanes.
struct Sums<const R: usize, const N: usize> {
    /// Of even and of odd chunks: two chains of additions.
    sums: [[[__m512; 2]; N]; R],
    /// What the minima subtract.
    minima: [[__m256; N]; R],
}

impl<const R: usize, const N: usize> Sums<R, N> {
    /// All zero.
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: the caller has AVX-512.
        unsafe { Sums { sums: [[[_mm512_setzero_ps(); 2]; N]; R], minima: [[_mm256_setzero_ps(); N]; R] } }
    }

    /// The product of a row with an input.
    #[inline(always)]
    unsafe fn total<B: Registers>(&self, r: usize, n: usize) -> f32 {
        let [even, odd] = self.sums[r][n];
        // SAFETY: the caller has AVX-512.
        unsafe {
            let sum = _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
            if !B::VECTOR_MINIMA {
                return sum;
            }
            sum - _mm512_reduce_add_ps(_mm512_zextps256_ps512(self.minima[r][n]))
        }
    }

    /// Adds group `index` of each row.
    ///
    /// # Safety
    /// As for [`dots`]; `groups` point to [`GROUP`] weights.
    #[inline(always)]
    // Indices known at compile time, so that the sums stay in registers.
    #[allow(clippy::needless_range_loop)]
    unsafe fn add<B: Registers>(&mut self, groups: [*const u8; R], inputs: &[Row<'_>; N], index: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            // Which of the scales each lane of a chunk takes.
            let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
            let quarters = B::SPAN == 16 || B::JOINED;
            let lane_span = if quarters { _mm512_srli_epi32(lanes, 2) } else { _mm512_srli_epi32(lanes, 3) };
            let spans_of_chunk = LINE / B::SPAN;
            let pairs = _mm512_srli_epi32(lanes, 1);
            // Rows are contiguous, so this also prefetches the next ones.
            let bytes = R * (GROUP / B::WEIGHTS * B::BYTES);
            let next = groups[0].wrapping_add(AHEAD + index * (bytes - bytes / R));
            for line in 0..bytes.div_ceil(64) {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(64 * line).cast());
            }
            let mut scales = [[_mm512_setzero_ps(); N]; R];
            for r in 0..R {
                let (of_weights, minima) = B::vector_of_scales(groups[r]);
                for n in 0..N {
                    let x = _mm256_loadu_ps(inputs[n].scales.as_ptr().add(index * (GROUP / SPAN)));
                    let x = _mm512_castps256_ps512(x);
                    let x = if B::SPAN == SPAN { x } else { _mm512_permutexvar_ps(pairs, x) };
                    scales[r][n] = _mm512_mul_ps(of_weights, x);
                    if B::VECTOR_MINIMA && B::SPAN == SPAN {
                        let x = _mm256_loadu_ps(inputs[n].sums.as_ptr().add(index * (GROUP / SPAN)));
                        let minima = _mm512_castps512_ps256(minima);
                        self.minima[r][n] = _mm256_fmadd_ps(minima, x, self.minima[r][n]);
                    } else if B::VECTOR_MINIMA {
                        let x = _mm512_loadu_ps(inputs[n].sums.as_ptr().add(index * (GROUP / HALF)));
                        let products = _mm512_mul_ps(minima, x);
                        let both = _mm256_add_ps(
                            _mm512_castps512_ps256(products),
                            _mm512_extractf32x8_ps(products, 1),
                        );
                        self.minima[r][n] = _mm256_add_ps(self.minima[r][n], both);
                    }
                }
            }
            let step = if B::JOINED { 2 } else { 1 };
            for chunk in (0..GROUP / LINE).step_by(step) {
                let line = index * (GROUP / LINE) + chunk;
                let spans = _mm512_add_epi32(lane_span, _mm512_set1_epi32((chunk * spans_of_chunk) as i32));
                for r in 0..R {
                    let codes = B::chunk(groups[r], chunk);
                    for n in 0..N {
                        let x = _mm512_load_si512(inputs[n].codes.as_ptr().add(line).cast());
                        let start = if B::STARTS {
                            _mm512_load_si512(inputs[n].starts.as_ptr().add(line).cast())
                        } else {
                            _mm512_setzero_si512()
                        };
                        let mut dot = _mm512_dpbusd_epi32(start, codes, x);
                        if B::JOINED {
                            let x = _mm512_load_si512(inputs[n].codes.as_ptr().add(line + 1).cast());
                            dot = _mm512_dpbusd_epi32(dot, B::chunk(groups[r], chunk + 1), x);
                        }
                        let scale = _mm512_permutexvar_ps(spans, scales[r][n]);
                        let sum = &mut self.sums[r][n][chunk / step % 2];
                        *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, *sum);
                    }
                }
            }
        }
    }
}
