//! What a decoder keeps of a text that it has read: keys and values of every layer, which the caller owns.
//!
//! `2 * layers * key_value_heads * head_width` floats for each token. A layer with a sliding window forgets what no
//! later token can see.

use crate::DecoderConfig;

/// Keys and values of one text. Begin each text with a new one.
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
    /// Floats of one position.
    row: usize,
}

impl Cache {
    /// The cache of a text that has not begun.
    #[must_use]
    pub fn new(config: &DecoderConfig) -> Self {
        let row = config.key_value_width();
        let layer = |window| LayerCache { keys: Vec::new(), values: Vec::new(), first: 0, window, row };
        Self { layers: config.layers.iter().map(|kind| layer(kind.window)).collect(), positions: 0 }
    }

    /// Tokens that have been read.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Memory that it holds, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let floats = |layer: &LayerCache| layer.keys.capacity() + layer.values.capacity();
        self.layers.iter().map(floats).sum::<usize>() * size_of::<f32>()
    }

    /// Forgets all but the first `positions` tokens, and says whether it could: a layer with a sliding window may no
    /// longer know what they would need. Then nothing is changed.
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

    /// A cache of the first `positions` tokens, at most all, with no more memory than it needs; none where
    /// [`Self::truncate`] could not make it.
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

    /// Whether every layer still has what tokens after the first `positions` see.
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

    /// Counts tokens that every layer has been given, and forgets what no later token sees.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.positions += tokens;
        for layer in &mut self.layers {
            let Some(window) = layer.window else { continue };
            let stored = self.positions - layer.first;
            // Twice the window, so that moving the rest to the front costs little for each token.
            if stored > 2 * window {
                let gone = stored - window;
                layer.keys.drain(..gone * layer.row);
                layer.values.drain(..gone * layer.row);
                layer.first += gone;
            }
        }
    }
}
