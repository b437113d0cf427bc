//! The register tile under every matrix product and convolution.
//!
//! Two forms, both with an `MR x 16` block of accumulators that stays in registers:
//!
//! - [`inner`]: `out[i][n] = sum_k a_i[k] * panel[k][n]`. The left operand is read in place and broadcast, through one
//!   pointer per row, so a convolution needs no im2col: the row of a pixel is a few contiguous *runs* of its padded
//!   image. The right operand is packed in panels of 16 columns ([`PANEL`]).
//! - [`outer`]: `out[i][n] += sum_p x[p][i] * y[p][n]`, for weight gradients; neither operand needs packing.
//!
//! Sixteen columns are one AVX-512, two AVX2 or four NEON registers, so one packed form serves all of them. Every
//! output is one sequential sum over `k` (or `p`), whatever the tile, so results do not depend on how the work is cut.

use pulp::Simd;

use super::epilogue::{finish_row, smooth};
use super::parallel::{prefetch, prefetch_far};

pub(crate) use super::epilogue::{Epilogue, Residual, finish_vector};

/// Columns of a packed panel.
pub(crate) const PANEL: usize = 16;

/// The contiguous runs of the left operand that make up one row: `offsets[r] .. offsets[r] + length`, in floats from
/// the row's pointer, for each `r`.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    pub(crate) offsets: &'a [usize],
    pub(crate) length: usize,
}

#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(pointer: *const f32) -> S::f32s {
    // SAFETY: the caller passes a pointer to at least `F32_LANES` floats; `S::f32s` is plain data.
    unsafe { pointer.cast::<S::f32s>().read_unaligned() }
}

#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(pointer: *mut f32, value: S::f32s) {
    // SAFETY: as in `load`, for writing.
    unsafe { pointer.cast::<S::f32s>().write_unaligned(value) }
}

/// `rows` rows times packed panels that begin `panel_len` floats apart. `PLAIN` promises full panels of columns and no
/// epilogue: for short depths, where the detour through memory that an epilogue takes would show. `WIDE` promises a
/// single run, and takes four or two panels at once where registers allow it.
///
/// # Safety
/// `left(i)` points to floats that are readable at every run; each of the panels that `columns` needs holds
/// `runs.offsets.len() * runs.length * PANEL` floats; `out(i)` is writable for `columns` floats and used by nothing else.
#[inline(always)]
pub(crate) unsafe fn inner<S: Simd, const MR: usize, const NV: usize, const PLAIN: bool, const WIDE: bool>(
    simd: S,
    rows: core::ops::Range<usize>,
    left: impl Fn(usize) -> *const f32,
    runs: Runs<'_>,
    (panels, panel_len): (*const f32, usize),
    out: impl Fn(usize) -> *mut f32,
    (column, columns): (usize, usize),
    epilogue: Epilogue<'_>,
) {
    let mut done = 0;
    while done < columns {
        // Panels share the broadcasts of the left operand: for 24 sums a step loads 10 vectors if there are four panels, 14
        // if two, 26 if one. Only AVX-512 has the registers.
        let many = WIDE && S::F32_LANES == PANEL;
        let together = match columns - done {
            rest if many && MR > QUAD_ROWS && rest > 3 * PANEL => 4,
            rest if many && rest > PANEL => 2,
            _ => 1,
        };
        let width = (columns - done).min(together * PANEL);
        let panels = (panels.wrapping_add(done / PANEL * panel_len), panel_len);
        let out = |row| out(row).wrapping_add(done);
        let place = (column + done, width);
        // SAFETY: passed on.
        unsafe {
            match together {
                4 => four_panels::<S, PLAIN>(simd, &rows, &left, runs, panels, out, place, epilogue),
                2 => {
                    panels_at_once::<S, MR, 2, PLAIN, WIDE>(
                        simd,
                        &rows,
                        &left,
                        runs,
                        panels,
                        out,
                        place,
                        epilogue,
                        Part::WHOLE,
                    );
                }
                _ => {
                    panels_at_once::<S, MR, NV, PLAIN, WIDE>(
                        simd,
                        &rows,
                        &left,
                        runs,
                        panels,
                        out,
                        place,
                        epilogue,
                        Part::WHOLE,
                    );
                }
            }
        }
        done += width;
    }
}

