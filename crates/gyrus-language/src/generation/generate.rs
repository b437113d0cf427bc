//! Writing: one token after the other, until a token or a text ends it.

use std::time::{Duration, Instant};

use super::{Ending, Request, Writing};
use crate::{Cache, Decoder, Result, Sequence, Tokenizer};

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
