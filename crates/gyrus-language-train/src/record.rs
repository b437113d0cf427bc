//! `run.json` of a run that learnt a language model: what from, how, and what came of it.

use std::time::SystemTime;

use gyrus_train::{RUN_FORMAT_VERSION, RunStatus};
use serde::{Deserialize, Serialize};

use crate::{Corpus, TokenizerKind};

/// What `kind` says in the `run.json` of such a run.
pub const TEXT_RUN_KIND: &str = "language";

/// Everything about a run but its weights and its vocabulary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextRecord {
    /// The version of the format, that of all runs.
    pub format_version: u32,
    /// The version of Gyrus that wrote it.
    pub gyrus_version: String,
    /// [`TEXT_RUN_KIND`].
    pub kind: String,
    /// When the run began: RFC 3339, UTC.
    pub created: String,
    /// How far it came.
    pub status: RunStatus,
    /// What was learnt from.
    pub data: TextData,
    /// How it was learnt.
    pub settings: TextSettings,
    /// What came of it; absent until the run is finished.
    pub results: Option<TextResults>,
    /// Where the time went.
    pub timings: TextTimings,
}

/// Where the texts came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextData {
    /// The name of the file or folder.
    pub name: String,
    /// The file or folder; characters that are not Unicode are replaced.
    pub path: String,
    /// SHA-256 over the texts, in hexadecimal.
    pub fingerprint: String,
    /// Texts.
    pub documents: u64,
    /// Characters of all texts.
    pub characters: u64,
    /// Tokens that were learnt from: the first nine tenths.
    pub train_tokens: u64,
    /// Tokens that the model was judged by: the last tenth.
    pub validation_tokens: u64,
}

/// How a run was learnt: with the corpus, all that its weights depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextSettings {
    /// Where all random numbers come from.
    pub seed: u64,
    /// What a token is.
    pub tokenizer: TokenizerKind,
    /// Byte pairs that were asked for.
    pub vocabulary: usize,
    /// Layers of the decoder.
    pub layers: usize,
    /// Elements of its stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub key_value_heads: usize,
    /// Elements between the halves of the feed-forward part.
    pub feed_forward: usize,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Tokens of a window.
    pub context: usize,
    /// Windows of one gradient.
    pub batch_size: usize,
    /// Gradients of one step, averaged.
    pub accumulation: usize,
    /// Steps of the whole training.
    pub steps: u64,
    /// Steps from one judgement to the next.
    pub judge_every: u64,
    /// The highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Name of the learning-rate schedule, as on the command line.
    pub schedule: String,
    /// Decoupled weight decay, per unit of learning rate; of matrices only.
    pub weight_decay: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// The largest norm of the gradients; larger ones are scaled down to it.
    pub clip: f64,
    /// Worker threads; they change the speed, never the result.
    pub threads: usize,
    /// Where it was computed: `cpu`, `cuda`, ...
    pub device: String,
}

/// What came of a run, with the weights of its best judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextResults {
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// Mean loss over all validation tokens, in nats a token.
    pub validation_loss: f64,
    /// The same for each character of their text.
    pub validation_loss_per_character: f64,
    /// Numbers that were trained.
    pub parameters: u64,
    /// What the model writes of itself.
    pub sample: String,
}

/// Seconds spent, over all parts of a resumed run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextTimings {
    /// Reading the texts and finding the vocabulary.
    pub data_seconds: f64,
    /// Training steps, judgements and samples.
    pub train_seconds: f64,
    /// From start to finish.
    pub total_seconds: f64,
}

impl TextRecord {
    /// The record of a run that begins now.
    #[must_use]
    pub fn new(corpus: &Corpus, path: &std::path::Path, settings: TextSettings) -> Self {
        Self {
            format_version: RUN_FORMAT_VERSION,
            gyrus_version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: TEXT_RUN_KIND.to_owned(),
            created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            status: RunStatus::Running,
            data: TextData {
                name: corpus.name.clone(),
                path: path.to_string_lossy().into_owned(),
                fingerprint: corpus.fingerprint.clone(),
                documents: corpus.documents.len() as u64,
                characters: corpus.characters() as u64,
                train_tokens: 0,
                validation_tokens: 0,
            },
            settings,
            results: None,
            timings: TextTimings::default(),
        }
    }
}
