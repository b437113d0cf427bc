//! Files of other programs, and damaged ones.

use std::path::PathBuf;

use super::*;
use crate::mesh::tests::cube;
use crate::{Quality, Topology};

fn parsed(name: &str, text: &str) -> Result<Mesh> {
    parse_mesh(Path::new(name), text.as_bytes().to_vec())
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    parse_mesh(Path::new(name), bytes.to_vec()).unwrap_err().to_string()
}

fn real(name: &str) -> Option<Mesh> {
    let folder = std::env::var_os("GYRUS_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join("sculpt").join(name);
    if !path.is_file() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(read_mesh(path).unwrap())
}

#[test]
fn published_meshes_have_their_known_faults() {
    if let Some(spot) = real("meshes/spot.obj.gz") {
        let quality = Quality::of(&spot);
        assert!(quality.watertight && quality.manifold && quality.oriented, "{quality:?}");
        assert_eq!((quality.components, quality.euler_characteristic, quality.faces), (1, 2, 5856));
        assert!(quality.uv_coverage.unwrap() > 0.2 && quality.volume.unwrap() > 0.0);
    }
    if let Some(cow) = real("meshes/cow.obj.gz") {
        let quality = Quality::of(&cow);
        assert!(quality.watertight && !quality.manifold, "{quality:?}");
        assert_eq!((quality.non_manifold_vertices, quality.euler_characteristic), (1, 1));
    }
    if let Some(bunny) = real("meshes/stanford-bunny.obj.gz") {
        let quality = Quality::of(&bunny);
        assert_eq!((quality.boundary_edges, quality.unused_vertices), (223, 1113), "{quality:?}");
        assert!(!quality.watertight && quality.manifold && quality.volume.is_none());
    }
    if let Some(teapot) = real("meshes/teapot.obj.gz") {
        assert_eq!(Quality::of(&teapot).boundary_edges, 160);
    }
    if let Some(beetle) = real("bad/beetle.obj.gz") {
        assert!(!Quality::of(&beetle).manifold);
    }
    if let Some(woody) = real("bad/woody.obj.gz") {
        let quality = Quality::of(&woody);
        assert!(!quality.watertight && quality.minimum[2] == quality.maximum[2], "{quality:?}");
    }
}

#[test]
fn obj_files_have_polygons_relative_indices_colors_and_continued_lines() {
    let text = "# a square\nv 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\r\nv 0 1 0 1 1 1\nvt 0 0\nvt 1 1\n\
                f 1/1 2/2 \\\n 3/2/9 4/1\nf -4/-2 -3/-1 -2/1\n";
    let mesh = parsed("a.obj", text).unwrap();
    assert_eq!(mesh.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 2]]);
    assert_eq!(mesh.colors[1], [0.0, 1.0, 0.0]);
    assert_eq!(mesh.uvs[0], [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]);
    assert_eq!(mesh.uvs.len(), 3);
    for (text, place) in [
        ("v 0 0 0\nf 1 2 3\n", "line 2: the vertex `2`; expected a number from 1 to 1"),
        ("v 0 0\n", "line 1: a vertex of 2 numbers"),
        ("v 0 0 0\nv 1 0 0\nf 1 2\n", "a face of 2 vertices"),
        ("v 0 0 0\nf 0 1 1\n", "the vertex `0`"),
        ("v 0 0 nan\nv 0 0 0\nv 1 1 1\nf 1 2 3\n", "vertex 0: the position [0.0, 0.0, NaN]"),
        ("v 0 0 0\n", "1 vertices and no face"),
        ("v 0 0 0\nf 1/4 1 1\n", "the texture coordinates of `1/4`"),
    ] {
        let error = refusal("a.obj", text.as_bytes());
        assert!(error.starts_with("a.obj") && error.contains(place), "{error}");
    }
}

