//! Fewer faces: edges are collapsed in the order of their quadric error (Garland and Heckbert 1997).
//!
//! An edge is collapsed only if the surface stays what it is: its two ends share exactly the neighbors of the faces along it
//! (the link condition; Dey et al. 1999), no face turns over, and none becomes a needle. A closed manifold therefore stays
//! one, with its Euler characteristic. Faces at an open border hold it in place by planes across them. Vertices on edges of
//! more than two faces stay. Colors are blended along the edge; texture coordinates are dropped.
//!
//! Cost: a heap of edges; each collapse evaluates the edges around one vertex anew.

mod quadric;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use quadric::Quadric;
use rayon::prelude::*;

use crate::mesh::{cross, dot, length, minus};
use crate::{Mesh, Topology};

/// Weight of the planes that hold an open border.
const BORDER: f64 = 10.0;
/// Cosine between a face's normals before and after a collapse, at least.
const TURNED: f64 = 0.2;
/// Twice the area of a face over the square of its longest edge, at least.
const NEEDLE: f64 = 0.02;

/// An edge in the heap: the bits of its error, its ends, and how often these had changed.
type Entry = Reverse<(u32, u32, u32, u32)>;

/// A mesh of at most `faces` faces, if the surface can stay what it is with so few; else as few as can be.
#[must_use]
pub fn simplify(mesh: &Mesh, faces: usize) -> Mesh {
    if mesh.faces.len() <= faces {
        return mesh.clone();
    }
    Collapse::new(mesh).run(faces)
}

struct Collapse {
    positions: Vec<[f64; 3]>,
    colors: Vec<[f32; 3]>,
    faces: Vec<[u32; 3]>,
    is_gone: Vec<bool>,
    /// Where the faces of each vertex lie in `around`, and how many.
    places: Vec<(u32, u32)>,
    around: Vec<u32>,
    quadrics: Vec<Quadric>,
    /// How often a vertex has changed.
    changes: Vec<u32>,
    is_fixed: Vec<bool>,
    on_border: Vec<bool>,
    left: usize,
    /// Marks of the last question about neighbors.
    marks: Vec<u32>,
    mark: u32,
}

