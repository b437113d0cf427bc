//! A decoder: embedding, layers of attention and feed-forward blocks, and the head.
//!
//! See [`DecoderConfig`] for the equations. Each token costs two operations per weight, plus attention over the tokens that
//! it attends to. Weights stay as they are stored. Several sequences are advanced in one pass, so weights are read once for
//! all of them; between passes, a sequence's state is its [`Cache`].

mod cache;
mod forward;
mod load;

// An observed sequence must fit into one pass.
const _: () = assert!(crate::observation::LONGEST_OBSERVED <= forward::ROWS);

pub use cache::Cache;
use gyrus_formats::{Checkpoint, Tensor};

use crate::{Adapter, AdapterPart, DecoderConfig, Error, Observation, Result};

/// A model with its weights.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: DecoderConfig,
    embedding: Tensor,
    /// Factor of the embedding, rounded to the embedding's format.
    embedding_scale: f32,
    positions: Option<Tensor>,
    layers: Vec<DecoderLayer>,
    final_normalization: Normalizer,
    /// `None` if it shares the embedding's weights.
    head: Option<Tensor>,
}

#[derive(Clone, Debug)]
struct DecoderLayer {
    before_attention: Option<Normalizer>,
    query: Linear,
    key: Linear,
    value: Linear,
    query_normalization: Option<Vec<f32>>,
    key_normalization: Option<Vec<f32>>,
    attention_output: Linear,
    after_attention: Option<Normalizer>,
    before_feed_forward: Option<Normalizer>,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    after_feed_forward: Option<Normalizer>,
}

/// A normalization with its weights; LayerNorm has a bias.
#[derive(Clone, Debug)]
struct Normalizer {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// A linear layer with its bias and low-rank adapter, if any.
#[derive(Clone, Debug)]
struct Linear {
    weight: Tensor,
    bias: Option<Vec<f32>>,
    adapter: Option<AdapterPart>,
}

/// The next tokens of a sequence, and its state so far.
#[derive(Debug)]
pub struct Sequence<'a> {
    /// The tokens to read, at least one.
    pub tokens: &'a [u32],
    /// Keys and values of the tokens before.
    pub cache: &'a mut Cache,
    /// Whether to return logits after every token rather than only after the last.
    pub all_logits: bool,
}

impl Decoder {
    /// Builds the decoder from the tensors in `checkpoint`.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] for a tensor that is missing, unused, or of another shape than in the configuration.
    pub fn new(config: DecoderConfig, checkpoint: Checkpoint) -> Result<Self> {
        load::load(config, checkpoint, None)
    }

    /// The same with a low-rank adapter.
    ///
    /// # Errors
    /// As [`Self::new`], and [`gyrus_formats::Error::Tensor`] for an adapter that does not fit.
    pub fn with_adapter(config: DecoderConfig, checkpoint: Checkpoint, adapter: &Adapter) -> Result<Self> {
        load::load(config, checkpoint, Some(adapter))
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Reads the tokens of each sequence and returns the logits of what follows: `[rows, vocabulary]`, one row for each
    /// sequence, or for each of its tokens if `all_logits`, in the order of the sequences.
    ///
    /// # Errors
    /// [`Error::Request`] for a sequence without tokens, a token outside the vocabulary, or a sequence longer than the
    /// learned positions. Nothing has been read then.
    pub fn forward(&self, sequences: &mut [Sequence<'_>]) -> Result<Vec<f32>> {
        for sequence in &*sequences {
            self.check(sequence)?;
        }
        Ok(gyrus_kernels::keep_awake(|| self.run(sequences, None, None)))
    }

    /// Reads a sequence from its beginning like [`Self::forward`], and records the internal activations.
    ///
    /// # Errors
    /// As [`Self::forward`], and [`Error::Request`] for more tokens than can be observed.
    pub fn observe(&self, tokens: &[u32]) -> Result<Observation> {
        let DecoderConfig { layers, heads, width, .. } = &self.config;
        let mut observation = Observation::new(tokens.len(), layers.len(), *heads, *width)?;
        let mut cache = Cache::new(&self.config);
        let mut sequences = [Sequence { tokens, cache: &mut cache, all_logits: false }];
        self.check(&sequences[0])?;
        self.run(&mut sequences, None, Some(&mut observation));
        Ok(observation)
    }

    /// The logits, `[rows, vocabulary]`, of rows of the residual stream, `[rows, width]`, after final normalization and head.
    /// Applied to the residual stream after an earlier layer, this is the logit lens (nostalgebraist 2020).
    ///
    /// # Panics
    /// If `stream` is not a whole number of rows.
    #[must_use]
    pub fn lens(&self, stream: &[f32]) -> Vec<f32> {
        assert!(stream.len().is_multiple_of(self.config.width), "the residual stream is [rows, width]");
        let mut logits = Vec::new();
        self.append_logits(stream, None, &mut logits);
        logits
    }

    /// [`Self::forward`] for two kinds of sequences: the first `reading` are prompts being read, the others are being
    /// generated. A token then has the same bits whatever other sequences are present, and however its prompt is split into
    /// chunks.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn step(&self, sequences: &mut [Sequence<'_>], reading: usize) -> Result<Vec<f32>> {
        for sequence in &*sequences {
            self.check(sequence)?;
        }
        Ok(gyrus_kernels::keep_awake(|| self.run(sequences, Some(reading), None)))
    }

    fn check(&self, sequence: &Sequence<'_>) -> Result<()> {
        let vocabulary = self.config.vocabulary;
        if sequence.tokens.is_empty() {
            return Err(Error::request("tokens", "none", "at least one token to read"));
        }
        if let Some(token) = sequence.tokens.iter().find(|&&token| token as usize >= vocabulary) {
            let expected = format!("less than the vocabulary's {vocabulary}");
            return Err(Error::request("token", token.to_string(), expected));
        }
        let end = sequence.cache.positions() + sequence.tokens.len();
        if self.config.learned_positions && end > self.config.maximum_positions {
            let expected = format!("at most the {} positions of this model", self.config.maximum_positions);
            return Err(Error::request("length of the sequence", format!("{end} tokens"), expected));
        }
        Ok(())
    }
}
