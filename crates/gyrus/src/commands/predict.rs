//! `gyrus predict`: what a run, or the network of a NIR file, says of new pictures or rows.

use std::path::{Path, PathBuf};

use clap::Args;
use gyrus_data::{Preprocessing, Task};
use gyrus_nn::{Network, floats, from_safetensors};
use gyrus_tensor::{Operation, apply, device, filled_tensor, with_threads};
use gyrus_train::{RunFolder, RunRecord};
use serde_json::{Value, json};

use super::fit::check_fit;
use super::inspect::is_nir;
use super::learn::threads;
use super::predict_nir::{self, NirArguments};
use crate::failure::Failure;
use crate::say::say;

/// Ask a trained network about pictures, table rows or recordings of events.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A run folder that `gyrus learn` or `gyrus spike` has left, or a NIR file (.nir)
    pub(crate) run: PathBuf,
    /// Pictures (PNG, JPEG, WebP), CSV tables with the columns that the run learned from, or recordings of events
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How many classes to show
    #[arg(long, default_value_t = 3)]
    pub(crate) top: usize,
    /// Threads; 0 for one a core
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// cpu, or a device that this program was built with
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) nir: NirArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    if is_nir(&arguments.run) {
        return predict_nir::run(arguments);
    }
    if let Some(option) = arguments.nir.given() {
        return Err(Failure::Caller(format!(
            "{option} is for NIR files; a run's own settings say how it lives in time, and {} is a folder",
            arguments.run.display()
        )));
    }
    let folder = RunFolder::open(&arguments.run)?;
    let record = folder.read_record()?;
    let blueprint = folder.read_blueprint()?;
    let file = folder.path().join("blueprint.toml").display().to_string();
    let shown = (&record.preprocessing, record.settings.spiking.as_ref());
    check_fit(&blueprint, &file, shown, &record.task, "run.json")?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    let network = Network::with_state(
        &blueprint,
        record.settings.spiking.as_ref(),
        &state,
        &device(&arguments.device)?,
    )?;
    let mut all = Vec::new();
    for file in &arguments.files {
        let (inputs, rows) = read(&record, file)?;
        let answers = answer(&network, &record, &inputs, rows)?;
        let columns = answers.len() / rows.max(1);
        for (row, answer) in answers.chunks_exact(columns.max(1)).enumerate() {
            let one = match record.preprocessing {
                Preprocessing::Image { .. } => true,
                Preprocessing::Table { .. } => false,
                Preprocessing::Events { .. } => rows == 1,
            };
            let place = (!one).then_some(row + 1);
            if arguments.json {
                all.push(as_json(&record, file, place, answer));
            } else {
                say(as_line(&record, file, place, answer, arguments.top))?;
            }
        }
    }
    if arguments.json {
        say(json!({"run": arguments.run, "predictions": all}))?;
    }
    Ok(())
}

/// Network input for a file, and how many rows it is.
fn read(record: &RunRecord, file: &Path) -> Result<(Vec<f32>, usize), Failure> {
    match &record.preprocessing {
        Preprocessing::Image { .. } => {
            let pixels = record.preprocessing.decode_file(file)?;
            Ok((record.preprocessing.normalise(&pixels), 1))
        }
        Preprocessing::Table { .. } => {
            let table = record.preprocessing.encode_csv(file)?;
            Ok((table.values, table.rows))
        }
        Preprocessing::Events { .. } => Ok(record.preprocessing.decode_events(file)?),
    }
}

/// Probabilities, or predictions in the target's unit: `[rows, outputs]`.
fn answer(network: &Network, record: &RunRecord, inputs: &[f32], rows: usize) -> Result<Vec<f32>, Failure> {
    if rows == 0 {
        return Ok(Vec::new());
    }
    let columns = inputs.len() / rows;
    let mut answers = Vec::new();
    for part in inputs.chunks(columns.max(1) * 256) {
        let x = filled_tensor(part.len() / columns.max(1), columns, |x| x.copy_from_slice(part));
        let outputs = network.infer(x.to_device(network.device()));
        match &record.task {
            Task::Classification { .. } => {
                let columns = outputs.dims()[1];
                answers.extend(floats(apply(Operation::Softmax { columns }, outputs, Vec::new(), None)));
            }
            Task::Regression { mean, deviation, .. } => {
                answers.extend(floats(outputs).into_iter().map(|value| value * deviation + mean));
            }
        }
    }
    Ok(answers)
}

/// Classes by falling probability.
fn ranked(answer: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..answer.len()).collect();
    order.sort_by(|&a, &b| answer[b].total_cmp(&answer[a]).then(a.cmp(&b)));
    order
}

fn as_line(record: &RunRecord, file: &Path, place: Option<usize>, answer: &[f32], top: usize) -> String {
    let place = place.map_or(String::new(), |row| format!(", row {row}"));
    let what = match &record.task {
        Task::Classification { classes } => ranked(answer)
            .into_iter()
            .take(top.max(1))
            .map(|class| format!("{} {:.1} %", classes[class], answer[class] * 100.0))
            .collect::<Vec<_>>()
            .join("   "),
        Task::Regression { target, .. } => format!("{target} = {}", answer[0]),
    };
    format!("{}{place}: {what}", file.display())
}

fn as_json(record: &RunRecord, file: &Path, place: Option<usize>, answer: &[f32]) -> Value {
    let mut object = json!({"file": file});
    if let Some(row) = place {
        object["row"] = json!(row);
    }
    match &record.task {
        Task::Classification { classes } => {
            let order = ranked(answer);
            object["class"] = json!(classes[order[0]]);
            object["probability"] = json!(answer[order[0]]);
            object["probabilities"] = classes
                .iter()
                .zip(answer)
                .map(|(class, p)| (class.clone(), json!(p)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        Task::Regression { target, .. } => {
            object["target"] = json!(target);
            object["value"] = json!(answer[0]);
        }
    }
    object
}
