//! Generating one text with one decoder.

use std::time::{Duration, Instant};

use super::{Ending, GeneratedSequence, Request};
use crate::{Cache, Decoder, Error, Result, Sequence, Tokenizer};

/// A generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The text, without the prompt.
    pub text: String,
    /// Its tokens, without an end-of-text token.
    pub tokens: Vec<u32>,
    /// Number of tokens in the prompt.
    pub prompt_tokens: usize,
    /// Why it ended.
    pub ending: Ending,
    /// Time spent reading the prompt.
    pub reading: Duration,
    /// Time spent generating, after the prompt was read.
    pub writing: Duration,
}

impl Written {
    /// Tokens per second, not counting the first, which comes with the prompt.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens.len().saturating_sub(1) as f64 / self.writing.as_secs_f64().max(1e-9)
    }
}

/// Reads `prompt` after the tokens in `cache` and generates a continuation. `show` receives the text as it is generated and
/// returns whether to go on. Afterwards the cache holds the prompt and all generated tokens but the last. The text ends where
/// the model's positions do.
///
/// # Errors
/// [`Error::Request`] for a prompt without tokens or with more than the model has positions, or an invalid request, and as
/// [`Decoder::step`].
pub fn generate(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    cache: &mut Cache,
    prompt: &[u32],
    request: &Request,
    mut show: impl FnMut(&str) -> bool,
) -> Result<Written> {
    let (end, positions) = (cache.positions() + prompt.len(), decoder.config().maximum_positions);
    if end > positions {
        let expected = format!("at most the {positions} positions of this model");
        return Err(Error::request("length of the text", format!("{end} tokens"), expected));
    }
    // The last token is not read.
    let maximum_tokens = request.maximum_tokens.min(positions - end + 1);
    let request = Request { maximum_tokens, ..request.clone() };
    let mut sequence = GeneratedSequence::new(decoder.config(), tokenizer, prompt.to_vec(), request)?;
    let clock = Instant::now();
    let mut logits =
        decoder.step(&mut [Sequence { tokens: prompt, cache: &mut *cache, all_logits: false }], 1)?;
    let reading = clock.elapsed();
    let clock = Instant::now();
    let ending = loop {
        if let Some(ending) = sequence.ending() {
            break ending;
        }
        sequence.step(&mut logits)?;
        let text = sequence.fresh();
        let goes_on = text.is_empty() || show(text);
        if sequence.ending().is_none() {
            if goes_on {
                let tokens = &sequence.tokens()[sequence.tokens().len() - 1..];
                logits =
                    decoder.step(&mut [Sequence { tokens, cache: &mut *cache, all_logits: false }], 0)?;
            } else {
                sequence.interrupt();
            }
        }
    };
    let (text, tokens) = sequence.into_written();
    Ok(Written { text, tokens, prompt_tokens: prompt.len(), ending, reading, writing: clock.elapsed() })
}
