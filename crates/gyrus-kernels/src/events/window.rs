//! Adds the spikes of one image row to the sums of a convolution three elements wide, with a window that slides along
//! the row.
//!
//! The sums of all output pixels that an input pixel reaches, three columns of some rows, stay in registers.
//! When the window moves on by a pixel, its left column is stored and a new one is loaded on the right: each sum is
//! loaded and stored once for many events, where separate events would load and store nine. Each target's sum is still
//! one chain of additions in the order of the events. Where three or more pixels are silent, the window ends and
//! another begins after them.

use pulp::Simd;

use crate::base::tile::{load, store};

/// Output columns that an input pixel reaches.
pub(crate) const COLUMNS: usize = 3;

/// Spikes of one row of input pixels.
pub(crate) struct ImageRow<'a> {
    /// Ascending, all of them in the row.
    pub(crate) events: &'a [u32],
    /// The row's first element.
    pub(crate) first: usize,
    /// Elements of an input pixel.
    pub(crate) channels: usize,
    /// Pixels of zeros before the row.
    pub(crate) padding: usize,
    /// Pixels of a row of outputs.
    pub(crate) out_width: usize,
}

/// Adds the spikes to `ROWS` rows of sums, `VECTORS` registers per pixel; calls `reached` with the first and the last
/// output column of each range that changed. Returns how many sums of pixels received a spike, in each row.
///
/// # Safety
/// The events lie in the row and ascend; each of `weights` points to `[channels, COLUMNS, VECTORS]` registers, the
/// columns from the left, and each of `sums` to `[out_width, VECTORS]`.
#[inline(always)]
pub(crate) unsafe fn slide<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    row: &ImageRow<'_>,
    weights: [*const f32; ROWS],
    sums: [*mut f32; ROWS],
    mut reached: impl FnMut(usize, usize),
) -> usize {
    let &ImageRow { events, first, channels, padding, out_width } = row;
    let pixel = VECTORS * S::F32_LANES;
    let column_at = |r: usize, column: usize| -> [S::f32s; VECTORS] {
        if column >= out_width {
            return [simd.splat_f32s(0.0); VECTORS];
        }
        // SAFETY: the column lies in the row.
        core::array::from_fn(|l| unsafe { load::<S>(sums[r].add(column * pixel + l * S::F32_LANES)) })
    };
    let keep = |r: usize, column: usize, held: [S::f32s; VECTORS]| {
        if column < out_width {
            for (l, held) in held.into_iter().enumerate() {
                // SAFETY: the column lies in the row.
                unsafe { store::<S>(sums[r].add(column * pixel + l * S::F32_LANES), held) };
            }
        }
    };
    let mut additions = 0;
    let mut at = 0;
    while let Some(&event) = events.get(at) {
        let column = (event as usize - first) / channels;
        let mut start = first + column * channels;
        // Columns beyond the edges of the image are past `out_width`; those before it wrap around.
        let mut left = (column + padding).wrapping_sub(COLUMNS - 1);
        let mut held: [[[S::f32s; VECTORS]; COLUMNS]; ROWS] =
            core::array::from_fn(|r| core::array::from_fn(|k| column_at(r, left.wrapping_add(k))));
        loop {
            let (end, before) = (start + channels, at);
            while let Some(&event) = events.get(at)
                && (event as usize) < end
            {
                let place = (event as usize - start) * COLUMNS * pixel;
                for (held, weights) in held.iter_mut().zip(weights) {
                    for (index, held) in held.as_flattened_mut().iter_mut().enumerate() {
                        // SAFETY: the event is one of the pixel's channels.
                        let weight = unsafe { load::<S>(weights.add(place + index * S::F32_LANES)) };
                        *held = simd.add_f32s(*held, weight);
                    }
                }
                at += 1;
            }
            let inside = (0..COLUMNS).filter(|&k| left.wrapping_add(k) < out_width).count();
            additions += (at - before) * inside;
            let next = events.get(at).map_or(usize::MAX, |&event| event as usize);
            if next >= end + (COLUMNS - 1) * channels {
                break;
            }
            for (r, held) in held.iter_mut().enumerate() {
                keep(r, left, held[0]);
                *held = [held[1], held[2], column_at(r, left.wrapping_add(COLUMNS))];
            }
            left = left.wrapping_add(1);
            start = end;
        }
        for (r, held) in held.into_iter().enumerate() {
            for (k, held) in held.into_iter().enumerate() {
                keep(r, left.wrapping_add(k), held);
            }
        }
        let last = left.wrapping_add(COLUMNS - 1).min(out_width - 1);
        reached((column + padding).saturating_sub(COLUMNS - 1), last);
    }
    additions
}
