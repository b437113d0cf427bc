//! The key/value cache of a sequence, which the caller owns.
//!
//! `2 * layers * key_value_heads * head_width` floats for each token. A layer with a sliding window drops what no later token
//! attends to.

use crate::DecoderConfig;

/// Keys and values of one sequence. Begin each sequence with a new cache.
#[derive(Clone, Debug)]
pub struct Cache {
    layers: Vec<LayerCache>,
    positions: usize,
}

#[derive(Clone, Debug)]
struct LayerCache {
    /// `[positions, key_value_heads, head_width]`, from position `first` on.
    keys: Vec<f32>,
    values: Vec<f32>,
    first: usize,
    window: Option<usize>,
    /// Number of floats per position.
    row: usize,
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(config: &DecoderConfig) -> Self {
        let row = config.key_value_width();
        let layer = |window| LayerCache { keys: Vec::new(), values: Vec::new(), first: 0, window, row };
        Self { layers: config.layers.iter().map(|kind| layer(kind.window)).collect(), positions: 0 }
    }

    /// Number of tokens read.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Its memory in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let floats = |layer: &LayerCache| layer.keys.capacity() + layer.values.capacity();
        self.layers.iter().map(floats).sum::<usize>() * size_of::<f32>()
    }

    /// Drops all but the first `positions` tokens and returns whether that was possible: a layer with a sliding window may
    /// have dropped what they need. If not, nothing is changed.
    #[must_use]
    pub fn truncate(&mut self, positions: usize) -> bool {
        if positions >= self.positions {
            return true;
        }
        if !self.knows(positions) {
            return false;
        }
        for layer in &mut self.layers {
            let floats = (positions - layer.first) * layer.row;
            layer.keys.truncate(floats);
            layer.values.truncate(floats);
        }
        self.positions = positions;
        true
    }

    /// A cache of the first `positions` tokens, at most all of them, with no more memory than needed; `None` if
    /// [`Self::truncate`] would not be possible.
    #[must_use]
    pub fn head(&self, positions: usize) -> Option<Self> {
        let positions = positions.min(self.positions);
        if positions < self.positions && !self.knows(positions) {
            return None;
        }
        let of = |layer: &LayerCache| {
            let floats = (positions - layer.first) * layer.row;
            LayerCache {
                keys: layer.keys[..floats].to_vec(),
                values: layer.values[..floats].to_vec(),
                ..*layer
            }
        };
        Some(Self { layers: self.layers.iter().map(of).collect(), positions })
    }

    /// Whether every layer still has what tokens after the first `positions` attend to.
    fn knows(&self, positions: usize) -> bool {
        self.layers.iter().all(|layer| {
            layer.first == 0 || layer.window.is_some_and(|window| layer.first + window <= positions + 1)
        })
    }

    /// Adds keys and values of new tokens to a layer.
    pub(crate) fn append(&mut self, layer: usize, keys: &[f32], values: &[f32]) {
        let layer = &mut self.layers[layer];
        layer.keys.extend_from_slice(keys);
        layer.values.extend_from_slice(values);
    }

    /// A layer's keys and values.
    pub(crate) fn layer(&self, layer: usize) -> (&[f32], &[f32]) {
        (&self.layers[layer].keys, &self.layers[layer].values)
    }

    /// Counts tokens that every layer has received, and drops what no later token attends to.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.positions += tokens;
        for layer in &mut self.layers {
            let Some(window) = layer.window else { continue };
            let stored = self.positions - layer.first;
            // At twice the window, moving the rest to the front costs little per token.
            if stored > 2 * window {
                let dropped = stored - window;
                layer.keys.drain(..dropped * layer.row);
                layer.values.drain(..dropped * layer.row);
                layer.first += dropped;
            }
        }
    }
}
