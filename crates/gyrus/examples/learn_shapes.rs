//! A network learns to make solids of pictures and sentences, for a few steps only, and makes one:
//! `cargo run --release --example learn_shapes`.

use gyrus::{LearnShapes, Quiet, Sculpt};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // The usual number of steps and the measurement take some minutes.
    let short = LearnShapes { steps: 3, batch_size: 2, judged_objects: 0, ..LearnShapes::new() };
    let report = short.out(folder.path().join("shapes")).run(&mut Quiet)?;
    println!("{} parameters, validation loss {:.3}", report.parameters, report.validation_loss);
    let solid = Sculpt {
        model: Some(report.run),
        resolution: 24,
        // After three steps nothing is certain.
        level: 0.5,
        out: Some(folder.path().join("solid.glb")),
        ..Sculpt::new("a red torus on a blue box")
    };
    match solid.run(&mut Quiet) {
        Ok(made) => println!("{} with {} faces", made.out.display(), made.quality.faces),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
