//! `gyrus tune`: a language model learns from examples, through adapters or whole.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use gyrus_language::{Adapter, DEFAULT_TARGETS, Parts, write_model_folder};
use gyrus_language_train::{
    AdapterSettings, Samples, TUNING_KIND, TextBegin, TuneOutcome, TuneRecord, TuneSettings, tune,
};
use gyrus_report::LanguageReport;
use gyrus_tensor::{device, with_threads};
use gyrus_train::{Existing, MetricsRow, RunFolder, RunStatus};
use serde_json::json;

use super::learn::{fraction, positive, quoted, threads};
use super::page_data;
use crate::failure::Failure;
use crate::progress::Watcher;
use crate::say::{note, say};

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
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
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
    #[arg(long, default_value = "cosine")]
    schedule: String,
    /// Decoupled weight decay
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    weight_decay: f64,
    /// Windows of one gradient
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    /// Gradients that are averaged for one step
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    accumulate: u32,
    /// Tokens of a window; whole examples share one [default: 1024, or the model's positions]
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    context: Option<u32>,
    /// Share of the examples that are not learnt but judge the model
    #[arg(long, default_value_t = 0.1, value_parser = fraction)]
    validation: f64,
    /// How often the model is judged
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
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
    #[arg(long, default_value = "cpu")]
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
    with_threads(arguments.threads, || match &arguments.merge {
        Some(adapter) => merge(arguments, adapter),
        None => run_in_pool(arguments),
    })?
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let start = Instant::now();
    let (samples, record, folder, begin) = match &arguments.resume {
        Some(path) => resume(path)?,
        None => prepare(arguments)?,
    };
    let parts = Parts::open(Path::new(&record.settings.model))?;
    if !arguments.json {
        let what = match &record.settings.adapters {
            Some(adapters) => format!("adapters of rank {}", adapters.rank),
            None => "all weights".to_owned(),
        };
        let _ = say(format_args!("{}: {} examples; {what}", samples.name, samples.lines.len()));
    }
    let device = device(&record.settings.device)?;
    let mut watcher = Watcher::new();
    let outcome = tune(parts, &samples, record, &folder, &device, begin, &mut watcher);
    watcher.finish();
    match outcome? {
        TuneOutcome::Interrupted { step, steps } => Err(Failure::Interrupted(format!(
            "stopped after step {step} of {steps}, everything is saved; go on with: gyrus tune --resume {}",
            quoted(folder.path())
        ))),
        TuneOutcome::Finished(mut record) => {
            let parts = record.timings.data_seconds + record.timings.train_seconds;
            record.timings.total_seconds = parts.max(start.elapsed().as_secs_f64());
            folder.finish(&record, &report(&record, &folder.read_metrics()?))?;
            conclude(arguments, &record, &folder)
        }
    }
}

type Prepared = (Samples, TuneRecord, RunFolder, TextBegin);

/// The names that are asked for, as modules are called.
fn targets(asked: &[String]) -> Vec<String> {
    if asked.is_empty() {
        return DEFAULT_TARGETS.map(str::to_owned).to_vec();
    }
    let full = |name: &String| match name.as_str() {
        "q" | "k" | "v" | "o" | "qkv" | "gate" | "up" | "down" | "gate_up" => format!("{name}_proj"),
        _ => name.clone(),
    };
    asked.iter().map(full).collect()
}

