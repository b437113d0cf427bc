//! The matrix product under linear layers and their gradients, `out = left right`, with the right operand packed in
//! panels for the register tile.
//!
//! The left operand is read in place. Each panel is packed by the task that uses it, or once beforehand where several
//! tasks use it. Cost: `2 * rows * depth * columns` operations and one pass over the right operand.

use pulp::{Arch, Simd, WithSimd};

use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::tile::{Epilogue, PANEL, Residual, Runs, inner, with_tile};

/// Rows that one task multiplies with a panel: a multiple of every tile height.
const ROW_BLOCK: usize = 48;
/// Rows of the highest tile.
const TILE_ROWS: usize = 12;
/// Floats of the left operand per task, at most: they stay in the second-level cache.
pub(super) const LEFT_BLOCK: usize = 1 << 16;
/// Panels that the widest tile takes at once.
const QUAD: usize = 4;
/// Panels that one task multiplies with such a block.
const PANELS: usize = 8;
/// Operations below which a product stays on one thread.
pub(super) const SERIAL_OPERATIONS: usize = 1 << 18;

/// A matrix whose rows begin `stride` floats apart.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Strided<'a> {
    /// The columns from `first` on of a matrix `[rows, stride]`.
    pub(crate) fn columns(values: &'a [f32], stride: usize, first: usize) -> Self {
        Self { values: values.get(first..).unwrap_or_default(), stride }
    }

    pub(super) fn check(&self, rows: usize, columns: usize) {
        let needed = if rows == 0 { 0 } else { (rows - 1) * self.stride + columns };
        assert!(columns <= self.stride && self.values.len() >= needed, "the matrix has all rows and columns");
    }
}

/// A second product added to the first: `left right`, `depth` deep.
#[derive(Clone, Copy)]
pub(crate) struct Addend<'a> {
    pub(crate) left: Strided<'a>,
    pub(crate) right: Right<'a>,
    pub(crate) depth: usize,
}

/// Writes row `n` of a matrix: `rows(n, to)`.
pub(crate) type RowsOf<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// How the right operand is stored.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// `[columns, depth]`, used transposed.
    Transposed(&'a [f32]),
    /// As `Transposed`, with row `n` written by `rows(n, to)`: called once per row of a panel, while that panel is
    /// packed.
    Rows(&'a RowsOf<'a>),
    /// `[depth, columns]`, used as it is.
    Plain(&'a [f32]),
    /// All panels, packed.
    Packed(&'a [f32]),
}

/// Packs columns `first .. first + 16` of the right operand, missing columns as zeros.
pub(super) fn pack_panel(right: Right<'_>, depth: usize, columns: usize, first: usize, panel: &mut [f32]) {
    let width = PANEL.min(columns - first);
    match right {
        Right::Plain(b) => {
            for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                to[..width].copy_from_slice(&b[k * columns + first..][..width]);
                to[width..].fill(0.0);
            }
        }
        Right::Rows(rows) => with_scratch(width * depth, |strip| {
            for (n, row) in strip.chunks_exact_mut(depth.max(1)).enumerate() {
                rows(first + n, row);
            }
            pack_panel(Right::Transposed(strip), depth, width, 0, panel);
        }),
        Right::Transposed(b) if width == PANEL => {
            let rows: [&[f32]; PANEL] = core::array::from_fn(|n| &b[(first + n) * depth..][..depth]);
            for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                for n in 0..PANEL {
                    to[n] = rows[n][k];
                }
            }
        }
        Right::Transposed(b) => {
            for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                for n in 0..width {
                    to[n] = b[(first + n) * depth + k];
                }
                to[width..].fill(0.0);
            }
        }
        Right::Packed(panels) => panel.copy_from_slice(&panels[first * depth..][..PANEL * depth]),
    }
}

/// Rows times panels that lie one behind the other.
struct Block<'a> {
    left: Strided<'a>,
    depth: usize,
    rows: core::ops::Range<usize>,
    panels: &'a [f32],
    /// The addend: its left operand, its depth and its panels.
    addend: Option<(Strided<'a>, usize, &'a [f32])>,
    out: SharedMut,
    out_stride: usize,
    column: usize,
    columns: usize,
    epilogue: Epilogue<'a>,
}

