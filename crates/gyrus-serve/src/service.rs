//! The served models (a text model, an embedding model, or both), and preparing requests for their engines.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use gyrus_language::engine::{Engine, SentenceEngine};
use gyrus_language::{Constraints, Request};
use serde_json::{Map, Value};

use crate::conversation::Talk;
use crate::error::{ApiError, Error, Result};
use crate::metrics::Metrics;
use crate::reasoning::ReasoningReader;
use crate::tools::ToolReader;

/// The served models with their engines.
#[derive(Debug)]
pub struct Service {
    pub(crate) writer: Option<Writer>,
    pub(crate) embedder: Option<Embedder>,
    /// When the models were opened, in seconds since 1970.
    pub(crate) created: u64,
    pub(crate) metrics: Metrics,
}

/// A text model.
#[derive(Debug)]
pub(crate) struct Writer {
    /// What clients may call it.
    pub(crate) names: Vec<String>,
    pub(crate) engine: Engine,
    /// The model's way of talking, or why it does not.
    pub(crate) talk: Result<Talk, String>,
    /// Created when first needed, or the reason for failure.
    pub(crate) constraints: OnceLock<Result<Constraints, String>>,
    pub(crate) token_bytes: OnceLock<Result<Vec<Vec<u8>>, String>>,
}

/// An embedding model.
#[derive(Debug)]
pub(crate) struct Embedder {
    /// What clients may call it.
    pub(crate) names: Vec<String>,
    pub(crate) engine: SentenceEngine,
}

/// A request prepared for the engine.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) prompts: Vec<Vec<u32>>,
    /// One for each text of each prompt.
    pub(crate) requests: Vec<Request>,
    pub(crate) reader: ToolReader,
    pub(crate) reasoning: ReasoningReader,
}

impl Service {
    /// A service of a text model and an embedding model, each with its name.
    ///
    /// # Errors
    /// [`Error::NoModel`] for neither.
    pub fn new(writer: Option<(String, Engine)>, embedder: Option<(String, SentenceEngine)>) -> Result<Self> {
        if writer.is_none() && embedder.is_none() {
            return Err(Error::NoModel);
        }
        let writer = writer.map(|(name, engine)| {
            let talk = Talk::of(engine.model());
            let (constraints, token_bytes) = (OnceLock::new(), OnceLock::new());
            Writer { names: vec![name], engine, talk, constraints, token_bytes }
        });
        let embedder = embedder.map(|(name, engine)| Embedder { names: vec![name], engine });
        Ok(Self { writer, embedder, created: now(), metrics: Metrics::new() })
    }

    /// More names of the text model, or of the embedding model where that is the only one. They come before its own.
    #[must_use]
    pub fn with_aliases(mut self, aliases: &[String]) -> Self {
        let names = match (&mut self.writer, &mut self.embedder) {
            (Some(writer), _) => &mut writer.names,
            (None, Some(embedder)) => &mut embedder.names,
            (None, None) => return self,
        };
        for alias in aliases.iter().rev().filter(|alias| !alias.is_empty()) {
            names.retain(|name| name != alias);
            names.insert(0, alias.clone());
        }
        self
    }

    /// Variables of the chat template for requests that do not set them.
    #[must_use]
    pub fn with_variables(mut self, variables: Map<String, Value>) -> Self {
        if let Some(Ok(talk)) = self.writer.as_mut().map(|writer| &mut writer.talk) {
            talk.variables = variables;
        }
        self
    }

    /// Leaves reasoning in the text as the model writes it, instead of keeping it apart.
    #[must_use]
    pub fn with_plain_reasoning(mut self) -> Self {
        if let Some(Ok(talk)) = self.writer.as_mut().map(|writer| &mut writer.talk) {
            talk.marks = None;
        }
        self
    }

    /// Why the text model cannot chat, if it cannot although it has a chat template. Everything else works.
    #[must_use]
    pub fn chat_problem(&self) -> Option<&str> {
        let writer = self.writer.as_ref().filter(|writer| writer.engine.model().chat_template.is_some())?;
        writer.talk.as_ref().err().map(String::as_str)
    }

    /// The text model, if it has this name.
    pub(crate) fn writer(&self, name: &str) -> Result<&Writer, ApiError> {
        self.writer.as_ref().filter(|writer| is_named(&writer.names, name)).ok_or_else(|| {
            let embeds = self.embedder.as_ref().is_some_and(|embedder| is_named(&embedder.names, name));
            unknown_model(name, if embeds { "it is an embedding model" } else { "see /v1/models" })
        })
    }

    /// The embedding model, if it has this name.
    pub(crate) fn embedder(&self, name: &str) -> Result<&Embedder, ApiError> {
        self.embedder.as_ref().filter(|embedder| is_named(&embedder.names, name)).ok_or_else(|| {
            let writes = self.writer.as_ref().is_some_and(|writer| is_named(&writer.names, name));
            unknown_model(name, if writes { "it is a text model" } else { "see /v1/models" })
        })
    }

    /// The names of all models.
    pub(crate) fn names(&self) -> Vec<&str> {
        let writer = self.writer.iter().flat_map(|writer| &writer.names);
        writer.chain(self.embedder.iter().flat_map(|embedder| &embedder.names)).map(String::as_str).collect()
    }
}

fn is_named(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}

fn unknown_model(name: &str, hint: &str) -> ApiError {
    let name: String = name.chars().take(100).collect();
    ApiError::not_found(format!("there is no model '{name}': {hint}"), Some("model"), Some("model_not_found"))
}

/// A number that differs each time; not cryptographically secure.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
