//! A language model learns from a corpus: from text to a run folder that Hugging Face's `transformers` opens.

mod defaults;
mod page;

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_language_train::{Corpus, TextData, TextRecord, TextSettings, TokenizerKind, learn_text};
use gyrus_tensor::{device, with_threads};
use gyrus_train::{Begin, Existing, Outcome, RunFolder};
use serde::Serialize;

use super::serialized;
use super::watch::Watched;
use crate::observer::{Observer, Plan};
use crate::{Error, Result};
use defaults::{Defaults, usual_heads, usual_tokenizer};

/// Trains a language model on a corpus and writes a run folder.
///
/// Settings that are `None` are chosen by the size of the corpus.
#[derive(Clone, Debug)]
pub struct LearnLanguage {
    /// A .txt or .jsonl file, or a folder of .txt files.
    pub corpus: PathBuf,
    /// What a token is.
    pub tokenizer: Option<TokenizerKind>,
    /// Size of a byte-pair vocabulary.
    pub vocabulary: usize,
    /// Layers of the decoder.
    pub layers: Option<usize>,
    /// Elements of its residual stream.
    pub width: Option<usize>,
    /// Attention heads. Default: one for each 32 elements.
    pub heads: Option<usize>,
    /// Key and value heads (grouped-query attention). Default: as many as attention heads.
    pub key_value_heads: Option<usize>,
    /// Context length in tokens.
    pub context: usize,
    /// Training steps.
    pub steps: Option<u64>,
    /// Windows per gradient. Default: 4096 tokens of them.
    pub batch_size: Option<usize>,
    /// Gradients that are averaged for one step.
    pub accumulation: usize,
    /// Peak learning rate of the schedule.
    pub learning_rate: f64,
    /// Learning rate over the steps: one-cycle | cosine | wsd | constant.
    pub schedule: String,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Random seed.
    pub seed: u64,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
    /// `cpu`, or a device that the build has.
    pub device: String,
    /// The run folder. Default: runs/CORPUS.
    pub out: Option<PathBuf>,
    /// Replace the run that the folder already holds.
    pub overwrite: bool,
}

/// How well a language model learned.
#[derive(Clone, Debug, Serialize)]
pub struct LearnLanguageReport {
    /// The run folder.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// The corpus's name.
    pub data: String,
    /// Parameters of the model.
    pub parameters: u64,
    /// The random seed.
    pub seed: u64,
    /// Training steps.
    pub steps: u64,
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// Nats per token of text that it did not learn from.
    pub validation_loss: f64,
    /// Nats per character, which is comparable between vocabularies.
    pub validation_loss_per_character: f64,
    /// What the model writes.
    pub sample: String,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Seconds of everything.
    pub total_seconds: f64,
    /// Documents of the corpus.
    #[serde(skip)]
    pub documents: u64,
    /// The report page.
    #[serde(serialize_with = "serialized::path")]
    pub page: PathBuf,
}

/// A run that is about to train.
struct Prepared {
    corpus: Corpus,
    record: TextRecord,
    folder: RunFolder,
    begin: Begin<'static>,
}

impl LearnLanguage {
    /// Default device.
    pub const DEVICE: &str = "cpu";
    /// Default size of a byte-pair vocabulary.
    pub const VOCABULARY: u32 = 8192;
    /// Default context length.
    pub const CONTEXT: u32 = 128;
    /// Tokens per gradient, unless the caller chooses a batch size.
    const TOKENS: usize = 4096;

    /// From this corpus, with defaults for everything else.
    pub fn new(corpus: impl Into<PathBuf>) -> Self {
        Self {
            corpus: corpus.into(),
            tokenizer: None,
            vocabulary: Self::VOCABULARY as usize,
            layers: None,
            width: None,
            heads: None,
            key_value_heads: None,
            context: Self::CONTEXT as usize,
            steps: None,
            batch_size: None,
            accumulation: 1,
            learning_rate: 3e-3,
            schedule: "cosine".to_owned(),
            weight_decay: 0.1,
            seed: 0,
            threads: 0,
            device: Self::DEVICE.to_owned(),
            out: None,
            overwrite: false,
        }
    }

    /// Whether data of this name is a corpus.
    #[must_use]
    pub fn takes(data: &str) -> bool {
        let path = Path::new(data);
        Corpus::is_at(path) && !(path.is_dir() && holds_examples(path))
    }

    /// Writes the run to this folder.
    #[must_use]
    pub fn out(self, folder: impl Into<PathBuf>) -> Self {
        Self { out: Some(folder.into()), ..self }
    }

    /// This many training steps.
    #[must_use]
    pub fn steps(self, steps: u64) -> Self {
        Self { steps: Some(steps), ..self }
    }

