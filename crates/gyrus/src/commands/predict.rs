//! `gyrus predict`: what a run, or the network of a NIR file, answers for new images, rows or recordings.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gyrus::data::image_files::write_sheet;
use gyrus::nn::Readout;
use gyrus::tensor::with_threads;
use gyrus::verbs::{Answer, FailedFile, PredictingNetwork, Prediction, counted, quoted, ranking};
use gyrus::{Body, NirOptions, Predict, PredictReport};

use super::help::{DEVICE, JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{note, say, say_json, say_row};

/// Classify images, table rows or event recordings with a trained network
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder of `gyrus learn` or `gyrus spike`, NIR file (.nir), or a network of images of another program: a model file
    /// (.safetensors, .pth, .onnx) or a folder with one
    run: PathBuf,
    /// Images (PNG, JPEG, WebP, BMP, GIF, TIFF) or folders of them, CSV tables with the columns that the run learned from, or
    /// event recordings; for a NIR file also currents or spikes of each step, as CSV or .npy
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the answers to this CSV file; with a NIR file, the output at each step, or what --record names, as .csv or .npy
    #[arg(long, alias = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write what the network sees of the images to this PNG file
    #[arg(long, value_name = "FILE.png")]
    show_input: Option<PathBuf>,
    /// Body of a spiking network: all neurons at every step, or event by event, which counts its work; the answers agree
    #[arg(long, default_value = Body::default().name(), value_parser = bodies())]
    body: Body,
    /// Short for --body events
    #[arg(long, conflicts_with = "body")]
    events: bool,
    /// Names of the classes of another program's network, one a line or a JSON array, where it does not know them
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// How many classes to print
    #[arg(long, default_value_t = 3)]
    top: usize,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = DEVICE, default_value = Predict::DEVICE)]
    device: String,
    #[arg(long, help = JSON)]
    json: bool,
    /// Print each answer as a JSON object on a line of standard output, as soon as it is there
    #[arg(long, conflicts_with = "json")]
    jsonl: bool,
    #[command(flatten)]
    nir: NirArguments,
}

/// What a NIR file leaves open.
#[derive(Args)]
struct NirArguments {
    /// NIR file: time steps per image [default: 32], or of a recording that is cut into as many equal parts; fewer or more steps
    /// than a file of steps holds
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: Option<u32>,
    /// NIR file: length of a step in milliseconds [default: from the file]
    #[arg(long, value_name = "MS")]
    dt: Option<f64>,
    /// NIR file: integration of the neurons' equations: exact | euler [default: from the file, its exporter's, or
    /// euler]
    #[arg(long)]
    integration: Option<String>,
    /// NIR file: how pixels become currents or spikes: direct | rate | latency [default: direct]; how a pixel's events in a step
    /// become a number: counts | spikes [default: counts]
    #[arg(long)]
    encoder: Option<String>,
    /// NIR file: what a spike does to the membrane: subtract (the threshold) | zero (v_reset) [default: from the file, or zero]
    #[arg(long)]
    reset: Option<String>,
    /// NIR file: milliseconds of a recording in a step [default: 1, unless --steps cuts it]
    #[arg(long, value_name = "MS")]
    window: Option<f64>,
    /// NIR file: node whose spikes and potentials --out writes; may be repeated; `output` is the network's output
    #[arg(long, value_name = "NODE", requires = "out")]
    record: Vec<String>,
}

