//! The surface of a field on a grid: closed and 2-manifold by construction.
//!
//! Marching cubes (Lorensen and Cline 1987), with one rule for every face that could be cut in two ways: its inside corners
//! are separated. Both cells at a face therefore cut it alike, so the surface has no cracks. Within a cell each loop of
//! crossings is cut into triangles whose inner edges never join two crossings of one face of the cell (such triangles exist
//! for all 256 cells: [`table`]), so no edge ever gets a third triangle; and a crossing lies on one loop of each of the four
//! cells around it, so the triangles at a vertex are one fan. The grid is surrounded by a layer of outside, so nothing is
//! left open at its border. Marching tetrahedra would give the same for twice the triangles, and dual contouring needs
//! repairs to be manifold.
//!
//! Cost: one pass over the field, which becomes one bit a sample, 64 in a word; after that work is proportional to the
//! surface, as words without a crossing are skipped. Vertices are numbered by counting bits, so no table of edges is kept.

mod table;

use rayon::prelude::*;

use crate::Mesh;

/// How close a vertex may come to a sample, in cells: two vertices never coincide.
const MARGIN: f32 = 1e-3;

/// A field on a regular grid.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// A value for each sample, `[z, y, x]`.
    pub values: &'a [f32],
    /// Samples along x, y and z.
    pub size: [usize; 3],
    /// Position of the first sample.
    pub origin: [f32; 3],
    /// Distance of neighboring samples along x, y and z.
    pub step: [f32; 3],
}

/// The surface between samples above `level`, which are inside, and all others, which are outside, as is everything beyond
/// the grid. A solid that reaches the border of the grid is cut off half a step beyond it. NaN is outside.
///
/// # Panics
/// If the number of values is not that of the samples, or the surface has more than 2³² vertices.
#[must_use]
pub fn surface(field: &Field<'_>, level: f32) -> Mesh {
    assert_eq!(field.values.len(), field.size.iter().product::<usize>(), "a value for each sample");
    if field.values.is_empty() {
        return Mesh::default();
    }
    Bits::of(field, level).mesh(field, level)
}

/// Which samples are inside, with a layer of outside around them.
struct Bits {
    /// Samples along x, y, z, with the layer.
    size: [usize; 3],
    /// Words of a row.
    words: usize,
    /// `[z, y, words]`
    inside: Vec<u64>,
}

/// Numbers of the first vertex of words and layers.
struct Numbers {
    /// `[z, y, axis, words]`, counted within the layer.
    within: Vec<u32>,
    /// `[z]`, and the number of all vertices.
    layers: Vec<u32>,
}

impl Bits {
    fn of(field: &Field<'_>, level: f32) -> Self {
        let [nx, ny, _] = field.size;
        let size = field.size.map(|samples| samples + 2);
        let words = size[0].div_ceil(64);
        let mut inside = vec![0u64; size[2] * size[1] * words];
        let layer = size[1] * words;
        inside[layer..].par_chunks_exact_mut(layer).zip(field.values.par_chunks_exact(nx * ny)).for_each(
            |(bits, values)| {
                let rows = bits[words..].chunks_exact_mut(words).zip(values.chunks_exact(nx));
                for (bits, values) in rows {
                    // Sample 0 of the field is bit 1.
                    let (first, rest) = values.split_at(values.len().min(63));
                    bits[0] = packed(first, level) << 1;
                    for (bits, values) in bits[1..].iter_mut().zip(rest.chunks(64)) {
                        *bits = packed(values, level);
                    }
                }
            },
        );
        Self { size, words, inside }
    }

    /// The words of a row of samples.
    fn row(&self, z: usize, y: usize) -> &[u64] {
        &self.inside[(z * self.size[1] + y) * self.words..][..self.words]
    }

    /// The samples of a word from which the edge along `axis` crosses the surface.
    #[inline]
    fn crossings(&self, z: usize, y: usize, axis: usize, word: usize) -> u64 {
        let row = self.row(z, y);
        match axis {
            0 => row[word] ^ next(row, word),
            1 if y + 1 < self.size[1] => row[word] ^ self.row(z, y + 1)[word],
            2 if z + 1 < self.size[2] => row[word] ^ self.row(z + 1, y)[word],
            _ => 0,
        }
    }

    fn number(&self) -> Numbers {
        let layer = self.size[1] * 3 * self.words;
        let mut within = vec![0u32; self.size[2] * layer];
        let count = |(z, numbers): (usize, &mut [u32])| {
            let mut count = 0;
            for (y, numbers) in numbers.chunks_exact_mut(3 * self.words).enumerate() {
                for (place, number) in numbers.iter_mut().enumerate() {
                    *number = count;
                    count += self.crossings(z, y, place / self.words, place % self.words).count_ones();
                }
            }
            u64::from(count)
        };
        let counts: Vec<u64> = within.par_chunks_exact_mut(layer).enumerate().map(count).collect();
        let mut sum = 0;
        let mut layers = vec![0];
        for count in counts {
            sum += count;
            layers.push(u32::try_from(sum).expect("fewer than 2^32 vertices"));
        }
        Numbers { within, layers }
    }

