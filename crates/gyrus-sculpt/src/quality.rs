//! The quality sheet of a mesh: whether it is closed, manifold and oriented, what is wrong with it, how large it is, how its
//! texture lies.

use serde::Serialize;

use crate::mesh::{cross, length, minus};
use crate::{Mesh, Topology};

/// Side of the grid on which the coverage of the texture is counted.
const GRID: usize = 1024;

/// What [`Quality::of`] finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Vertices of the file.
    pub vertices: usize,
    /// Faces, as triangles.
    pub faces: usize,
    /// Vertices that no face uses.
    pub unused_vertices: usize,
    /// Different places among the vertices that faces use.
    pub places: usize,
    /// Every edge has two faces.
    pub watertight: bool,
    /// No edge has more than two faces, no vertex joins several fans.
    pub manifold: bool,
    /// Neighboring faces agree which side is outside.
    pub oriented: bool,
    /// Parts that share no edge.
    pub components: usize,
    /// Vertices minus edges plus faces.
    pub euler_characteristic: i64,
    /// Edges of one face.
    pub boundary_edges: usize,
    /// Edges of more than two faces.
    pub non_manifold_edges: usize,
    /// Vertices that join several fans.
    pub non_manifold_vertices: usize,
    /// Edges whose faces disagree which side is outside.
    pub misoriented_edges: usize,
    /// Faces without area.
    pub degenerate_faces: usize,
    /// Faces on the same vertices as another one.
    pub duplicate_faces: usize,
    /// Area of all faces.
    pub area: f64,
    /// Volume inside; none unless watertight and oriented.
    pub volume: Option<f64>,
    /// Smallest coordinates.
    pub minimum: [f32; 3],
    /// Largest coordinates.
    pub maximum: [f32; 3],
    /// Whether vertices have colors.
    pub vertex_colors: bool,
    /// Width and height of the texture in pixels.
    pub texture: Option<[u32; 2]>,
    /// Share of the texture that faces cover; none without texture coordinates.
    pub uv_coverage: Option<f64>,
    /// Pixels of the texture along a unit of length, on average; none without a texture.
    pub texel_density: Option<f64>,
}

impl Quality {
    /// Looks at a mesh.
    ///
    /// # Panics
    /// If a face names a vertex that is not there.
    #[must_use]
    pub fn of(mesh: &Mesh) -> Self {
        let topology = Topology::of(mesh);
        let mut used = vec![false; mesh.positions.len()];
        mesh.faces.iter().flatten().for_each(|vertex| used[*vertex as usize] = true);
        let (minimum, maximum) = mesh.bounds();
        let diagonal = length(minus(maximum.map(f64::from), minimum.map(f64::from)));
        // Below this a triangle is a line in the precision of its coordinates.
        let is_flat = |face: &usize| {
            let [a, b, c] = mesh.corners(*face);
            let longest = [minus(b, a), minus(c, b), minus(a, c)].map(length).into_iter().fold(0.0, f64::max);
            length(cross(minus(b, a), minus(c, a))) <= 1e-7 * longest * longest.max(1e-7 * diagonal)
        };
        let texture = mesh.texture.as_ref().map(|image| [image.width(), image.height()]);
        let area = mesh.area();
        let is_solid = topology.is_watertight() && topology.is_oriented();
        Self {
            vertices: mesh.positions.len(),
            faces: mesh.faces.len(),
            unused_vertices: used.iter().filter(|used| !**used).count(),
            places: topology.vertices,
            watertight: topology.is_watertight(),
            manifold: topology.is_manifold(),
            oriented: topology.is_oriented(),
            components: topology.components,
            euler_characteristic: topology.euler_characteristic(),
            boundary_edges: topology.boundary_edges,
            non_manifold_edges: topology.non_manifold_edges,
            non_manifold_vertices: topology.non_manifold_vertices,
            misoriented_edges: topology.misoriented_edges,
            degenerate_faces: (0..mesh.faces.len()).filter(is_flat).count(),
            duplicate_faces: topology.duplicate_faces,
            area,
            volume: is_solid.then(|| mesh.volume()),
            minimum,
            maximum,
            vertex_colors: !mesh.colors.is_empty(),
            texture,
            uv_coverage: (!mesh.uvs.is_empty()).then(|| coverage(&mesh.uvs)),
            texel_density: texture.filter(|_| !mesh.uvs.is_empty() && area > 0.0).map(|[width, height]| {
                let share: f64 = mesh.uvs.iter().map(|corners| uv_area(corners)).sum();
                (share * f64::from(width) * f64::from(height) / area).sqrt()
            }),
        }
    }
}

/// The area of a face in the texture, whose area is 1.
fn uv_area(corners: &[[f32; 2]; 3]) -> f64 {
    let [a, b, c] = corners.map(|corner| corner.map(f64::from));
    0.5 * ((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])).abs()
}

/// The share of the cells of a grid whose middle lies in a face.
fn coverage(uvs: &[[[f32; 2]; 3]]) -> f64 {
    let mut covered = vec![false; GRID * GRID];
    for corners in uvs {
        let [a, b, c] = corners.map(|corner| corner.map(|value| f64::from(value) * GRID as f64));
        if ![a, b, c].iter().flatten().all(|value| value.is_finite()) {
            continue;
        }
        let range = |axis: usize| {
            let values = [a[axis], b[axis], c[axis]];
            let low = values.iter().copied().fold(f64::INFINITY, f64::min).clamp(0.0, GRID as f64);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max).clamp(0.0, GRID as f64);
            low.floor() as usize..high.ceil() as usize
        };
        let side = |p: [f64; 2], q: [f64; 2], x: f64, y: f64| {
            (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])
        };
        for row in range(1) {
            for column in range(0) {
                let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
                let sides = [side(a, b, x, y), side(b, c, x, y), side(c, a, x, y)];
                if sides.iter().all(|side| *side >= 0.0) || sides.iter().all(|side| *side <= 0.0) {
                    covered[row * GRID + column] = true;
                }
            }
        }
    }
    covered.iter().filter(|covered| **covered).count() as f64 / covered.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::tests::cube;

    #[test]
    fn a_cube_with_half_a_texture() {
        let mut mesh = cube();
        // Each face is mapped to the same lower half: 12 times 1/2 of the area, half of the cells.
        mesh.uvs = vec![[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]; 12];
        mesh.texture = Some(image::RgbImage::new(64, 64));
        let quality = Quality::of(&mesh);
        assert!((quality.uv_coverage.unwrap() - 0.5).abs() < 1e-3, "{quality:?}");
        assert!((quality.texel_density.unwrap() - 64.0).abs() < 1e-9, "{quality:?}");
        assert!((quality.volume.unwrap() - 1.0).abs() < 1e-12 && quality.degenerate_faces == 0);
        mesh.faces[0] = [0, 1, 0];
        let quality = Quality::of(&mesh);
        assert_eq!((quality.volume, quality.degenerate_faces, quality.watertight), (None, 1, false));
    }
}
