//! A language model learns from examples, through an adapter or as a whole.

mod merge;
mod page;

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_language::{DEFAULT_TARGETS, Parts};
use gyrus_language_train::{AdapterSettings, Samples, TuneData, TuneRecord, TuneSettings, tune};
use gyrus_tensor::{device, with_threads};
use gyrus_train::{Begin, Existing, Outcome, RunFolder};
use serde::Serialize;

use super::model::resolve_model;
use super::serialized;
use super::watch::Watched;
use crate::observer::{Observer, Plan};
use crate::{Error, Result};

pub use merge::{Merge, MergeReport};

/// Fine-tunes a language model on examples: a low-rank adapter (LoRA) in PEFT's files, or all weights.
#[derive(Clone, Debug)]
pub struct Tune {
    /// A folder or file, or a Hugging Face id.
    pub model: PathBuf,
    /// A .jsonl or .json file of prompts and completions, conversations, instructions or texts.
    pub data: PathBuf,
    /// The folder that is written.
    pub out: PathBuf,
    /// The adapter that learns; `None` trains all weights.
    pub adapters: Option<LowRank>,
    /// Quantize the frozen weight matrices in memory: q8_0 | q4_0.
    pub base_format: Option<String>,
    /// Passes over the examples, unless `steps` is set. Default: [`Tune::EPOCHS`].
    pub epochs: Option<f64>,
    /// Training steps, instead of epochs.
    pub steps: Option<u64>,
    /// Peak learning rate of the schedule. Default: 2e-4, or 2e-5 if all weights learn.
    pub learning_rate: Option<f64>,
    /// Learning rate over the steps: one-cycle | cosine | wsd | constant.
    pub schedule: String,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Windows per gradient.
    pub batch_size: usize,
    /// Gradients that are averaged for one step.
    pub accumulation: usize,
    /// Tokens per window; several whole examples are packed into one. Default: 1024, or the model's context length.
    pub context: Option<usize>,
    /// Share of the examples held back for validation.
    pub validation: f64,
    /// How often the model is evaluated.
    pub evaluations: u64,
    /// Activation checkpointing: recompute layers in the backward pass, for less memory and more time.
    pub checkpoint_activations: bool,
    /// Random seed.
    pub seed: u64,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
    /// `cpu`, or a device that the build has.
    pub device: String,
    /// Replace the run that the folder already holds.
    pub overwrite: bool,
}

/// Low-rank adapters of weight matrices.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// Their rank.
    pub rank: usize,
    /// Their outputs are scaled by alpha / rank. Default: twice the rank.
    pub alpha: Option<f64>,
    /// Dropout on the adapters' inputs.
    pub dropout: f64,
    /// The matrices to adapt: q, k, v, o, gate, up, down, or ends of module names. Empty for all.
    pub targets: Vec<String>,
}

impl LowRank {
    /// Default rank.
    pub const RANK: u16 = 16;

    /// The names that are asked for, as modules are called.
    fn modules(&self) -> Vec<String> {
        if self.targets.is_empty() {
            return DEFAULT_TARGETS.map(str::to_owned).to_vec();
        }
        let full = |name: &String| match name.as_str() {
            "q" | "k" | "v" | "o" | "qkv" | "gate" | "up" | "down" | "gate_up" => format!("{name}_proj"),
            _ => name.clone(),
        };
        self.targets.iter().map(full).collect()
    }
}

impl Default for LowRank {
    fn default() -> Self {
        Self { rank: Self::RANK.into(), alpha: None, dropout: 0.0, targets: Vec::new() }
    }
}

/// How well the model was tuned.
#[derive(Clone, Debug, Serialize)]
pub struct TuneReport {
    /// The folder.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// The model that was tuned.
    pub model: String,
    /// The name of the examples.
    pub data: String,
    /// Whether adapters learned, instead of all weights.
    pub adapters: bool,
    /// Parameters that learned.
    pub parameters: u64,
    /// Training examples.
    pub examples: u64,
    /// Validation examples.
    pub validation_examples: u64,
    /// Examples that were longer than a window and were cut.
    pub cut_examples: u64,
    /// Examples of which nothing was left to learn.
    pub dropped_examples: u64,
    /// Tokens learned per epoch.
    #[serde(rename = "learnt_tokens")]
    pub learned_tokens: u64,
    /// The random seed.
    pub seed: u64,
    /// Training steps.
    pub steps: u64,
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// Nats per token of the held-back examples.
    pub validation_loss: Option<f64>,
    /// What the model writes.
    pub sample: String,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Seconds of everything.
    pub total_seconds: f64,
    /// Tokens per window.
    #[serde(skip)]
    pub context: usize,
    /// The report page.
    #[serde(serialize_with = "serialized::path")]
    pub page: PathBuf,
}

/// A run that is about to train.
struct Prepared {
    samples: Samples,
    record: TuneRecord,
    folder: RunFolder,
    begin: Begin<'static>,
}

impl Tune {
    /// Default device.
    pub const DEVICE: &str = "cpu";
    /// Default number of epochs.
    pub const EPOCHS: f64 = 3.0;
    /// Default schedule.
    pub const SCHEDULE: &str = "cosine";
    /// Default number of windows per gradient.
    pub const BATCH_SIZE: u32 = 4;
    /// Default share of the examples held back for validation.
    pub const VALIDATION: f64 = 0.1;
    /// Default number of evaluations.
    pub const EVALUATIONS: u32 = 5;

