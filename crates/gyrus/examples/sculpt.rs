//! A mesh with fewer faces for a viewer, and its quality sheet: `cargo run --release --example sculpt`.

use gyrus::{InspectMesh, Quiet, Sculpt};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mesh = folder.path().join("tetrahedron.obj");
    std::fs::write(&mesh, "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")?;
    let sheet = InspectMesh::new(&mesh).run()?;
    println!(
        "watertight: {}, volume {:.3}",
        sheet.quality.watertight,
        sheet.quality.volume.unwrap_or_default()
    );
    let out = Some(folder.path().join("tetrahedron.glb"));
    let report = Sculpt { out, faces: Some(4), ..Sculpt::new(&mesh) }.run(&mut Quiet)?;
    println!("{} with {} faces", report.out.display(), report.quality.faces);
    Ok(())
}
