//! Meshes as files for other programs: GLB, OBJ, PLY, STL and USDZ.

mod glb;
mod obj;
mod plain;
mod usdz;

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use gyrus_files::write_atomically;
use image::RgbImage;

use crate::{Error, Mesh, Result};

/// A format that [`write_mesh`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshFormat {
    /// glTF 2.0 in one file: colors and texture inside. What viewers and engines open.
    Glb,
    /// Wavefront OBJ, with `.mtl` and `.png` beside it where there is a texture.
    Obj,
    /// Binary PLY, with the colors of vertices.
    Ply,
    /// Binary STL: the shape alone, for printing.
    Stl,
    /// USD in one file, for Apple's devices.
    Usdz,
}

impl MeshFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Glb, Self::Obj, Self::Ply, Self::Stl, Self::Usdz];

    /// The end of the name of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Glb => "glb",
            Self::Obj => "obj",
            Self::Ply => "ply",
            Self::Stl => "stl",
            Self::Usdz => "usdz",
        }
    }

    /// The format that a file's name ends in.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.to_lowercase().parse().ok()
    }
}

impl FromStr for MeshFormat {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let known = Self::ALL.into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| format!("`{name}`; expected glb, obj, ply, stl or usdz"))
    }
}

/// Writes a mesh, completely or not at all, and returns the files: `path`, and for OBJ with a texture two beside it.
///
/// # Errors
/// If a file cannot be written, or the mesh has more than 2³² corners.
pub fn write_mesh(mesh: &Mesh, path: &Path, format: MeshFormat) -> Result<Vec<PathBuf>> {
    let write = |path: &Path, bytes: &[u8]| {
        write_atomically(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
    };
    let mut files = Vec::new();
    let bytes = match format {
        MeshFormat::Glb => glb::bytes(mesh)?,
        MeshFormat::Ply => plain::ply(mesh),
        MeshFormat::Stl => plain::stl(mesh),
        MeshFormat::Usdz => usdz::bytes(mesh)?,
        MeshFormat::Obj => {
            let texture = mesh.texture.as_ref().filter(|_| !mesh.uvs.is_empty());
            let material = path.with_extension("mtl");
            if let Some(texture) = texture {
                let picture = path.with_extension("png");
                write(&picture, &png(texture)?)?;
                let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                write(&material, obj::material(&name(&picture)).as_bytes())?;
                files.extend([picture, material.clone()]);
            }
            obj::text(mesh, texture.map(|_| material.as_path())).into_bytes()
        }
    };
    write(path, &bytes)?;
    files.insert(0, path.to_owned());
    Ok(files)
}

/// A texture as PNG.
fn png(texture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let written = texture.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png);
    written.map_err(|error| Error::Request(format!("the texture cannot be written as PNG: {error}")))?;
    Ok(bytes)
}

/// Vertices that have one texture coordinate each: the vertex they come from, that coordinate, and the faces over them.
struct Split {
    vertices: Vec<u32>,
    uvs: Vec<[f32; 2]>,
    faces: Vec<[u32; 3]>,
}

impl Split {
    fn of(mesh: &Mesh) -> Self {
        let mut split =
            Self { vertices: Vec::new(), uvs: Vec::new(), faces: Vec::with_capacity(mesh.faces.len()) };
        if mesh.uvs.is_empty() {
            split.vertices = (0..mesh.positions.len() as u32).collect();
            split.faces.clone_from(&mesh.faces);
            return split;
        }
        let mut known: HashMap<(u32, [u32; 2]), u32> = HashMap::new();
        for (face, uvs) in mesh.faces.iter().zip(&mesh.uvs) {
            split.faces.push(std::array::from_fn(|corner| {
                let key = (face[corner], uvs[corner].map(f32::to_bits));
                *known.entry(key).or_insert_with(|| {
                    split.vertices.push(face[corner]);
                    split.uvs.push(uvs[corner]);
                    split.vertices.len() as u32 - 1
                })
            }));
        }
        split
    }
}

/// From sRGB to linear light, both 0 to 1.
fn linear(srgb: f32) -> f32 {
    if srgb <= 0.040_45 { srgb / 12.92 } else { ((srgb + 0.055) / 1.055).powf(2.4) }
}

/// A part of a color as a byte.
fn byte(part: f32) -> u8 {
    (part.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::tests::cube;
    use crate::read_mesh;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut colored = cube();
        colored.colors = colored.positions.clone();
        let mut mapped = cube();
        mapped.uvs = (0..12).map(|face| [[face as f32 / 12.0, 0.25], [1.0, 0.5], [0.0, 1.0]]).collect();
        mapped.texture = Some(RgbImage::from_fn(8, 4, |x, y| image::Rgb([x as u8 * 30, y as u8 * 60, 7])));
        for format in [MeshFormat::Glb, MeshFormat::Obj, MeshFormat::Ply, MeshFormat::Stl] {
            for (name, mesh) in [("colored", &colored), ("mapped", &mapped)] {
                let path = folder.path().join(name).with_extension(format.name());
                let files = write_mesh(mesh, &path, format).unwrap();
                let read = read_mesh(&path).unwrap();
                assert!(read.faces.len() == 12 && (read.volume() - 1.0).abs() < 1e-12, "{}", path.display());
                let has_colors = name == "colored" && format != MeshFormat::Stl;
                assert_eq!(!read.colors.is_empty(), has_colors, "{}", path.display());
                if has_colors {
                    let place =
                        read.positions.iter().position(|position| *position == [1.0, 0.0, 1.0]).unwrap();
                    assert!(
                        read.colors[place].iter().zip([1.0, 0.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-3)
                    );
                }
                let has_uvs = name == "mapped" && matches!(format, MeshFormat::Glb | MeshFormat::Obj);
                assert_eq!(!read.uvs.is_empty(), has_uvs, "{}", path.display());
                if has_uvs {
                    assert!(
                        read.uvs[5]
                            .iter()
                            .flatten()
                            .zip(mapped.uvs[5].iter().flatten())
                            .all(|(a, b)| (a - b).abs() < 1e-6)
                    );
                }
                assert_eq!(files.len(), if has_uvs && format == MeshFormat::Obj { 3 } else { 1 });
                if format == MeshFormat::Glb {
                    assert_eq!(read.texture, mesh.texture);
                }
            }
        }
    }

    #[test]
    fn usdz_files_are_stored_and_aligned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.usdz");
        write_mesh(&cube(), &path, MeshFormat::Usdz).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let start = bytes.windows(5).position(|window| window == b"#usda").unwrap();
        assert!(start.is_multiple_of(64), "the text begins at {start}");
    }
}
