//! Sums of the rows of a table that spikes select: the core of products with spikes.
//!
//! `sums[d] = sum of table[s] over the sources s of destination d`, ascending. Forward, destinations are rows, sources
//! are their active inputs, and the table is the transposed weight; for the weight gradient, destinations are inputs,
//! sources are the rows in which they were active, and the table is the output's gradient.
//!
//! The active bits are listed once. A task then takes a panel of as many columns as fit into 8 registers, so that each
//! listed source costs 8 additions from the cache; sources are processed in blocks so that the panel's part of the
//! table stays in the second-level cache. Each sum is one sequential chain, so it does not depend on how the work is
//! cut. Cost: active bits times columns, plus one pass over bits and table.

use pulp::{Arch, Simd, WithSimd};

use crate::base::bits::BITS;
use crate::base::parallel::{
    SharedMut, for_each_task, vectorized, with_aligned_scratch, with_indices, with_scratch, with_words,
};
use crate::base::tile::{load, store};
use crate::spikes::packed::words;

/// Registers of a panel.
const PANEL_VECTORS: usize = 8;
/// Sources per block, whose part of a panel stays in the cache: whole words of bits, and an index fits into 16 bits.
const SOURCE_BLOCK: usize = 256;
/// Destinations whose sums stay in the cache.
pub(crate) const DESTINATION_BLOCK: usize = 256;
/// Tasks, at least, when there is enough work.
const TASKS: usize = 8;
/// Additions below which a product stays on one thread.
const SERIAL_ADDITIONS: usize = 1 << 17;
/// Side of the squares in which matrices are transposed.
const SQUARE: usize = 16;
/// Indices written per iteration, needed or not: fewer branches that cannot be predicted.
pub(crate) const UNROLLED: usize = 4;

/// Appends the indices of the set bits to `list` at `length`, plus `base`, and returns the new length.
///
/// # Safety
/// `list` has room for all set bits from `length`, and [`UNROLLED`] more.
#[inline(always)]
pub(crate) unsafe fn list_bits(mut word: u64, base: u16, list: *mut u16, length: usize) -> usize {
    let count = word.count_ones() as usize;
    let mut at = 0;
    loop {
        for i in 0..UNROLLED {
            // SAFETY: at most UNROLLED beyond the last bit, as guaranteed by the caller.
            unsafe { *list.add(length + at + i) = base + word.trailing_zeros() as u16 };
            word &= word.wrapping_sub(1);
        }
        at += UNROLLED;
        if at >= count {
            return length + count;
        }
    }
}

/// The active sources of every destination, by block of sources: list `[destination block][source block][destination]`.
struct Lists<'a> {
    /// Where each list begins in `sources`, plus one entry at the end of each `[destination block][source block]`.
    starts: &'a [u32],
    /// Indices within the source block.
    sources: &'a [u16],
    source_blocks: usize,
}

impl Lists<'_> {
    /// Starts of the lists of one block of destinations and one of sources.
    fn starts(&self, destinations: usize, sources: usize) -> &[u32] {
        let width = DESTINATION_BLOCK + 1;
        &self.starts[(destinations * self.source_blocks + sources) * width..][..width]
    }
}

