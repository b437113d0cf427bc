//! What is asked of a model: how to choose tokens, what binds the text, and what ends it.

use super::{Constraint, Sampling};
use crate::{Error, Result};

/// What is asked of a model.
#[derive(Clone, Debug)]
pub struct Request {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens to write.
    pub maximum_tokens: usize,
    /// Texts that end the writing; they are not part of it.
    pub stop: Vec<String>,
    /// What the text is bound to.
    pub constraint: Option<Constraint>,
    /// Added to the logits of tokens.
    pub bias: Vec<(u32, f32)>,
    /// Marks that are part of the text, by their names; others are left out of it.
    pub marks: Vec<u32>,
    /// How many of the most probable tokens shall be told with each choice; none tells no choices.
    pub alternatives: Option<usize>,
}

impl Default for Request {
    /// 256 tokens drawn from the model's own probabilities.
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            maximum_tokens: 256,
            stop: Vec::new(),
            constraint: None,
            bias: Vec::new(),
            marks: Vec::new(),
            alternatives: None,
        }
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A token that ends texts.
    EndOfText,
    /// A text that the caller asked to stop at.
    Stop,
    /// A text that is complete by what it was bound to.
    Complete,
    /// As many tokens as were allowed.
    Length,
    /// The caller's wish.
    Interrupted,
}

impl Ending {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EndOfText => "end_of_text",
            Self::Stop => "stop",
            Self::Complete => "complete",
            Self::Length => "length",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Request {
    /// Fails for what cannot be meant.
    pub(crate) fn check(&self) -> Result<()> {
        self.sampling.check()?;
        if let Some(empty) = self.stop.iter().find(|stop| stop.is_empty()) {
            return Err(Error::request("stop text", format!("'{empty}'"), "at least one character"));
        }
        Ok(())
    }
}