#[test]
fn ply_files_of_all_encodings_give_the_same_mesh() {
    let header = |format: &str| {
        format!(
            "ply\nformat {format} 1.0\ncomment x\nelement vertex 4\nproperty float x\nproperty float y\nproperty double z\n\
             property uchar red\nproperty uchar green\nproperty uchar blue\nelement face 1\n\
             property list uchar int vertex_indices\nend_header\n"
        )
    };
    let text = header("ascii") + "0 0 0 255 0 0\n1 0 0 0 255 0\n1 1 0 0 0 255\n0 1 0 0 0 0\n4 0 1 2 3\n";
    let mesh = parsed("a.ply", &text).unwrap();
    assert_eq!((mesh.faces.len(), mesh.colors[2]), (2, [0.0, 0.0, 1.0]));
    for is_big in [false, true] {
        let format = if is_big { "binary_big_endian" } else { "binary_little_endian" };
        let mut bytes = header(format).into_bytes();
        let mut push = |mut value: Vec<u8>| {
            if is_big {
                value.reverse();
            }
            bytes.extend(value);
        };
        for (position, color) in mesh.positions.iter().zip(&mesh.colors) {
            push(position[0].to_le_bytes().to_vec());
            push(position[1].to_le_bytes().to_vec());
            push(f64::from(position[2]).to_le_bytes().to_vec());
            color.iter().for_each(|part| push(vec![(part * 255.0) as u8]));
        }
        push(vec![4]);
        (0..4i32).for_each(|index| push(index.to_le_bytes().to_vec()));
        assert_eq!(parse_mesh(Path::new("b.ply"), bytes.clone()).unwrap(), mesh);
        for cut in 1..bytes.len() {
            assert!(parse_mesh(Path::new("b.ply"), bytes[..cut].to_vec()).is_err());
        }
    }
    let huge = text.replace("element face 1", "element face 1000000000");
    assert!(refusal("a.ply", huge.as_bytes()).contains("1000000000 rows of `face`"));
    let long = text.replace("4 0 1 2 3", "400000000 0 1 2 3");
    assert!(refusal("a.ply", long.as_bytes()).contains("row 0 of `face`"));
}

#[test]
fn stl_files_are_welded_and_a_billion_faces_are_not_believed() {
    let cube = cube();
    let mut binary = vec![b' '; 80];
    binary[..5].copy_from_slice(b"solid");
    binary.extend(12u32.to_le_bytes());
    let mut text = String::from("solid cube\n");
    for face in 0..12 {
        binary.extend([0; 12]);
        text += "facet normal 0 0 0\n outer loop\n";
        for [x, y, z] in cube.faces[face].map(|vertex| cube.positions[vertex as usize]) {
            [x, y, z].iter().for_each(|value| binary.extend(value.to_le_bytes()));
            text += &format!("  vertex {x} {y} {z}\n");
        }
        binary.extend([0; 2]);
        text += " endloop\nendfacet\n";
    }
    text += "endsolid\n";
    for bytes in [binary.clone(), text.into_bytes()] {
        let mesh = parse_mesh(Path::new("a.stl"), bytes).unwrap();
        assert_eq!(mesh.positions.len(), 8);
        assert!(Topology::of(&mesh).is_watertight() && (mesh.volume() - 1.0).abs() < 1e-12);
    }
    binary[..5].copy_from_slice(b"brand");
    binary[80..84].copy_from_slice(&1_000_000_000u32.to_le_bytes());
    assert!(refusal("a.stl", &binary).contains("1000000000 triangles, which take 50000000084 bytes"));
}

/// Files with some wrong bytes are refused or read, but nothing panics and what is read is whole.
#[test]
fn damaged_files_never_panic() {
    let mut mesh = cube();
    mesh.uvs = vec![[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]; 12];
    mesh.texture = Some(image::RgbImage::new(4, 4));
    let folder = tempfile::tempdir().unwrap();
    for format in crate::MeshFormat::ALL.into_iter().filter(|format| *format != crate::MeshFormat::Usdz) {
        let path = folder.path().join("a").with_extension(format.name());
        crate::write_mesh(&mesh, &path, format).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for round in 0..1500u64 {
            let random = |draw: u64| gyrus_kernels::splitmix64(round * 97 + draw) as usize;
            let mut bytes = whole.clone();
            for change in 0..1 + random(0) as u64 % 4 {
                let at = random(3 * change + 1) % bytes.len();
                bytes[at] = random(3 * change + 2) as u8;
            }
            bytes.truncate(if random(50).is_multiple_of(5) { random(51) % bytes.len() } else { bytes.len() });
            if let Ok(read) = parse_mesh(&path, bytes) {
                assert_eq!(Quality::of(&read).faces, read.faces.len());
            }
        }
    }
}

#[test]
fn other_files_are_refused_in_a_sentence() {
    assert!(refusal("a.txt", b"hello").contains("expected an OBJ, PLY, STL or GLB file"));
    assert!(refusal("a.obj.gz", &[0x1f, 0x8b, 8, 0, 1]).contains("a damaged gzip file"));
    assert!(refusal("a.glb", b"glTF\x01\0\0\0").contains("version 1; expected version 2"));
    assert!(
        refusal("a.glb", b"glTF\x02\0\0\0\x20\0\0\0\xff\xff\0\0JSON{}").contains("a chunk of 65535 bytes")
    );
    assert!(refusal("a.stl", b"").contains("0 bytes"));
}
