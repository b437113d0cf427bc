//! The same network in spikes: accuracy and energy after a few steps. `cargo run --release --example spike`.

use gyrus::{Learn, Quiet, Spike};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dense = Learn::new("digits").epochs(5).out(folder.path().join("dense")).run(&mut Quiet)?;
    let spike = Spike { steps: vec![1, 4, 16], ..Spike::new(&dense.run) };
    let report = spike.out(folder.path().join("spiking")).run(&mut Quiet)?;
    println!("dense: {:.1} %", 100.0 * report.dense_accuracy);
    for after in &report.after {
        println!(
            "after {:>2} steps: {:.1} %, {:.0} synaptic operations, {:.1} nJ",
            after.steps,
            100.0 * after.accuracy,
            after.synaptic_operations,
            after.energy.spiking.with_memory_pj / 1000.0
        );
    }
    Ok(())
}
