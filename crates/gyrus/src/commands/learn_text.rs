//! `gyrus learn` on texts: from a corpus to a language model in a run folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use gyrus_language_train::{
    Corpus, TUNING_KIND, TextBegin, TextObserver, TextOutcome, TextProgress, TextRecord, TextSettings,
    TokenizerKind, learn_text,
};
use gyrus_report::{LanguageReport, grouped};
use gyrus_tensor::device;
use gyrus_train::{Existing, MetricsRow, RunFolder, RunStatus};
use serde_json::json;

use super::learn::{Arguments, quoted};
use super::page_data;
use crate::failure::Failure;
use crate::progress::Watcher;
use crate::say::{note, say};

/// Up to so many bytes a corpus is learnt character by character, where nothing else is said.
const CHARACTERS_UP_TO: usize = 4 << 20;
/// And up to so many different characters.
const DIFFERENT_CHARACTERS: usize = 512;

/// The shape of a language model.
#[derive(Args)]
#[command(next_help_heading = "Language models")]
pub(crate) struct TextArguments {
    /// characters | bytes (pairs of them) [default: by the size of the corpus]
    #[arg(long, value_parser = ["characters", "bytes"])]
    tokenizer: Option<String>,
    /// Tokens of a vocabulary of byte pairs
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(256..=1_000_000))]
    vocabulary: u32,
    /// Layers of the decoder [default: by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    layers: Option<u16>,
    /// Elements of its stream [default: by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=16_384))]
    width: Option<u16>,
    /// Heads of attention [default: one for each 32 elements]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    heads: Option<u16>,
    /// Heads that have keys and values of their own [default: all]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    key_value_heads: Option<u16>,
    /// Tokens that it sees at once
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    context: u32,
    /// Training steps [default: by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    train_steps: Option<u64>,
    /// Gradients that are averaged for one step
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    accumulate: u32,
}

