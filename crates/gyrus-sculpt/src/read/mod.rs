//! Meshes from files of other programs: OBJ, PLY, STL and GLB, gzipped or not.
//!
//! What a file says is checked before memory is allocated: counts against the length of the file, indices against the
//! vertices, coordinates against infinity. Polygons are cut into fans of triangles.

mod cursor;
mod glb;
mod obj;
mod ply;
mod stl;

use std::io::Read as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use gyrus_files::read_bounded;

use crate::{Error, Mesh, Result};

/// Longest file, packed or unpacked.
const MOST_BYTES: u64 = 1 << 31;
/// Most vertices and most faces.
const MOST: usize = 200_000_000;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Glb,
    Obj,
    Ply,
    Stl,
}

/// Reads a mesh. The format follows from the content, and for OBJ and STL from the name.
///
/// # Errors
/// If the file cannot be read, is of another kind, or breaks the rules of its format; the error says where.
pub fn read_mesh(path: impl AsRef<Path>) -> Result<Mesh> {
    let path = path.as_ref();
    parse_mesh(path, read_bounded(path, MOST_BYTES)?)
}

/// [`read_mesh`] of the bytes of a file; its name `path` gives the format and appears in errors.
///
/// # Errors
/// As [`read_mesh`].
pub fn parse_mesh(path: &Path, bytes: Vec<u8>) -> Result<Mesh> {
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        name = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
        unpacked(path, &bytes)?
    } else {
        bytes
    };
    let mesh = match kind(&name, &bytes) {
        Some(Kind::Glb) => glb::parse(path, &bytes)?,
        Some(Kind::Obj) => obj::parse(path, &bytes)?,
        Some(Kind::Ply) => ply::parse(path, &bytes)?,
        Some(Kind::Stl) => stl::parse(path, &bytes)?,
        None => return Err(Error::format(path, "not a mesh that is known", "an OBJ, PLY, STL or GLB file")),
    };
    checked(path, mesh)
}

fn kind(name: &str, bytes: &[u8]) -> Option<Kind> {
    let named = |end: &str| name.ends_with(end);
    if bytes.starts_with(b"glTF") {
        Some(Kind::Glb)
    } else if bytes.starts_with(b"ply\n") || bytes.starts_with(b"ply\r") {
        Some(Kind::Ply)
    } else if named(".stl") || bytes.starts_with(b"solid ") && !named(".obj") {
        Some(Kind::Stl)
    } else if named(".obj") {
        Some(Kind::Obj)
    } else {
        None
    }
}

fn unpacked(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(MOST_BYTES + 1);
    reader
        .read_to_end(&mut unpacked)
        .map_err(|error| Error::format(path, format_args!("a damaged gzip file ({error})"), "a whole one"))?;
    if unpacked.len() as u64 > MOST_BYTES {
        return Err(Error::format(path, "more than 2 GiB when unpacked", "at most 2 GiB"));
    }
    Ok(unpacked)
}

/// What holds for every mesh: some faces, finite positions, indices within.
fn checked(path: &Path, mut mesh: Mesh) -> Result<Mesh> {
    let vertices = mesh.positions.len();
    if mesh.faces.is_empty() {
        return Err(Error::format(
            path,
            format_args!("{vertices} vertices and no face"),
            "a mesh with faces",
        ));
    }
    if let Some(wrong) = mesh.positions.iter().position(|position| !position.iter().all(|v| v.is_finite())) {
        let found = format!("the position {:?}", mesh.positions[wrong]);
        return Err(Error::mesh(path, format_args!("vertex {wrong}"), found, "finite numbers"));
    }
    if let Some(wrong) = mesh.faces.iter().position(|face| face.iter().any(|v| *v as usize >= vertices)) {
        let found = format!("the vertices {:?}", mesh.faces[wrong]);
        let expected = format!("numbers below {vertices}, the number of vertices");
        return Err(Error::mesh(path, format_args!("face {wrong}"), found, expected));
    }
    // A PLY file may have several tables of vertices, of which only some have colors.
    if mesh.colors.len() != vertices {
        mesh.colors.clear();
    }
    debug_assert!(mesh.uvs.is_empty() || mesh.uvs.len() == mesh.faces.len());
    Ok(mesh)
}

/// From linear light to sRGB, both 0 to 1.
fn srgb(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests;