    /// This model on these examples, with adapters of all weight matrices; writes this folder.
    pub fn new(model: impl Into<PathBuf>, data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            data: data.into(),
            out: out.into(),
            adapters: Some(LowRank::default()),
            base_format: None,
            epochs: None,
            steps: None,
            learning_rate: None,
            schedule: Self::SCHEDULE.to_owned(),
            weight_decay: 0.0,
            batch_size: Self::BATCH_SIZE as usize,
            accumulation: 1,
            context: None,
            validation: Self::VALIDATION,
            evaluations: Self::EVALUATIONS.into(),
            checkpoint_activations: false,
            seed: 0,
            threads: 0,
            device: Self::DEVICE.to_owned(),
            overwrite: false,
        }
    }

    /// This many training steps, instead of epochs.
    #[must_use]
    pub fn steps(self, steps: u64) -> Self {
        Self { steps: Some(steps), ..self }
    }

    /// Trains, and writes the adapter or the whole model.
    ///
    /// # Errors
    /// If model, examples and settings do not fit together; if the folder already holds a run; if training diverges; if the
    /// observer wants to stop, which leaves a run that [`crate::Resume`] continues.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<TuneReport> {
        device(&self.device)?;
        with_threads(self.threads, || {
            let start = Instant::now();
            self.prepare()?.train(start, observer)
        })?
    }

    /// Reads the examples and sets up the run.
    fn prepare(&self) -> Result<Prepared> {
        let samples = Samples::read(&self.data)?;
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let place = absolute(&resolve_model(&self.model)?);
        let Parts { config, checkpoint, .. } = Parts::open(&place)?;
        let adapters = self.adapters.as_ref().map(|own| AdapterSettings {
            rank: own.rank,
            alpha: own.alpha.unwrap_or(2.0 * own.rank as f64),
            dropout: own.dropout,
            targets: own.modules(),
        });
        let base = if self.model.exists() { absolute(&self.model) } else { self.model.clone() };
        let usual_rate = if adapters.is_some() { 2e-4 } else { 2e-5 };
        let settings = TuneSettings {
            model: place.to_string_lossy().into_owned(),
            base: base.to_string_lossy().into_owned(),
            seed: self.seed,
            adapters,
            base_format: self.base_format.clone(),
            context: self.context.unwrap_or(config.maximum_positions.clamp(2, 1024)),
            batch_size: self.batch_size,
            accumulation: self.accumulation,
            epochs: self.steps.is_none().then(|| self.epochs.unwrap_or(Self::EPOCHS)),
            steps: self.steps.unwrap_or_default(),
            validation_share: self.validation,
            evaluations: self.evaluations,
            learning_rate: self.learning_rate.unwrap_or(usual_rate),
            schedule: self.schedule.clone(),
            weight_decay: self.weight_decay,
            beta2: 0.999,
            clip: 1.0,
            recompute: self.checkpoint_activations,
            threads: self.threads,
            device: self.device.clone(),
        };
        let record = TuneRecord::new(TuneData::new(&samples, &absolute(&self.data), &checkpoint), settings);
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        let folder = RunFolder::create(&self.out, existing)?;
        folder.write_record(&record)?;
        Ok(Prepared { samples, record, folder, begin: Begin::Fresh })
    }
}

/// Continues a run from its checkpoint, with the examples that it began with.
pub(super) fn resume(
    run: &Path,
    directory: Option<&Path>,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<TuneReport> {
    with_threads(threads, || {
        let start = Instant::now();
        let (folder, record) = RunFolder::resume::<TuneRecord>(run)?;
        let place = directory.unwrap_or(Path::new(&record.data.path));
        let samples = Samples::read(place)?;
        Prepared { samples, record, folder, begin: Begin::Checkpoint }.train(start, observer)
    })?
}

impl Prepared {
    fn train(self, start: Instant, observer: &mut dyn Observer) -> Result<TuneReport> {
        let Self { samples, record, folder, begin } = self;
        let parts = Parts::open(Path::new(&record.settings.model))?;
        observer.plan(&Plan::Tuning {
            data: samples.name.clone(),
            examples: samples.samples.len(),
            kind: samples.kind(),
            rank: record.settings.adapters.as_ref().map(|adapters| adapters.rank),
        });
        let device = device(&record.settings.device)?;
        let outcome =
            tune(parts, &samples, record, &folder, &device, begin, &mut Watched::language(observer));
        observer.trained();
        match outcome? {
            Outcome::Interrupted { step, steps } => {
                Err(Error::interrupted("gyrus tune", folder.path(), (step, steps)))
            }
            Outcome::Finished(mut record) => {
                folder.finish(&mut record, start.elapsed(), page::page)?;
                report(record, &folder)
            }
        }
    }
}

fn report(record: TuneRecord, folder: &RunFolder) -> Result<TuneReport> {
    let TuneRecord { data, settings, results, timings, .. } = record;
    let results = results.ok_or_else(|| Error::failed("the training left no results"))?;
    Ok(TuneReport {
        run: folder.path().to_owned(),
        model: settings.base,
        data: data.name,
        adapters: settings.adapters.is_some(),
        parameters: results.parameters,
        examples: data.train_examples,
        validation_examples: data.validation_examples,
        cut_examples: data.cut_examples,
        dropped_examples: data.dropped_examples,
        learned_tokens: data.learned_tokens,
        seed: settings.seed,
        steps: settings.steps,
        chosen_step: results.chosen_step,
        validation_loss: results.validation_loss,
        sample: results.sample,
        train_seconds: timings.train_seconds,
        total_seconds: timings.total_seconds,
        context: settings.context,
        page: folder.report_path(),
    })
}
