//! What a caption says to the model: the words of [`crate::captions`] as tokens, through a transformer like that of the picture.

use gyrus_formats::Checkpoint;

use super::layers::{Block, Norm};
use super::vision::{EPSILON, blocks};
use crate::{Result, captions};

const PREFIX: &str = "text_tokenizer.model";

pub(super) struct Text {
    /// `[words, width]`
    words: Vec<f32>,
    /// `[captions::LENGTH, width]`
    places: Vec<f32>,
    width: usize,
    blocks: Vec<Block>,
    norm: Norm,
}

impl Text {
    /// None where the checkpoint has no such part.
    pub(super) fn take(from: &mut Checkpoint, width: usize) -> Result<Option<Self>> {
        let name = format!("{PREFIX}.embeddings.word_embeddings");
        if !from.tensors().contains_key(&name) {
            return Ok(None);
        }
        let words = from.take(&name, &[captions::words().len(), width])?.floats();
        let name = format!("{PREFIX}.embeddings.position_embeddings");
        let places = from.take(&name, &[captions::LENGTH, width])?.floats();
        let blocks = blocks(from, PREFIX, width)?;
        let norm = Norm::take(from, &format!("{PREFIX}.layernorm"), width, EPSILON)?;
        Ok(Some(Self { words, places, width, blocks, norm }))
    }

    /// `[captions::LENGTH, width]`
    pub(super) fn tokens(&self, words: &[u32]) -> Vec<f32> {
        let mut x = self.places.clone();
        for (x, word) in x.chunks_exact_mut(self.width).zip(words) {
            let word = &self.words[*word as usize * self.width..][..self.width];
            x.iter_mut().zip(word).for_each(|(x, word)| *x += word);
        }
        for block in &self.blocks {
            block.run(&mut x, &[]);
        }
        self.norm.of(&x)
    }
}
