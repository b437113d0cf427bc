//! Triangle meshes as plain data.

use std::collections::HashMap;

use image::RgbImage;

/// A triangle mesh. Faces are counterclockwise seen from outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mesh {
    /// Position of each vertex.
    pub positions: Vec<[f32; 3]>,
    /// Vertices of each face.
    pub faces: Vec<[u32; 3]>,
    /// Red, green and blue of each vertex in sRGB, 0 to 1; empty without colors.
    pub colors: Vec<[f32; 3]>,
    /// Texture coordinates of each corner of each face, from the top left of the texture; empty without.
    pub uvs: Vec<[[f32; 2]; 3]>,
    /// The texture, in sRGB.
    pub texture: Option<RgbImage>,
}

impl Mesh {
    /// The smallest and largest coordinates of the vertices that faces use; zeros without faces.
    #[must_use]
    pub fn bounds(&self) -> ([f32; 3], [f32; 3]) {
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for vertex in self.faces.iter().flatten() {
            for axis in 0..3 {
                let value = self.positions[*vertex as usize][axis];
                low[axis] = low[axis].min(value);
                high[axis] = high[axis].max(value);
            }
        }
        if self.faces.is_empty() { ([0.0; 3], [0.0; 3]) } else { (low, high) }
    }

    /// The corners of a face.
    #[must_use]
    pub fn corners(&self, face: usize) -> [[f64; 3]; 3] {
        self.faces[face].map(|vertex| self.positions[vertex as usize].map(f64::from))
    }

    /// Twice the area of a face as a vector along its normal.
    #[must_use]
    pub fn area_vector(&self, face: usize) -> [f64; 3] {
        let [a, b, c] = self.corners(face);
        cross(minus(b, a), minus(c, a))
    }

    /// The area of all faces.
    #[must_use]
    pub fn area(&self) -> f64 {
        (0..self.faces.len()).map(|face| 0.5 * length(self.area_vector(face))).sum()
    }

    /// The volume inside; right for closed meshes whose faces agree which side is outside.
    #[must_use]
    pub fn volume(&self) -> f64 {
        // Relative to a corner of the bounds, so that meshes far from the origin lose no digits.
        let origin = self.bounds().0.map(f64::from);
        let tetrahedron = |face| {
            let [a, b, c] = self.corners(face).map(|corner| minus(corner, origin));
            dot(a, cross(b, c)) / 6.0
        };
        (0..self.faces.len()).map(tetrahedron).sum()
    }

    /// Unit normals of the vertices: those of the faces around them, weighted by area. Vertices at one place share theirs.
    #[must_use]
    pub fn normals(&self) -> Vec<[f32; 3]> {
        let places = self.welded();
        let mut sums = vec![[0.0f64; 3]; self.positions.len()];
        for (index, face) in self.faces.iter().enumerate() {
            let vector = self.area_vector(index);
            for vertex in face {
                let sum = &mut sums[places[*vertex as usize] as usize];
                (0..3).for_each(|axis| sum[axis] += vector[axis]);
            }
        }
        let unit = |place: &u32| {
            let sum = sums[*place as usize];
            let size = length(sum);
            if size > 0.0 { sum.map(|part| (part / size) as f32) } else { [0.0, 1.0, 0.0] }
        };
        places.iter().map(unit).collect()
    }

    /// For each vertex the first one at exactly the same place.
    #[must_use]
    pub fn welded(&self) -> Vec<u32> {
        let mut first: HashMap<[u32; 3], u32> = HashMap::with_capacity(self.positions.len());
        // Adding zero turns -0 into 0.
        let key = |position: &[f32; 3]| position.map(|value| (value + 0.0).to_bits());
        let vertices = self.positions.iter().zip(0u32..);
        vertices.map(|(position, index)| *first.entry(key(position)).or_insert(index)).collect()
    }

    /// Removes vertices that no face uses.
    pub fn compact(&mut self) {
        let mut renamed = vec![u32::MAX; self.positions.len()];
        let mut kept = 0u32;
        for vertex in self.faces.iter_mut().flatten() {
            let name = &mut renamed[*vertex as usize];
            if *name == u32::MAX {
                *name = kept;
                kept += 1;
            }
            *vertex = *name;
        }
        let mut positions = vec![[0.0; 3]; kept as usize];
        let mut colors = vec![[0.0; 3]; if self.colors.is_empty() { 0 } else { kept as usize }];
        for (old, name) in renamed.iter().enumerate().filter(|(_, name)| **name != u32::MAX) {
            positions[*name as usize] = self.positions[old];
            if !self.colors.is_empty() {
                colors[*name as usize] = self.colors[old];
            }
        }
        (self.positions, self.colors) = (positions, colors);
    }
}

/// `a - b`
pub(crate) fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// The scalar product.
pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The vector product.
pub(crate) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The Euclidean length.
pub(crate) fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cube from 0 to 1.
    pub(crate) fn cube() -> Mesh {
        let positions = (0..8u8).map(|i| [0, 1, 2].map(|axis| f32::from(i >> axis & 1))).collect();
        let quads = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]];
        let faces = quads.iter().flat_map(|[a, b, c, d]| [[*a, *b, *c], [*a, *c, *d]]).collect();
        Mesh { positions, faces, ..Mesh::default() }
    }

    #[test]
    fn a_cube_has_its_area_volume_and_normals() {
        let cube = cube();
        assert!((cube.area() - 6.0).abs() < 1e-12 && (cube.volume() - 1.0).abs() < 1e-12);
        assert_eq!(cube.bounds(), ([0.0; 3], [1.0; 3]));
        // Away from the middle.
        for (normal, position) in cube.normals().iter().zip(&cube.positions) {
            assert!((0..3).map(|i| normal[i] * (position[i] - 0.5)).sum::<f32>() > 0.5);
        }
    }

    #[test]
    fn compacting_keeps_the_faces() {
        let mut mesh = cube();
        mesh.faces.truncate(2);
        let area = mesh.area();
        mesh.compact();
        assert_eq!((mesh.positions.len(), mesh.area()), (4, area));
    }
}
