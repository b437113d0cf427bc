//! Whether a point lies in a closed mesh: how often the surface winds around it, counted along a ray.
//!
//! Faces are sorted into columns along z, so a ray meets only those of its column. A ray that meets an edge exactly is
//! counted for one of its two faces, because both decide by the same number.

use crate::Mesh;
use crate::mesh::{cross, minus};

/// Columns along x and y.
const SIDE: usize = 128;

/// A closed mesh, ready for questions.
pub(crate) struct Inside {
    corners: Vec<[[f64; 3]; 3]>,
    low: [f64; 2],
    /// Columns per unit of length.
    scale: [f64; 2],
    /// Where the faces of each column begin.
    starts: Vec<u32>,
    faces: Vec<u32>,
}

impl Inside {
    pub(crate) fn new(mesh: &Mesh) -> Self {
        let (low, high) = mesh.bounds();
        let extent = |axis: usize| (f64::from(high[axis]) - f64::from(low[axis])).max(1e-30);
        let corners: Vec<_> = (0..mesh.faces.len()).map(|face| mesh.corners(face)).collect();
        let mut inside = Self {
            corners,
            low: [0, 1].map(|axis| f64::from(low[axis])),
            scale: [0, 1].map(|axis| SIDE as f64 / extent(axis)),
            starts: vec![0; SIDE * SIDE + 1],
            faces: Vec::new(),
        };
        let columns = |inside: &Self, face: usize| {
            let range = |axis: usize| {
                let places = inside.corners[face].map(|corner| inside.column(corner[axis], axis));
                let low = places.into_iter().min().unwrap_or(0);
                low..=places.into_iter().max().unwrap_or(0)
            };
            let along = range(0);
            range(1).flat_map(move |y| along.clone().map(move |x| y * SIDE + x))
        };
        for face in 0..inside.corners.len() {
            for column in columns(&inside, face) {
                inside.starts[column + 1] += 1;
            }
        }
        for column in 0..SIDE * SIDE {
            inside.starts[column + 1] += inside.starts[column];
        }
        let mut filled = inside.starts.clone();
        let mut faces = vec![0; inside.starts[SIDE * SIDE] as usize];
        for face in 0..inside.corners.len() {
            for column in columns(&inside, face) {
                faces[filled[column] as usize] = face as u32;
                filled[column] += 1;
            }
        }
        inside.faces = faces;
        inside
    }

    fn column(&self, value: f64, axis: usize) -> usize {
        (((value - self.low[axis]) * self.scale[axis]) as usize).min(SIDE - 1)
    }

    /// Whether the surface winds around a point.
    pub(crate) fn contains(&self, point: [f64; 3]) -> bool {
        let column = self.column(point[1], 1) * SIDE + self.column(point[0], 0);
        let faces = self.starts[column] as usize..self.starts[column + 1] as usize;
        let winds: i32 =
            self.faces[faces].iter().map(|face| crossing(&self.corners[*face as usize], point)).sum();
        winds != 0
    }
}

/// Whether a point lies left of the way from `a` to `b`, seen from above; the way back says the opposite.
fn is_left(a: [f64; 3], b: [f64; 3], point: [f64; 3]) -> bool {
    let (from, to, is_turned) = if (a[0], a[1]) < (b[0], b[1]) { (a, b, false) } else { (b, a, true) };
    let side = (to[0] - from[0]) * (point[1] - from[1]) - (point[0] - from[0]) * (to[1] - from[1]);
    (side >= 0.0) != is_turned
}

/// 1 or -1 if the ray upward from a point leaves or enters through a face, else 0.
fn crossing(corners: &[[f64; 3]; 3], point: [f64; 3]) -> i32 {
    let [a, b, c] = *corners;
    let sides = [is_left(a, b, point), is_left(b, c, point), is_left(c, a, point)];
    let direction = match sides {
        [true, true, true] => 1,
        [false, false, false] => -1,
        _ => return 0,
    };
    let normal = cross(minus(b, a), minus(c, a));
    if normal[2] == 0.0 {
        return 0;
    }
    let from = minus(a, point);
    // Height of the face above the point, times the normal's z.
    let height = (normal[0] * from[0] + normal[1] * from[1] + normal[2] * from[2]) / normal[2];
    if height > 0.0 { direction } else { 0 }
}
