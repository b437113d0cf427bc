//! Layout of a drawing. A box's row is the length of its longest path from the Input; within the row it lies below its
//! leftmost source if that place is free. An edge that passes rows runs down a column without boxes, or else down a lane
//! to the right of all boxes.

use std::collections::HashSet;

use crate::Blueprint;

/// Extents of a box and the gaps around it, in SVG units.
pub(crate) const BOX_WIDTH: usize = 216;
pub(crate) const BOX_HEIGHT: usize = 62;
const GAP_X: usize = 36;
const GAP_Y: usize = 40;
const MARGIN: usize = 16;
const LANE_WIDTH: usize = 12;

/// Positions of everything, in SVG units from the top left.
pub(crate) struct Layout {
    /// The top left corner of each node's box.
    pub(crate) boxes: Vec<(usize, usize)>,
    /// For each edge the x at which it passes the rows between its ends, and the y where it reaches and leaves
    /// them; `None` for an edge between neighboring rows.
    pub(crate) detours: Vec<Option<Detour>>,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// The vertical part of an edge that passes rows.
pub(crate) struct Detour {
    pub(crate) x: usize,
    pub(crate) top: usize,
    pub(crate) bottom: usize,
}

/// The taken places of one row.
#[derive(Clone, Default)]
struct Row {
    columns: Vec<bool>,
    /// One bit for each lane to the right of the boxes.
    lanes: u64,
}

impl Row {
    fn is_free(&self, column: usize) -> bool {
        !self.columns.get(column).copied().unwrap_or(false)
    }

    fn take(&mut self, column: usize) {
        if self.columns.len() <= column {
            self.columns.resize(column + 1, false);
        }
        self.columns[column] = true;
    }
}

impl Layout {
    /// Lays out a blueprint whose nodes are given in topological order.
    pub(crate) fn new(blueprint: &Blueprint, order: &[usize]) -> Self {
        let back: HashSet<(usize, usize)> = blueprint.back_edges().into_iter().collect();
        let mut sources = blueprint.sources();
        for (to, sources) in sources.iter_mut().enumerate() {
            sources.retain(|&from| !back.contains(&(from, to)));
        }
        let mut row_of = vec![0; sources.len()];
        let mut column_of = vec![0; sources.len()];
        let mut rows: Vec<Row> = Vec::new();
        for &node in order {
            let row = sources[node].iter().map(|&source| row_of[source] + 1).max().unwrap_or(0);
            if rows.len() <= row {
                rows.resize(row + 1, Row::default());
            }
            let wanted = sources[node].iter().map(|&source| column_of[source]).min().unwrap_or(0);
            let column = (wanted..).find(|&column| rows[row].is_free(column)).unwrap_or(wanted);
            rows[row].take(column);
            row_of[node] = row;
            column_of[node] = column;
        }
        let boxes: Vec<(usize, usize)> = row_of
            .iter()
            .zip(&column_of)
            .map(|(&row, &column)| (left_of(column), MARGIN + row * (BOX_HEIGHT + GAP_Y)))
            .collect();
        let boxes_right = boxes.iter().map(|&(x, _)| x + BOX_WIDTH).max().unwrap_or(0);
        let mut right = boxes_right;
        let mut detours = Vec::with_capacity(blueprint.edges().len());
        for &(from, to) in blueprint.edges() {
            // An edge that closes a cycle runs back up beside both its ends.
            let passed = match back.contains(&(from, to)) {
                true => row_of[to]..row_of[from] + 1,
                false => row_of[from] + 1..row_of[to],
            };
            if passed.is_empty() {
                detours.push(None);
                continue;
            }
            let (top, bottom) = (boxes[from].1 + BOX_HEIGHT + GAP_Y, boxes[to].1 - GAP_Y);
            let free = |column: &usize| rows[passed.clone()].iter().all(|row| row.is_free(*column));
            let x = match [column_of[from], column_of[to]].into_iter().find(free) {
                Some(column) => {
                    rows[passed].iter_mut().for_each(|row| row.take(column));
                    left_of(column) + BOX_WIDTH / 2
                }
                None => {
                    let widest = rows[passed.clone()].iter().map(|row| row.columns.len()).max().unwrap_or(0);
                    let taken = rows[passed.clone()].iter().fold(0, |taken, row| taken | row.lanes);
                    // Beyond 64 parallel edges the last lane is shared: nobody could tell them apart anyway.
                    let lane = taken.trailing_ones().min(u64::BITS - 1);
                    rows[passed].iter_mut().for_each(|row| row.lanes |= 1 << lane);
                    left_of(widest) - GAP_X + LANE_WIDTH * (lane as usize + 1)
                }
            };
            right = right.max(x);
            detours.push(Some(Detour { x, top, bottom }));
        }
        let height = 2 * MARGIN + rows.len() * (BOX_HEIGHT + GAP_Y) - GAP_Y;
        Self { boxes, detours, width: right + MARGIN, height }
    }
}

fn left_of(column: usize) -> usize {
    MARGIN + column * (BOX_WIDTH + GAP_X)
}
