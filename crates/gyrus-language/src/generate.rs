//! Writing: one token after the other, until a token or a text ends it.

use std::time::{Duration, Instant};

use crate::sampling::Sampling;
use crate::{Cache, Constraint, Decoder, Error, Result, Sequence, Tokenizer};

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
/// [`Error::Request`] for a prompt without tokens, or what [`Decoder::forward`] refuses.
pub fn generate(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    cache: &mut Cache,
    prompt: &[u32],
    request: &Request,
    mut show: impl FnMut(&str) -> bool,
) -> Result<Written> {
    request.sampling.check()?;
    if let Some(empty) = request.stop.iter().find(|stop| stop.is_empty()) {
        return Err(Error::request("stop text", format!("'{empty}'"), "at least one character"));
    }
    let clock = Instant::now();
    let mut logits =
        decoder.forward(&mut [Sequence { tokens: prompt, cache: &mut *cache, all_logits: false }])?;
    let reading = clock.elapsed();
    let clock = Instant::now();
    let mut all = prompt.to_vec();
    let mut stream = tokenizer.stream(prompt);
    let mut output = Output { text: String::new(), shown: 0, stop: &request.stop };
    let mut constraint = request.constraint.clone();
    let mut ending = Ending::Length;
    for step in 0..request.maximum_tokens {
        if let Some(constraint) = &mut constraint {
            constraint.restrict(&mut logits)?;
        }
        let token = request.sampling.choose(&mut logits, &all, step as u64)?;
        if decoder.config().end_of_text.contains(&token) {
            ending = Ending::EndOfText;
            break;
        }
        all.push(token);
        if let Some(constraint) = &mut constraint {
            constraint.accept(token)?;
        }
        let (text, stopped) = output.push(&stream.push(token)?);
        let goes_on = text.is_empty() || show(text);
        if stopped {
            ending = Ending::Stop;
            break;
        }
        if !goes_on {
            ending = Ending::Interrupted;
            break;
        }
        if constraint.as_ref().is_some_and(Constraint::is_complete) {
            ending = Ending::Complete;
            break;
        }
        if step + 1 < request.maximum_tokens {
            let tokens = &[token];
            logits = decoder.forward(&mut [Sequence { tokens, cache: &mut *cache, all_logits: false }])?;
        }
    }
    if ending != Ending::Stop && ending != Ending::Interrupted {
        let (_, stopped) = output.push(&stream.finish());
        if stopped {
            ending = Ending::Stop;
        }
        show(output.rest());
    }
    Ok(Written {
        text: output.text,
        tokens: all.split_off(prompt.len()),
        prompt_tokens: prompt.len(),
        ending,
        reading,
        writing: clock.elapsed(),
    })
}

/// Text on its way out: what could be the begin of a stop text is held back.
struct Output<'a> {
    text: String,
    /// Bytes that were shown.
    shown: usize,
    stop: &'a [String],
}

impl Output<'_> {
    /// The text that can be shown now, and whether a stop text was met, before which all ends.
    fn push(&mut self, new: &str) -> (&str, bool) {
        self.text += new;
        let from = self.shown;
        let rest = &self.text[from..];
        if let Some(place) = self.stop.iter().filter_map(|stop| rest.find(stop)).min() {
            self.text.truncate(from + place);
            self.shown = self.text.len();
            return (&self.text[from..], true);
        }
        let held = |stop: &String| {
            let ends: Vec<usize> = stop.char_indices().map(|(index, _)| index).skip(1).collect();
            ends.into_iter().rev().find(|&end| rest.ends_with(&stop[..end])).unwrap_or(0)
        };
        let held = self.stop.iter().map(held).max().unwrap_or(0);
        self.shown = self.text.len() - held;
        (&self.text[from..self.shown], false)
    }

    /// What was held back and was no stop text after all.
    fn rest(&mut self) -> &str {
        let from = std::mem::replace(&mut self.shown, self.text.len());
        &self.text[from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_become_a_stop_text_is_held_back() {
        let stop = ["\n\n".to_owned(), "END".to_owned()];
        let mut output = Output { text: String::new(), shown: 0, stop: &stop };
        assert_eq!(output.push("one\n"), ("one", false));
        assert_eq!(output.push("two E"), ("\ntwo ", false));
        assert_eq!(output.push("N"), ("", false));
        assert_eq!(output.push("Ä"), ("ENÄ", false));
        assert_eq!(output.push("xEN"), ("x", false));
        assert_eq!(output.push("D and more\n\n"), ("", true));
        assert_eq!(output.text, "one\ntwo ENÄx");
        let mut output = Output { text: String::new(), shown: 0, stop: &stop };
        assert_eq!(output.push("E"), ("", false));
        assert_eq!(output.rest(), "E");
        assert_eq!(output.rest(), "");
    }
}
