//! GLB, the one-file form of glTF 2.0: triangles of all meshes of the scene, with their nodes' transforms, colors, texture
//! coordinates and one embedded texture.
//!
//! Five of glTF's forty types matter here, and what matters about them is that accessors lie within their buffer, which
//! crates for glTF leave to the caller: hence serde and bounds.

mod document;

use std::io::Cursor as Bytes;
use std::path::Path;

use document::{Accessor, Document, Node, Primitive};
use image::{ImageReader, Limits, RgbImage};

use super::{MOST, srgb};
use crate::{Error, Mesh, Result};

/// Longest side of a texture.
const MOST_PIXELS: u32 = 16_384;
/// Nodes that are visited, so that a scene that contains itself ends.
const MOST_NODES: usize = 1 << 20;
/// glTF's numbers of types of components.
const U8: u32 = 5121;
const U16: u32 = 5123;
const U32: u32 = 5125;
const F32: u32 = 5126;
/// Of `mode`.
const TRIANGLES: u32 = 4;

/// Columns of a 4 by 4 matrix, as glTF writes it.
type Matrix = [f64; 16];
const IDENTITY: Matrix = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Mesh> {
    let (json, binary) = chunks(path, bytes)?;
    let document: Document = serde_json::from_slice(json).map_err(|error| {
        Error::mesh(path, format_args!("JSON, line {}", error.line()), error, "a document of glTF 2.0")
    })?;
    if let Some(name) = document.extensions_required.first() {
        let expected = "a file without required extensions";
        return Err(Error::format(path, format_args!("the extension {name} is required"), expected));
    }
    let scene = document.scenes.get(document.scene.unwrap_or(0));
    let roots: Vec<usize> = match scene {
        Some(scene) => scene.nodes.clone(),
        None => (0..document.nodes.len()).collect(),
    };
    let mut file = File {
        path,
        document: &document,
        binary,
        mesh: Mesh::default(),
        is_mapped: true,
        textures: Vec::new(),
    };
    let mut open: Vec<(usize, Matrix)> = roots.into_iter().rev().map(|node| (node, IDENTITY)).collect();
    let mut visited = 0;
    while let Some((index, outer)) = open.pop() {
        visited += 1;
        let Some(node) = document.nodes.get(index).filter(|_| visited <= MOST_NODES) else {
            return Err(Error::mesh(
                path,
                format_args!("node {index}"),
                "no such node, or a circle",
                "a tree",
            ));
        };
        let matrix = product(&outer, &local(node));
        if let Some(mesh) = node.mesh {
            let Some(mesh) = document.meshes.get(mesh) else {
                return Err(Error::mesh(
                    path,
                    format_args!("node {index}"),
                    format_args!("mesh {mesh}"),
                    "one that is there",
                ));
            };
            for primitive in
                mesh.primitives.iter().filter(|primitive| primitive.mode.unwrap_or(TRIANGLES) == TRIANGLES)
            {
                file.add(primitive, &matrix)?;
            }
        }
        open.extend(node.children.iter().rev().map(|child| (*child, matrix)));
        if open.len() > MOST_NODES || file.mesh.faces.len() > MOST {
            return Err(Error::format(path, "too large a scene", format_args!("at most {MOST} faces")));
        }
    }
    file.finish()
}

/// The JSON chunk and the binary one.
fn chunks<'a>(path: &Path, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8])> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let wrong = |at: usize, found: String, expected: &str| {
        Err(Error::mesh(path, format_args!("byte {at}"), found, expected))
    };
    match word(4) {
        Some(2) => {}
        version => return wrong(4, format!("version {}", version.unwrap_or(0)), "version 2 of glTF"),
    }
    let (mut json, mut binary, mut at) = (None, &bytes[..0], 12);
    while at + 8 <= bytes.len() {
        let (length, kind) = (word(at).unwrap_or(0) as usize, word(at + 4).unwrap_or(0));
        let Some(chunk) = bytes.get(at + 8..).and_then(|rest| rest.get(..length)) else {
            return wrong(at, format!("a chunk of {length} bytes"), "one that ends within the file");
        };
        match &kind.to_le_bytes() {
            b"JSON" => json = json.or(Some(chunk)),
            b"BIN\0" if binary.is_empty() => binary = chunk,
            _ => {}
        }
        at += 8 + length.next_multiple_of(4);
    }
    match json {
        Some(json) => Ok((json, binary)),
        None => wrong(12, "no JSON chunk".to_owned(), "one"),
    }
}

