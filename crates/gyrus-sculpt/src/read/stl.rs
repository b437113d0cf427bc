//! STL, binary and text. A text begins with `solid`; so do some binary files, whose length tells them apart.

use std::collections::HashMap;
use std::path::Path;

use super::MOST;
use super::cursor::{Cursor, number, words};
use crate::{Error, Mesh, Result};

/// Bytes before the number of triangles, and of a triangle.
const HEADER: usize = 80;
const TRIANGLE: usize = 50;

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Mesh> {
    let count = bytes.get(HEADER..HEADER + 4).and_then(|count| count.try_into().ok()).map(u32::from_le_bytes);
    let length = |count: u32| HEADER as u64 + 4 + u64::from(count) * TRIANGLE as u64;
    let is_text =
        bytes.starts_with(b"solid") && count.is_none_or(|count| length(count) != bytes.len() as u64);
    let triangles =
        if is_text { text(path, bytes)? } else { binary(path, bytes, count.map(|n| (n, length(n))))? };
    // Triangles do not share vertices in the file: equal positions are one vertex.
    let mut mesh = Mesh::default();
    let mut known: HashMap<[u32; 3], u32> = HashMap::new();
    for triangle in triangles {
        mesh.faces.push(triangle.map(|position| {
            *known.entry(position.map(|value| (value + 0.0).to_bits())).or_insert_with(|| {
                mesh.positions.push(position);
                mesh.positions.len() as u32 - 1
            })
        }));
    }
    Ok(mesh)
}

type Triangle = [[f32; 3]; 3];

fn binary(path: &Path, bytes: &[u8], count: Option<(u32, u64)>) -> Result<Vec<Triangle>> {
    let Some((count, length)) = count else {
        return Err(Error::format(path, format_args!("{} bytes", bytes.len()), "an STL file of at least 84"));
    };
    if length > bytes.len() as u64 {
        let found = format!("{count} triangles, which take {length} bytes, in a file of {}", bytes.len());
        return Err(Error::mesh(path, format_args!("byte {HEADER}"), found, "as many as are there"));
    }
    let triangles = bytes[HEADER + 4..].chunks_exact(TRIANGLE).take(count as usize);
    let float = |bytes: &[u8], at: usize| {
        let value = bytes.get(at..at + 4).and_then(|value| value.try_into().ok());
        value.map_or(f32::NAN, f32::from_le_bytes)
    };
    // A normal, which the corners say too, then the corners.
    let corner =
        |bytes: &[u8], corner: usize| [0, 1, 2].map(|axis| float(bytes, 12 * (corner + 1) + 4 * axis));
    Ok(triangles.map(|bytes| [0, 1, 2].map(|index| corner(bytes, index))).collect())
}

fn text(path: &Path, bytes: &[u8]) -> Result<Vec<Triangle>> {
    let mut cursor = Cursor::new(bytes);
    let (mut corners, mut triangles, mut line) = (Vec::new(), Vec::new(), 0);
    while let Some(row) = cursor.line() {
        line += 1;
        let mut words = words(row);
        let wrong = |found: String, expected: &str| {
            Err(Error::mesh(path, format_args!("line {line}"), found, expected))
        };
        match words.next() {
            Some(b"vertex") => {
                let values: Vec<f32> = words.map_while(number).collect();
                let [x, y, z] = values[..] else {
                    return wrong(format!("a vertex of {} numbers", values.len()), "3 numbers");
                };
                corners.push([x, y, z]);
            }
            Some(b"endloop") => {
                let [a, b, c] = corners[..] else {
                    return wrong(format!("a facet of {} vertices", corners.len()), "3");
                };
                triangles.push([a, b, c]);
                corners.clear();
            }
            _ => {}
        }
        if corners.len() > 3 || triangles.len() > MOST {
            return wrong(format!("a facet of {} vertices", corners.len()), "3, then `endloop`");
        }
    }
    Ok(triangles)
}