    /// Trains, and measures the result on held-back text.
    ///
    /// # Errors
    /// If the corpus and the settings do not fit together; if the folder already holds a run; if training diverges; if the
    /// observer wants to stop, which leaves a run that [`crate::Resume`] continues.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<LearnLanguageReport> {
        device(&self.device)?;
        with_threads(self.threads, || {
            let start = Instant::now();
            self.prepare()?.train(start, observer)
        })?
    }

    /// Reads the corpus and sets up the run.
    fn prepare(&self) -> Result<Prepared> {
        let corpus = Corpus::read(&self.corpus)?;
        // The run may be resumed from elsewhere.
        let path = std::path::absolute(&self.corpus).unwrap_or_else(|_| self.corpus.clone());
        let usual = Defaults::of(&corpus);
        let width = self.width.unwrap_or(usual.width);
        let heads = self.heads.unwrap_or_else(|| usual_heads(width));
        let batch_size = self.batch_size.unwrap_or((Self::TOKENS / self.context.max(1)).max(1));
        let tokens = batch_size.saturating_mul(self.context);
        let steps = self.steps.unwrap_or_else(|| usual.steps(&corpus, tokens));
        let settings = TextSettings {
            seed: self.seed,
            tokenizer: self.tokenizer.unwrap_or_else(|| usual_tokenizer(&corpus)),
            vocabulary: self.vocabulary,
            layers: self.layers.unwrap_or(usual.layers),
            width,
            heads,
            key_value_heads: self.key_value_heads.unwrap_or(heads),
            // Two thirds of four times the width, as Llama has it, in whole cache lines.
            feed_forward: (width * 8).div_ceil(3).next_multiple_of(16),
            tied: true,
            context: self.context,
            batch_size,
            accumulation: self.accumulation,
            steps,
            evaluate_every: (steps / 10).max(1),
            learning_rate: self.learning_rate,
            schedule: self.schedule.clone(),
            weight_decay: self.weight_decay,
            beta2: 0.99,
            clip: 1.0,
            threads: self.threads,
            device: self.device.clone(),
        };
        corpus.check_length(settings.tokenizer, settings.context)?;
        let record = TextRecord::new(TextData::new(&corpus, &path), settings);
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs").join(&corpus.name));
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        let folder = RunFolder::create(&out, existing)?;
        folder.write_record(&record)?;
        Ok(Prepared { corpus, record, folder, begin: Begin::Fresh })
    }
}

/// Whether a folder holds examples of another kind: beside these, a text is a description and no corpus.
fn holds_examples(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let table = path.extension().is_some_and(|extension| extension == "csv" || extension == "h5");
        gyrus_data::image_files::is_image(&path)
            || gyrus_data::is_event_file(&path)
            || table
            || name.contains("-ubyte")
            || name.starts_with("data_batch_")
    })
}

/// Continues a run from its checkpoint, with the corpus that it began with.
pub(super) fn resume(
    run: &Path,
    directory: Option<&Path>,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<LearnLanguageReport> {
    with_threads(threads, || {
        let start = Instant::now();
        let (folder, record) = RunFolder::resume::<TextRecord>(run)?;
        let corpus = Corpus::read(directory.unwrap_or(Path::new(&record.data.path)))?;
        Prepared { corpus, record, folder, begin: Begin::Checkpoint }.train(start, observer)
    })?
}

impl Prepared {
    fn train(self, start: Instant, observer: &mut dyn Observer) -> Result<LearnLanguageReport> {
        let Self { corpus, record, folder, begin } = self;
        observer.plan(&Plan::Corpus {
            data: corpus.name.clone(),
            characters: record.data.characters,
            documents: record.data.documents,
            layers: record.settings.layers,
            width: record.settings.width,
            context: record.settings.context,
            steps: record.settings.steps,
        });
        let device = device(&record.settings.device)?;
        let outcome = learn_text(&corpus, record, &folder, &device, begin, &mut Watched::language(observer));
        observer.trained();
        match outcome? {
            Outcome::Interrupted { step, steps } => {
                Err(Error::interrupted("gyrus learn", folder.path(), (step, steps)))
            }
            Outcome::Finished(mut record) => {
                folder.finish(&mut record, start.elapsed(), page::page)?;
                report(record, &folder)
            }
        }
    }
}

fn report(record: TextRecord, folder: &RunFolder) -> Result<LearnLanguageReport> {
    let TextRecord { data, settings, results, timings, .. } = record;
    let results = results.ok_or_else(|| Error::failed("the training left no results"))?;
    Ok(LearnLanguageReport {
        run: folder.path().to_owned(),
        data: data.name,
        parameters: results.parameters,
        seed: settings.seed,
        steps: settings.steps,
        chosen_step: results.chosen_step,
        validation_loss: results.validation_loss,
        validation_loss_per_character: results.validation_loss_per_character,
        sample: results.sample,
        train_seconds: timings.train_seconds,
        total_seconds: timings.total_seconds,
        documents: data.documents,
        page: folder.report_path(),
    })
}