/// Reads the examples and sets up a new run.
fn prepare(arguments: &Arguments) -> Result<Prepared, Failure> {
    let asked = arguments.model.as_deref().unwrap_or(Path::new(""));
    let data = arguments.data.as_deref().unwrap_or(Path::new(""));
    let samples = Samples::read(data)?;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let place = absolute(&super::write::fetched(asked)?);
    let Parts { config, checkpoint, .. } = Parts::open(&place)?;
    let adapters = (!arguments.full).then(|| AdapterSettings {
        rank: arguments.rank.into(),
        alpha: arguments.alpha.unwrap_or(2.0 * f64::from(arguments.rank)),
        dropout: arguments.dropout,
        targets: targets(&arguments.target),
    });
    let base = if asked.exists() { absolute(asked) } else { asked.to_path_buf() };
    let usual_rate = if arguments.full { 2e-5 } else { 2e-4 };
    let settings = TuneSettings {
        model: place.to_string_lossy().into_owned(),
        base: base.to_string_lossy().into_owned(),
        seed: arguments.seed,
        adapters,
        base_format: arguments.base_format.clone(),
        context: arguments
            .context
            .map_or(config.maximum_positions.clamp(2, 1024), |context| context as usize),
        batch_size: arguments.batch_size as usize,
        accumulation: arguments.accumulate as usize,
        epochs: arguments.steps.is_none().then(|| arguments.epochs.unwrap_or(3.0)),
        steps: arguments.steps.unwrap_or_default(),
        validation_share: arguments.validation,
        judgements: arguments.judgements.into(),
        learning_rate: arguments.learning_rate.unwrap_or(usual_rate),
        schedule: arguments.schedule.clone(),
        weight_decay: arguments.weight_decay,
        beta2: 0.999,
        clip: 1.0,
        recompute: arguments.checkpoint_activations,
        threads: arguments.threads,
        device: arguments.device.clone(),
    };
    let record = TuneRecord::new(&samples, &absolute(data), &checkpoint, settings);
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    let folder = RunFolder::create(arguments.output.clone().unwrap_or_default(), existing)?;
    folder.write_json_record(&record)?;
    Ok((samples, record, folder, TextBegin::Fresh))
}

/// Reads the examples that a run began with, again.
fn resume(path: &Path) -> Result<Prepared, Failure> {
    let folder = RunFolder::open_described(path)?;
    if folder.read_header()?.kind.as_deref() != Some(TUNING_KIND) {
        return Err(Failure::Caller(format!(
            "the run in {} is no tuning of a language model",
            path.display()
        )));
    }
    let record: TuneRecord = folder.read_json_record()?;
    if record.status == RunStatus::Finished {
        // One that was killed right before its end may have left it.
        folder.remove_checkpoint()?;
        return Err(Failure::Caller(format!("the run in {} is finished already", path.display())));
    }
    Ok((Samples::read(Path::new(&record.data.path))?, record, folder, TextBegin::Checkpoint))
}

/// Writes a model with an adapter's changes in its weights.
fn merge(arguments: &Arguments, place: &Path) -> Result<(), Failure> {
    let adapter = Adapter::open(place)?;
    let model = match (&arguments.model, &adapter.config.base) {
        (Some(model), _) => model.clone(),
        (None, Some(base)) => PathBuf::from(base),
        (None, None) => {
            return Err(Failure::Caller(format!(
                "{} does not say which model it is for: name it",
                place.display()
            )));
        }
    };
    let output = arguments.output.clone().unwrap_or_default();
    let exists = std::fs::read_dir(&output).is_ok_and(|mut entries| entries.next().is_some());
    if exists && !arguments.overwrite {
        return Err(Failure::Caller(format!("{} exists; --overwrite replaces it", output.display())));
    }
    let source = super::write::fetched(&model)?;
    let mut parts = Parts::open(&source)?;
    adapter.merge(&parts.config, &mut parts.checkpoint)?;
    std::fs::create_dir_all(&output)
        .map_err(|error| Failure::Failed(format!("cannot make {}: {error}", output.display())))?;
    write_model_folder(&parts, &source, &output)?;
    if arguments.json {
        return say(
            json!({"model": model, "adapter": place, "output": output, "products": adapter.parts.len()}),
        );
    }
    say(format_args!("{}: {} products were changed", output.display(), adapter.parts.len()))?;
    say(format_args!("go on with: gyrus write {} \"PROMPT\"", quoted(&output)))
}

