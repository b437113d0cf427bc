//! A decoder that reads and writes: embedding, layers of attention and feed-forward parts, and the head.
//!
//! See [`DecoderConfig`] for the equations. Each token costs two operations for each number of the weights, and
//! attention over what it sees. Weights stay as they are stored. Several texts are advanced in one pass, so that
//! weights are read once for all of them; what a text needs between passes is its [`Cache`].

mod cache;
mod forward;
mod load;

// What is observed goes through in one pass.
const _: () = assert!(crate::observation::LONGEST_OBSERVED <= forward::ROWS);

pub use cache::Cache;
use gyrus_formats::{Checkpoint, Tensor};

use crate::{Adapter, AdapterPart, DecoderConfig, Error, Observation, Result};

/// A model with its weights.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: DecoderConfig,
    embedding: Tensor,
    /// Factor of the embedding, rounded as its numbers are.
    embedding_scale: f32,
    positions: Option<Tensor>,
    layers: Vec<DecoderLayer>,
    final_normalization: Normalizer,
    /// None where it is the embedding.
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

/// A normalization with its numbers; the bias is LayerNorm's.
#[derive(Clone, Debug)]
struct Normalizer {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// A product with its bias, and a low-rank adapter where it has one.
#[derive(Clone, Debug)]
struct Linear {
    weight: Tensor,
    bias: Option<Vec<f32>>,
    adapter: Option<AdapterPart>,
}

/// The next tokens of one text, and what it has been so far.
#[derive(Debug)]
pub struct Sequence<'a> {
    /// The tokens to read, at least one.
    pub tokens: &'a [u32],
    /// The cache of the tokens before.
    pub cache: &'a mut Cache,
    /// Whether logits are wanted after every token rather than after the last.
    pub all_logits: bool,
}

impl Decoder {
    /// The decoder that `checkpoint` holds.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] for a tensor that is missing, left over, or of another shape than the configuration says.
    pub fn new(config: DecoderConfig, checkpoint: Checkpoint) -> Result<Self> {
        load::load(config, checkpoint, None)
    }

    /// The same with what a low-rank adapter adds to its products.
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

    /// Reads the tokens of each text, and returns the logits of what follows: `[rows, vocabulary]`, a row for each
    /// text, or for each of its tokens where it wants all, in the order of the texts.
    ///
    /// # Errors
    /// [`Error::Request`] for a text without tokens, a token outside the vocabulary, or a text longer than the
    /// learned positions. Then nothing was read.
    pub fn forward(&self, sequences: &mut [Sequence<'_>]) -> Result<Vec<f32>> {
        for sequence in &*sequences {
            self.check(sequence)?;
        }
        Ok(gyrus_kernels::keep_awake(|| self.run(sequences, None, None)))
    }

    /// Reads a text from its begin as [`Self::forward`] does, and keeps what happens inside.
    ///
    /// # Errors
    /// As [`Self::forward`], and [`Error::Request`] for more tokens than can be looked at together.
    pub fn observe(&self, tokens: &[u32]) -> Result<Observation> {
        let DecoderConfig { layers, heads, width, .. } = &self.config;
        let mut observation = Observation::new(tokens.len(), layers.len(), *heads, *width)?;
        let mut cache = Cache::new(&self.config);
        let mut sequences = [Sequence { tokens, cache: &mut cache, all_logits: false }];
        self.check(&sequences[0])?;
        self.run(&mut sequences, None, Some(&mut observation));
        Ok(observation)
    }

    /// The logits, `[rows, vocabulary]`, that rows of the stream, `[rows, width]`, would become after the last layer: final
    /// normalization and head. On the stream after an earlier layer this is the logit lens (nostalgebraist 2020).
    ///
    /// # Panics
    /// If `stream` is no whole number of rows.
    #[must_use]
    pub fn lens(&self, stream: &[f32]) -> Vec<f32> {
        assert!(stream.len().is_multiple_of(self.config.width), "the stream is [rows, width]");
        let mut logits = Vec::new();
        self.append_logits(stream, None, &mut logits);
        logits
    }

    /// [`Self::forward`] with texts of two kinds, the first `reading` of which are read and the others written: a token then
    /// has the same bits alone as among any others, and in whatever stretches its text is read.
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
            return Err(Error::request("length of the text", format!("{end} tokens"), expected));
        }
        Ok(())
    }
}