/// The transform of a node within its parent.
fn local(node: &Node) -> Matrix {
    if let Some(matrix) = node.matrix {
        return matrix;
    }
    let [x, y, z, w] = node.rotation.unwrap_or([0.0, 0.0, 0.0, 1.0]);
    let scale = node.scale.unwrap_or([1.0; 3]);
    let [a, b, c] = node.translation.unwrap_or([0.0; 3]);
    let columns = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + z * w), 2.0 * (x * z - y * w)],
        [2.0 * (x * y - z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + x * w)],
        [2.0 * (x * z + y * w), 2.0 * (y * z - x * w), 1.0 - 2.0 * (x * x + y * y)],
    ];
    let mut matrix = IDENTITY;
    for (column, scale) in scale.iter().enumerate() {
        (0..3).for_each(|row| matrix[4 * column + row] = scale * columns[column][row]);
    }
    [matrix[12], matrix[13], matrix[14]] = [a, b, c];
    matrix
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| (0..4).map(|k| a[4 * k + i % 4] * b[4 * (i / 4) + k]).sum())
}

struct File<'a> {
    path: &'a Path,
    document: &'a Document,
    binary: &'a [u8],
    mesh: Mesh,
    /// Whether every face has texture coordinates.
    is_mapped: bool,
    /// The images of the materials, each once.
    textures: Vec<usize>,
}

