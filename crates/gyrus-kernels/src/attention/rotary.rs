//! Rotary position embedding (Su et al. 2021): pairs of elements of each query and key are rotated by an angle that
//! grows with the position. Memory-bound; a few rows stay on one thread.

use crate::base::parallel::{for_each_rows, vectorized};

/// The rotation of queries and keys: pairs of elements of a head by an angle that depends on the token's position in
/// its sequence.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    /// `[positions, pairs]`, with at least as many positions as the longest sequence has tokens.
    pub cosines: &'a [f32],
    /// Same shape as `cosines`.
    pub sines: &'a [f32],
    /// At most half of a head's elements.
    pub pairs: usize,
    /// Whether a pair is the elements `2i` and `2i + 1` rather than `i` and `i + pairs`.
    pub interleaved: bool,
}

/// Rotates pairs of the leading elements of each head.
///
/// `x` is `[rows, heads, head_width]`, `cosines` and `sines` are `[rows, pairs]`. A pair is the elements `2i` and
/// `2i + 1` if `interleaved`, else `i` and `i + pairs`.
///
/// # Panics
/// If a slice is not as long as its shape says, or a head holds fewer than `2 * pairs` elements.
pub fn rotate(
    x: &mut [f32],
    (heads, head_width, pairs): (usize, usize, usize),
    (cosines, sines): (&[f32], &[f32]),
    interleaved: bool,
) {
    let columns = heads * head_width;
    assert!(columns > 0 && x.len().is_multiple_of(columns), "x is [rows, heads, head_width]");
    assert!(2 * pairs <= head_width, "a head holds the pairs");
    let rows = x.len() / columns;
    assert!(cosines.len() == rows * pairs && sines.len() == rows * pairs, "angles are [rows, pairs]");
    if pairs == 0 {
        return;
    }
    for_each_rows(x, columns, |first, x| {
        vectorized(
            #[inline(always)]
            || {
                for (row, x) in x.chunks_exact_mut(columns).enumerate() {
                    let cosines = &cosines[(first + row) * pairs..][..pairs];
                    let sines = &sines[(first + row) * pairs..][..pairs];
                    for head in x.chunks_exact_mut(head_width) {
                        rotate_head(head, (cosines, sines), interleaved, 1.0);
                    }
                }
            },
        );
    });
}

/// Rotates the leading pairs of one head, as many as there are angles; backward if `sign` is −1.
#[inline(always)]
pub(super) fn rotate_head(
    head: &mut [f32],
    (cosines, sines): (&[f32], &[f32]),
    interleaved: bool,
    sign: f32,
) {
    let pairs = cosines.len();
    let sines = &sines[..pairs];
    if interleaved {
        let (elements, _) = head[..2 * pairs].as_chunks_mut::<2>();
        for (pair, (cosine, sine)) in elements.iter_mut().zip(cosines.iter().zip(sines)) {
            let ([a, b], sine) = (*pair, sign * sine);
            *pair = [a * cosine - b * sine, b * cosine + a * sine];
        }
        return;
    }
    let (low, high) = head[..2 * pairs].split_at_mut(pairs);
    for i in 0..pairs {
        let (a, b, sine) = (low[i], high[i], sign * sines[i]);
        low[i] = a * cosines[i] - b * sine;
        high[i] = b * cosines[i] + a * sine;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{self, assert_close, values};

    #[test]
    fn pairs_rotate_like_complex_numbers() {
        for (rows, heads, head_width, pairs, interleaved) in
            [(1, 1, 2, 1, true), (3, 2, 12, 6, false), (3, 2, 12, 4, true), (500, 4, 32, 16, false)]
        {
            let angles: Vec<f64> =
                values(rows * pairs, 1).iter().map(|&angle| 3.0 * f64::from(angle)).collect();
            let cosines: Vec<f32> = angles.iter().map(|angle| angle.cos() as f32).collect();
            let sines: Vec<f32> = angles.iter().map(|angle| angle.sin() as f32).collect();
            let x = values(rows * heads * head_width, 2);
            let mut rotated = x.clone();
            rotate(&mut rotated, (heads, head_width, pairs), (&cosines, &sines), interleaved);
            let expected = oracle::attention::rotate(&x, (heads, head_width, pairs), &angles, interleaved);
            assert_close(&rotated, &expected, 1e-5);
        }
    }
}
