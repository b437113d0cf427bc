//! The quadric error: a sum of squared distances to planes, as a symmetric form of ten numbers.

use crate::mesh::{cross, dot, length, minus};

/// `p A p + 2 b p + c`, with `A` as xx, xy, xz, yy, yz, zz.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quadric {
    a: [f64; 6],
    b: [f64; 3],
    c: f64,
}

impl Quadric {
    /// The plane of a triangle, weighted by its area.
    pub(super) fn of_face(corners: [[f64; 3]; 3]) -> Self {
        let normal = cross(minus(corners[1], corners[0]), minus(corners[2], corners[0]));
        Self::of_plane(normal, corners[0], 0.5 * length(normal))
    }

    /// A plane across `normal`, of any length, through a point.
    pub(super) fn of_plane(normal: [f64; 3], point: [f64; 3], weight: f64) -> Self {
        let size = length(normal);
        if size <= 0.0 {
            return Self::default();
        }
        let [x, y, z] = normal.map(|part| part / size);
        let distance = -dot([x, y, z], point);
        Self {
            a: [x * x, x * y, x * z, y * y, y * z, z * z].map(|part| weight * part),
            b: [x, y, z].map(|part| weight * distance * part),
            c: weight * distance * distance,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.a.iter_mut().zip(other.a).for_each(|(own, other)| *own += other);
        self.b.iter_mut().zip(other.b).for_each(|(own, other)| *own += other);
        self.c += other.c;
    }

    pub(super) fn error(&self, p: [f64; 3]) -> f64 {
        dot(p, self.times(p)) + 2.0 * dot(self.b, p) + self.c
    }

    fn times(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let [xx, xy, xz, yy, yz, zz] = self.a;
        [xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z]
    }

    /// The point of least error, if there is one within `reach` of a point.
    pub(super) fn minimum(&self, near: [f64; 3], reach: f64) -> Option<[f64; 3]> {
        let [xx, xy, xz, yy, yz, zz] = self.a;
        let rows = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]];
        let inverse = [cross(rows[1], rows[2]), cross(rows[2], rows[0]), cross(rows[0], rows[1])];
        let determinant = dot(rows[0], inverse[0]);
        let size = xx + yy + zz;
        if determinant.abs() <= 1e-6 * size * size * size {
            return None;
        }
        // Relative to a point nearby, which loses no digits far from the origin.
        let slope = self.times(near);
        let slope = [0, 1, 2].map(|axis| slope[axis] + self.b[axis]);
        let step = [0, 1, 2]
            .map(|axis| -dot([inverse[0][axis], inverse[1][axis], inverse[2][axis]], slope) / determinant);
        (length(step) <= reach).then(|| [0, 1, 2].map(|axis| near[axis] + step[axis]))
    }
}
