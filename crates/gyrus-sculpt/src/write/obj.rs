//! Wavefront OBJ and its material.

use std::fmt::Write as _;
use std::path::Path;

use super::Split;
use crate::Mesh;

/// The file of the material.
pub(super) fn material(picture: &str) -> String {
    format!("# gyrus sculpt\nnewmtl object\nKd 1 1 1\nKs 0 0 0\nmap_Kd {picture}\n")
}

/// The file of the mesh; colors stand behind the positions, as many programs read them.
pub(super) fn text(mesh: &Mesh, material: Option<&Path>) -> String {
    let mut text = String::from("# gyrus sculpt, y up\n");
    if let Some(name) = material.and_then(Path::file_name) {
        let _ = writeln!(text, "mtllib {}", name.to_string_lossy());
    }
    for (index, [x, y, z]) in mesh.positions.iter().enumerate() {
        let _ = write!(text, "v {x} {y} {z}");
        if let Some([red, green, blue]) = mesh.colors.get(index) {
            let _ = write!(text, " {red:.4} {green:.4} {blue:.4}");
        }
        text.push('\n');
    }
    if mesh.uvs.is_empty() {
        for [a, b, c] in &mesh.faces {
            let _ = writeln!(text, "f {} {} {}", a + 1, b + 1, c + 1);
        }
        return text;
    }
    let split = Split::of(mesh);
    for [u, v] in &split.uvs {
        let _ = writeln!(text, "vt {u} {}", 1.0 - v);
    }
    if material.is_some() {
        text.push_str("usemtl object\n");
    }
    for (face, places) in mesh.faces.iter().zip(&split.faces) {
        let corner = |i: usize| format!("{}/{}", face[i] + 1, places[i] + 1);
        let _ = writeln!(text, "f {} {} {}", corner(0), corner(1), corner(2));
    }
    text
}
