//! Binary PLY and STL.

use super::byte;
use crate::Mesh;
use crate::mesh::length;

pub(super) fn ply(mesh: &Mesh) -> Vec<u8> {
    let colors = if mesh.colors.is_empty() {
        ""
    } else {
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    };
    let header = format!(
        "ply\nformat binary_little_endian 1.0\ncomment gyrus sculpt, y up\nelement vertex {}\n\
         property float x\nproperty float y\nproperty float z\n{colors}element face {}\n\
         property list uchar int vertex_indices\nend_header\n",
        mesh.positions.len(),
        mesh.faces.len(),
    );
    let mut bytes = header.into_bytes();
    for (index, position) in mesh.positions.iter().enumerate() {
        position.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes.extend(mesh.colors.get(index).into_iter().flatten().map(|part| byte(*part)));
    }
    for face in &mesh.faces {
        bytes.push(3);
        face.iter().for_each(|vertex| bytes.extend(vertex.to_le_bytes()));
    }
    bytes
}

pub(super) fn stl(mesh: &Mesh) -> Vec<u8> {
    // A binary file must not begin with `solid`.
    let mut bytes = format!("{:<80}", "gyrus sculpt, y up").into_bytes();
    bytes.extend((mesh.faces.len() as u32).to_le_bytes());
    for face in 0..mesh.faces.len() {
        let vector = mesh.area_vector(face);
        let size = length(vector).max(f64::MIN_POSITIVE);
        let normal = vector.map(|part| (part / size) as f32);
        let corners = mesh.faces[face].map(|vertex| mesh.positions[vertex as usize]);
        normal.iter().chain(corners.iter().flatten()).for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes.extend([0, 0]);
    }
    bytes
}