impl File<'_> {
    fn add(&mut self, primitive: &Primitive, matrix: &Matrix) -> Result<()> {
        let document = self.document;
        let attribute = |name: &str| primitive.attributes.get(name).copied();
        let Some(positions) = attribute("POSITION") else { return Ok(()) };
        let positions = self.floats::<3>(positions)?;
        let first = self.mesh.positions.len() as u32;
        let indices: Vec<u32> = match primitive.indices {
            Some(indices) => self.integers(indices)?,
            None => (0..positions.len() as u32).collect(),
        };
        if let Some(wrong) = indices.iter().find(|index| **index as usize >= positions.len()) {
            let expected = format!("below {}", positions.len());
            return Err(Error::mesh(self.path, "indices", format_args!("vertex {wrong}"), expected));
        }
        let material = primitive.material.and_then(|index| document.materials.get(index));
        let look = material.and_then(|material| material.look.as_ref());
        let tint = look.and_then(|look| look.color).unwrap_or([1.0; 4]);
        let colors = match attribute("COLOR_0") {
            None => None,
            Some(index) if self.accessor(index)?.kind == "VEC4" => {
                Some(self.floats::<4>(index)?.iter().map(|[r, g, b, _]| [*r, *g, *b]).collect::<Vec<_>>())
            }
            Some(index) => Some(self.floats::<3>(index)?),
        };
        let uvs = attribute("TEXCOORD_0").map(|index| self.floats::<2>(index)).transpose()?;
        let fits = colors.as_ref().is_none_or(|colors| colors.len() == positions.len())
            && uvs.as_ref().is_none_or(|uvs| uvs.len() == positions.len());
        if !fits {
            return Err(Error::mesh(self.path, "attributes", "different numbers of vertices", "one"));
        }
        let linear = |index: usize| {
            let own = colors.as_ref().map_or([1.0; 3], |colors| colors[index]);
            [0, 1, 2].map(|channel| srgb((own[channel] * tint[channel] as f32).clamp(0.0, 1.0)))
        };
        self.mesh.colors.extend((0..positions.len()).map(linear));
        for position in positions {
            let position = position.map(f64::from);
            let moved = |row: usize| {
                (0..3).map(|k| matrix[4 * k + row] * position[k]).sum::<f64>() + matrix[12 + row]
            };
            self.mesh.positions.push([0, 1, 2].map(|row| moved(row) as f32));
        }
        // A transform that mirrors turns the faces inside out.
        let column = |k: usize| [matrix[4 * k], matrix[4 * k + 1], matrix[4 * k + 2]];
        let mirrors = crate::mesh::dot(column(0), crate::mesh::cross(column(1), column(2))) < 0.0;
        self.is_mapped &= uvs.is_some();
        for corners in indices.as_chunks::<3>().0 {
            let [a, b, c] = *corners;
            let corners = if mirrors { [a, c, b] } else { [a, b, c] };
            self.mesh.faces.push(corners.map(|index| first + index));
            if let Some(uvs) = uvs.as_ref().filter(|_| self.is_mapped) {
                self.mesh.uvs.push(corners.map(|index| uvs[index as usize]));
            }
        }
        let texture = look.and_then(|look| look.texture.as_ref());
        let image = texture.and_then(|texture| document.textures.get(texture.index)?.source);
        if let Some(image) = image.filter(|image| !self.textures.contains(image)) {
            self.textures.push(image);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Mesh> {
        if !self.is_mapped {
            self.mesh.uvs.clear();
        }
        // White is what glTF has without colors.
        if self.mesh.colors.iter().flatten().all(|part| *part > 0.9999) {
            self.mesh.colors.clear();
        }
        if let ([image], true) = (&self.textures[..], self.is_mapped) {
            self.mesh.texture = self.image(*image)?;
        }
        Ok(self.mesh)
    }

    fn image(&self, index: usize) -> Result<Option<RgbImage>> {
        let Some(view) = self.document.images.get(index).and_then(|image| image.buffer_view) else {
            return Ok(None);
        };
        let bytes = self.view(view)?;
        let mut reader = ImageReader::new(Bytes::new(bytes));
        let mut limits = Limits::default();
        limits.max_image_width = Some(MOST_PIXELS);
        limits.max_image_height = Some(MOST_PIXELS);
        reader.limits(limits);
        let decoded =
            reader.with_guessed_format().map_err(image::ImageError::IoError).and_then(ImageReader::decode);
        let decoded = decoded.map_err(|error| {
            Error::mesh(self.path, format_args!("image {index}"), error, "a PNG or JPEG image")
        })?;
        Ok(Some(decoded.to_rgb8()))
    }

    /// The bytes of a view of the buffer.
    fn view(&self, index: usize) -> Result<&[u8]> {
        let view = self.document.buffer_views.get(index);
        let bytes = view.filter(|view| view.buffer == 0).and_then(|view| {
            self.binary.get(view.byte_offset..view.byte_offset.checked_add(view.byte_length)?)
        });
        bytes.ok_or_else(|| {
            let expected = format!("{} bytes of the embedded buffer", self.binary.len());
            Error::mesh(self.path, format_args!("buffer view {index}"), "bytes that are not there", expected)
        })
    }

    fn accessor(&self, index: usize) -> Result<&Accessor> {
        let accessor = self.document.accessors.get(index).filter(|accessor| accessor.sparse.is_none());
        accessor.ok_or_else(|| {
            Error::mesh(
                self.path,
                format_args!("accessor {index}"),
                "none, or a sparse one",
                "a plain accessor",
            )
        })
    }

    /// Calls `each` with the bytes of each element.
    fn elements(&self, index: usize, components: usize, mut each: impl FnMut(&[u8])) -> Result<u32> {
        let accessor = self.accessor(index)?;
        let wrong = |found: String| {
            Error::mesh(self.path, format_args!("accessor {index}"), found, "elements within their buffer")
        };
        let size = match accessor.component_type {
            U8 => 1,
            U16 => 2,
            U32 | F32 => 4,
            other => return Err(wrong(format!("components of type {other}"))),
        };
        let wide = match accessor.kind.as_str() {
            "SCALAR" => 1,
            "VEC2" => 2,
            "VEC3" => 3,
            "VEC4" => 4,
            _ => 0,
        };
        let Some(view) = accessor.buffer_view.filter(|_| wide == components) else {
            return Err(wrong(format!("{} without a buffer, or of another kind", accessor.kind)));
        };
        let stride = self.document.buffer_views.get(view).and_then(|view| view.byte_stride);
        let (bytes, length) = (self.view(view)?, size * components);
        let stride = stride.unwrap_or(length).max(length);
        if accessor.count > MOST || accessor.count > bytes.len() {
            return Err(wrong(format!("{} elements", accessor.count)));
        }
        for element in 0..accessor.count {
            let start = element.checked_mul(stride).and_then(|start| start.checked_add(accessor.byte_offset));
            let own = start.and_then(|start| bytes.get(start..start.checked_add(length)?));
            each(
                own.ok_or_else(|| wrong(format!("{} elements, too many for their buffer", accessor.count)))?,
            );
        }
        Ok(accessor.component_type)
    }

    fn floats<const N: usize>(&self, index: usize) -> Result<Vec<[f32; N]>> {
        let kind = self.accessor(index)?.component_type;
        let mut values = Vec::new();
        self.elements(index, N, |bytes| {
            values.push(std::array::from_fn(|part| match kind {
                U8 => f32::from(bytes[part]) / 255.0,
                U16 => f32::from(u16::from_le_bytes([bytes[2 * part], bytes[2 * part + 1]])) / 65_535.0,
                _ => f32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * part + byte])),
            }));
        })?;
        Ok(values)
    }

    fn integers(&self, index: usize) -> Result<Vec<u32>> {
        let kind = self.accessor(index)?.component_type;
        let mut values = Vec::new();
        self.elements(index, 1, |bytes| {
            values.push(match kind {
                U8 => bytes[0].into(),
                U16 => u16::from_le_bytes([bytes[0], bytes[1]]).into(),
                _ => u32::from_le_bytes(std::array::from_fn(|byte| bytes[byte])),
            });
        })?;
        Ok(values)
    }
}
