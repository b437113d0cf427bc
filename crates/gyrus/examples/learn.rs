//! A network learns to read handwritten digits: `cargo run --release --example learn`.

use gyrus::train::MetricsRow;
use gyrus::{Learn, Observer, Plan};

/// Prints what happens. `gyrus::Quiet` is the observer that does not.
struct Printer;

impl Observer for Printer {
    fn plan(&mut self, plan: &Plan) {
        println!("{plan}");
    }

    fn evaluated(&mut self, row: &MetricsRow, _sample: Option<&str>) {
        println!("epoch {}: validation loss {:.4}", row.epoch, row.validation_loss);
    }
}

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = Learn::new("digits").epochs(5).out(folder.path().join("run")).run(&mut Printer)?;
    println!("test accuracy: {:.1} %", 100.0 * run.test_accuracy.unwrap_or_default());
    println!("the page {} shows curves, confusions and the network", run.page.display());
    Ok(())
}
