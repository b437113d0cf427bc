//! Constrained generation: at each step, only tokens are allowed that keep the text a prefix of JSON that matches a
//! schema.
//!
//! The `llguidance` library follows the schema with an Earley parser over the bytes of tokens. Its limits bound the memory
//! and time that a schema may take.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::tokenizer::bytes::bytes_of_tokens;
use crate::{DecoderConfig, Error, Result, Tokenizer};

/// A vocabulary prepared for constraints; build it once per model.
pub struct Constraints {
    factory: ParserFactory,
}

/// The state of one constrained text.
pub struct Constraint {
    matcher: Matcher,
}

impl Constraints {
    /// Prepares a model's vocabulary.
    ///
    /// # Errors
    /// [`Error::Request`] for a model without an end-of-text token, or if the bytes of the vocabulary's tokens are unknown.
    pub fn new(tokenizer: &Tokenizer, config: &DecoderConfig) -> Result<Self> {
        let end = config.end_of_text.iter().copied().find(|&end| Some(end) != config.beginning_of_text);
        let Some(end) = end.filter(|&end| (end as usize) < config.vocabulary) else {
            return Err(Error::request(
                "model",
                "no end-of-text token",
                "one, to end constrained texts with",
            ));
        };
        let mut words = bytes_of_tokens(tokenizer)?;
        words.resize(config.vocabulary, Vec::new());
        // The size was checked when the configuration was read.
        let info = TokRxInfo::new(u32::try_from(words.len()).unwrap_or(u32::MAX), end);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words)));
        let mut factory = ParserFactory::new_simple(&environment).map_err(|error| {
            Error::request("vocabulary", error.to_string(), "one that supports constraints")
        })?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// JSON that matches this schema, on one line with a space after each comma and colon.
    ///
    /// # Errors
    /// [`Error::Request`] for a schema that is invalid, too large, or uses unsupported features.
    pub fn json_schema(&self, schema: &Value) -> Result<Constraint> {
        let mut schema = schema.clone();
        // Endless whitespace would be JSON too, and small models tend to produce it.
        if let Some(object) = schema.as_object_mut() {
            object.entry("x-guidance").or_insert_with(|| json!({"whitespace_flexible": false}));
        }
        let grammar = TopLevelGrammar::from_json_schema(schema);
        let constraint = Constraint { matcher: Matcher::new(self.factory.create_parser(grammar)) };
        match constraint.matcher.get_error() {
            Some(error) => Err(Error::request("JSON schema", first_line(&error), "a supported schema")),
            None => Ok(constraint),
        }
    }
}

impl Constraint {
    /// Sets the logits of disallowed tokens to minus infinity.
    pub(crate) fn restrict(&mut self, logits: &mut [f32]) -> Result<()> {
        let mask = self.matcher.compute_mask_or_eos().map_err(|error| failed(&error))?;
        for (token, logit) in (0..).zip(logits) {
            if !((token as usize) < mask.len() && mask.is_allowed(token)) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Advances by an allowed token.
    pub(crate) fn accept(&mut self, token: u32) -> Result<()> {
        self.matcher.consume_token(token).map_err(|error| failed(&error))
    }

    /// Whether only the end can follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

impl Clone for Constraint {
    fn clone(&self) -> Self {
        Self { matcher: self.matcher.deep_clone() }
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Constraint").field("complete", &self.is_complete()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Constraints {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Constraints").finish_non_exhaustive()
    }
}

fn failed(error: &impl ToString) -> Error {
    Error::request("constrained text", first_line(&error.to_string()), "a text that matches the schema")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
