//! Writing: one token after the other, until a token or a text ends it.

use std::time::{Duration, Instant};

use crate::sampling::Sampling;
use crate::writing::Writing;
use crate::{Cache, Constraint, Decoder, Result, Sequence, Tokenizer};

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

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The text, without the prompt.
    pub text: String,
    /// Its tokens, without one that ended it.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt that were read.
    pub prompt_tokens: usize,
    /// Why it ended.
    pub ending: Ending,
    /// How long reading the prompt took.
    pub reading: Duration,
    /// How long writing took, after the prompt was read.
    pub writing: Duration,
}

impl Written {
    /// Tokens written in a second, the first not counted: it comes with the prompt.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens.len().saturating_sub(1) as f64 / self.writing.as_secs_f64().max(1e-9)
    }
}

/// Reads `prompt` after what `cache` holds, and writes on. `show` is given the text as it comes, and says whether to go
/// on. Afterwards the cache holds the prompt and all written tokens but the last.
///
/// # Errors
/// [`Error::Request`](crate::Error::Request) for a prompt without tokens, or what [`Decoder::step`] refuses.
pub fn generate(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    cache: &mut Cache,
    prompt: &[u32],
    request: &Request,
    mut show: impl FnMut(&str) -> bool,
) -> Result<Written> {
    let mut writing = Writing::new(decoder.config(), tokenizer, prompt.to_vec(), request.clone())?;
    let clock = Instant::now();
    let mut logits =
        decoder.step(&mut [Sequence { tokens: prompt, cache: &mut *cache, all_logits: false }], 1)?;
    let reading = clock.elapsed();
    let clock = Instant::now();
    let ending = loop {
        if let Some(ending) = writing.ending() {
            break ending;
        }
        writing.step(&mut logits)?;
        let text = writing.fresh();
        let goes_on = text.is_empty() || show(text);
        if writing.ending().is_none() {
            if goes_on {
                let tokens = &writing.tokens()[writing.tokens().len() - 1..];
                logits =
                    decoder.step(&mut [Sequence { tokens, cache: &mut *cache, all_logits: false }], 0)?;
            } else {
                writing.interrupt();
            }
        }
    };
    let (text, tokens) = writing.into_written();
    Ok(Written { text, tokens, prompt_tokens: prompt.len(), ending, reading, writing: clock.elapsed() })
}
