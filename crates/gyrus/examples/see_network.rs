//! What the layers of a network have learned: `cargo run --release --example see_network`.

use gyrus::{Learn, Quiet, SeeNetwork};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = Learn::new("digits").epochs(3).out(folder.path().join("run")).run(&mut Quiet)?;
    let see = SeeNetwork { examples: 400, synthesis_steps: Some(16), ..SeeNetwork::new(&run.run) };
    let seen = see.out(folder.path().join("see.html")).run(&mut Quiet)?;
    for layer in &seen.layers {
        let probe = layer.probe.map_or(0.0, |probe| probe.accuracy);
        println!("{}: a linear probe reads {:.1} % of the digits", layer.name, 100.0 * probe);
    }
    println!("the page {} shows every unit and what it responds to", seen.page.display());
    Ok(())
}