/// Rows of a tile of four panels.
const QUAD_ROWS: usize = 6;
/// Steps of a sum for which four panels stay in the first-level cache, and rows whose sums of four panels stay close by.
const QUAD_DEPTH: usize = 128;
const QUAD_BLOCK: usize = 96;

/// A part of the steps of each sum: where the sums of `[rows, panels]` wait between parts, and whether this is the first
/// and the last part. Sums go on where they stopped, so their bits do not depend on the parts.
#[derive(Clone, Copy)]
struct Part {
    sums: *mut f32,
    first: bool,
    last: bool,
    /// What is multiplied next, and is asked for in the meantime: floats from this part's panels to those, and their steps.
    next: (usize, usize),
}

impl Part {
    const WHOLE: Self = Self { sums: core::ptr::null_mut(), first: true, last: true, next: (0, 0) };
}

/// [`inner`] for four panels and a single run, which is cut into parts whose panels stay in the first-level cache.
///
/// # Safety
/// As for [`inner`].
#[inline(always)]
unsafe fn four_panels<S: Simd, const PLAIN: bool>(
    simd: S,
    rows: &core::ops::Range<usize>,
    left: &impl Fn(usize) -> *const f32,
    runs: Runs<'_>,
    (panels, panel_len): (*const f32, usize),
    out: impl Fn(usize) -> *mut f32,
    place: (usize, usize),
    epilogue: Epilogue<'_>,
) {
    let (start, depth) = (runs.offsets[0], runs.length);
    let parts = ((depth + QUAD_DEPTH / 2) / QUAD_DEPTH).max(1);
    let length = depth.div_ceil(parts).max(1);
    let mut sums = core::mem::MaybeUninit::<[f32; QUAD_BLOCK * 4 * PANEL]>::uninit();
    let sums = sums.as_mut_ptr().cast::<f32>();
    for first in rows.clone().step_by(QUAD_BLOCK) {
        let rows = first..rows.end.min(first + QUAD_BLOCK);
        for part in 0..parts {
            let k = part * length;
            let offsets = [start + k];
            let runs = Runs { offsets: &offsets, length: length.min(depth - k) };
            let panels = (panels.wrapping_add(k * PANEL), panel_len);
            let last = part + 1 == parts;
            // The next part of these panels, or the first one of the four panels behind them.
            let next = if last { 4 * panel_len - k * PANEL } else { length * PANEL };
            let part = Part { sums, first: part == 0, last, next: (next, length) };
            // SAFETY: passed on; a block of rows has room in `sums`, and later parts read what the first one has written.
            unsafe {
                panels_at_once::<S, QUAD_ROWS, 4, PLAIN, true>(
                    simd, &rows, left, runs, panels, &out, place, epilogue, part,
                );
            }
        }
    }
}

