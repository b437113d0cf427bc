//! To look into a language model while it reads a text: what each head looks at, what the model expects at each place,
//! how sure it becomes from layer to layer, and which heads follow a known pattern.
//!
//! Cost for a decoder: a pass over the text, the head's product for each layer and token (the lens), and a pass over 101
//! tokens that measures induction.

mod patterns;
mod predictions;
mod texts;

pub use patterns::{HeadPattern, Pattern};
pub use predictions::{Candidate, LensCell, Place, Predictions};

use crate::{Model, Observation, Result, SentenceEncoder};
use texts::TokenTexts;

/// What was seen in a model while it read a text.
#[derive(Clone, Debug)]
pub struct Look {
    /// The text's tokens, with what the model's vocabulary puts around them.
    pub tokens: Vec<u32>,
    /// How each is written, marks by their names.
    pub texts: Vec<String>,
    /// Which of them are no text: marks, and parts of a character.
    pub marks: Vec<bool>,
    /// The stream and what each head looks at.
    pub observation: Observation,
    /// How well each head follows each pattern.
    pub patterns: Vec<HeadPattern>,
    /// What a decoder expects; an encoder expects nothing.
    pub predictions: Option<Predictions>,
}

impl Model {
    /// Looks into the decoder while it reads `text`. The `top` most probable tokens are kept for each place.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a text without tokens, with more than can be looked at together, or for logits that are
    /// not finite.
    pub fn look(&self, text: &str, top: usize) -> Result<Look> {
        let tokens = self.tokenizer.encode(text, true)?;
        let observation = self.decoder.observe(&tokens)?;
        let mut names = TokenTexts::new(&self.tokenizer);
        let texts = tokens.iter().map(|&token| names.text(token)).collect();
        let marks = tokens.iter().map(|&token| names.plain(token).is_none()).collect();
        let predictions = Predictions::new(&self.decoder, &observation, &tokens, top, &mut names)?;
        let induction = patterns::induction(&self.decoder, &tokens, &names)?;
        let patterns = induction.into_iter().chain(patterns::of_text(&observation, false)).collect();
        Ok(Look { tokens, texts, marks, observation, patterns, predictions: Some(predictions) })
    }
}

impl SentenceEncoder {
    /// Looks into the encoder while it reads `text`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a text that is longer than the encoder reads or can be looked at together.
    pub fn look(&self, text: &str) -> Result<Look> {
        let (tokens, texts, marks) = self.whole_text(text)?;
        let observation = self.encoder().observe(&tokens)?;
        let patterns = patterns::of_text(&observation, true);
        Ok(Look { tokens, texts, marks, observation, patterns, predictions: None })
    }
}
