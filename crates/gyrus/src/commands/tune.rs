//! `gyrus tune`: a language model learns from examples, through an adapter or as a whole.

use std::path::{Path, PathBuf};

use clap::Args;
use gyrus::tensor::device;
use gyrus::verbs::{RunKind, counted, quoted};
use gyrus::{LowRank, Merge, Resume, ResumeReport, Tune, TuneReport};

use super::help::{ACCUMULATE, DEVICE, JSON, MODEL, RESUME, SCHEDULE, SEED, THREADS, WEIGHT_DECAY};
use super::values::{fraction, positive, threads};
use crate::exit::Failure;
use crate::output::{next, note, page, say, say_json};
use crate::progress::Watcher;

/// Fine-tune a language model on examples
///
/// DATA holds one JSON record per line, or a JSON list of them; plain or gzipped. A record is {"prompt": ..., "completion":
/// ...}, {"messages": [{"role": ..., "content": ...}, ...]}, ShareGPT's {"conversations": [{"from": ..., "value": ...}, ...]},
/// Alpaca's {"instruction": ..., "input": ..., "output": ...} or {"text": ...}. The model learns only completions and the
/// assistant's answers, except those with "weight": 0. Without --full its own weights stay as they are, in whatever format, and a low-rank adapter (LoRA) of its weight matrices learns; `gyrus write MODEL --adapter
/// FOLDER` uses the adapter, and so does PEFT.
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(help = MODEL, required_unless_present_any = ["resume", "merge"])]
    model: Option<PathBuf>,
    /// Examples: a .jsonl or .json file
    #[arg(value_name = "DATA", required_unless_present_any = ["resume", "merge"])]
    data: Option<PathBuf>,
    /// Folder to write
    #[arg(long, alias = "output", value_name = "FOLDER", required_unless_present = "resume")]
    out: Option<PathBuf>,
    /// Train all weights instead of an adapter
    #[arg(long)]
    full: bool,
    /// Rank of the adapter
    #[arg(long, default_value_t = LowRank::RANK, value_parser = clap::value_parser!(u16).range(1..=4096))]
    rank: u16,
    /// The adapter's output is scaled by ALPHA / RANK [default: twice the rank]
    #[arg(long, value_parser = positive)]
    alpha: Option<f64>,
    /// Dropout on the adapter's input
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    dropout: f64,
    /// Weight matrices to adapt: q,k,v,o,gate,up,down, or ends of module names [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    target: Vec<String>,
    /// Quantize the frozen weight matrices in memory: q8_0 | q4_0
    #[arg(long, value_parser = ["q8_0", "q4_0"], conflicts_with = "full")]
    base_format: Option<String>,
    /// Passes over the examples [default: 3]
    #[arg(long, value_parser = positive, conflicts_with = "steps")]
    epochs: Option<f64>,
    /// Training steps, instead of epochs
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    steps: Option<u64>,
    /// Peak learning rate of the schedule [default: 2e-4, 2e-5 with --full]
    #[arg(long, value_parser = positive)]
    learning_rate: Option<f64>,
    #[arg(long, help = SCHEDULE, default_value = Tune::SCHEDULE)]
    schedule: String,
    #[arg(long, help = WEIGHT_DECAY, default_value_t = 0.0, value_parser = fraction)]
    weight_decay: f64,
    /// Windows per gradient
    #[arg(long, default_value_t = Tune::BATCH_SIZE, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    #[arg(long, help = ACCUMULATE, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    accumulate: u32,
    /// Tokens per window; several whole examples are packed into one [default: 1024, or the model's context length]
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    context: Option<u32>,
    /// Share of the examples held back for validation
    #[arg(long, default_value_t = Tune::VALIDATION, value_parser = fraction)]
    validation: f64,
    /// How often the model is evaluated
    #[arg(long, alias = "judgements", default_value_t = Tune::EVALUATIONS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    evaluations: u32,
    /// Activation checkpointing: recompute layers in the backward pass, for less memory and more time
    #[arg(long)]
    checkpoint_activations: bool,
    #[arg(long, help = SEED, default_value_t = 0)]
    seed: u64,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = DEVICE, default_value = Tune::DEVICE)]
    device: String,
    /// Replace the run that the folder already holds
    #[arg(long)]
    overwrite: bool,
    #[arg(long, help = RESUME, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Instead of tuning, merge this adapter into the model's weights
    #[arg(long, value_name = "ADAPTER")]
    merge: Option<PathBuf>,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    device(&arguments.device)?;
    if let Some(adapter) = &arguments.merge {
        return merge(arguments, adapter);
    }
    let mut watcher = Watcher::new();
    if !arguments.json {
        watcher.show_plan();
    }
    let report = match &arguments.resume {
        None => tuning(arguments).run(&mut watcher)?,
        Some(run) => {
            let resume = Resume { threads: arguments.threads, ..Resume::new(run) };
            match resume.kind() {
                RunKind::Tune => match resume.run(&mut watcher)? {
                    ResumeReport::Tune(report) => *report,
                    _ => return Ok(()),
                },
                _ => return Err(not_a_tuning(run)),
            }
        }
    };
    conclude(&report, arguments.json)
}

