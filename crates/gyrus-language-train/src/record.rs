//! `run.json` of a language model that learns from a corpus: the corpus, the settings, the results.

use std::path::Path;

use gyrus_train::{Record, RunData};
use serde::{Deserialize, Serialize};

use crate::{Corpus, TokenizerKind};

/// What `kind` says in the `run.json` of such a run.
pub const TEXT_RUN_KIND: &str = "language";

/// Everything about such a run but its weights and its vocabulary.
pub type TextRecord = Record<TextData, TextSettings, TextResults>;

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
    /// Steps from one evaluation to the next.
    #[serde(alias = "judge_every")]
    pub evaluate_every: u64,
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

impl RunData for TextData {
    const KIND: &'static str = TEXT_RUN_KIND;
    const EXPECTED: &'static str = "a language model that learns from a corpus";
    const FILES: &'static [&'static str] =
        &["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
}

impl TextData {
    /// Of a corpus that lies at `path`; its tokens are not counted yet.
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
