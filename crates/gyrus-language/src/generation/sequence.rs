//! A sequence being generated: the choice of each token, the text that it adds, and what ends it. Used for a single text and
//! by the engine for many.

use super::{Constraint, Ending, Request};
use crate::tokenizer::TextStream;
use crate::{DecoderConfig, Result, Tokenizer};

/// A chosen token and the most probable alternatives, with the model's probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: u32,
    /// The natural logarithm of its probability.
    pub log_probability: f32,
    /// The most probable tokens with their log probabilities, the most probable first.
    pub alternatives: Vec<(u32, f32)>,
}

/// A sequence that is being generated.
#[derive(Debug)]
pub(crate) struct GeneratedSequence<'a> {
    config: &'a DecoderConfig,
    tokenizer: &'a Tokenizer,
    request: Request,
    /// The prompt and the generated tokens.
    tokens: Vec<u32>,
    /// Number of tokens in the prompt.
    prompt: usize,
    stream: TextStream<'a>,
    output: Output,
    ending: Option<Ending>,
}

impl<'a> GeneratedSequence<'a> {
    /// A sequence that continues `prompt`.
    pub(crate) fn new(
        config: &'a DecoderConfig,
        tokenizer: &'a Tokenizer,
        prompt: Vec<u32>,
        request: Request,
    ) -> Result<Self> {
        request.check()?;
        Ok(Self {
            config,
            tokenizer,
            stream: tokenizer.stream(&prompt),
            output: Output { stop: request.stop.clone(), ..Output::default() },
            ending: (request.maximum_tokens == 0).then_some(Ending::Length),
            prompt: prompt.len(),
            tokens: prompt,
            request,
        })
    }

    /// The prompt and the tokens generated so far.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Number of tokens in the prompt.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.prompt
    }

    /// Why the text ended, if it did.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Chooses the next token from its logits, which are modified. Returns the choice if the request asks for choices and
    /// the token is part of the text.
    pub(crate) fn step(&mut self, logits: &mut [f32]) -> Result<Option<Choice>> {
        let model_logits = self.request.alternatives.map(|_| logits.to_vec());
        for &(token, bias) in &self.request.bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        let step = self.tokens.len() - self.prompt;
        let first = self.request.branch.as_ref().map(|(token, _)| *token).filter(|_| step == 0);
        let branch = first.and_then(|token| Some((token, *logits.get(token as usize)?)));
        let (end_of_text, end_tokens) = (&self.config.end_of_text, &self.request.end_tokens);
        let ends = |token: u32| end_of_text.contains(&token) || end_tokens.contains(&token);
        if let Some(constraint) = &mut self.request.constraint {
            constraint.restrict(logits, ends)?;
        }
        if let Some((token, logit)) = branch {
            logits[token as usize] = logit;
        }
        let token = self.request.sampling.choose(logits, &self.tokens, step as u64)?;
        if ends(token) {
            self.end(Ending::EndOfText);
            return Ok(None);
        }
        self.tokens.push(token);
        match self.request.branch.take().filter(|(first, _)| step == 0 && *first == token) {
            Some((_, constraint)) => self.request.constraint = Some(constraint),
            None => {
                if let Some(constraint) = &mut self.request.constraint {
                    constraint.accept(token)?;
                }
            }
        }
        let new = if self.request.special_tokens.contains(&token) {
            self.stream.finish() + &self.tokenizer.text(token).unwrap_or_default()
        } else {
            self.stream.push(token)?
        };
        if self.output.push(&new) {
            self.end(Ending::Stop);
        } else if self.request.constraint.as_ref().is_some_and(Constraint::is_complete) {
            self.end(Ending::Complete);
        } else if step + 1 >= self.request.maximum_tokens {
            self.end(Ending::Length);
        }
        let count = self.request.alternatives.unwrap_or(0);
        Ok(model_logits.map(|logits| choice(token, &logits, count)))
    }

    /// Ends the text because the caller asked.
    pub(crate) fn interrupt(&mut self) {
        self.end(Ending::Interrupted);
    }

    /// The text that has not been returned yet and cannot be part of a stop string.
    pub(crate) fn fresh(&mut self) -> &str {
        self.output.fresh()
    }

    /// The text and its tokens, without the prompt.
    pub(crate) fn into_written(mut self) -> (String, Vec<u32>) {
        (self.output.text, self.tokens.split_off(self.prompt))
    }

    fn end(&mut self, mut ending: Ending) {
        if ending != Ending::Stop && ending != Ending::Interrupted {
            if self.output.push(&self.stream.finish()) {
                ending = Ending::Stop;
            }
            self.output.release();
        }
        self.ending = Some(ending);
    }
}

