//! `gyrus tune`: a language model learns from examples, through adapters or whole.

use std::path::{Path, PathBuf};

use clap::Args;
use gyrus::tensor::device;
use gyrus::verbs::{RunKind, quoted};
use gyrus::{LowRank, Merge, Resume, ResumeReport, Tune, TuneReport};

use super::values::{fraction, positive, threads};
use crate::exit::Failure;
use crate::output::{note, say, say_json};
use crate::progress::Watcher;

/// Tune a language model on examples.
///
/// DATA is a .jsonl file, each line of which is {"prompt": ..., "completion": ...}, {"messages": [{"role": ..., "content":
/// ...}, ...]} or {"text": ...}. Only completions and the assistant's answers are learnt. Without --full the model stays as
/// it is, in whatever format, and a low-rank adapter of its products (LoRA) is learnt; `gyrus write MODEL --adapter FOLDER`
/// uses it, and so does PEFT.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, a .gguf file, or a llama2.c file (.bin) with its tokenizer.bin beside it
    #[arg(required_unless_present_any = ["resume", "merge"])]
    model: Option<PathBuf>,
    /// The examples
    #[arg(value_name = "DATA.jsonl", required_unless_present_any = ["resume", "merge"])]
    data: Option<PathBuf>,
    /// The folder that is written
    #[arg(long, alias = "out", value_name = "FOLDER", required_unless_present = "resume")]
    output: Option<PathBuf>,
    /// Train all weights instead of adapters
    #[arg(long)]
    full: bool,
    /// Rank of the adapters
    #[arg(long, default_value_t = LowRank::RANK, value_parser = clap::value_parser!(u16).range(1..=4096))]
    rank: u16,
    /// The adapters' products are scaled by ALPHA / RANK [default: twice the rank]
    #[arg(long, value_parser = positive)]
    alpha: Option<f64>,
    /// Share of an adapter's inputs that are dropped
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    dropout: f64,
    /// The products that are adapted: q,k,v,o,gate,up,down, or ends of the modules' names [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    target: Vec<String>,
    /// Round the model's products in memory before they are frozen: q8_0 | q4_0
    #[arg(long, value_parser = ["q8_0", "q4_0"], conflicts_with = "full")]
    base_format: Option<String>,
    /// Passes over the examples [default: 3]
    #[arg(long, value_parser = positive, conflicts_with = "steps")]
    epochs: Option<f64>,
    /// Training steps, instead of passes
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    steps: Option<u64>,
    /// Highest learning rate of the schedule [default: 2e-4, 2e-5 with --full]
    #[arg(long, value_parser = positive)]
    learning_rate: Option<f64>,
    /// one-cycle | cosine | wsd | constant
    #[arg(long, default_value = Tune::SCHEDULE)]
    schedule: String,
    /// Decoupled weight decay
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    weight_decay: f64,
    /// Windows of one gradient
    #[arg(long, default_value_t = Tune::BATCH_SIZE, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    /// Gradients that are averaged for one step
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    accumulate: u32,
    /// Tokens of a window; whole examples share one [default: 1024, or the model's positions]
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    context: Option<u32>,
    /// Share of the examples that are not learnt but judge the model
    #[arg(long, default_value_t = Tune::VALIDATION, value_parser = fraction)]
    validation: f64,
    /// How often the model is judged
    #[arg(long, default_value_t = Tune::EVALUATIONS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    judgements: u32,
    /// Compute layers anew in the backward pass instead of keeping what it needs: less memory, more time
    #[arg(long)]
    checkpoint_activations: bool,
    /// Where all random numbers come from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; 0 for one a core. The result does not depend on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// cpu, or a device that this program was built with: cuda | wgpu | vulkan | metal
    #[arg(long, default_value = Tune::DEVICE)]
    device: String,
    /// Replace a run that is in the folder already
    #[arg(long)]
    overwrite: bool,
    /// Go on with an unfinished run
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "model", "data", "output", "full", "rank", "alpha", "dropout", "target", "base_format", "epochs", "steps",
        "learning_rate", "schedule", "weight_decay", "batch_size", "accumulate", "context", "validation", "judgements",
        "checkpoint_activations", "seed", "device", "overwrite", "merge",
    ])]
    resume: Option<PathBuf>,
    /// Instead of tuning, write the model with this adapter's changes in its weights
    #[arg(long, value_name = "ADAPTER", conflicts_with_all = [
        "data", "full", "rank", "alpha", "dropout", "target", "base_format", "epochs", "steps", "learning_rate",
        "schedule", "weight_decay", "batch_size", "accumulate", "context", "validation", "judgements",
        "checkpoint_activations", "seed", "device",
    ])]
    merge: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
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
        evaluations: arguments.judgements.into(),
        checkpoint_activations: arguments.checkpoint_activations,
        seed: arguments.seed,
        threads: arguments.threads,
        device: arguments.device.clone(),
        overwrite: arguments.overwrite,
        ..Tune::new(path(&arguments.model), path(&arguments.data), path(&arguments.output))
    }
}

/// Why a run cannot be resumed here.
fn not_a_tuning(run: &Path) -> Failure {
    match gyrus::train::RunFolder::open_described(run).and_then(|folder| folder.read_header()) {
        Ok(_) => Failure::Input(format!("the run in {} is no tuning of a language model", run.display())),
        Err(error) => error.into(),
    }
}

fn merge(arguments: &Arguments, adapter: &Path) -> Result<(), Failure> {
    let report = Merge {
        model: arguments.model.clone(),
        overwrite: arguments.overwrite,
        threads: arguments.threads,
        ..Merge::new(adapter, arguments.output.clone().unwrap_or_default())
    }
    .run()?;
    if arguments.json {
        return say_json(&report);
    }
    say(format_args!("{}: {} products were changed", report.out.display(), report.matrices))?;
    say(format_args!("go on with: gyrus write {} \"PROMPT\"", quoted(&report.out)))
}

fn conclude(report: &TuneReport, json: bool) -> Result<(), Failure> {
    if report.cut_examples + report.dropped_examples > 0 {
        note(format_args!(
            "{} examples were longer than {} tokens and lost their end; of {} nothing was left to learn",
            report.cut_examples, report.context, report.dropped_examples
        ));
    }
    if json {
        return say_json(report);
    }
    let loss = report.validation_loss.map_or("none".to_owned(), |loss| format!("{loss:.4} nats a token"));
    say(format_args!(
        "validation loss: {loss}, in {:.1} s\n\n{}",
        report.total_seconds,
        report.sample.trim()
    ))?;
    let path = quoted(&report.run);
    let next = if report.adapters {
        format!("gyrus write {} --adapter {path} \"PROMPT\"", quoted(Path::new(&report.model)))
    } else {
        format!("gyrus write {path} \"PROMPT\"")
    };
    say(format_args!("\nNext:\n  {next}\n  open {}      curves and settings", quoted(&report.page)))
}
