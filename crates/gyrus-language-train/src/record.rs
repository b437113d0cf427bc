//! `run.json` of a language model that learns from a corpus: the corpus, the settings, the results.

use std::path::Path;

use gyrus_train::{Record, RunData};
use serde::{Deserialize, Serialize};

use crate::{Corpus, TokenizerKind};

/// The value of `kind` in the `run.json` of such a run.
pub const TEXT_RUN_KIND: &str = "language";

/// Everything about such a run but its weights and its vocabulary.
pub type TextRecord = Record<TextData, TextSettings, TextResults>;

/// The corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextData {
    /// The name of the file or folder.
    pub name: String,
    /// The file or folder; characters that are not Unicode are replaced.
    pub path: String,
    /// SHA-256 of the documents, in hexadecimal.
    pub fingerprint: String,
    /// Number of documents.
    pub documents: u64,
    /// Characters of all documents.
    pub characters: u64,
    /// Training tokens: the first 90 %.
    pub train_tokens: u64,
    /// Validation tokens: the last 10 %.
    pub validation_tokens: u64,
}

/// How the model is built and trained. Together with the corpus, these settings determine its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextSettings {
    /// Random seed.
    pub seed: u64,
    /// The kind of tokenizer.
    pub tokenizer: TokenizerKind,
    /// Requested vocabulary size of a byte-pair tokenizer.
    pub vocabulary: usize,
    /// Layers of the decoder.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub key_value_heads: usize,
    /// Inner width of the feed-forward layers.
    pub feed_forward: usize,
    /// Whether the output head shares the weights of the embedding.
    pub tied: bool,
    /// Tokens of a window.
    pub context: usize,
    /// Windows per batch.
    pub batch_size: usize,
    /// Batches per step, whose gradients are averaged.
    pub accumulation: usize,
    /// Steps of the whole training.
    pub steps: u64,
    /// Steps from one evaluation to the next.
    #[serde(alias = "judge_every")]
    pub evaluate_every: u64,
    /// The highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Name of the learning-rate schedule, as on the command line.
    pub schedule: String,
    /// Decoupled weight decay of matrices, per unit of learning rate.
    pub weight_decay: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// Gradient clipping: gradients with a larger norm are scaled down to this norm.
    pub clip: f64,
    /// Worker threads; they change the speed, never the result.
    pub threads: usize,
    /// The device: `cpu`, `cuda`, ...
    pub device: String,
}

/// The results of a run, with the weights of its best evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextResults {
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// Mean loss over all validation tokens, in nats per token.
    pub validation_loss: f64,
    /// The same in nats per character.
    pub validation_loss_per_character: f64,
    /// Number of trained parameters.
    pub parameters: u64,
    /// A sample of what the model writes without a prompt.
    pub sample: String,
}

impl RunData for TextData {
    const KIND: &'static str = TEXT_RUN_KIND;
    const EXPECTED: &'static str = "a language model that learns from a corpus";
    const FILES: &'static [&'static str] =
        &["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
}

impl TextData {
    /// The description of a corpus at `path`, with its tokens not counted yet.
    #[must_use]
    pub fn new(corpus: &Corpus, path: &Path) -> Self {
        Self {
            name: corpus.name.clone(),
            path: path.to_string_lossy().into_owned(),
            fingerprint: corpus.fingerprint.clone(),
            documents: corpus.documents.len() as u64,
            characters: corpus.characters() as u64,
            train_tokens: 0,
            validation_tokens: 0,
        }
    }
}
