//! Conversion between lane masks and bits.
//!
//! Where a mask already is bits (AVX-512), this is a move between registers; elsewhere lanes are compared or gathered.

use pulp::Simd;
use pulp::bytemuck::{self, checked};

/// Bits of one word of spikes.
pub(crate) const BITS: usize = u32::BITS as usize;

/// One bit per lane of a word.
static BIT: [u32; BITS] = {
    let mut bit = [0; BITS];
    let mut i = 0;
    while i < BITS {
        bit[i] = 1 << i;
        i += 1;
    }
    bit
};

/// Whether a mask is one bit for each of 16 lanes.
#[inline(always)]
pub(crate) const fn is_bits<S: Simd>() -> bool {
    size_of::<S::m32s>() == size_of::<u16>() && S::F32_LANES == 16
}

/// For each lane of a register, its bit of a word, starting at bit `first`.
#[inline(always)]
pub(crate) fn bit_of_lane<S: Simd>(first: usize) -> S::u32s {
    assert!(first + S::F32_LANES <= BITS, "bits of a word");
    // SAFETY: checked above: the bits are in the word.
    unsafe { BIT.as_ptr().add(first).cast::<S::u32s>().read_unaligned() }
}

/// The lowest bits as a mask.
#[inline(always)]
pub(crate) fn mask_of<S: Simd>(simd: S, bits: u32) -> S::m32s {
    if const { is_bits::<S>() } {
        return checked::pod_read_unaligned(&(bits as u16).to_ne_bytes());
    }
    let bit = bit_of_lane::<S>(0);
    simd.equal_u32s(simd.and_u32s(simd.splat_u32s(bits), bit), bit)
}

/// A mask as the lowest bits.
#[inline(always)]
pub(crate) fn bits_of<S: Simd>(simd: S, mask: S::m32s) -> u32 {
    if const { is_bits::<S>() } {
        return u32::from(bytemuck::pod_read_unaligned::<u16>(bytemuck::bytes_of(&mask)));
    }
    gather(simd.select_u32s(mask, bit_of_lane::<S>(0), simd.splat_u32s(0)))
}

/// The bitwise or of all lanes.
#[inline(always)]
pub(crate) fn gather<V: bytemuck::NoUninit>(lanes: V) -> u32 {
    let (chunks, _) = bytemuck::bytes_of(&lanes).as_chunks::<4>();
    chunks.iter().fold(0, |word, lane| word | u32::from_ne_bytes(*lane))
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, Simd, WithSimd};

    use super::*;

    #[test]
    fn bits_come_back_from_masks() {
        struct All;
        impl WithSimd for All {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let all = if S::F32_LANES < BITS { (1 << S::F32_LANES) - 1 } else { u32::MAX };
                for bits in (0..1 << 16).step_by(7) {
                    let mask = mask_of(simd, bits);
                    assert_eq!(bits_of(simd, mask), bits & all);
                    let ones = simd.select_u32s(mask, simd.splat_u32s(1), simd.splat_u32s(0));
                    let (lanes, _) = bytemuck::bytes_of(&ones).as_chunks::<4>();
                    for (lane, one) in lanes.iter().enumerate() {
                        assert_eq!(u32::from_ne_bytes(*one), bits >> lane & 1);
                    }
                }
            }
        }
        Arch::new().dispatch(All);
        All.with_simd(pulp::Scalar);
    }
}
