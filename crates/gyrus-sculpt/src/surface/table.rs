//! The triangles of each of the 256 kinds of cells, found by a search instead of copied from a list.
//!
//! Corner `c` of a cell lies at `(c & 1, c >> 1 & 1, c >> 2)`. Its twelve edges are numbered by axis, then by their lower
//! corner.

use std::sync::LazyLock;

/// Triangles of crossings, named by their edges.
type Triangles = Vec<[u8; 3]>;

static TABLE: LazyLock<Vec<Triangles>> = LazyLock::new(|| (0..256).map(of_cell).collect());

/// For each set of inside corners the triangles, counterclockwise seen from outside.
pub(super) fn triangles() -> &'static [Triangles] {
    &TABLE
}

/// The lower corners of the edges along each axis.
const LOWER: [[u8; 4]; 3] = [[0, 2, 4, 6], [0, 1, 4, 5], [0, 1, 2, 3]];

/// Axis and lower corner of an edge.
#[inline]
pub(super) fn edge(edge: u8) -> (usize, usize) {
    let axis = usize::from(edge / 4);
    (axis, usize::from(LOWER[axis][usize::from(edge % 4)]))
}

/// The edge between two neighboring corners.
fn between(a: usize, b: usize) -> u8 {
    let axis = (a ^ b).trailing_zeros() as usize;
    let place = LOWER[axis].iter().position(|corner| usize::from(*corner) == a.min(b)).unwrap_or(0);
    (4 * axis + place) as u8
}

/// The corners of each face, counterclockwise seen from outside the cell.
fn faces() -> [[usize; 4]; 6] {
    std::array::from_fn(|face| {
        let (axis, side) = (face / 2, face % 2);
        let (u, v) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
        let mut corners = [0, u, u | v, v].map(|corner| corner | side << axis);
        if side == 0 {
            corners.reverse();
        }
        corners
    })
}

/// Whether two edges belong to one face of the cell.
fn share_a_face(a: u8, b: u8) -> bool {
    let on = |name: u8, face: usize| {
        let (axis, corner) = edge(name);
        axis != face / 2 && corner >> (face / 2) & 1 == face % 2
    };
    (0..6).any(|face| on(a, face) && on(b, face))
}

fn of_cell(inside: usize) -> Triangles {
    let is_inside = |corner: usize| inside >> corner & 1 == 1;
    // On each face a line enters the inside corners and leaves behind them.
    let mut next = [None; 12];
    for corners in faces() {
        for first in 0..4 {
            let corner = |step: usize| corners[(first + step) % 4];
            if is_inside(corner(0)) || !is_inside(corner(1)) {
                continue;
            }
            let run = (1..4).find(|step| !is_inside(corner(step + 1))).unwrap_or(1);
            next[usize::from(between(corner(0), corner(1)))] = Some(between(corner(run), corner(run + 1)));
        }
    }
    let mut triangles = Vec::new();
    for start in 0..12u8 {
        let mut crossings = Vec::new();
        let mut at = start;
        while let Some(to) = next[usize::from(at)].take() {
            crossings.push(at);
            at = to;
        }
        if crossings.len() >= 3 {
            triangles.extend(cut(&crossings).unwrap_or_default());
        }
    }
    triangles
}

/// Cuts a loop into triangles without an inner edge within a face of the cell.
fn cut(crossings: &[u8]) -> Option<Triangles> {
    let [first, middle @ .., last] = crossings else { return None };
    if middle.is_empty() {
        return Some(Vec::new());
    }
    let is_inner = |a: u8, b: u8, steps: usize| steps > 1 && share_a_face(a, b);
    for (place, corner) in middle.iter().enumerate() {
        if is_inner(*first, *corner, place + 1) || is_inner(*corner, *last, middle.len() - place) {
            continue;
        }
        if let (Some(mut before), Some(behind)) = (cut(&crossings[..place + 2]), cut(&crossings[place + 1..]))
        {
            before.push([*first, *corner, *last]);
            before.extend(behind);
            return Some(before);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_triangles_and_each_crossing_is_in_one() {
        for (inside, own) in triangles().iter().enumerate() {
            let mut used = [false; 12];
            own.iter().flatten().for_each(|edge| used[usize::from(*edge)] = true);
            for (name, used) in used.iter().enumerate() {
                let (axis, corner) = edge(name as u8);
                let is_crossed = (inside >> corner ^ inside >> (corner | 1 << axis)) & 1 == 1;
                assert_eq!(*used, is_crossed, "cell {inside}, edge {name}");
            }
            // What others have as well: at most five triangles.
            assert!(own.len() <= 5, "cell {inside} has {}", own.len());
        }
        assert_eq!(triangles().iter().map(Vec::len).sum::<usize>(), 144 + 2 * 66 + 3 * 72 + 4 * 52 + 5 * 24);
    }
}
