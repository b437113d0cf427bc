//! One sequence and one key head: a task, and what it copies into scratch memory.

use super::super::rotary::{Rotation, rotate_head};
use super::shape::{CausalAttention, sequences};
use crate::base::parallel::{SharedMut, for_each_task, with_aligned_scratch};
use crate::base::tile::PANEL;

/// Queries whose scores are in memory together: a multiple of every tile height.
pub(super) const BLOCK: usize = 48;
/// Operations below which everything stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 18;

/// One sequence and one key head.
pub(super) struct Sequence<'a> {
    pub(super) shape: &'a CausalAttention,
    pub(super) rotation: Option<Rotation<'a>>,
    pub(super) x: &'a [f32],
    /// The first row.
    pub(super) start: usize,
    /// Rows.
    pub(super) length: usize,
    /// The key head.
    pub(super) group: usize,
    /// Floats of a head in scratch memory: full panels.
    pub(super) head_stride: usize,
}

pub(super) fn for_each_head(
    shape: &CausalAttention,
    ends: &[usize],
    rotation: Option<Rotation<'_>>,
    x: &[f32],
    work: impl Fn(&Sequence<'_>) + Sync + Send,
) {
    let mut operations = 0;
    let mut tasks = Vec::new();
    for (start, end) in sequences(ends).filter(|(start, end)| start < end) {
        operations += (end - start) * (end - start) * shape.query_columns();
        tasks.extend((0..shape.key_value_heads).map(|group| (start, end - start, group)));
    }
    // Long sequences first, so that no thread starts one when the others are done.
    tasks.sort_by_key(|&(_, length, _)| core::cmp::Reverse(length));
    for_each_task(tasks.len(), operations < SERIAL_OPERATIONS, |task| {
        let (start, length, group) = tasks[task];
        let head_stride = shape.head_width.next_multiple_of(PANEL);
        work(&Sequence { shape, rotation, x, start, length, group, head_stride });
    });
}

impl Sequence<'_> {
    pub(super) fn heads(&self) -> core::ops::Range<usize> {
        let group = self.shape.heads / self.shape.key_value_heads;
        self.group * group..(self.group + 1) * group
    }

    /// First query and number of queries of each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let length = self.length;
        (0..length).step_by(BLOCK).map(move |first| (first, BLOCK.min(length - first)))
    }

    pub(super) fn key_column(&self) -> usize {
        (self.shape.heads + self.group) * self.shape.head_width
    }

    pub(super) fn value_column(&self) -> usize {
        self.key_column() + self.shape.key_value_heads * self.shape.head_width
    }

    /// Copies one head's elements of some rows to `to`, `[count, head_stride]`, padded with zeros.
    pub(super) fn copy_rows(
        &self,
        column: usize,
        rotate: bool,
        (first, count): (usize, usize),
        to: &mut [f32],
    ) {
        let width = self.shape.head_width;
        for (row, to) in to.chunks_exact_mut(self.head_stride).enumerate().take(count) {
            let from = &self.x[(self.start + first + row) * self.shape.columns() + column..][..width];
            to[..width].copy_from_slice(from);
            to[width..].fill(0.0);
            if rotate {
                self.rotate(first + row, 1.0, to);
            }
        }
    }

    /// Writes rows from scratch memory, `[count, head_stride]`, to one head's columns of the gradient.
    pub(super) fn write_rows(
        &self,
        column: usize,
        rotate: bool,
        (first, count): (usize, usize),
        from: &mut [f32],
        dx: SharedMut,
    ) {
        for (row, from) in from.chunks_exact_mut(self.head_stride).enumerate().take(count) {
            if rotate {
                self.rotate(first + row, -1.0, from);
            }
            let place = (self.start + first + row) * self.shape.columns() + column;
            // SAFETY: only this task writes these heads' columns of this sequence's rows.
            let to = unsafe { dx.slice(place, self.shape.head_width) };
            to.copy_from_slice(&from[..self.shape.head_width]);
        }
    }

    /// Rotates a head by the angles of a position; backward for a negative `sign`.
    #[inline(always)]
    fn rotate(&self, position: usize, sign: f32, head: &mut [f32]) {
        if let Some(rotation) = self.rotation {
            let at = position * rotation.pairs;
            let angles = (&rotation.cosines[at..][..rotation.pairs], &rotation.sines[at..][..rotation.pairs]);
            rotate_head(head, angles, rotation.interleaved, sign);
        }
    }

    /// One head of all rows as panels of 16 of its elements: `[head_stride / 16, length, 16]`.
    pub(super) fn pack(&self, column: usize, rotate: bool, panels: &mut [f32]) {
        self.for_each_row(column, rotate, |position, row| {
            for (panel, part) in row.chunks_exact(PANEL).enumerate() {
                panels[(panel * self.length + position) * PANEL..][..PANEL].copy_from_slice(part);
            }
        });
    }

    /// One head of all rows as panels of 16 rows: `[span / 16, head_width, 16]`, with zeros beyond the last row.
    pub(super) fn pack_transposed(&self, column: usize, rotate: bool, panels: &mut [f32]) {
        let width = self.shape.head_width;
        panels[self.length / PANEL * width * PANEL..].fill(0.0);
        self.for_each_row(column, rotate, |position, row| {
            let panel = &mut panels[position / PANEL * width * PANEL + position % PANEL..];
            for (to, value) in panel.iter_mut().step_by(PANEL).zip(&row[..width]) {
                *to = *value;
            }
        });
    }

    pub(super) fn for_each_row(&self, column: usize, rotate: bool, mut work: impl FnMut(usize, &[f32])) {
        with_aligned_scratch(self.head_stride, |row| {
            for position in 0..self.length {
                self.copy_rows(column, rotate, (position, 1), row);
                work(position, row);
            }
        });
    }
}

/// Splits scratch memory into parts of these sizes.
pub(super) fn with_parts<const N: usize>(sizes: [usize; N], work: impl FnOnce([&mut [f32]; N])) {
    with_aligned_scratch(sizes.iter().sum(), |mut rest| {
        work(sizes.map(|size| {
            let (part, behind) = core::mem::take(&mut rest).split_at_mut(size);
            rest = behind;
            part
        }));
    });
}
