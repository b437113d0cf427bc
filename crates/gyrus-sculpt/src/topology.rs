//! How the faces of a mesh hang together: edges, components, fans around vertices.

use rayon::prelude::*;

use crate::Mesh;

/// An edge and the faces along it.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// The smaller vertex in the upper half, the larger in the lower.
    edge: u64,
    /// The face, and whether it walks from the smaller vertex to the larger in the lowest bit.
    face: u64,
}

/// Sets of numbers that are joined, one tree each.
struct Sets(Vec<u32>);

impl Sets {
    fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    fn root(&mut self, mut of: u32) -> u32 {
        while self.0[of as usize] != of {
            let above = self.0[self.0[of as usize] as usize];
            self.0[of as usize] = above;
            of = above;
        }
        of
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller one becomes the root, whatever the order.
        self.0[a.max(b) as usize] = a.min(b);
    }
}

/// What [`Topology::of`] finds. Vertices at exactly the same place count as one; faces that then have fewer than three
/// vertices are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Places that faces use.
    pub vertices: usize,
    /// Pairs of places that are connected.
    pub edges: usize,
    /// Faces with three different places.
    pub faces: usize,
    /// Faces with fewer.
    pub collapsed_faces: usize,
    /// Faces on the same three places as one before them.
    pub duplicate_faces: usize,
    /// Edges of one face.
    pub boundary_edges: usize,
    /// Edges of more than two faces.
    pub non_manifold_edges: usize,
    /// Edges whose two faces do not agree which side is outside.
    pub misoriented_edges: usize,
    /// Places at which several fans of faces touch.
    pub non_manifold_vertices: usize,
    /// Parts that share no edge.
    pub components: usize,
    /// The component of each face, from 0 in the order of the first face; `u32::MAX` for collapsed faces.
    pub component_of_face: Vec<u32>,
}

impl Topology {
    /// Looks at a mesh. Cost: sorting its edges.
    ///
    /// # Panics
    /// If a face names a vertex that is not there.
    #[must_use]
    pub fn of(mesh: &Mesh) -> Self {
        let places = mesh.welded();
        let faces: Vec<[u32; 3]> = mesh.faces.iter().map(|face| face.map(|v| places[v as usize])).collect();
        let is_whole = |[a, b, c]: [u32; 3]| a != b && b != c && c != a;
        let mut sides: Vec<Side> = Vec::with_capacity(3 * faces.len());
        let mut found = Self { component_of_face: vec![u32::MAX; faces.len()], ..Self::default() };
        let mut used = vec![false; places.len()];
        let mut sorted: Vec<[u32; 3]> = Vec::with_capacity(faces.len());
        for (index, face) in faces.iter().enumerate() {
            if !is_whole(*face) {
                found.collapsed_faces += 1;
                continue;
            }
            found.faces += 1;
            let mut own = *face;
            own.sort_unstable();
            sorted.push(own);
            for corner in 0..3 {
                let (from, to) = (face[corner], face[(corner + 1) % 3]);
                used[from as usize] = true;
                let edge = u64::from(from.min(to)) << 32 | u64::from(from.max(to));
                sides.push(Side { edge, face: (index as u64) << 1 | u64::from(from < to) });
            }
        }
        found.vertices = used.iter().filter(|used| **used).count();
        sorted.par_sort_unstable();
        found.duplicate_faces = sorted.windows(2).filter(|pair| pair[0] == pair[1]).count();
        sides.par_sort_unstable_by_key(|side| (side.edge, side.face));
        let mut parts = Sets::new(faces.len());
        let mut fans = Sets::new(3 * faces.len());
        let corner = |face: u32, vertex: u32| {
            3 * face + faces[face as usize].iter().position(|own| *own == vertex).unwrap_or(0) as u32
        };
        for group in sides.chunk_by(|a, b| a.edge == b.edge) {
            found.edges += 1;
            let face = |side: &Side| (side.face >> 1) as u32;
            match group {
                [_] => found.boundary_edges += 1,
                [a, b] => found.misoriented_edges += usize::from(a.face & 1 == b.face & 1),
                _ => found.non_manifold_edges += 1,
            }
            for pair in group.windows(2) {
                let (a, b) = (face(&pair[0]), face(&pair[1]));
                parts.join(a, b);
                for vertex in [(pair[0].edge >> 32) as u32, pair[0].edge as u32] {
                    fans.join(corner(a, vertex), corner(b, vertex));
                }
            }
        }
        found.count_fans(&faces, &mut fans, places.len());
        let mut names = vec![u32::MAX; faces.len()];
        for (index, face) in faces.iter().enumerate().filter(|(_, face)| is_whole(**face)) {
            debug_assert!(is_whole(*face));
            let root = parts.root(index as u32) as usize;
            if names[root] == u32::MAX {
                names[root] = found.components as u32;
                found.components += 1;
            }
            found.component_of_face[index] = names[root];
        }
        found
    }