/// [`inner`] for as many panels as `NV` vectors are wide.
///
/// # Safety
/// As for [`inner`].
#[inline(always)]
// Loops over a tile use indices known at compile time, so that the sums stay in registers.
#[allow(clippy::needless_range_loop)]
unsafe fn panels_at_once<S: Simd, const MR: usize, const NV: usize, const PLAIN: bool, const WIDE: bool>(
    simd: S,
    rows: &core::ops::Range<usize>,
    left: &impl Fn(usize) -> *const f32,
    runs: Runs<'_>,
    (panel, panel_len): (*const f32, usize),
    out: impl Fn(usize) -> *mut f32,
    (column, columns): (usize, usize),
    epilogue: Epilogue<'_>,
    part: Part,
) {
    let vectors = PANEL / S::F32_LANES;
    let mut first = rows.start;
    while first < rows.end {
        let last = rows.end - 1;
        // A short last block repeats its last row, which saves a second kernel.
        let pointers: [*const f32; MR] = core::array::from_fn(|i| left((first + i).min(last)));
        // Places are taken beforehand: loops with longer bodies would not be unrolled in time, and the sums would not stay in
        // registers.
        let waiting: [*mut f32; MR] = core::array::from_fn(|i| {
            part.sums.wrapping_add(((first + i).min(last) - rows.start) * NV * S::F32_LANES)
        });
        let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
        if !part.first {
            for i in 0..MR {
                for v in 0..NV {
                    // SAFETY: guaranteed by the caller for `part`.
                    sums[i][v] = unsafe { load::<S>(waiting[i].add(v * S::F32_LANES)) };
                }
            }
        }
        if WIDE && !PLAIN && part.last {
            // An output beyond the second-level cache would otherwise hold up the stores at the end.
            for i in 0..MR {
                for v in (0..NV).step_by(vectors) {
                    prefetch(out((first + i).min(last)).wrapping_add(v * S::F32_LANES));
                }
            }
        }
        let (next, steps) = part.next;
        if steps > 0 {
            // Weights that exceed the cache come while this part is being multiplied, a share with each tile.
            let share = steps.div_ceil((rows.end - rows.start).div_ceil(MR));
            let next = next + (first - rows.start) / MR * share * PANEL;
            for v in (0..NV).step_by(vectors) {
                for step in 0..share {
                    prefetch_far(panel.wrapping_add(next + v / vectors * panel_len + step * PANEL));
                }
            }
        }
        let mut right = panel;
        for &offset in runs.offsets {
            for k in 0..runs.length {
                // SAFETY: within the panel and within each row's run, as the caller promises.
                unsafe {
                    let b: [S::f32s; NV] = core::array::from_fn(|v| {
                        load::<S>(right.add(v / vectors * panel_len + v % vectors * S::F32_LANES))
                    });
                    for i in 0..MR {
                        let a = simd.splat_f32s(*pointers[i].add(offset + k));
                        for v in 0..NV {
                            sums[i][v] = simd.mul_add_e_f32s(a, b[v], sums[i][v]);
                        }
                    }
                    right = right.add(PANEL);
                }
            }
        }
        // What an epilogue finishes goes through memory.
        let mut tile = core::mem::MaybeUninit::<[[[f32; PANEL]; 4]; MR]>::uninit();
        let tile = tile.as_mut_ptr().cast::<f32>();
        let direct = PLAIN && part.last;
        let places: [*mut f32; MR] = match () {
            // Repeated rows come to the same place with the same sums.
            () if direct => core::array::from_fn(|i| out((first + i).min(last))),
            () if part.last => core::array::from_fn(|i| tile.wrapping_add(i * NV * S::F32_LANES)),
            () => waiting,
        };
        for i in 0..MR {
            for v in 0..NV {
                // SAFETY: guaranteed by the caller for `out`, whose panels are then full, and for `part`; a tile has at most
                // four panels.
                unsafe { store::<S>(places[i].add(v * S::F32_LANES), sums[i][v]) };
            }
        }
        if direct || !part.last {
            first += MR;
            continue;
        }
        for i in 0..MR.min(rows.end - first) {
            for skipped in (0..columns.min(NV / vectors * PANEL)).step_by(PANEL) {
                let width = PANEL.min(columns - skipped);
                // SAFETY: just written; guaranteed by the caller for `out`.
                unsafe {
                    let row = &*tile.add(i * NV * S::F32_LANES + skipped).cast::<[f32; PANEL]>();
                    finish_row::<S>(
                        simd,
                        row,
                        out(first + i).add(skipped),
                        column + skipped,
                        width,
                        epilogue,
                    );
                }
            }
        }
        if let Some(f) = epilogue.smooth() {
            // Behind the stores, once for the whole tile: exponentials in every instance of it would be much code.
            let written: [*mut f32; MR] = core::array::from_fn(|i| out((first + i).min(last)));
            // SAFETY: the first ones were just written, each once.
            unsafe { smooth(f, &written[..MR.min(rows.end - first)], columns.min(NV / vectors * PANEL)) };
        }
        first += MR;
    }
}

/// Consecutive pairs `(x, y)` for [`outer`]: `count` steps from both pointers.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) x: *const f32,
    pub(crate) y: *const f32,
    pub(crate) count: usize,
}

/// Adds `sum_p x[p][i] * y[p][n]` to `out[i * out_stride + n]`, for `i < rows <= MR` and `columns` columns, a multiple of
/// 16. `segments(column)` gives the steps for the 16 columns from there on; the next 16 lie `next` floats behind them; `WIDE` as for [`inner`].
///
/// # Safety
/// Every step of every segment has `rows` floats at `x` and `PANEL` at `y`; `out` is writable for `rows` rows of
/// `columns` floats.
#[inline(always)]
pub(crate) unsafe fn outer<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const WIDE: bool,
    I: Iterator<Item = Segment>,