impl WithSimd for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, block: Block<'_>) {
            let (left, out) = (block.left.values.as_ptr(), block.out.get());
            let place = |row: usize| out.wrapping_add(row * block.out_stride + block.column);
            // SAFETY: rows lie within `left` and `out`; this task alone writes this panel's columns of its rows.
            unsafe {
                inner::<S, MR, NV, false, true>(
                    simd,
                    block.rows.clone(),
                    |row| left.wrapping_add(row * block.left.stride),
                    Runs { offsets: &[0], length: block.depth },
                    (block.panels.as_ptr(), block.depth * PANEL),
                    place,
                    (block.column, block.columns),
                    block.epilogue,
                );
            }
            let Some((left, depth, panels)) = block.addend else { return };
            // What was just written is still in the cache.
            let residual = Some(Residual { residual: out, out });
            // SAFETY: as above; `matmul_into` has checked the second product's operands as well.
            unsafe {
                inner::<S, MR, NV, false, true>(
                    simd,
                    block.rows,
                    |row| left.values.as_ptr().wrapping_add(row * left.stride),
                    Runs { offsets: &[0], length: depth },
                    (panels.as_ptr(), depth * PANEL),
                    place,
                    (block.column, block.columns),
                    Epilogue { residual, ..Epilogue::NONE },
                );
            }
        }
        // A single row would cost as much as a whole tile.
        match (self.rows.len(), S::F32_LANES) {
            (1, 16) => run::<S, 1, 1>(simd, self),
            (1, 8) => run::<S, 1, 2>(simd, self),
            (1, 4) => run::<S, 1, 4>(simd, self),
            _ => with_tile!(simd, run(self)),
        }
    }
}

/// `out = left right`; `left` is `[rows, depth]`, `out` is `[rows, columns]`.
pub(crate) fn matmul(
    left: &[f32],
    right: Right<'_>,
    (rows, depth, columns): (usize, usize, usize),
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let target = SharedMut(out.as_mut_ptr());
    // SAFETY: `out` is as long as its shape says, as all callers check.
    unsafe {
        matmul_into(
            Strided { values: left, stride: depth },
            right,
            None,
            (rows, depth, columns),
            epilogue,
            (target, columns),
        );
    }
}

/// `out = left right + addend`, where rows of `out` begin `out_stride` floats apart.
///
/// # Safety
/// `out` is writable for all of its rows, and nothing else uses these columns in the meantime.
///
/// # Panics
/// If there is an addend and the epilogue has an activation, which would come too early, or if an operand is too short.
pub(crate) unsafe fn matmul_into(
    left: Strided<'_>,
    right: Right<'_>,
    addend: Option<Addend<'_>>,
    (rows, depth, columns): (usize, usize, usize),
    epilogue: Epilogue<'_>,
    (target, out_stride): (SharedMut, usize),
) {
    left.check(rows, depth);
    let Some(addend) = addend else {
        run_matmul(left, right, None, (rows, depth, columns), epilogue, (target, out_stride));
        return;
    };
    assert!(epilogue.activation.is_none(), "the activation would come before the addend");
    addend.left.check(rows, addend.depth);
    with_scratch(addend.depth * columns.next_multiple_of(PANEL), |packed| {
        for (index, panel) in packed.chunks_exact_mut((addend.depth * PANEL).max(1)).enumerate() {
            pack_panel(addend.right, addend.depth, columns, index * PANEL, panel);
        }
        let addend = Some((addend.left, addend.depth, &*packed));
        run_matmul(left, right, addend, (rows, depth, columns), epilogue, (target, out_stride));
    });
}