    fn count_fans(&mut self, faces: &[[u32; 3]], fans: &mut Sets, places: usize) {
        let mut fans_at = vec![0u32; places];
        for (index, face) in faces.iter().enumerate() {
            let [a, b, c] = *face;
            if a == b || b == c || c == a {
                continue;
            }
            for (corner, vertex) in face.iter().enumerate() {
                let own = (3 * index + corner) as u32;
                fans_at[*vertex as usize] += u32::from(fans.root(own) == own);
            }
        }
        self.non_manifold_vertices = fans_at.iter().filter(|count| **count > 1).count();
    }

    /// Vertices minus edges plus faces: 2 for a sphere, 0 for a torus, and their sum for several.
    #[must_use]
    pub fn euler_characteristic(&self) -> i64 {
        self.vertices as i64 - self.edges as i64 + self.faces as i64
    }

    /// Whether every edge has two faces.
    #[must_use]
    pub fn is_watertight(&self) -> bool {
        self.faces > 0 && self.boundary_edges == 0 && self.non_manifold_edges == 0
    }

    /// Whether every point lies within one disk, or half a disk at the boundary.
    #[must_use]
    pub fn is_manifold(&self) -> bool {
        self.non_manifold_edges == 0 && self.non_manifold_vertices == 0
    }

    /// Whether all neighbors agree which side is outside.
    #[must_use]
    pub fn is_oriented(&self) -> bool {
        self.misoriented_edges == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::tests::cube;

    #[test]
    fn a_cube_is_closed_and_one_face_less_or_turned_is_seen() {
        let whole = Topology::of(&cube());
        assert!(whole.is_watertight() && whole.is_manifold() && whole.is_oriented());
        assert_eq!((whole.euler_characteristic(), whole.components), (2, 1));
        let mut mesh = cube();
        mesh.faces.pop();
        assert_eq!(Topology::of(&mesh).boundary_edges, 3);
        let mut mesh = cube();
        mesh.faces[0].swap(0, 1);
        assert_eq!(Topology::of(&mesh).misoriented_edges, 3);
        mesh.faces.push(mesh.faces[4]);
        mesh.faces.push([0, 0, 1]);
        let worse = Topology::of(&mesh);
        assert_eq!((worse.duplicate_faces, worse.collapsed_faces, worse.non_manifold_edges), (1, 1, 3));
    }

    #[test]
    fn two_cubes_that_touch_at_a_corner_have_a_pinched_vertex() {
        let mut mesh = cube();
        let other = cube();
        mesh.faces.extend(other.faces.iter().map(|face| face.map(|vertex| vertex + 8)));
        mesh.positions.extend(other.positions.iter().map(|p| p.map(|value| value + 1.0)));
        let found = Topology::of(&mesh);
        assert_eq!((found.non_manifold_vertices, found.components, found.euler_characteristic()), (1, 2, 3));
        assert!(found.is_watertight() && !found.is_manifold());
    }
}