    fn mesh(&self, field: &Field<'_>, level: f32) -> Mesh {
        let numbers = self.number();
        let mut positions = vec![[0.0f32; 3]; numbers.layers[self.size[2]] as usize];
        let mut rest = &mut positions[..];
        let mut parts = Vec::with_capacity(self.size[2]);
        for pair in numbers.layers.windows(2) {
            let (part, behind) = rest.split_at_mut((pair[1] - pair[0]) as usize);
            parts.push(part);
            rest = behind;
        }
        parts.into_par_iter().enumerate().for_each(|(z, part)| self.place(field, level, z, part));
        let layers: Vec<Vec<[u32; 3]>> =
            (0..self.size[2] - 1).into_par_iter().map(|z| self.triangles(&numbers, z)).collect();
        Mesh { positions, faces: layers.concat(), ..Mesh::default() }
    }

    /// The vertices of a layer, in the order of their numbers.
    fn place(&self, field: &Field<'_>, level: f32, z: usize, part: &mut [[f32; 3]]) {
        let mut part = part.iter_mut();
        for y in 0..self.size[1] {
            for axis in 0..3 {
                for word in 0..self.words {
                    let mut crossings = self.crossings(z, y, axis, word);
                    while crossings != 0 {
                        let from = [64 * word + crossings.trailing_zeros() as usize, y, z];
                        crossings &= crossings - 1;
                        if let Some(vertex) = part.next() {
                            *vertex = vertex_on(field, level, from, axis);
                        }
                    }
                }
            }
        }
    }

    /// The triangles of the cells between a layer of samples and the next.
    fn triangles(&self, numbers: &Numbers, z: usize) -> Vec<[u32; 3]> {
        let table = table::triangles();
        let mut triangles = Vec::new();
        for y in 0..self.size[1] - 1 {
            let rows = [self.row(z, y), self.row(z, y + 1), self.row(z + 1, y), self.row(z + 1, y + 1)];
            for word in 0..self.words {
                let near = rows.map(|row| row[word]);
                let far = rows.map(|row| next(row, word));
                let any = near.iter().chain(&far).fold(0, |any, bits| any | bits);
                let all = near.iter().chain(&far).fold(u64::MAX, |all, bits| all & bits);
                let mut mixed = any & !all;
                while mixed != 0 {
                    let bit = mixed.trailing_zeros();
                    mixed &= mixed - 1;
                    let corners = (0..4).fold(0, |corners, row| {
                        corners | (near[row] >> bit & 1) << (2 * row) | (far[row] >> bit & 1) << (2 * row + 1)
                    });
                    let cell = [64 * word + bit as usize, y, z];
                    for triangle in &table[corners as usize] {
                        triangles.push(triangle.map(|edge| self.vertex(numbers, cell, edge)));
                    }
                }
            }
        }
        triangles
    }

    /// The number of the vertex on an edge of a cell.
    #[inline]
    fn vertex(&self, numbers: &Numbers, [x, y, z]: [usize; 3], edge: u8) -> u32 {
        let (axis, corner) = table::edge(edge);
        let (x, y, z) = (x + (corner & 1), y + (corner >> 1 & 1), z + (corner >> 2));
        let (word, bit) = (x / 64, x % 64);
        let before = self.crossings(z, y, axis, word) & ((1u64 << bit) - 1);
        let first = numbers.within[((z * self.size[1] + y) * 3 + axis) * self.words + word];
        numbers.layers[z] + first + before.count_ones()
    }
}

/// The samples one further than those of a word.
#[inline]
fn next(row: &[u64], word: usize) -> u64 {
    row[word] >> 1 | row.get(word + 1).map_or(0, |next| next << 63)
}

/// One bit for each of at most 64 values.
#[inline]
fn packed(values: &[f32], level: f32) -> u64 {
    let (bytes, rest) = values.as_chunks::<8>();
    let byte = |values: &[f32]| {
        values.iter().enumerate().fold(0u64, |bits, (place, value)| bits | u64::from(*value > level) << place)
    };
    let whole = bytes.iter().enumerate().fold(0, |bits, (place, values)| bits | byte(values) << (8 * place));
    if rest.is_empty() { whole } else { whole | byte(rest) << (8 * bytes.len()) }
}

/// Where the surface crosses the edge along `axis` from a sample, which counts the layer around the grid.
fn vertex_on(field: &Field<'_>, level: f32, from: [usize; 3], axis: usize) -> [f32; 3] {
    let value = |sample: [usize; 3]| {
        let inner = [0, 1, 2].map(|axis| sample[axis].wrapping_sub(1));
        let is_inner = (0..3).all(|axis| inner[axis] < field.size[axis]);
        is_inner.then(|| field.values[(inner[2] * field.size[1] + inner[1]) * field.size[0] + inner[0]])
    };
    let mut to = from;
    to[axis] += 1;
    let along = match (value(from), value(to)) {
        (Some(a), Some(b)) => {
            let along = (level - a) / (b - a);
            if along.is_finite() { along.clamp(MARGIN, 1.0 - MARGIN) } else { 0.5 }
        }
        _ => 0.5,
    };
    [0, 1, 2].map(|own| {
        let sample = from[own] as f32 - 1.0 + if own == axis { along } else { 0.0 };
        field.origin[own] + field.step[own] * sample
    })
}

#[cfg(test)]
mod tests;
