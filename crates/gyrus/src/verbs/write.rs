//! A language model continues a text.

use std::path::PathBuf;

use gyrus_language::{Cache, Ending, Model, Request, Sampling, Written, generate};
use gyrus_tensor::with_threads;
use serde::{Serialize, Serializer};

use super::model::open_model;
use super::serialized;
use crate::{Error, Result};

/// The largest file with a JSON schema.
const MAXIMUM_SCHEMA_BYTES: u64 = 1 << 26;

/// Lets a language model continue a text.
#[derive(Clone, Debug)]
pub struct Write {
    /// A folder or file, or a Hugging Face id.
    pub model: PathBuf,
    /// The text to continue; an empty one lets the model begin.
    pub prompt: String,
    /// A folder with a low-rank adapter of the model.
    pub adapter: Option<PathBuf>,
    /// How tokens are chosen, and when to stop.
    pub generation: Generation,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// How tokens are chosen, and when to stop. What is `None` is as the model's makers recommend.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Sampling temperature: 0 picks the most likely token, 1 samples from the model's own probabilities.
    pub temperature: Option<f32>,
    /// Sample from this many of the most likely tokens; 0 for all.
    pub top_k: Option<usize>,
    /// Sample from the smallest set of tokens whose probabilities sum to this.
    pub top_p: Option<f32>,
    /// Sample from tokens that are at least this share as likely as the most likely one.
    pub min_p: Option<f32>,
    /// Make tokens that already occur less likely; 1 for no penalty.
    pub repetition_penalty: Option<f32>,
    /// Maximum number of tokens to write.
    pub max_tokens: usize,
    /// Stop before one of these texts.
    pub stop: Vec<String>,
    /// Constrain the output to the JSON schema in this file.
    pub json_schema: Option<PathBuf>,
    /// Random seed.
    pub seed: u64,
}

impl Generation {
    /// Default maximum number of tokens.
    pub const MAX_TOKENS: usize = 256;

    /// The request for a model.
    ///
    /// # Errors
    /// If the schema cannot be read or used.
    pub fn request(&self, model: &Model) -> Result<Request> {
        let recommended = model.recommended;
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(recommended.temperature),
            top_k: self.top_k.unwrap_or(recommended.top_k),
            top_p: self.top_p.unwrap_or(recommended.top_p),
            min_p: self.min_p.unwrap_or(recommended.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(recommended.repetition_penalty),
            seed: self.seed,
            ..recommended
        };
        let constraint = match &self.json_schema {
            None => None,
            Some(path) => {
                let caller = |error: &dyn std::fmt::Display| {
                    Error::Request(format!("cannot read a JSON schema from {}: {error}", path.display()))
                };
                let text = gyrus_files::read_text(path, MAXIMUM_SCHEMA_BYTES)?;
                let schema = serde_json::from_str(&text).map_err(|error| caller(&error))?;
                Some(model.constraints()?.json_schema(&schema)?)
            }
        };
        let stop = self.stop.clone();
        Ok(Request { sampling, maximum_tokens: self.max_tokens, stop, constraint, ..Request::default() })
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            temperature: None,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: None,
            max_tokens: Self::MAX_TOKENS,
            stop: Vec::new(),
            json_schema: None,
            seed: 0,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct WriteReport {
    /// The model as it was asked for.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// The text that was continued.
    pub prompt: String,
    /// What the model wrote.
    pub text: String,
    /// Why it ended.
    #[serde(serialize_with = "ending_name")]
    pub ending: Ending,
    /// The random seed.
    pub seed: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were written.
    pub tokens: usize,
    /// How long it took to read the prompt.
    pub prompt_seconds: f64,
    /// How fast the text was written.
    pub tokens_per_second: f64,
    /// What a person should know about the model or the text.
    pub notes: Vec<String>,
}

fn ending_name<S: Serializer>(ending: &Ending, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(ending.name())
}

impl Write {
    /// With this model, from nothing, on all cores.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            prompt: String::new(),
            adapter: None,
            generation: Generation::default(),
            threads: 0,
        }
    }

    /// Continues this text.
    #[must_use]
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), ..self }
    }

    /// Writes at most this many tokens.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.generation.max_tokens = max_tokens;
        self
    }

    /// Writes.
    ///
    /// # Errors
    /// If there is no such model, or it cannot continue such a text.
    pub fn run(&self) -> Result<WriteReport> {
        self.run_streamed(|_| true)
    }

    /// Writes, and hands out each piece of text once it is certain, until `show` returns false.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_streamed(&self, show: impl FnMut(&str) -> bool + Send) -> Result<WriteReport> {
        with_threads(self.threads, || self.write(show))?
    }

    fn write(&self, show: impl FnMut(&str) -> bool) -> Result<WriteReport> {
        let model = open_model(&self.model, self.adapter.as_deref())?;
        let request = self.generation.request(&model)?;
        let tokens = model.tokenizer.encode(&self.prompt, true)?;
        if tokens.is_empty() {
            return Err(Error::Request(format!(
                "{} has no beginning-of-text token: give it a text to continue",
                self.model.display()
            )));
        }
        let mut cache = Cache::new(model.decoder.config());
        let written = generate(&model.decoder, &model.tokenizer, &mut cache, &tokens, &request, show)?;
        let mut notes = model.notes;
        let positions = model.decoder.config().maximum_positions;
        if written.ending == Ending::Length && written.tokens.len() < self.generation.max_tokens {
            notes.push(format!("the text ends with the model's context of {positions} tokens"));
        }
        Ok(self.report(written, request.sampling.seed, notes))
    }

    fn report(&self, written: Written, seed: u64, notes: Vec<String>) -> WriteReport {
        WriteReport {
            notes,
            model: self.model.clone(),
            prompt: self.prompt.clone(),
            ending: written.ending,
            seed,
            prompt_tokens: written.prompt_tokens,
            tokens: written.tokens.len(),
            prompt_seconds: written.reading.as_secs_f64(),
            tokens_per_second: written.tokens_per_second(),
            text: written.text,
        }
    }
}
