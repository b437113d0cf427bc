//! Bit-packed spikes: a matrix `[rows, elements]` of zeros and ones in 1/32 of the memory of its floats.
//!
//! Each row takes [`words`]`(elements)` whole words; bit `e % 32` of word `e / 32` is element `e`, and bits beyond the
//! last element are zero. Over time, rows are time-major: row `step * batch + b`. Cost of packing and unpacking: one
//! pass over the floats.

use crate::base::bits::BITS;
use crate::base::parallel::{SharedMut, for_each_task, vectorized};

/// Floats that one task packs or unpacks, about.
const TASK_LEN: usize = 1 << 16;

/// Words of a row of `elements` spikes.
#[must_use]
pub fn words(elements: usize) -> usize {
    elements.div_ceil(BITS)
}

/// Runs `work(rows)` for each block of rows of `elements`.
fn for_each_block(rows: usize, elements: usize, work: impl Fn(core::ops::Range<usize>) + Sync + Send) {
    let block = (TASK_LEN / elements.max(1)).max(1);
    for_each_task(rows.div_ceil(block), false, |task| work(task * block..rows.min((task + 1) * block)));
}

/// Packs rows of `elements` floats: every nonzero is a spike.
///
/// # Panics
/// If `x` is not whole rows of `elements`, or `bits` not as many rows of [`words`]`(elements)`.
pub fn pack(x: &[f32], elements: usize, bits: &mut [u32]) {
    let rows = rows_of(x.len(), elements, bits.len());
    let target = SharedMut(bits.as_mut_ptr());
    let width = words(elements);
    for_each_block(rows, elements, |block| {
        for row in block {
            // SAFETY: each row belongs to one task.
            let to = unsafe { target.slice(row * width, width) };
            pack_row(&x[row * elements..][..elements], to);
        }
    });
}

/// Unpacks rows of `elements` spikes to zeros and ones.
///
/// # Panics
/// As [`pack`].
pub fn unpack(bits: &[u32], elements: usize, x: &mut [f32]) {
    let rows = rows_of(x.len(), elements, bits.len());
    let target = SharedMut(x.as_mut_ptr());
    let width = words(elements);
    for_each_block(rows, elements, |block| {
        for row in block {
            // SAFETY: each row belongs to one task.
            let to = unsafe { target.slice(row * elements, elements) };
            unpack_row(&bits[row * width..][..width], to);
        }
    });
}

/// The number of spikes.
#[must_use]
pub fn count(bits: &[u32]) -> u64 {
    vectorized(
        #[inline(always)]
        || {
            // Blocks keep the inner sum in 32 bits, which vectorize better.
            bits.chunks(1 << 16)
                .map(|block| u64::from(block.iter().map(|w| w.count_ones()).sum::<u32>()))
                .sum()
        },
    )
}

fn rows_of(floats: usize, elements: usize, bits: usize) -> usize {
    let rows = floats.checked_div(elements).unwrap_or(0);
    assert_eq!(floats, rows * elements, "x is [rows, elements]");
    assert_eq!(bits, rows * words(elements), "bits is [rows, words(elements)]");
    rows
}

/// [`pack`] of one row.
pub(crate) fn pack_row(x: &[f32], bits: &mut [u32]) {
    vectorized(
        #[inline(always)]
        || {
            let (whole, rest) = x.as_chunks::<BITS>();
            for (word, x) in bits.iter_mut().zip(whole) {
                *word = (0..BITS).fold(0, |word, i| word | if x[i] != 0.0 { 1 << i } else { 0 });
            }
            if !rest.is_empty() {
                bits[whole.len()] =
                    rest.iter().enumerate().fold(0, |word, (i, &x)| word | u32::from(x != 0.0) << i);
            }
        },
    );
}

/// [`unpack`] of one row.
pub(crate) fn unpack_row(bits: &[u32], x: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            let (whole, rest) = x.as_chunks_mut::<BITS>();
            for (word, x) in bits.iter().zip(&mut *whole) {
                for (i, x) in x.iter_mut().enumerate() {
                    *x = if word >> i & 1 != 0 { 1.0 } else { 0.0 };
                }
            }
            for (i, x) in rest.iter_mut().enumerate() {
                *x = (bits[whole.len()] >> i & 1) as f32;
            }
        },
    );
}

/// Transposes bits `[rows, elements]` to `[elements, rows]`, in squares of 32.
pub(crate) fn transpose(bits: &[u32], rows: usize, elements: usize, transposed: &mut [u32]) {
    let (width, height) = (words(elements), words(rows));
    assert_eq!(bits.len(), rows * width, "bits is [rows, words(elements)]");
    assert_eq!(transposed.len(), elements * height, "transposed is [elements, words(rows)]");
    let target = SharedMut(transposed.as_mut_ptr());
    for_each_task(width, rows * elements < TASK_LEN, |column| {
        for row in 0..height {
            let mut square = [0u32; BITS];
            for (i, word) in square.iter_mut().enumerate().take(rows - (row * BITS).min(rows)) {
                *word = bits[(row * BITS + i) * width + column];
            }
            transpose_square(&mut square);
            for (i, word) in square.iter().enumerate().take(elements - column * BITS) {
                // SAFETY: each task writes the rows of its own elements.
                unsafe { *target.get().add((column * BITS + i) * height + row) = *word };
            }
        }
    });
}

/// Swaps halves, then quarters, ... of a square of bits (Warren, Hacker's Delight, 7-3).
fn transpose_square(square: &mut [u32; BITS]) {
    let mut distance = BITS / 2;
    let mut mask = u32::MAX >> distance;
    while distance > 0 {
        for block in square.chunks_exact_mut(2 * distance) {
            let (low, high) = block.split_at_mut(distance);
            for (a, b) in low.iter_mut().zip(high) {
                let swapped = (*a >> distance ^ *b) & mask;
                *b ^= swapped;
                *a ^= swapped << distance;
            }
        }
        distance /= 2;
        mask ^= mask << distance;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle;

    proptest! {
        #[test]
        fn packing_and_transposing_match_the_oracle(rows in 0usize..70, elements in 1usize..100, share in 0.0f64..1.0) {
            let x = oracle::spike_values(rows * elements, share, 1);
            let mut bits = vec![u32::MAX; rows * words(elements)];
            pack(&x, elements, &mut bits);
            prop_assert_eq!(&bits, &oracle::spikes::pack(&x, elements));
            prop_assert_eq!(count(&bits), x.iter().filter(|x| **x != 0.0).count() as u64);
            let mut unpacked = vec![f32::NAN; x.len()];
            unpack(&bits, elements, &mut unpacked);
            prop_assert_eq!(&unpacked, &x);
            let mut transposed = vec![u32::MAX; elements * words(rows)];
            transpose(&bits, rows, elements, &mut transposed);
            let turned: Vec<f32> =
                (0..rows * elements).map(|i| x[i % rows * elements + i / rows]).collect();
            if rows > 0 {
                prop_assert_eq!(transposed, oracle::spikes::pack(&turned, rows));
            }
        }
    }

    #[test]
    fn large_matrices_are_packed_on_several_threads() {
        let x = oracle::spike_values(300 * 1001, 0.3, 2);
        let mut bits = vec![0; 300 * words(1001)];
        pack(&x, 1001, &mut bits);
        assert_eq!(bits, oracle::spikes::pack(&x, 1001));
        let mut unpacked = vec![0.0; x.len()];
        unpack(&bits, 1001, &mut unpacked);
        assert_eq!(unpacked, x);
    }
}
