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

use super::schema::{Prepared, prepare};
use crate::tokenizer::bytes::bytes_of_tokens;
use crate::{DecoderConfig, Error, Result, Tokenizer};

/// How many parts of a schema are tried to find the one that is wrong.
const MOST_PARTS: usize = 256;

/// A vocabulary prepared for constraints; build it once per model.
pub struct Constraints {
    factory: ParserFactory,
    end: u32,
}

/// The state of one constrained text.
pub struct Constraint {
    matcher: Matcher,
    /// The token that stands for the end.
    end: u32,
}

impl Constraints {
    /// Prepares a model's vocabulary.
    ///
    /// # Errors
    /// [`Error::Request`] for a model without an end-of-text token, or if the bytes of the vocabulary's tokens are unknown.
    pub fn new(tokenizer: &Tokenizer, config: &DecoderConfig) -> Result<Self> {
        // Some models begin and end with the same token.
        let other = config.end_of_text.iter().copied().find(|&end| Some(end) != config.beginning_of_text);
        let end = other.or(config.end_of_text.first().copied());
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
        Ok(Self { factory, end })
    }

    /// JSON that matches this schema, on one line with a space after each comma and colon.
    ///
    /// Annotations and formats outside of the standard are ignored, as the standard says; integers lie within ±(2^53 - 1)
    /// unless the schema says otherwise.
    ///
    /// # Errors
    /// [`Error::Request`] for a schema that is invalid, too large, or uses something that cannot be enforced; names the place.
    pub fn json_schema(&self, schema: &Value) -> Result<Constraint> {
        let refused = |got: String| Error::request("JSON schema", got, "a supported schema");
        let prepared =
            prepare(schema).map_err(|problem| refused(format!("{}: {}", problem.place, problem.got)))?;
        self.compile(&prepared.schema).map_err(|error| {
            let place = self.wrong_place(&prepared).map_or_else(String::new, |place| format!("#{place}: "));
            refused(format!("{place}{}", first_line(&error)))
        })
    }

    fn compile(&self, schema: &Value) -> std::result::Result<Constraint, String> {
        let mut schema = schema.clone();
        // Endless whitespace would be JSON too, and small models tend to produce it.
        schema["x-guidance"] = json!({"whitespace_flexible": false});
        let grammar = TopLevelGrammar::from_json_schema(schema);
        let matcher = Matcher::new(self.factory.create_parser(grammar));
        let constraint = Constraint { matcher, end: self.end };
        constraint.matcher.get_error().map_or(Ok(constraint), Err)
    }

    /// The innermost part of a schema that cannot be compiled.
    fn wrong_place(&self, prepared: &Prepared) -> Option<String> {
        let mut parts = Vec::new();
        parts_of(&prepared.schema, String::new(), &mut parts);
        let definitions = prepared.schema.get("$defs");
        let wrong = |(_, part): &&(String, &Value)| {
            let mut part = (*part).clone();
            if let Some(definitions) = definitions {
                part["$defs"] = definitions.clone();
            }
            self.compile(&part).is_err()
        };
        let (place, _) = parts.iter().take(MOST_PARTS).find(wrong)?;
        // Definitions have other names in the schema as it was given.
        let within = place.strip_prefix("/$defs/").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
        Some(match within.and_then(|(name, rest)| Some((prepared.origins.get(name)?, rest))) {
            Some((origin, "")) => origin.clone(),
            Some((origin, rest)) => format!("{origin}/{rest}"),
            None => place.clone(),
        })
    }
}

/// The schemas inside of a schema, each after its own parts.
fn parts_of<'a>(schema: &'a Value, place: String, parts: &mut Vec<(String, &'a Value)>) {
    let Some(fields) = schema.as_object() else { return };
    // Definitions first: what refers to them is wrong because of them.
    let (definitions, others): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| *name == "$defs");
    for (name, value) in definitions.into_iter().chain(others) {
        let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
        match (name.as_str(), value) {
            ("properties" | "patternProperties" | "$defs", Value::Object(named)) => {
                for (of, value) in named {
                    parts_of(value, format!("{place}/{name}/{}", escaped(of)), parts);
                }
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(list)) => {
                for (index, value) in list.iter().enumerate() {
                    parts_of(value, format!("{place}/{name}/{index}"), parts);
                }
            }
            ("items" | "additionalItems" | "additionalProperties", value) => {
                parts_of(value, format!("{place}/{name}"), parts);
            }
            _ => {}
        }
    }
    parts.push((place, schema));
}

impl Constraint {
    /// Sets the logits of disallowed tokens to minus infinity. Where the text may end, it may end by any of `ends`: a chat's
    /// answer ends with the token of its template, which need not be the one that ends texts.
    pub(crate) fn restrict(&mut self, logits: &mut [f32], ends: impl Fn(u32) -> bool) -> Result<()> {
        let mask = self.matcher.compute_mask_or_eos().map_err(|error| failed(&error))?;
        let allows = |token: u32| (token as usize) < mask.len() && mask.is_allowed(token);
        let may_end = allows(self.end);
        for (token, logit) in (0..).zip(logits) {
            if !(allows(token) || may_end && ends(token)) {
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
        Self { matcher: self.matcher.deep_clone(), end: self.end }
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

/// The first line of an error, or the one that says what is wrong with a pattern.
fn first_line(text: &str) -> String {
    let of_pattern = text.lines().find_map(|line| line.trim().strip_prefix("error: "));
    of_pattern.or_else(|| text.lines().next()).unwrap_or_default().to_owned()
}
