//! What happens inside a network while it reads a text: the stream after every layer and what every head looks at.

use crate::{Error, Result};

/// Tokens of a text that is looked into, at most: a picture of more can neither be read nor kept small.
pub const LONGEST_OBSERVED: usize = 512;
/// Probabilities of all maps together, at most: 128 MiB.
const MOST_CELLS: usize = 1 << 25;

/// The inside of a network for each token of a text.
///
/// Memory: 4 bytes for each head and pair of tokens, at most 128 MiB, and for each layer, token and element of the
/// stream, which is less than the weights take.
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
    /// One that is still empty.
    ///
    /// # Errors
    /// [`Error::Request`] for more tokens than such a network can be watched with.
    pub(crate) fn new(tokens: usize, layers: usize, heads: usize, width: usize) -> Result<Self> {
        let (all_heads, most) = (layers.saturating_mul(heads), Self::longest(layers, heads));
        if tokens == 0 {
            return Err(Error::request("text to look at", "no token", "at least one"));
        }
        if tokens > most {
            let expected = format!("at most {most} for the maps of {all_heads} heads: give a shorter text");
            return Err(Error::request("tokens of the text to look at", tokens.to_string(), expected));
        }
        Ok(Self { tokens, layers, heads, width, streams: Vec::new(), maps: Vec::new() })
    }

    /// Tokens that a network of so many layers and heads can be watched with.
    pub(crate) fn longest(layers: usize, heads: usize) -> usize {
        let all_heads = layers.saturating_mul(heads).max(1);
        LONGEST_OBSERVED.min((MOST_CELLS / all_heads).isqrt())
    }

    /// Appends the stream before the first or after the next layer.
    pub(crate) fn add_stream(&mut self, x: &[f32]) {
        debug_assert_eq!(x.len(), self.tokens * self.width, "the whole text in one pass");
        self.streams.extend_from_slice(x);
    }

    /// Appends a layer's maps, `[heads, tokens, tokens]`, which `fill` computes.
    pub(crate) fn add_maps(&mut self, fill: impl FnOnce(&mut [f32])) {
        let start = self.maps.len();
        self.maps.resize(start + self.heads * self.tokens * self.tokens, 0.0);
        fill(&mut self.maps[start..]);
    }

    /// Tokens of the text.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Layers of the network.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Heads of a layer.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// The stream, `[tokens, width]`, after so many layers: 0 is the embedding.
    ///
    /// # Panics
    /// If there are fewer layers.
    #[must_use]
    pub fn stream(&self, layers: usize) -> &[f32] {
        let length = self.tokens * self.width;
        &self.streams[layers * length..][..length]
    }

    /// What a head looks at, `[tokens, tokens]`: each row sums to 1 over the tokens that the row's token sees. Layers
    /// and heads count from 0.
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
