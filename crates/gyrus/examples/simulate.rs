//! A random balanced network of spiking neurons: `cargo run --release --example simulate`.

use gyrus::{Quiet, Simulate};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // A twentieth of the network of Brunel (2000): 625 neurons.
    let report =
        Simulate::new("brunel").scale(0.05).seconds(0.5).out(folder.path().join("brunel")).run(&mut Quiet)?;
    for own in &report.populations {
        println!("{}: {} neurons, {:.1} Hz", own.name, own.neurons, own.rate_hz.unwrap_or_default());
    }
    println!(
        "{} synaptic events, {:.1} million a second",
        report.synaptic_events,
        report.synaptic_events_per_second / 1e6
    );
    Ok(())
}