/// Lists the set bits of `[destinations, sources]` and lends the lists to `work`.
fn with_lists<R>(
    bits: &[u32],
    (destinations, sources): (usize, usize),
    work: impl FnOnce(&Lists<'_>) -> R,
) -> R {
    let width = words(sources);
    let blocks = destinations.div_ceil(DESTINATION_BLOCK);
    let source_blocks = sources.div_ceil(SOURCE_BLOCK);
    let bits_of = |block: usize| {
        let last = destinations.min((block + 1) * DESTINATION_BLOCK);
        &bits[block * DESTINATION_BLOCK * width..last * width]
    };
    let mut first = vec![0usize; blocks + 1];
    for block in 0..blocks {
        first[block + 1] = first[block] + crate::spikes::packed::count(bits_of(block)) as usize + UNROLLED;
    }
    assert!(u32::try_from(first[blocks]).is_ok(), "fewer than 2^32 spikes in one product");
    let starts_len = source_blocks * (DESTINATION_BLOCK + 1);
    with_words(blocks * starts_len, |starts| {
        with_indices(first[blocks], |indices| {
            let all_starts = SharedMut(starts.as_mut_ptr());
            let all_indices = SharedMut(indices.as_mut_ptr());
            for_each_task(blocks, bits.len() < 1 << 12, |block| {
                // SAFETY: each task has its own starts and indices.
                let (starts, list) = unsafe {
                    (all_starts.slice(block * starts_len, starts_len), all_indices.get().add(first[block]))
                };
                let bits = bits_of(block);
                vectorized(
                    #[inline(always)]
                    || {
                        let mut length = 0;
                        for (sources, starts) in starts.chunks_exact_mut(DESTINATION_BLOCK + 1).enumerate() {
                            let of_block = sources * (SOURCE_BLOCK / BITS)
                                ..width.min((sources + 1) * (SOURCE_BLOCK / BITS));
                            let mut rows = bits.chunks_exact(width);
                            for start in starts {
                                *start = (first[block] + length) as u32;
                                let Some(row) = rows.next() else { continue };
                                for (at, &word) in row[of_block.clone()].iter().enumerate() {
                                    // SAFETY: the block's indices have room for its bits and UNROLLED more.
                                    length = unsafe {
                                        list_bits(u64::from(word), (at * BITS) as u16, list, length)
                                    };
                                }
                            }
                        }
                    },
                );
            });
            work(&Lists { starts, sources: indices, source_blocks })
        })
    })
}

/// `sums[d] += table[s]` over the listed sources of each destination, for a panel `vectors` registers wide.
struct Gather<'a> {
    starts: &'a [u32],
    sources: &'a [u16],
    table: &'a [f32],
    sums: &'a mut [f32],
    vectors: usize,
}

impl WithSimd for Gather<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const NV: usize>(simd: S, task: Gather<'_>) {
            let width = NV * S::F32_LANES;
            let table = task.table.as_ptr();
            for (bounds, sums) in task.starts.windows(2).zip(task.sums.chunks_exact_mut(width)) {
                let list = &task.sources[bounds[0] as usize..bounds[1] as usize];
                // SAFETY: `sums` is `width` floats long; listed sources lie in the table.
                unsafe {
                    let mut registers: [S::f32s; NV] =
                        core::array::from_fn(|v| load::<S>(sums.as_ptr().add(v * S::F32_LANES)));
                    add_rows::<S, NV>(simd, list, table, &mut registers);
                    for (v, register) in registers.into_iter().enumerate() {
                        store::<S>(sums.as_mut_ptr().add(v * S::F32_LANES), register);
                    }
                }
            }
        }
        match self.vectors {
            1 => run::<S, 1>(simd, self),
            2 => run::<S, 2>(simd, self),
            4 => run::<S, 4>(simd, self),
            _ => run::<S, PANEL_VECTORS>(simd, self),
        }
    }
}

/// Adds the listed rows of a table, each `NV` registers wide.
///
/// # Safety
/// Each listed row lies in the table.
#[inline(always)]
pub(crate) unsafe fn add_rows<S: Simd, const NV: usize>(
    simd: S,
    list: &[u16],
    table: *const f32,
    sums: &mut [S::f32s; NV],
) {
    // A copy, so that the sums stay in registers.
    let mut registers = *sums;
    for &source in list {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let row = table.add(source as usize * NV * S::F32_LANES);
            for (v, register) in registers.iter_mut().enumerate() {
                *register = simd.add_f32s(*register, load::<S>(row.add(v * S::F32_LANES)));
            }
        }
    }
    *sums = registers;
}

/// Floats of one register of this machine.
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// Registers of a panel of `columns`: 1, 2, 4 or 8.
pub(crate) fn panel_vectors(columns: usize, lanes: usize) -> usize {
    columns.div_ceil(lanes).next_power_of_two().min(PANEL_VECTORS)
}

