//! `gyrus list`: the models that are on this machine, and the runs of this folder.

use clap::Args;
use gyrus::List;
use gyrus::verbs::{counted, quoted};

use super::help::JSON;
use crate::exit::Failure;
use crate::output::{say, say_json};

/// List the models in the hub's cache and the runs in this folder
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder with run folders
    #[arg(default_value = List::RUNS)]
    runs: std::path::PathBuf,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = List { runs: arguments.runs.clone() }.run()?;
    if arguments.json {
        return say_json(&report);
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    say(format_args!("{} in {}", counted(report.models.len() as u64, "model"), quoted(&report.cache)))?;
    let longest = report.models.iter().map(|model| model.name.chars().count()).max().unwrap_or(0);
    for model in &report.models {
        say(format_args!("  {:<longest$}  {:>12}  {}", model.name, mib(model.bytes), model.holds))?;
    }
    say(format_args!("\n{} in {}", counted(report.runs.len() as u64, "run"), quoted(&arguments.runs)))?;
    let paths: Vec<String> = report.runs.iter().map(|run| quoted(&run.path)).collect();
    let longest = paths.iter().map(|path| path.chars().count()).max().unwrap_or(0);
    for (run, path) in report.runs.iter().zip(&paths) {
        let result =
            run.test_accuracy.map_or(String::new(), |accuracy| format!(", {:.2} %", accuracy * 100.0));
        say(format_args!("  {path:<longest$}  {} of {}{result}", run.status, run.data))?;
    }
    Ok(())
}
