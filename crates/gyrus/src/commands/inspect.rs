//! `gyrus inspect`: what is in a model, a run, a network, a recording or a file of tensors, without running anything.

mod models;

use std::path::PathBuf;

use clap::Args;
use gyrus::blueprint::text;
use gyrus::verbs::{
    InspectedCochlea, InspectedNetwork, InspectedNir, InspectedRecording, InspectedRun, InspectedSafetensors,
};
use gyrus::{Inspect, InspectReport};

use super::help::JSON;
use crate::exit::Failure;
use crate::output::{say, say_json};

/// Show what is in a model, an adapter, a run, a network, a recording or a file of tensors
#[derive(Args)]
pub(crate) struct Arguments {
    /// Model (.gguf, Hugging Face folder or id, llama2c .bin), adapter, run folder, .toml blueprint, .nir or .safetensors
    /// file, or event recording
    file: PathBuf,
    /// List the tensors and the metadata of a model as well
    #[arg(long)]
    tensors: bool,
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
        InspectReport::Model(model) => models::of_model(model, arguments.tensors),
        InspectReport::Adapter(adapter) => models::of_adapter(adapter),
        InspectReport::Blueprint(blueprint) => {
            format!("blueprint {}\n\n{}", blueprint.path.display(), table(&blueprint.network)?)
        }
        InspectReport::Recording(recording) => of_recording(recording),
        InspectReport::Cochlea(cochlea) => of_cochlea(cochlea),
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

fn of_recording(recording: &InspectedRecording) -> String {
    let InspectedRecording { width, height, events, on, off, duration_ms, .. } = recording;
    let rate = recording.events_per_second.map_or(String::new(), |rate| format!(", {rate:.0} a second"));
    format!(
        "recording {}: {}\n\n{:<10}{width} x {height}\n{:<10}{events}{rate}; {on} brighter, {off} darker\n{:<10}{duration_ms:.3} ms\n",
        recording.path.display(),
        recording.encoding,
        "sensor",
        "events",
        "duration",
    )
}

fn of_cochlea(cochlea: &InspectedCochlea) -> String {
    let mut text = format!(
        "spikes of a cochlea {}: {} recordings of {} classes\n\n",
        cochlea.path.display(),
        cochlea.recordings,
        cochlea.classes.len()
    );
    for (class, count) in cochlea.classes.iter().zip(&cochlea.counts) {
        text += &format!("{count:>6}  {}\n", printable(class));
    }
    text
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
