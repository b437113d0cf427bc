//! Inspecting a language model on a text: attention maps of every head, predictions at every position, how they develop from
//! layer to layer, and which heads follow a known pattern.
//!
//! Cost for a decoder: one pass over the text, the head for each layer and token (the logit lens), and one pass over 101 tokens
//! that measures induction.

mod patterns;
mod predictions;
mod texts;

pub use patterns::{HeadPattern, Pattern};
pub use predictions::{Candidate, LensCell, Place, Predictions};

use crate::{Model, Observation, Result, SentenceEncoder};
use texts::TokenTexts;

/// The inspection of a model on one text.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The tokens of the text, including the special tokens that the vocabulary adds.
    pub tokens: Vec<u32>,
    /// The text of each token; special tokens by name.
    pub texts: Vec<String>,
    /// Which of them are not text: special tokens and parts of a character.
    pub special: Vec<bool>,
    /// The residual stream and the attention maps.
    pub observation: Observation,
    /// How well each head follows each pattern.
    pub patterns: Vec<HeadPattern>,
    /// The predictions of a decoder; `None` for an encoder.
    pub predictions: Option<Predictions>,
}

impl Model {
    /// Inspects the decoder on `text`, keeping the `top` most probable tokens at each position.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a text without tokens or with more than can be observed, or for logits that are not
    /// finite.
    pub fn inspect(&self, text: &str, top: usize) -> Result<Inspection> {
        let tokens = self.tokenizer.encode(text, true)?;
        let observation = self.decoder.observe(&tokens)?;
        let mut names = TokenTexts::new(&self.tokenizer);
        let texts = tokens.iter().map(|&token| names.text(token)).collect();
        let special = tokens.iter().map(|&token| names.plain(token).is_none()).collect();
        let predictions = Predictions::new(&self.decoder, &observation, &tokens, top, &mut names)?;
        let induction = patterns::induction(&self.decoder, &tokens, &names)?;
        let patterns = induction.into_iter().chain(patterns::of_text(&observation, false)).collect();
        Ok(Inspection { tokens, texts, special, observation, patterns, predictions: Some(predictions) })
    }
}

impl SentenceEncoder {
    /// Inspects the encoder on `text`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a text longer than the encoder reads or than can be observed.
    pub fn inspect(&self, text: &str) -> Result<Inspection> {
        let (tokens, texts, special) = self.whole_text(text)?;
        let observation = self.encoder().observe(&tokens)?;
        let patterns = patterns::of_text(&observation, true);
        Ok(Inspection { tokens, texts, special, observation, patterns, predictions: None })
    }
}