fn tuning(arguments: &Arguments) -> Tune {
    let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
    let adapters = LowRank {
        rank: arguments.rank.into(),
        alpha: arguments.alpha,
        dropout: arguments.dropout,
        targets: arguments.target.clone(),
    };
    Tune {
        adapters: (!arguments.full).then_some(adapters),
        base_format: arguments.base_format.clone(),
        epochs: arguments.epochs,
        steps: arguments.steps,
        learning_rate: arguments.learning_rate,
        schedule: arguments.schedule.clone(),
        weight_decay: arguments.weight_decay,
        batch_size: arguments.batch_size as usize,
        accumulation: arguments.accumulate as usize,
        context: arguments.context.map(|context| context as usize),
        validation: arguments.validation,
        evaluations: arguments.evaluations.into(),
        checkpoint_activations: arguments.checkpoint_activations,
        seed: arguments.seed,
        threads: arguments.threads,
        device: arguments.device.clone(),
        overwrite: arguments.overwrite,
        ..Tune::new(path(&arguments.model), path(&arguments.data), path(&arguments.out))
    }
}

/// Why a run cannot be resumed here.
fn not_a_tuning(run: &Path) -> Failure {
    match gyrus::train::RunFolder::header(run) {
        Ok(_) => Failure::Input(format!("{} is not a `gyrus tune` run", run.display())),
        Err(error) => error.into(),
    }
}

fn merge(arguments: &Arguments, adapter: &Path) -> Result<(), Failure> {
    let report = Merge {
        model: arguments.model.clone(),
        overwrite: arguments.overwrite,
        threads: arguments.threads,
        ..Merge::new(adapter, arguments.out.clone().unwrap_or_default())
    }
    .run()?;
    if arguments.json {
        return say_json(&report);
    }
    let changed = counted(report.matrices as u64, "changed weight matrix");
    say(format_args!("{}: {changed}", report.out.display()))?;
    next(format_args!("next: gyrus write {} \"PROMPT\"", quoted(&report.out)))
}

fn conclude(report: &TuneReport, json: bool) -> Result<(), Failure> {
    if report.cut_examples + report.dropped_examples > 0 {
        note(format_args!(
            "{} longer than {} tokens, which were cut; {} with nothing left to learn",
            counted(report.cut_examples, "example"),
            report.context,
            counted(report.dropped_examples, "example")
        ));
    }
    if json {
        return say_json(report);
    }
    let loss = report.validation_loss.map_or("none".to_owned(), |loss| format!("{loss:.4} nats per token"));
    say(format_args!(
        "validation loss: {loss}, in {:.1} s\n\n{}",
        report.total_seconds,
        report.sample.trim()
    ))?;
    let path = quoted(&report.run);
    let use_it = if report.adapters {
        format!("gyrus write {} --adapter {path} \"PROMPT\"", quoted(Path::new(&report.model)))
    } else {
        format!("gyrus write {path} \"PROMPT\"")
    };
    next(format_args!("\nNext:\n  {use_it}\n  open {}      curves and settings", page(&report.page)))
}
