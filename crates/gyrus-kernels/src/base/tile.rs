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
use super::parallel::prefetch;

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
/// epilogue: for short depths, where the detour through memory that an epilogue takes would show. `WIDE` takes two
/// panels at once where registers allow it: faster for matrices, slower for convolutions, whose rows are pixels of which
/// each has its own address.
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
        // Two panels share the broadcasts of the left operand: 14 loads for 24 sums instead of 26. Only AVX-512 has the
        // registers.
        let two = WIDE && S::F32_LANES == PANEL && columns - done > PANEL;
        let width = (columns - done).min(if two { 2 * PANEL } else { PANEL });
        let panels = (panels.wrapping_add(done / PANEL * panel_len), panel_len);
        let out = |row| out(row).wrapping_add(done);
        let place = (column + done, width);
        // SAFETY: passed on.
        unsafe {
            if two {
                panels_at_once::<S, MR, 2, PLAIN, WIDE>(
                    simd, &rows, &left, runs, panels, out, place, epilogue,
                );
            } else {
                panels_at_once::<S, MR, NV, PLAIN, WIDE>(
                    simd, &rows, &left, runs, panels, out, place, epilogue,
                );
            }
        }
        done += width;
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
) {
    let vectors = PANEL / S::F32_LANES;
    let mut first = rows.start;
    while first < rows.end {
        let last = rows.end - 1;
        // A short last block repeats its last row, which saves a second kernel.
        let pointers: [*const f32; MR] = core::array::from_fn(|i| left((first + i).min(last)));
        let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
        if WIDE && !PLAIN {
            // An output beyond the second-level cache would otherwise hold up the stores at the end.
            for i in 0..MR {
                for v in (0..NV).step_by(vectors) {
                    prefetch(out((first + i).min(last)).wrapping_add(v * S::F32_LANES));
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
        if PLAIN && rows.end - first >= MR {
            for i in 0..MR {
                for v in 0..NV {
                    // SAFETY: guaranteed by the caller for `out`, and the panel is full.
                    unsafe { store::<S>(out(first + i).add(v * S::F32_LANES), sums[i][v]) };
                }
            }
            first += MR;
            continue;
        }
        // Through memory, with indices known at compile time: otherwise the sums above would not stay in registers.
        for p in 0..NV / vectors {
            let mut tile = [[0.0f32; PANEL]; MR];
            for i in 0..MR {
                for v in 0..vectors {
                    // SAFETY: `vectors * F32_LANES == PANEL`.
                    unsafe {
                        store::<S>(tile[i].as_mut_ptr().add(v * S::F32_LANES), sums[i][p * vectors + v])
                    };
                }
            }
            let skipped = p * PANEL;
            for (i, row) in tile.iter().enumerate().take(rows.end - first) {
                let width = PANEL.min(columns - skipped);
                // SAFETY: guaranteed by the caller for `out`.
                unsafe {
                    finish_row::<S>(simd, row, out(first + i).add(skipped), column + skipped, width, epilogue)
                };
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