/// A part of a product: a block of destinations, and a panel of columns that lie `width` floats apart in memory.
pub(crate) struct Part {
    pub(crate) destinations: core::ops::Range<usize>,
    pub(crate) columns: core::ops::Range<usize>,
    pub(crate) width: usize,
}

/// Sums the rows of a table `[sources, columns]` that the set bits of `[destinations, sources]` select.
///
/// `fill(columns, width, table)` writes a panel of the table, `[sources, width]`, with anything beyond the columns;
/// `finish(part, sums)` receives finished sums, `[destinations, width]`.
pub(crate) fn gather_sums(
    bits: &[u32],
    active: u64,
    (destinations, sources, columns): (usize, usize, usize),
    fill: impl Fn(core::ops::Range<usize>, usize, &mut [f32]) + Sync,
    finish: impl Fn(Part, &[f32]) + Sync,
) {
    let lanes = lanes();
    let panel = panel_vectors(columns, lanes) * lanes;
    let panels = columns.div_ceil(panel);
    let blocks = destinations.div_ceil(DESTINATION_BLOCK);
    // A small number of panels is also cut by destinations, so that every thread has work.
    let parts = TASKS.div_ceil(panels.max(1)).min(blocks).max(1);
    let blocks_each = blocks.div_ceil(parts);
    let serial = active as usize * columns < SERIAL_ADDITIONS;
    with_lists(bits, (destinations, sources), |lists| {
        for_each_task(panels * parts, serial, |task| {
            let (index, part) = (task / parts, task % parts);
            let first = index * panel;
            let vectors = panel_vectors(columns - first, lanes);
            let (width, columns) = (vectors * lanes, first..columns.min(first + panel));
            with_aligned_scratch(sources * width, |table| {
                fill(columns.clone(), width, table);
                let table = &*table;
                with_scratch(DESTINATION_BLOCK * width, |sums| {
                    for block in part * blocks_each..blocks.min((part + 1) * blocks_each) {
                        let start = block * DESTINATION_BLOCK;
                        let destinations = start..destinations.min(start + DESTINATION_BLOCK);
                        let sums = &mut sums[..destinations.len() * width];
                        sums.fill(0.0);
                        for (source_block, table) in table.chunks(SOURCE_BLOCK * width).enumerate() {
                            let starts = lists.starts(block, source_block);
                            let sources = lists.sources;
                            Arch::new().dispatch(Gather { starts, sources, table, sums, vectors });
                        }
                        finish(Part { destinations, columns: columns.clone(), width }, sums);
                    }
                });
            });
        });
    });
}

/// Transposes `[rows, columns]`, whose rows lie `stride` apart, to `[columns, rows]` with rows `to_stride` apart.
///
/// # Safety
/// `to` is writable there.
pub(crate) unsafe fn transpose_floats(
    from: &[f32],
    stride: usize,
    (rows, columns): (usize, usize),
    to: *mut f32,
    to_stride: usize,
) {
    vectorized(
        #[inline(always)]
        || {
            for row in (0..rows).step_by(SQUARE) {
                for column in (0..columns).step_by(SQUARE) {
                    let (height, width) = (SQUARE.min(rows - row), SQUARE.min(columns - column));
                    let mut square = [[0.0f32; SQUARE]; SQUARE];
                    if (height, width) == (SQUARE, SQUARE) {
                        let lines: [&[f32; SQUARE]; SQUARE] = core::array::from_fn(|i| {
                            from[(row + i) * stride + column..].first_chunk().unwrap_or(&[0.0; SQUARE])
                        });
                        for (j, to) in square.iter_mut().enumerate() {
                            *to = core::array::from_fn(|i| lines[i][j]);
                        }
                    } else {
                        for i in 0..height {
                            for j in 0..width {
                                square[j][i] = from[(row + i) * stride + column + j];
                            }
                        }
                    }
                    for (j, line) in square.iter().enumerate().take(width) {
                        // SAFETY: guaranteed by the caller.
                        unsafe {
                            let to = to.add((column + j) * to_stride + row);
                            core::ptr::copy_nonoverlapping(line.as_ptr(), to, height);
                        }
                    }
                }
            }
        },
    );
}