impl Collapse {
    fn new(mesh: &Mesh) -> Self {
        // What lies at one place is one vertex, so that seams do not tear.
        let places = mesh.welded();
        let is_whole = |[a, b, c]: &[u32; 3]| a != b && b != c && c != a;
        let welded = Mesh {
            positions: mesh.positions.clone(),
            faces: mesh.faces.iter().map(|face| face.map(|v| places[v as usize])).filter(is_whole).collect(),
            colors: mesh.colors.clone(),
            ..Mesh::default()
        };
        let count = welded.positions.len();
        let positions: Vec<[f64; 3]> = welded.positions.iter().map(|p| p.map(f64::from)).collect();
        let mut counts = vec![0u32; count + 1];
        welded.faces.iter().flatten().for_each(|vertex| counts[*vertex as usize + 1] += 1);
        (0..count).for_each(|vertex| counts[vertex + 1] += counts[vertex]);
        let mut filled = counts.clone();
        let mut around = vec![0; 3 * welded.faces.len()];
        for (index, face) in welded.faces.iter().enumerate() {
            for vertex in face {
                let place = &mut filled[*vertex as usize];
                around[*place as usize] = index as u32;
                *place += 1;
            }
        }
        let places = counts.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).collect();
        let planes: Vec<Quadric> = welded
            .faces
            .par_iter()
            .map(|face| Quadric::of_face(face.map(|v| positions[v as usize])))
            .collect();
        let mut collapse = Self {
            colors: welded.colors,
            is_gone: vec![false; welded.faces.len()],
            left: welded.faces.len(),
            faces: welded.faces,
            places,
            around,
            quadrics: vec![Quadric::default(); count],
            changes: vec![0; count],
            is_fixed: vec![false; count],
            on_border: vec![false; count],
            marks: vec![0; count],
            mark: 0,
            positions,
        };
        for (face, plane) in planes.iter().enumerate() {
            for vertex in collapse.faces[face] {
                collapse.quadrics[vertex as usize].add(plane);
            }
        }
        collapse.find_borders();
        collapse
    }

    /// Fixes what is not manifold, and holds open borders by planes across their faces.
    fn find_borders(&mut self) {
        let mut sides: Vec<(u64, u32)> = Vec::with_capacity(3 * self.faces.len());
        for (index, face) in self.faces.iter().enumerate() {
            for corner in 0..3 {
                let (a, b) = (face[corner], face[(corner + 1) % 3]);
                sides.push((u64::from(a.min(b)) << 32 | u64::from(a.max(b)), index as u32));
            }
        }
        sides.par_sort_unstable();
        for group in sides.chunk_by(|a, b| a.0 == b.0) {
            let ends = [(group[0].0 >> 32) as u32, group[0].0 as u32];
            if group.len() > 2 {
                ends.iter().for_each(|end| self.is_fixed[*end as usize] = true);
            } else if group.len() == 1 {
                let corners = self.faces[group[0].1 as usize].map(|v| self.positions[v as usize]);
                let normal = cross(minus(corners[1], corners[0]), minus(corners[2], corners[0]));
                let [a, b] = ends.map(|end| self.positions[end as usize]);
                let across =
                    Quadric::of_plane(cross(minus(b, a), normal), a, BORDER * dot(minus(b, a), minus(b, a)));
                for end in ends {
                    self.on_border[end as usize] = true;
                    self.quadrics[end as usize].add(&across);
                }
            }
        }
        // Vertices at which several fans touch.
        for vertex in 0..self.places.len() as u32 {
            let faces = self.faces_of(vertex).len();
            let neighbors = self.neighbors(vertex).len();
            let expected = faces + usize::from(self.on_border[vertex as usize]);
            self.is_fixed[vertex as usize] |= faces > 0 && neighbors != expected;
        }
    }

    fn faces_of(&self, vertex: u32) -> &[u32] {
        let (start, count) = self.places[vertex as usize];
        &self.around[start as usize..(start + count) as usize]
    }

    fn neighbors(&mut self, vertex: u32) -> Vec<u32> {
        self.mark += 1;
        let mut found = Vec::with_capacity(8);
        let (start, count) = self.places[vertex as usize];
        for place in start..start + count {
            for other in self.faces[self.around[place as usize] as usize] {
                if other != vertex && self.marks[other as usize] != self.mark {
                    self.marks[other as usize] = self.mark;
                    found.push(other);
                }
            }
        }
        found
    }

    /// Where the ends of an edge meet at the least error, and that error.
    fn target(&self, a: u32, b: u32) -> ([f64; 3], f64) {
        let mut sum = self.quadrics[a as usize];
        sum.add(&self.quadrics[b as usize]);
        let (from, to) = (self.positions[a as usize], self.positions[b as usize]);
        let middle = [0, 1, 2].map(|axis| f64::midpoint(from[axis], to[axis]));
        if let Some(best) = sum.minimum(middle, length(minus(to, from))) {
            return (best, sum.error(best).max(0.0));
        }
        let candidates = [middle, from, to].map(|point| (point, sum.error(point).max(0.0)));
        candidates.into_iter().fold(candidates[0], |best, own| if own.1 < best.1 { own } else { best })
    }

    fn entry(&self, a: u32, b: u32) -> Entry {
        let (a, b) = (a.min(b), a.max(b));
        // Bits of floats that are not negative are ordered as the floats are.
        let error = (self.target(a, b).1 as f32).to_bits();
        Reverse((error, a, b, self.changes[a as usize] + self.changes[b as usize]))
    }

    fn run(mut self, most: usize) -> Mesh {
        let mut edges: Vec<u64> = Vec::with_capacity(3 * self.faces.len() / 2);
        for face in &self.faces {
            for corner in 0..3 {
                let (a, b) = (face[corner], face[(corner + 1) % 3]);
                edges.push(u64::from(a.min(b)) << 32 | u64::from(a.max(b)));
            }
        }
        edges.par_sort_unstable();
        edges.dedup();
        let entries: Vec<Entry> =
            edges.par_iter().map(|edge| self.entry((edge >> 32) as u32, *edge as u32)).collect();
        let mut heap = BinaryHeap::from(entries);
        while self.left > most {
            let Some(Reverse((_, a, b, changes))) = heap.pop() else { break };
            if self.changes[a as usize] + self.changes[b as usize] != changes || !self.try_collapse(a, b) {
                continue;
            }
            for neighbor in self.neighbors(a) {
                if !self.is_fixed[neighbor as usize] {
                    heap.push(self.entry(a, neighbor));
                }
            }
        }
        self.finish()
    }

    /// Moves both ends of an edge to one place, if the surface stays what it is.
    fn try_collapse(&mut self, a: u32, b: u32) -> bool {
        if self.is_fixed[a as usize] || self.is_fixed[b as usize] {
            return false;
        }
        let along: Vec<u32> =
            self.faces_of(a).iter().copied().filter(|face| self.faces[*face as usize].contains(&b)).collect();
        // An edge within the surface between two borders would pinch it.
        let borders = self.on_border[a as usize] && self.on_border[b as usize];
        if along.is_empty() || along.len() > 2 || (borders && along.len() == 2) {
            return false;
        }
        let opposite = |face: &u32| self.faces[*face as usize].into_iter().find(|v| *v != a && *v != b);
        let tips: Vec<u32> = along.iter().filter_map(opposite).collect();
        let near = self.neighbors(b);
        let mark = self.mark;
        let ours = self.faces_of(a).iter().flat_map(|face| self.faces[*face as usize]);
        // The neighbors of b are marked: those of a among them must be the tips of the faces along the edge.
        let is_linked =
            ours.filter(|v| *v != a && *v != b).all(|v| self.marks[v as usize] != mark || tips.contains(&v));
        let third = |vertex: u32| {
            self.faces_of(vertex).iter().any(|face| {
                let face = &self.faces[*face as usize];
                tips.len() == 2 && tips.iter().all(|tip| face.contains(tip))
            })
        };
        if !is_linked || near.len() < 3 && tips.len() == 2 || (third(a) && third(b)) {
            return false;
        }
        let (to, _) = self.target(a, b);
        let stays = [(a, b), (b, a)].iter().all(|(own, other)| {
            self.faces_of(*own).iter().filter(|face| !self.faces[**face as usize].contains(other)).all(
                |face| {
                    let before = self.faces[*face as usize];
                    let corner = |vertex: u32, moved: bool| {
                        if moved && vertex == *own { to } else { self.positions[vertex as usize] }
                    };
                    let normal = |moved: bool| {
                        let [p, q, r] = before.map(|vertex| corner(vertex, moved));
                        (cross(minus(q, p), minus(r, p)), [minus(q, p), minus(r, q), minus(p, r)])
                    };
                    let ((old, old_sides), (new, sides)) = (normal(false), normal(true));
                    let (old_size, size) = (length(old), length(new));
                    let longest =
                        |sides: [[f64; 3]; 3]| sides.iter().map(|side| dot(*side, *side)).fold(0.0, f64::max);
                    // A needle may stay one, but none becomes worse.
                    let shape = size / longest(sides).max(f64::MIN_POSITIVE);
                    let old_shape = old_size / longest(old_sides).max(f64::MIN_POSITIVE);
                    shape > NEEDLE.min(old_shape) && dot(old, new) > TURNED * old_size * size
                },
            )
        });
        if !stays {
            return false;
        }
        self.collapse(a, b, to, &along);
        true
    }

    fn collapse(&mut self, a: u32, b: u32, to: [f64; 3], along: &[u32]) {
        if !self.colors.is_empty() {
            let (from, way) =
                (self.positions[a as usize], minus(self.positions[b as usize], self.positions[a as usize]));
            let share =
                (dot(minus(to, from), way) / dot(way, way).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) as f32;
            let (near, far) = (self.colors[a as usize], self.colors[b as usize]);
            self.colors[a as usize] = [0, 1, 2].map(|part| near[part] + share * (far[part] - near[part]));
        }
        self.positions[a as usize] = to;
        let other = self.quadrics[b as usize];
        self.quadrics[a as usize].add(&other);
        self.on_border[a as usize] |= self.on_border[b as usize];
        along.iter().for_each(|face| self.is_gone[*face as usize] = true);
        self.left -= along.len();
        for place in 0..self.faces_of(b).len() {
            let face = self.faces_of(b)[place] as usize;
            self.faces[face].iter_mut().filter(|vertex| **vertex == b).for_each(|vertex| *vertex = a);
        }
        let start = self.around.len() as u32;
        for vertex in [a, b] {
            for place in 0..self.faces_of(vertex).len() {
                let face = self.faces_of(vertex)[place];
                if !self.is_gone[face as usize] {
                    self.around.push(face);
                }
            }
        }
        self.places[a as usize] = (start, self.around.len() as u32 - start);
        self.places[b as usize].1 = 0;
        // The tips lose a face.
        for face in along {
            for vertex in self.faces[*face as usize].into_iter().filter(|vertex| *vertex != a) {
                let (start, count) = self.places[vertex as usize];
                let own = &mut self.around[start as usize..(start + count) as usize];
                if let Some(place) = own.iter().position(|own| own == face) {
                    own.swap(place, count as usize - 1);
                    self.places[vertex as usize].1 -= 1;
                }
            }
        }
        self.changes[a as usize] += 1;
        // Nothing of b is ever asked for again.
        self.changes[b as usize] = u32::MAX / 2;
    }

    fn finish(self) -> Mesh {
        let faces = self.faces.iter().zip(&self.is_gone).filter(|(_, gone)| !**gone).map(|(face, _)| *face);
        let mut mesh = Mesh {
            positions: self.positions.iter().map(|p| p.map(|value| value as f32)).collect(),
            faces: faces.collect(),
            colors: self.colors,
            ..Mesh::default()
        };
        mesh.compact();
        mesh
    }
}

/// Keeps the components with the most faces: the largest, and all with at least `share` of its faces.
#[must_use]
pub fn largest_components(mesh: &Mesh, share: f64) -> Mesh {
    let topology = Topology::of(mesh);
    let mut sizes = vec![0usize; topology.components];
    let component = |face: usize| topology.component_of_face.get(face).map(|name| *name as usize);
    (0..mesh.faces.len()).filter_map(component).for_each(|name| {
        if let Some(size) = sizes.get_mut(name) {
            *size += 1;
        }
    });
    let most = sizes.iter().copied().max().unwrap_or(0) as f64;
    let is_kept = |face: &usize| {
        component(*face).and_then(|name| sizes.get(name)).is_some_and(|size| *size as f64 >= share * most)
    };
    let kept: Vec<usize> = (0..mesh.faces.len()).filter(is_kept).collect();
    let mut mesh = Mesh {
        faces: kept.iter().map(|face| mesh.faces[*face]).collect(),
        uvs: if mesh.uvs.is_empty() { Vec::new() } else { kept.iter().map(|face| mesh.uvs[*face]).collect() },
        ..mesh.clone()
    };
    mesh.compact();
    mesh
}

#[cfg(test)]
mod tests;
