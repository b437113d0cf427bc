//! Times the work on solids; `bench/peers/sculpt.py` runs it beside its peers.
//!
//! ```text
//! sculpt_speed surface SIDE FOLDER          the surface of a field of SIDE³ samples; the field goes to FOLDER/field.npy once
//! sculpt_speed simplify MESH FACES OUT      MESH with at most FACES faces
//! sculpt_speed triposr MODEL PICTURE LEVEL  picture to mesh at resolution 256
//! ```
//!
//! Each prints the fastest of several rounds on as many threads as RAYON_NUM_THREADS says.

use std::path::Path;
use std::time::Instant;

use gyrus_files::{StateTensor, to_npy};
use gyrus_sculpt::triposr::TripoSr;
use gyrus_sculpt::{
    Field, MeshFormat, centered, object, read_mesh, read_picture, simplify, surface, write_mesh,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    gyrus_kernels::flush_denormals();
    match words[..] {
        ["surface", side, folder] => time_surface(side.parse()?, Path::new(folder)),
        ["simplify", mesh, faces, out] => time_simplification(mesh, faces.parse()?, Path::new(out)),
        ["triposr", model, picture, level] => {
            time_triposr(Path::new(model), Path::new(picture), level.parse()?)
        }
        _ => Err("expected surface, simplify or triposr".into()),
    }
}

fn time_surface(side: usize, folder: &Path) -> Outcome {
    let at = |index: usize| 2.0 * index as f32 / (side - 1) as f32 - 1.0;
    // A ball with a rough skin and a hole.
    let value = |i: usize| {
        let [x, y, z] = [at(i % side), at(i / side % side), at(i / side / side)];
        let skin = 0.03 * ((19.0 * x).sin() * (17.0 * y).cos() + (23.0 * z).sin());
        (0.8 - (x * x + y * y + z * z).sqrt() + skin).min(x.hypot(y) - 0.25)
    };
    let values: Vec<f32> = (0..side.pow(3)).map(value).collect();
    let file = folder.join("field.npy");
    if !file.exists() {
        std::fs::write(&file, to_npy(&StateTensor { shape: vec![side; 3], values: values.clone() }))?;
    }
    let step = [2.0 / (side - 1) as f32; 3];
    let field = Field { values: &values, size: [side; 3], origin: [-1.0; 3], step };
    let mut fastest = f64::INFINITY;
    let mut mesh = surface(&field, 0.0);
    for _ in 0..9 {
        let start = Instant::now();
        mesh = surface(&field, 0.0);
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    write_mesh(&mesh, &folder.join("surface.ply"), MeshFormat::Ply)?;
    println!("{fastest:.5} s, {} faces", mesh.faces.len());
    Ok(())
}

fn time_simplification(mesh: &str, faces: usize, out: &Path) -> Outcome {
    let mesh = read_mesh(mesh)?;
    let mut fastest = f64::INFINITY;
    let mut less = mesh.clone();
    for _ in 0..3 {
        let start = Instant::now();
        less = simplify(&mesh, faces);
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    write_mesh(&less, out, MeshFormat::Ply)?;
    println!("{fastest:.4} s, {} of {} faces", less.faces.len(), mesh.faces.len());
    Ok(())
}

fn time_triposr(model: &Path, picture: &Path, level: f32) -> Outcome {
    let start = Instant::now();
    let model = TripoSr::open(model)?;
    let opened = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let (picture, _) = object(&read_picture(picture)?)?;
    let pixels = centered(&picture, model.config().image_side)?;
    let quiet = &mut |_: &str, _: u64, _: u64| ();
    let sculpture = model.look(&pixels, quiet);
    let planes = start.elapsed().as_secs_f64();
    let (mesh, computed) = sculpture.mesh(256, level, quiet)?;
    let all = start.elapsed().as_secs_f64();
    // Linux says the largest memory of a process here.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!(
        "load {opened:.1} s, planes {planes:.1} s, mesh {:.1} s, picture to mesh {all:.1} s, {peak}, {} faces, {computed} samples",
        all - planes,
        mesh.faces.len()
    );
    Ok(())
}