/// Whether the caller asks for a language model: a corpus, or a run of one to go on with.
pub(super) fn is_asked(arguments: &Arguments) -> bool {
    match (&arguments.resume, &arguments.data) {
        (Some(run), _) => {
            let Ok(folder) = RunFolder::open_described(run) else { return false };
            folder.read_header().is_ok_and(|header| header.kind.is_some())
        }
        (None, Some(data)) => Corpus::is_at(Path::new(data)),
        (None, None) => false,
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let start = Instant::now();
    let (corpus, record, folder, begin) = match &arguments.resume {
        Some(path) => resume(path, arguments)?,
        None => prepare(arguments)?,
    };
    if !arguments.json {
        let _ = say(format_args!(
            "{}: {} characters in {} texts; {} layers of width {}, windows of {} tokens, {} steps",
            corpus.name,
            record.data.characters,
            record.data.documents,
            record.settings.layers,
            record.settings.width,
            record.settings.context,
            record.settings.steps,
        ));
    }
    let device = device(&record.settings.device)?;
    let mut watcher = Watcher::new();
    let outcome = learn_text(&corpus, record, &folder, &device, begin, &mut watcher);
    watcher.finish();
    match outcome? {
        TextOutcome::Interrupted { step, steps } => Err(Failure::Interrupted(format!(
            "stopped after step {step} of {steps}, everything is saved; go on with: gyrus learn --resume {}",
            quoted(folder.path())
        ))),
        TextOutcome::Finished(mut record) => {
            let parts = record.timings.data_seconds + record.timings.train_seconds;
            record.timings.total_seconds = parts.max(start.elapsed().as_secs_f64());
            folder.finish(&record, &report(&record, &folder.read_metrics()?))?;
            conclude(arguments, &record, &folder)
        }
    }
}

type Prepared = (Corpus, TextRecord, RunFolder, TextBegin);

/// Reads the corpus and sets up a new run.
fn prepare(arguments: &Arguments) -> Result<Prepared, Failure> {
    let path = PathBuf::from(arguments.data.as_deref().unwrap_or_default());
    let corpus = Corpus::read(&path)?;
    // The run may be resumed from elsewhere.
    let path = std::path::absolute(&path).unwrap_or(path);
    let text = &arguments.text;
    let tokenizer = match text.tokenizer.as_deref() {
        Some("characters") => TokenizerKind::Characters,
        Some(_) => TokenizerKind::BytePairs,
        None => usual_tokenizer(&corpus),
    };
    let usual = Usual::of(&corpus);
    let width = text.width.map_or(usual.width, usize::from);
    let heads = text.heads.map_or_else(|| usual_heads(width), usize::from);
    let context = text.context as usize;
    let batch_size = arguments.batch_size.map_or((4096 / context).max(1), |size| size as usize);
    let steps = text.train_steps.unwrap_or_else(|| usual.steps(&corpus, batch_size * context));
    let settings = TextSettings {
        seed: arguments.seed,
        tokenizer,
        vocabulary: text.vocabulary as usize,
        layers: text.layers.map_or(usual.layers, usize::from),
        width,
        heads,
        key_value_heads: text.key_value_heads.map_or(heads, usize::from),
        // Two thirds of four times the width, as Llama has it, in whole cache lines.
        feed_forward: (width * 8).div_ceil(3).next_multiple_of(16),
        tied: true,
        context,
        batch_size,
        accumulation: text.accumulate as usize,
        steps,
        judge_every: (steps / 10).max(1),
        learning_rate: arguments.learning_rate.unwrap_or(3e-3),
        schedule: arguments.schedule.clone().unwrap_or("cosine".into()),
        weight_decay: arguments.weight_decay.unwrap_or(0.1),
        beta2: 0.99,
        clip: 1.0,
        threads: arguments.threads,
        device: arguments.device.clone(),
    };
    let record = TextRecord::new(&corpus, &path, settings);
    let out = arguments.out.clone().unwrap_or_else(|| Path::new("runs").join(&corpus.name));
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    let folder = RunFolder::create(&out, existing)?;
    folder.write_json_record(&record)?;
    Ok((corpus, record, folder, TextBegin::Fresh))
}

/// Reads the corpus that a run began with, again.
fn resume(path: &Path, arguments: &Arguments) -> Result<Prepared, Failure> {
    let folder = RunFolder::open_described(path)?;
    if folder.read_header()?.kind.as_deref() == Some(TUNING_KIND) {
        return Err(Failure::Caller(format!(
            "the run in {0} tunes a model: go on with: gyrus tune --resume {0}",
            quoted(path)
        )));
    }
    let record: TextRecord = folder.read_json_record()?;
    if record.status == RunStatus::Finished {
        // One that was killed right before its end may have left it.
        folder.remove_checkpoint()?;
        return Err(Failure::Caller(format!("the run in {} is finished already", path.display())));
    }
    let place = arguments.directory.as_deref().unwrap_or(Path::new(&record.data.path));
    Ok((Corpus::read(place)?, record, folder, TextBegin::Checkpoint))
}

fn usual_tokenizer(corpus: &Corpus) -> TokenizerKind {
    if corpus.bytes() > CHARACTERS_UP_TO {
        return TokenizerKind::BytePairs;
    }
    let mut letters: Vec<char> = corpus.documents.iter().flat_map(|text| text.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    if letters.len() > DIFFERENT_CHARACTERS { TokenizerKind::BytePairs } else { TokenizerKind::Characters }
}

/// A model for a corpus of some size, which two cores train in minutes.
struct Usual {
    layers: usize,
    width: usize,
    fewest_steps: usize,
}

impl Usual {
    /// Up to so many bytes, such as a list of names, a small model learns as well and within a minute.
    const SMALL: usize = 512 << 10;

    fn of(corpus: &Corpus) -> Self {
        if corpus.bytes() <= Self::SMALL {
            Self { layers: 3, width: 96, fewest_steps: 800 }
        } else {
            Self { layers: 4, width: 160, fewest_steps: 500 }
        }
    }

    /// About six passes over a corpus, but neither too few nor more than 2,000.
    fn steps(&self, corpus: &Corpus, tokens: usize) -> u64 {
        (6 * corpus.bytes() / tokens.max(1)).clamp(self.fewest_steps, 2000) as u64
    }
}

/// One for each 32 elements, or fewer so that all are equally wide.
fn usual_heads(width: usize) -> usize {
    (1..=width / 32).rev().find(|heads| width.is_multiple_of(2 * heads)).unwrap_or(1)
}

impl TextObserver for Watcher {
    fn step(&mut self, progress: &TextProgress) {
        self.at(progress.step, progress.steps, || {
            format!("loss {:.3}, {:.0} tokens/s", progress.loss, progress.tokens_per_second)
        });
    }

    fn judged(&mut self, row: &MetricsRow, sample: &str) {
        self.validation = format!(", validation loss {:.4}", row.validation_loss);
        let lines: Vec<&str> = sample.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
        let text = lines.join(" / ");
        let shown: String = text.chars().filter(|letter| !letter.is_control()).take(100).collect();
        self.print(format_args!("step {}: validation loss {:.4}   {shown}", row.step, row.validation_loss));
    }

    fn wants_to_stop(&mut self) -> bool {
        self.is_stopped()
    }
}

fn report(record: &TextRecord, metrics: &[MetricsRow]) -> String {
    let TextRecord { data, settings, results, timings, .. } = record;
    let number = |value: f64| format!("{value:.4}");
    let result = results.as_ref();
    let headline = result.map_or("–".to_owned(), |results| number(results.validation_loss_per_character));
    let tokenizer = match settings.tokenizer {
        TokenizerKind::Characters => "characters".to_owned(),
        TokenizerKind::BytePairs => format!("{} byte pairs", settings.vocabulary),
    };
    LanguageReport {
        name: &data.name,
        created: &record.created,
        status: record.status.name(),
        headline: (headline, "validation loss, nats a character"),
        detail: result.map_or_else(String::new, |results| {
            let choices = results.validation_loss_per_character.exp();
            format!("on text that it did not learn from: as unsure as among {choices:.1} equally likely characters")
        }),
        facts: vec![
            ("nats a token", result.map_or_else(String::new, |r| number(r.validation_loss))),
            ("parameters", result.map_or_else(String::new, |r| grouped(u128::from(r.parameters)))),
            ("tokens to learn from", grouped(u128::from(data.train_tokens))),
            ("tokens held back to judge by", grouped(u128::from(data.validation_tokens))),
            ("training time", format!("{:.1} s", timings.train_seconds)),
            (
                "chosen step",
                result.map_or_else(String::new, |r| format!("{} of {}", r.chosen_step, settings.steps)),
            ),
        ],
        curve: page_data::curve(metrics, |row| row.step as f64),
        sample: result.map_or("", |results| &results.sample),
        settings: vec![
            ("corpus", data.path.clone()),
            ("SHA-256", data.fingerprint.clone()),
            ("tokens", tokenizer),
            ("layers, width, heads", format!("{}, {}, {}", settings.layers, settings.width, settings.heads)),
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

fn conclude(arguments: &Arguments, record: &TextRecord, folder: &RunFolder) -> Result<(), Failure> {
    let Some(results) = &record.results else { return Ok(()) };
    if arguments.json {
        return say(json!({
            "run": folder.path(),
            "data": record.data.name,
            "parameters": results.parameters,
            "seed": record.settings.seed,
            "steps": record.settings.steps,
            "chosen_step": results.chosen_step,
            "validation_loss": results.validation_loss,
            "validation_loss_per_character": results.validation_loss_per_character,
            "sample": results.sample,
            "train_seconds": record.timings.train_seconds,
            "total_seconds": record.timings.total_seconds,
        }));
    }
    say(format_args!(
        "validation loss: {:.4} nats a token, {:.4} a character, in {:.1} s\n\n{}",
        results.validation_loss,
        results.validation_loss_per_character,
        record.timings.total_seconds,
        results.sample.trim()
    ))?;
    let path = quoted(folder.path());
    say(format_args!(
        "\nNext:\n  gyrus write {path} \"PROMPT\"      goes on with a text\n  \
         gyrus see {path} \"TEXT\"          looks into it while it reads\n  open {}      curves and settings",
        quoted(&folder.report_path())
    ))?;
    if record.data.documents > 1 {
        note("the texts are separated by <|endoftext|>, which also begins each");
    }
    Ok(())
}