fn bodies() -> impl TypedValueParser<Value = Body> {
    let named = |name: String| Body::ALL.into_iter().find(|body| body.name() == name);
    PossibleValuesParser::new(Body::ALL.map(Body::name)).map(move |name| named(name).unwrap_or_default())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let NirArguments { steps, dt, integration, encoder, reset, window, record } = &arguments.nir;
    let nir = NirOptions {
        steps: *steps,
        dt_ms: *dt,
        integration: integration.clone(),
        encoder: encoder.clone(),
        reset: reset.clone(),
        window_ms: *window,
        record: record.clone(),
    };
    let predictor = Predict {
        nir,
        classes: arguments.classes.clone(),
        out: arguments.out.clone(),
        body: if arguments.events { Body::Events } else { arguments.body },
        device: arguments.device.clone(),
        ..Predict::new(&arguments.run)
    }
    .open()?;
    predictor.warnings().iter().for_each(|warning| note(format_args!("note: {warning}")));
    let network = predictor.network();
    let files = predictor.files(&arguments.files)?;
    // What a NIR network does at each step is another thing than its answers.
    let answers_out = match network {
        PredictingNetwork::Nir { .. } => None,
        _ => arguments.out.as_ref(),
    };
    let (count, quiet) = (files.len(), arguments.json || answers_out.is_some());
    let mut report =
        PredictReport { network, predictions: Vec::new(), failed: Vec::new(), warnings: Vec::new() };
    let mut seen = Vec::new();
    for file in files {
        let answers = match predictor.predict(&file) {
            Ok(answers) => answers,
            Err(error) if count == 1 => return Err(error.into()),
            Err(error) => {
                let reason = error.to_string();
                note(format_args!("skipped {}: {reason}", file.display()));
                report.failed.push(FailedFile { file, reason });
                continue;
            }
        };
        if arguments.show_input.is_some() {
            seen.extend(predictor.input_image(&file)?);
        }
        for answer in &answers {
            let place = answer.file.display();
            answer.notes.iter().for_each(|text| note(format_args!("note: {place}: {text}")));
            if arguments.jsonl {
                say_row("prediction", answer)?;
            } else if !quiet {
                say(as_line(answer, &report.network, arguments.top))?;
            }
        }
        report.predictions.extend(answers);
    }
    if let Some(path) = &arguments.show_input {
        if seen.is_empty() && !report.predictions.is_empty() {
            return Err(Failure::Input("--show-input is for networks that take images by a run".to_owned()));
        }
        write_sheet(path, &seen)?;
    }
    if let Some(path) = answers_out {
        gyrus::files::write_atomically(path, report.to_csv().as_bytes())
            .map_err(|error| gyrus::Error::Failed(format!("cannot write {}: {error}", path.display())))?;
    }
    let written = predictor.write_recorded()?;
    if !arguments.json && !arguments.jsonl {
        written.iter().try_for_each(|file| say(format_args!("wrote {}", quoted(file))))?;
    }
    if arguments.json {
        say_json(&report)?;
    } else if let Some(path) = answers_out.filter(|_| !arguments.jsonl) {
        say(format_args!("{} in {}", counted(report.predictions.len() as u64, "answer"), path.display()))?;
    }
    match report.failed.len() {
        0 => Ok(()),
        failed => Err(Failure::Partly(format!("{failed} of {count} files could not be used"))),
    }
}

fn as_line(prediction: &Prediction, network: &PredictingNetwork, top: usize) -> String {
    let place = match (prediction.row, prediction.line) {
        (Some(row), Some(line)) => format!(", row {row} (line {line})"),
        (Some(row), None) => format!(", row {row}"),
        _ => String::new(),
    };
    let what = match &prediction.answer {
        Answer::Class { probabilities, .. } => {
            let values: Vec<f32> = probabilities.iter().map(|(_, probability)| *probability).collect();
            best(&values, top, |class, probability| {
                format!("{} {:.1} %", probabilities[class].0, probability * 100.0)
            })
        }
        Answer::Value { target, value } => format!("{target} = {value}"),
        Answer::Outputs { outputs, .. } => best(outputs, top, |class, output| match network {
            PredictingNetwork::Nir { readout: Readout::Membrane, .. } => {
                format!("class {class} ({output:.3})")
            }
            _ => format!("class {class} ({output} spikes)"),
        }),
        _ => String::new(),
    };
    let work = prediction.work.map_or(String::new(), |work| {
        format!("   ({} spikes, {} synaptic operations)", work.spikes, work.synaptic_operations)
    });
    format!("{}{place}: {what}{work}", prediction.file.display())
}

/// The largest values, each as it is shown.
fn best(values: &[f32], top: usize, shown: impl Fn(usize, f32) -> String) -> String {
    let best = ranking(values).into_iter().take(top.max(1)).map(|index| shown(index, values[index]));
    best.collect::<Vec<_>>().join("   ")
}