/// [`matmul_into`] with the addend's panels packed.
fn run_matmul(
    left: Strided<'_>,
    right: Right<'_>,
    addend: Option<(Strided<'_>, usize, &[f32])>,
    (rows, depth, columns): (usize, usize, usize),
    epilogue: Epilogue<'_>,
    (target, out_stride): (SharedMut, usize),
) {
    let panels = columns.div_ceil(PANEL);
    let serial = rows * depth * columns < SERIAL_OPERATIONS;
    // `packed` holds these panels.
    let run = |packed: &[f32], group: core::ops::Range<usize>, rows: core::ops::Range<usize>| {
        let column = group.start * PANEL;
        let addend = addend.map(|(left, depth, packed)| {
            (left, depth, &packed[group.start * depth * PANEL..group.end * depth * PANEL])
        });
        Arch::new().dispatch(Block {
            left,
            depth,
            rows,
            panels: packed,
            addend,
            out: target,
            out_stride,
            column,
            columns: (group.len() * PANEL).min(columns - column),
            epilogue,
        });
    };
    if panels >= 4 && rows * depth > 2 * LEFT_BLOCK {
        // The left operand does not fit in the cache and would be read again for each panel: blocks of its rows meet
        // groups of panels instead.
        // A short rest would read all panels once more: blocks are about equally high.
        let most = (LEFT_BLOCK / depth / ROW_BLOCK).max(1) * ROW_BLOCK;
        let blocks = ((rows + most / 2) / most).max(1);
        let block = rows.div_ceil(blocks).next_multiple_of(TILE_ROWS);
        let groups = panels.div_ceil(PANELS);
        let run_blocks = |packed: &[f32]| {
            for_each_task(rows.div_ceil(block) * groups, serial, |task| {
                let (first, group) = (task / groups * block, task % groups * PANELS);
                let group = group..panels.min(group + PANELS);
                let packed = &packed[group.start * depth * PANEL..group.end * depth * PANEL];
                run(packed, group, first..rows.min(first + block));
            });
        };
        if let Right::Packed(packed) = right {
            run_blocks(packed);
            return;
        }
        with_scratch(panels * depth * PANEL, |packed| {
            let target = SharedMut(packed.as_mut_ptr());
            for_each_task(panels, serial, |index| {
                // SAFETY: each task has its own panel.
                let panel = unsafe { target.slice(index * depth * PANEL, depth * PANEL) };
                pack_panel(right, depth, columns, index * PANEL, panel);
            });
            run_blocks(packed);
        });
        return;
    }
    if let Right::Packed(packed) = right
        && panels >= QUAD
        && rows >= 2 * ROW_BLOCK
    {
        // Nothing is to be packed, so rows are cut as well, and panels meet the tile by fours.
        let groups = panels.div_ceil(QUAD);
        for_each_task(rows.div_ceil(2 * ROW_BLOCK) * groups, serial, |task| {
            let (first, group) = (task / groups * 2 * ROW_BLOCK, task % groups * QUAD);
            let group = group..panels.min(group + QUAD);
            let packed = &packed[group.start * depth * PANEL..group.end * depth * PANEL];
            run(packed, group, first..rows.min(first + 2 * ROW_BLOCK));
        });
        return;
    }
    if panels >= 4 {
        // Enough panels for all threads: each task packs a few of its own, which are then in its cache.
        let few = if panels >= 4 * QUAD { QUAD } else { 2 };
        for_each_task(panels.div_ceil(few), serial, |task| {
            let group = few * task..panels.min(few * (task + 1));
            match right {
                Right::Packed(all) => {
                    run(&all[group.start * depth * PANEL..group.end * depth * PANEL], group, 0..rows);
                }
                _ => with_scratch(group.len() * depth * PANEL, |packed| {
                    for (panel, index) in packed.chunks_exact_mut((depth * PANEL).max(1)).zip(group.clone()) {
                        pack_panel(right, depth, columns, index * PANEL, panel);
                    }
                    run(packed, group, 0..rows);
                }),
            }
        });
        return;
    }
    let all_panels = |packed: &[f32]| {
        for_each_task(rows.div_ceil(ROW_BLOCK), serial, |block| {
            let first = block * ROW_BLOCK;
            run(packed, 0..panels, first..rows.min(first + ROW_BLOCK));
        });
    };
    match right {
        Right::Packed(packed) => all_panels(packed),
        _ => with_scratch(panels * depth * PANEL, |packed| {
            for (index, panel) in packed.chunks_exact_mut(depth * PANEL).enumerate() {
                pack_panel(right, depth, columns, index * PANEL, panel);
            }
            all_panels(packed);
        }),
    }
}
