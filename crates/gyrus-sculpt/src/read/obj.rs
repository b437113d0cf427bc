//! Wavefront OBJ: `v`, `vt` and `f` with polygons, relative indices and continued lines; a color behind a position, as
//! many programs write it. Groups, materials, normals and smoothing are passed over.

use std::path::Path;

use super::MOST;
use super::cursor::{number, words};
use crate::{Error, Mesh, Result};

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Mesh> {
    let mut mesh = Mesh::default();
    let (mut places, mut has_color) = (Vec::<[f32; 2]>::new(), false);
    // The texture coordinates of each face; whether every face has them.
    let (mut uvs, mut is_mapped) = (Vec::new(), true);
    let mut polygon: Vec<(u32, Option<u32>)> = Vec::new();
    let mut continued: Vec<u8> = Vec::new();
    for (line, row) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        if let Some(begun) = row.strip_suffix(b"\\") {
            continued.extend_from_slice(begun);
            continued.push(b' ');
            continue;
        }
        let joined = if continued.is_empty() {
            None
        } else {
            continued.extend_from_slice(row);
            Some(std::mem::take(&mut continued))
        };
        let row = joined.as_deref().unwrap_or(row);
        let mut words = words(row);
        let wrong = |found: String, expected: String| {
            Err(Error::mesh(path, format_args!("line {}", line + 1), found, expected))
        };
        match words.next() {
            Some(b"v") => {
                let values: Vec<f32> = words.map_while(number).take(7).collect();
                let [x, y, z, ..] = values[..] else {
                    return wrong(format!("a vertex of {} numbers", values.len()), "3 numbers".into());
                };
                // Three more are a color; one more is a weight, and six with a weight do not occur.
                let color = if values.len() >= 6 { [values[3], values[4], values[5]] } else { [1.0; 3] };
                has_color |= values.len() >= 6;
                mesh.positions.push([x, y, z]);
                mesh.colors.push(color);
            }
            Some(b"vt") => {
                let values: Vec<f32> = words.map_while(number).take(2).collect();
                let Some(u) = values.first() else {
                    return wrong("texture coordinates without a number".into(), "2 numbers".into());
                };
                // The file counts from the bottom.
                places.push([*u, 1.0 - values.get(1).copied().unwrap_or(0.0)]);
            }
            Some(b"f") => {
                polygon.clear();
                for word in words {
                    let mut parts = word.split(|byte| *byte == b'/');
                    let vertex = index(parts.next(), mesh.positions.len());
                    let Some(Some(vertex)) = vertex else {
                        let found = format!("the vertex `{}`", String::from_utf8_lossy(word));
                        let count = mesh.positions.len();
                        return wrong(found, format!("a number from 1 to {count}, or from -{count} to -1"));
                    };
                    let Some(place) = index(parts.next(), places.len()) else {
                        let found = format!("the texture coordinates of `{}`", String::from_utf8_lossy(word));
                        return wrong(found, format!("a number from 1 to {}", places.len()));
                    };
                    polygon.push((vertex, place));
                }
                if polygon.len() < 3 {
                    return wrong(format!("a face of {} vertices", polygon.len()), "at least 3".into());
                }
                for pair in polygon[1..].windows(2) {
                    let corners = [polygon[0], pair[0], pair[1]];
                    mesh.faces.push(corners.map(|(vertex, _)| vertex));
                    let mapped = corners.map(|(_, place)| place.map(|place| places[place as usize]));
                    is_mapped &= mapped.iter().all(Option::is_some);
                    if is_mapped {
                        uvs.push(mapped.map(Option::unwrap_or_default));
                    }
                }
            }
            _ => {}
        }
        if mesh.positions.len().max(mesh.faces.len()).max(places.len()) > MOST {
            return wrong("too large a mesh".into(), format!("at most {MOST} vertices and faces"));
        }
    }
    if !has_color {
        mesh.colors.clear();
    }
    if is_mapped {
        mesh.uvs = uvs;
    }
    Ok(mesh)
}

/// The index from 0 that a word names among `count` things; `Some(None)` for no word, `None` for a wrong one.
fn index(word: Option<&[u8]>, count: usize) -> Option<Option<u32>> {
    let Some(word) = word.filter(|word| !word.is_empty()) else { return Some(None) };
    let number: i64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    let index = if number < 0 { count as i64 + number } else { number - 1 };
    if (0..count as i64).contains(&index) { u32::try_from(index).ok().map(Some) } else { None }
}
