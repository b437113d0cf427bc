//! Matrix products within the scratch memory of attention.

use pulp::{Arch, Simd, WithSimd};

use crate::base::tile::{Epilogue, PANEL, Runs, Segment, inner, outer, with_tile};

/// `out[i][n] = sum_k left[i][k] * panels[n / 16][k][n % 16]` for `rows` rows and at least `columns` columns: full
/// panels of `panel_depth` rows each, of which the first `depth` are used.
pub(super) fn multiply(
    left: &[f32],
    left_stride: usize,
    (rows, depth): (usize, usize),
    (panels, panel_depth): (&[f32], usize),
    out: &mut [f32],
    out_stride: usize,
    columns: usize,
) {
    let columns = columns.next_multiple_of(PANEL);
    assert!(depth <= panel_depth && columns <= out_stride && depth <= left_stride, "rows are long enough");
    assert!(left.len() >= rows * left_stride && out.len() >= rows * out_stride, "all rows are there");
    assert!(panels.len() >= columns * panel_depth, "all panels are there");
    Arch::new().dispatch(Multiply {
        left,
        left_stride,
        rows,
        depth,
        panels,
        panel_depth,
        out,
        out_stride,
        columns,
    });
}

struct Multiply<'a> {
    left: &'a [f32],
    left_stride: usize,
    rows: usize,
    depth: usize,
    panels: &'a [f32],
    panel_depth: usize,
    out: &'a mut [f32],
    out_stride: usize,
    columns: usize,
}

impl WithSimd for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, task: Multiply<'_>) {
            let (left, out) = (task.left.as_ptr(), task.out.as_mut_ptr());
            // SAFETY: `multiply` has checked that rows and panels lie within the slices.
            unsafe {
                inner::<S, MR, NV, true, true>(
                    simd,
                    0..task.rows,
                    |row| left.wrapping_add(row * task.left_stride),
                    Runs { offsets: &[0], length: task.depth },
                    (task.panels.as_ptr(), task.panel_depth * PANEL),
                    |row| out.wrapping_add(row * task.out_stride),
                    (0, task.columns),
                    Epilogue::NONE,
                );
            }
        }
        with_tile!(simd, run(self));
    }
}

/// `sums[j][n] += sum_i left[i][j] * right[i][n]` for `count` rows `i` and `seen` columns `j` of `left`; rows of `sums`
/// are as long as those of `right`: full panels.
pub(super) fn accumulate(
    (left, left_stride): (&[f32], usize),
    (right, right_stride): (&[f32], usize),
    (count, seen): (usize, usize),
    sums: &mut [f32],
) {
    assert!(seen <= left_stride && right_stride.is_multiple_of(PANEL), "rows are long enough");
    assert!(left.len() >= count * left_stride && right.len() >= count * right_stride, "all rows are there");
    assert!(sums.len() >= seen * right_stride, "all sums are there");
    Arch::new().dispatch(Accumulate { left, left_stride, right, right_stride, count, seen, sums });
}

struct Accumulate<'a> {
    left: &'a [f32],
    left_stride: usize,
    right: &'a [f32],
    right_stride: usize,
    count: usize,
    seen: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Accumulate<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, task: Accumulate<'_>) {
            for first in (0..task.seen).step_by(MR) {
                let height = MR.min(task.seen - first);
                let x = task.left.as_ptr().wrapping_add(first);
                let y = task.right.as_ptr();
                let out = task.sums.as_mut_ptr().wrapping_add(first * task.right_stride);
                // SAFETY: `accumulate` has checked that everything lies within the slices.
                unsafe {
                    outer::<S, MR, NV, true, _>(
                        simd,
                        height,
                        task.right_stride,
                        |column| {
                            core::iter::once(Segment { x, y: y.wrapping_add(column), count: task.count })
                        },
                        (task.left_stride, task.right_stride, PANEL),
                        (out, task.right_stride),
                    );
                }
            }
        }
        with_tile!(simd, run(self));
    }
}