>(
    simd: S,
    rows: usize,
    columns: usize,
    segments: impl Fn(usize) -> I,
    (x_stride, y_stride, next): (usize, usize, usize),
    (out, out_stride): (*mut f32, usize),
) {
    let strides = (x_stride, y_stride, next);
    let mut column = 0;
    // Two blocks of columns share the broadcasts of `x`, as in [`inner`].
    while WIDE && S::F32_LANES == PANEL && columns - column > PANEL {
        let out = (out.wrapping_add(column), out_stride);
        // SAFETY: passed on.
        unsafe { columns_at_once::<S, MR, 2>(simd, rows, segments(column), strides, out) };
        column += 2 * PANEL;
    }
    while column < columns {
        let out = (out.wrapping_add(column), out_stride);
        // SAFETY: passed on.
        unsafe { columns_at_once::<S, MR, NV>(simd, rows, segments(column), strides, out) };
        column += PANEL;
    }
}

/// [`outer`] for as many columns as `NV` vectors are wide.
///
/// # Safety
/// As for [`outer`].
#[inline(always)]
// Loops over a tile use indices known at compile time, so that the sums stay in registers.
#[allow(clippy::needless_range_loop)]
unsafe fn columns_at_once<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    rows: usize,
    segments: impl Iterator<Item = Segment>,
    (x_stride, y_stride, next): (usize, usize, usize),
    (out, out_stride): (*mut f32, usize),
) {
    let vectors = PANEL / S::F32_LANES;
    // A short block repeats its last row; only valid rows are stored.
    let column: [usize; MR] = core::array::from_fn(|i| i.min(rows - 1));
    let mut sums: [[S::f32s; NV]; MR] = core::array::from_fn(|i| {
        core::array::from_fn(|v| {
            // SAFETY: guaranteed by the caller for `out`.
            unsafe { load::<S>(out.add(column[i] * out_stride + v * S::F32_LANES)) }
        })
    });
    for segment in segments {
        let (mut x, mut y) = (segment.x, segment.y);
        if rows == MR {
            for _ in 0..segment.count {
                // SAFETY: guaranteed by the caller for the segments.
                unsafe {
                    let b: [S::f32s; NV] = core::array::from_fn(|v| {
                        load::<S>(y.add(v / vectors * next + v % vectors * S::F32_LANES))
                    });
                    for i in 0..MR {
                        let a = simd.splat_f32s(*x.add(i));
                        for v in 0..NV {
                            sums[i][v] = simd.mul_add_e_f32s(a, b[v], sums[i][v]);
                        }
                    }
                    x = x.wrapping_add(x_stride);
                    y = y.wrapping_add(y_stride);
                }
            }
        } else {
            for _ in 0..segment.count {
                // SAFETY: as above.
                unsafe {
                    let b: [S::f32s; NV] = core::array::from_fn(|v| {
                        load::<S>(y.add(v / vectors * next + v % vectors * S::F32_LANES))
                    });
                    for i in 0..MR {
                        let a = simd.splat_f32s(*x.add(column[i]));
                        for v in 0..NV {
                            sums[i][v] = simd.mul_add_e_f32s(a, b[v], sums[i][v]);
                        }
                    }
                    x = x.wrapping_add(x_stride);
                    y = y.wrapping_add(y_stride);
                }
            }
        }
    }
    for i in 0..MR {
        if i < rows {
            for v in 0..NV {
                // SAFETY: guaranteed by the caller for `out`.
                unsafe { store::<S>(out.add(i * out_stride + v * S::F32_LANES), sums[i][v]) };
            }
        }
    }
}

/// Calls `$function::<S, MR, NV>` with the tile that fits the registers of `S`.
macro_rules! with_tile {
    ($simd:ident, $function:ident ( $($argument:expr),* $(,)? )) => {
        match S::F32_LANES {
            16 => $function::<S, 12, 1>($simd, $($argument),*),
            8 => $function::<S, 6, 2>($simd, $($argument),*),
            4 => $function::<S, 4, 4>($simd, $($argument),*),
            2 => $function::<S, 2, 8>($simd, $($argument),*),
            _ => $function::<S, 1, 16>($simd, $($argument),*),
        }
    };
}
pub(crate) use with_tile;