fn choice(token: u32, logits: &[f32], count: usize) -> Choice {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let logarithm = |logit: f32| (f64::from(logit - largest) - sum.ln()) as f32;
    let mut ranked: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let count = count.min(ranked.len());
    if count < ranked.len() {
        ranked.select_nth_unstable_by(count, better);
        ranked.truncate(count);
    }
    ranked.sort_unstable_by(better);
    Choice {
        token,
        log_probability: logits.get(token as usize).map_or(f32::NEG_INFINITY, |&logit| logarithm(logit)),
        alternatives: ranked.into_iter().map(|(token, logit)| (token, logarithm(logit))).collect(),
    }
}

/// Output text; what could be the beginning of a stop string is held back.
#[derive(Debug, Default)]
struct Output {
    text: String,
    /// Bytes that can be shown.
    free: usize,
    /// Bytes that have been shown.
    shown: usize,
    stop: Vec<String>,
}

impl Output {
    /// Adds text and returns whether it contains a stop string, before which the text ends.
    fn push(&mut self, new: &str) -> bool {
        self.text += new;
        let rest = &self.text[self.free..];
        if let Some(place) = self.stop.iter().filter_map(|stop| rest.find(stop)).min() {
            self.text.truncate(self.free + place);
            self.free = self.text.len();
            return true;
        }
        let held = |stop: &String| {
            let ends: Vec<usize> = stop.char_indices().map(|(index, _)| index).skip(1).collect();
            ends.into_iter().rev().find(|&end| rest.ends_with(&stop[..end])).unwrap_or(0)
        };
        let held = self.stop.iter().map(held).max().unwrap_or(0);
        self.free = self.text.len() - held;
        false
    }

    /// Releases what was held back.
    fn release(&mut self) {
        self.free = self.text.len();
    }

    /// The text that can be shown and has not been shown yet.
    fn fresh(&mut self) -> &str {
        let from = std::mem::replace(&mut self.shown, self.free);
        &self.text[from..self.free]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_become_a_stop_string_is_held_back() {
        let stop = vec!["\n\n".to_owned(), "END".to_owned()];
        let mut output = Output { stop: stop.clone(), ..Output::default() };
        let mut push = |text: &str| {
            let stopped = output.push(text);
            (output.fresh().to_owned(), stopped)
        };
        let expect = |text: &str, stopped| (text.to_owned(), stopped);
        assert_eq!(push("one\n"), expect("one", false));
        assert_eq!(push("two E"), expect("\ntwo ", false));
        assert_eq!(push("N"), expect("", false));
        assert_eq!(push("Ä"), expect("ENÄ", false));
        assert_eq!(push("xEN"), expect("x", false));
        assert_eq!(push("D and more\n\n"), expect("", true));
        assert_eq!(output.text, "one\ntwo ENÄx");
        let mut output = Output { stop, ..Output::default() };
        assert!(!output.push("E"));
        assert_eq!(output.fresh(), "");
        output.release();
        assert_eq!(output.fresh(), "E");
        assert_eq!(output.fresh(), "");
    }

    #[test]
    fn probabilities_of_a_choice_are_those_of_the_softmax() {
        let logits = [0.1f32, 0.4, 0.2, 0.3].map(f32::ln);
        let got = choice(2, &logits, 2);
        assert!((got.log_probability - 0.2f32.ln()).abs() < 1e-6);
        let tokens: Vec<u32> = got.alternatives.iter().map(|(token, _)| *token).collect();
        assert_eq!(tokens, [1, 3]);
        assert!((got.alternatives[0].1 - 0.4f32.ln()).abs() < 1e-6);
        assert_eq!(choice(0, &logits, 0).alternatives, []);
        assert_eq!(choice(0, &logits, 9).alternatives.len(), 4);
    }
}
