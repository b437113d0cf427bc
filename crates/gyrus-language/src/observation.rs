//! The internal activations of a network on one sequence: the residual stream after every layer and the attention maps of
//! every head.

use crate::{Error, Result};

/// The longest sequence that can be observed, in tokens: maps of longer ones are neither readable nor small.
pub const LONGEST_OBSERVED: usize = 512;
/// The most probabilities in all maps together: 128 MiB.
const MOST_CELLS: usize = 1 << 25;

/// The residual stream and attention maps of a network for each token of a sequence.
///
/// Memory: 4 bytes for each head and pair of tokens, at most 128 MiB, plus 4 bytes for each layer, token and element of the
/// residual stream, which is less than the weights.
#[derive(Clone, Debug)]
pub struct Observation {
    tokens: usize,
    layers: usize,
    heads: usize,
    width: usize,
    /// `[layers + 1, tokens, width]`
    streams: Vec<f32>,
    /// `[layers, heads, tokens, tokens]`
    maps: Vec<f32>,
}

impl Observation {
    /// An empty observation.
    ///
    /// # Errors
    /// [`Error::Request`] for no tokens, or more than a network of this size can be observed with.
    pub(crate) fn new(tokens: usize, layers: usize, heads: usize, width: usize) -> Result<Self> {
        let (all_heads, most) = (layers.saturating_mul(heads), Self::longest(layers, heads));
        if tokens == 0 {
            return Err(Error::request("text to inspect", "no token", "at least one"));
        }
        if tokens > most {
            let expected = format!("at most {most} for the maps of {all_heads} heads: give a shorter text");
            return Err(Error::request("tokens of the text to inspect", tokens.to_string(), expected));
        }
        Ok(Self { tokens, layers, heads, width, streams: Vec::new(), maps: Vec::new() })
    }

    /// The most tokens that a network with this many layers and heads can be observed with.
    pub(crate) fn longest(layers: usize, heads: usize) -> usize {
        let all_heads = layers.saturating_mul(heads).max(1);
        LONGEST_OBSERVED.min((MOST_CELLS / all_heads).isqrt())
    }

    /// Appends the residual stream before the first layer or after the next one.
    pub(crate) fn add_stream(&mut self, x: &[f32]) {
        debug_assert_eq!(x.len(), self.tokens * self.width, "the whole sequence in one pass");
        self.streams.extend_from_slice(x);
    }

    /// Appends a layer's attention maps, `[heads, tokens, tokens]`, computed by `fill`.
    pub(crate) fn add_maps(&mut self, fill: impl FnOnce(&mut [f32])) {
        let start = self.maps.len();
        self.maps.resize(start + self.heads * self.tokens * self.tokens, 0.0);
        fill(&mut self.maps[start..]);
    }

    /// Number of tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Number of heads in a layer.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// The residual stream, `[tokens, width]`, after this many layers; 0 is the embedding.
    ///
    /// # Panics
    /// If there are fewer layers.
    #[must_use]
    pub fn stream(&self, layers: usize) -> &[f32] {
        let length = self.tokens * self.width;
        &self.streams[layers * length..][..length]
    }

    /// The attention map of a head, `[tokens, tokens]`: each row sums to 1 over the tokens that the row's token attends to.
    /// Layers and heads count from 0.
    ///
    /// # Panics
    /// If there is no such layer or head.
    #[must_use]
    pub fn map(&self, layer: usize, head: usize) -> &[f32] {
        assert!(head < self.heads, "a layer has {} heads", self.heads);
        let length = self.tokens * self.tokens;
        &self.maps[(layer * self.heads + head) * length..][..length]
    }
}
