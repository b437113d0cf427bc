//! Floats of 16 and 32 bits, read from bytes.

use half::{bf16, f16};

use super::format::Format;
use crate::base::parallel::vectorized;

/// The weights as 32-bit floats.
pub(super) fn widen(format: Format, bytes: &[u8], values: &mut [f32]) {
    match format {
        Format::F16 => {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx") && is_x86_feature_detected!("f16c") {
                // SAFETY: the features were detected.
                return unsafe { widen_halves(bytes, values) };
            }
            widen_one_by_one(bytes, values);
        }
        Format::BF16 => vectorized(
            #[inline(always)]
            || {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = bf16::from_le_bytes(*bytes).to_f32();
                }
            },
        ),
        _ => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
    }
}

/// 16-bit floats as 32-bit ones, on any machine.
fn widen_one_by_one(bytes: &[u8], values: &mut [f32]) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = f16::from_le_bytes(*bytes).to_f32();
    }
}

/// 16-bit floats as 32-bit ones, eight at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn widen_halves(bytes: &[u8], values: &mut [f32]) {
    use core::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (eights, rest) = bytes.as_chunks::<16>();
    let (to_eights, to_rest) = values.as_chunks_mut::<8>();
    for (bytes, values) in eights.iter().zip(to_eights) {
        // SAFETY: the slices are as long as the registers.
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())))
        };
    }
    widen_one_by_one(rest, to_rest);
}
