//! `gyrus inspect`: what is in a run folder, a NIR file or a safetensors file, without running anything.

use std::path::PathBuf;

use clap::Args;
use gyrus::blueprint::text;
use gyrus::verbs::{InspectedNetwork, InspectedNir, InspectedRun, InspectedSafetensors};
use gyrus::{Inspect, InspectReport};

use super::help::JSON;
use crate::exit::Failure;
use crate::output::{say, say_json};

/// Show what a run folder, a NIR file (.nir) or a safetensors file holds: nodes, shapes, parameters
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder of `gyrus learn`, .nir or .safetensors file
    file: PathBuf,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = Inspect::new(&arguments.file).run()?;
    if arguments.json {
        return say_json(&report);
    }
    let text = match &report {
        InspectReport::Run(run) => of_run(run)?,
        InspectReport::Nir(nir) => of_nir(nir)?,
        InspectReport::Safetensors(file) => of_safetensors(file),
        _ => String::new(),
    };
    say(text.trim_end())
}

fn of_run(run: &InspectedRun) -> Result<String, Failure> {
    let accuracy = |accuracy| format!(", {:.2} % test accuracy", accuracy * 100.0);
    let result = run.test_accuracy.map_or(String::new(), accuracy);
    let time = run.spiking.as_ref().map_or(String::new(), |spiking| {
        format!(", spiking over {} steps of {} ms", spiking.steps, spiking.time.dt_ms)
    });
    let head = format!("run {}: {} of {}{result}{time}", run.path.display(), run.status.name(), run.data);
    Ok(format!("{head}\n\n{}", table(&run.network)?))
}

fn of_nir(nir: &InspectedNir) -> Result<String, Failure> {
    let time = match nir.time {
        Some(time) => format!("steps of {} ms ({:?})", time.dt_ms, time.integration).to_lowercase(),
        None => "no time step in the file".to_owned(),
    };
    let table = table(&nir.network)?;
    let mut text = format!("NIR file {}, version {:?}, {time}\n\n{table}", nir.path.display(), nir.version);
    for warning in &nir.warnings {
        text += &format!("note: {warning}\n");
    }
    Ok(text)
}

/// The nodes, and the stored arrays.
fn table(network: &InspectedNetwork) -> Result<String, Failure> {
    let mut table = text(&network.blueprint)?;
    if !network.stored.is_empty() {
        table += "\n";
        let longest = network.stored.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, shape) in &network.stored {
            table += &format!("{name:<longest$}  {shape:?}\n");
        }
    }
    Ok(table)
}

fn of_safetensors(file: &InspectedSafetensors) -> String {
    let mut text = format!(
        "safetensors file {}: {} tensors, {} numbers, {} bytes\n\n",
        file.path.display(),
        file.tensors.len(),
        file.numbers,
        file.bytes
    );
    let longest = file.tensors.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, tensor) in &file.tensors {
        text += &format!("{:<longest$}  {:<4}  {:?}\n", printable(name), tensor.dtype, tensor.shape);
    }
    text
}

/// Names come from files; a terminal must not interpret them.
fn printable(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).collect()
}
