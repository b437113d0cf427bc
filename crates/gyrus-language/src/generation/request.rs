//! A generation request: how to choose tokens, what constrains the text, and what ends it.

use super::{Constraint, Sampling};
use crate::{Error, Result};

/// A request to generate text.
#[derive(Clone, Debug)]
pub struct Request {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens to generate.
    pub maximum_tokens: usize,
    /// Strings that end the text; they are not part of it.
    pub stop: Vec<String>,
    /// Tokens that end the text, beside the model's end-of-text tokens: those with which a chat template ends a turn.
    pub end_tokens: Vec<u32>,
    /// The grammar that the text must follow.
    pub constraint: Option<Constraint>,
    /// A token that may come first whatever `constraint` says, and the grammar of what follows it.
    pub branch: Option<(u32, Constraint)>,
    /// Added to the logits of tokens.
    pub bias: Vec<(u32, f32)>,
    /// Special tokens that appear in the text by name; others are left out.
    pub special_tokens: Vec<u32>,
    /// How many of the most probable tokens to report with each choice; `None` reports no choices.
    pub alternatives: Option<usize>,
}

impl Default for Request {
    /// 256 tokens sampled from the model's probabilities.
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            maximum_tokens: 256,
            stop: Vec::new(),
            end_tokens: Vec::new(),
            constraint: None,
            branch: None,
            bias: Vec::new(),
            special_tokens: Vec::new(),
            alternatives: None,
        }
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An end-of-text token.
    EndOfText,
    /// A stop string.
    Stop,
    /// The text is complete by its constraint.
    Complete,
    /// The maximum number of tokens was reached.
    Length,
    /// The caller stopped it.
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
    /// Fails for an invalid request.
    pub(crate) fn check(&self) -> Result<()> {
        self.sampling.check()?;
        if let Some(empty) = self.stop.iter().find(|stop| stop.is_empty()) {
            return Err(Error::request("stop text", format!("'{empty}'"), "at least one character"));
        }
        Ok(())
    }
}
