//! Meshes in every format that is read: the first byte chooses the name.
#![no_main]

use std::path::Path;

use gyrus_sculpt::{Quality, parse_mesh};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let name = ["fuzz.obj", "fuzz.ply", "fuzz.stl", "fuzz.glb"][usize::from(first % 4)];
    if let Ok(mesh) = parse_mesh(Path::new(name), bytes.to_vec()) {
        assert!(mesh.positions.iter().flatten().all(|value| value.is_finite()));
        assert!(mesh.faces.iter().flatten().all(|vertex| (*vertex as usize) < mesh.positions.len()));
        let quality = Quality::of(&mesh);
        assert_eq!(quality.faces, mesh.faces.len());
    }
});
