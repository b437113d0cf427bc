//! What is in a run folder: `cargo run --release --example inspect`.

use gyrus::{Inspect, InspectReport, Learn, Quiet};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = Learn::new("digits").epochs(1).out(folder.path().join("run")).run(&mut Quiet)?;
    if let InspectReport::Run(run) = Inspect::new(&run.run).run()? {
        println!("{}: {} trained parameters", run.network.name, run.network.trained_parameters);
        for node in &run.network.nodes {
            println!("{:<12} {:<12} {}", node.name, node.kind, node.output_shape);
        }
    }
    Ok(())
}