fn report(record: &TuneRecord, metrics: &[MetricsRow]) -> String {
    let TuneRecord { data, settings, results, timings, .. } = record;
    let result = results.as_ref();
    let loss = result.and_then(|results| results.validation_loss);
    let headline = loss.map_or("–".to_owned(), |loss| format!("{loss:.4}"));
    let adapters = match &settings.adapters {
        Some(adapters) => {
            format!("rank {}, alpha {}, {}", adapters.rank, adapters.alpha, adapters.targets.join(" "))
        }
        None => "none: all weights".to_owned(),
    };
    LanguageReport {
        name: &data.name,
        created: &record.created,
        status: record.status.name(),
        headline: (headline, "validation loss, nats a learnt token"),
        detail: loss.map_or_else(String::new, |loss| {
            let choices = loss.exp();
            format!(
                "on answers that it did not learn from: as unsure as among {choices:.1} equally likely tokens"
            )
        }),
        facts: vec![
            ("parameters", result.map_or_else(String::new, |r| r.parameters.to_string())),
            ("examples to learn from", data.train_examples.to_string()),
            ("examples to judge by", data.validation_examples.to_string()),
            ("tokens learnt in a pass", data.learnt_tokens.to_string()),
            ("training time", format!("{:.1} s", timings.train_seconds)),
            (
                "chosen step",
                result.map_or_else(String::new, |r| format!("{} of {}", r.chosen_step, settings.steps)),
            ),
        ],
        curve: page_data::curve(metrics, |row| row.step as f64),
        sample: result.map_or("", |results| &results.sample),
        settings: vec![
            ("model", settings.base.clone()),
            ("examples", data.path.clone()),
            ("SHA-256", data.fingerprint.clone()),
            ("adapters", adapters),
            ("model's products", settings.base_format.clone().unwrap_or_else(|| "as they are stored".into())),
            ("window", format!("{} tokens", settings.context)),
            ("windows a step", (settings.batch_size * settings.accumulation).to_string()),
            ("learning rate", format!("{}, {}", settings.learning_rate, settings.schedule)),
            ("weight decay", settings.weight_decay.to_string()),
            ("seed", settings.seed.to_string()),
            ("device", settings.device.clone()),
            ("Gyrus", record.gyrus_version.clone()),
        ],
    }
    .to_html()
}

fn conclude(arguments: &Arguments, record: &TuneRecord, folder: &RunFolder) -> Result<(), Failure> {
    let Some(results) = &record.results else { return Ok(()) };
    let TuneRecord { data, settings, timings, .. } = record;
    let lost = data.cut_examples + data.dropped_examples;
    if lost > 0 {
        note(format_args!(
            "{} examples were longer than {} tokens and lost their end; of {} nothing was left to learn",
            data.cut_examples, settings.context, data.dropped_examples
        ));
    }
    if arguments.json {
        return say(json!({
            "run": folder.path(),
            "model": settings.base,
            "data": data.name,
            "adapters": settings.adapters.is_some(),
            "parameters": results.parameters,
            "examples": data.train_examples,
            "validation_examples": data.validation_examples,
            "cut_examples": data.cut_examples,
            "dropped_examples": data.dropped_examples,
            "learnt_tokens": data.learnt_tokens,
            "seed": settings.seed,
            "steps": settings.steps,
            "chosen_step": results.chosen_step,
            "validation_loss": results.validation_loss,
            "sample": results.sample,
            "train_seconds": timings.train_seconds,
            "total_seconds": timings.total_seconds,
        }));
    }
    let loss = results.validation_loss.map_or("none".to_owned(), |loss| format!("{loss:.4} nats a token"));
    say(format_args!(
        "validation loss: {loss}, in {:.1} s\n\n{}",
        timings.total_seconds,
        results.sample.trim()
    ))?;
    let path = quoted(folder.path());
    let base = quoted(Path::new(&settings.base));
    let next = if settings.adapters.is_some() {
        format!("gyrus write {base} --adapter {path} \"PROMPT\"")
    } else {
        format!("gyrus write {path} \"PROMPT\"")
    };
    say(format_args!("\nNext:\n  {next}\n  open {}      curves and settings", quoted(&folder.report_path())))
}
