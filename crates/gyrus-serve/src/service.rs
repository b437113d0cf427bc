//! The served models (a text model, an embedding model, or both), and preparing requests for their engines.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use gyrus_language::engine::{Engine, SentenceEngine};
use gyrus_language::{ChatTemplate, Constraints, Request};
use serde_json::Value;

use crate::chat::{ChatRequest, ResponseFormat};
use crate::completions::{CompletionRequest, Prompt};
use crate::error::{ApiError, Error, Result};
use crate::metrics::Metrics;
use crate::sampling::Settings;
use crate::tools::{Tool, ToolChoice, ToolForm, ToolReader};

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
    pub(crate) name: String,
    pub(crate) engine: Engine,
    template: Option<ChatTemplate>,
    form: Option<ToolForm>,
    /// Created when first needed, or the reason for failure.
    constraints: OnceLock<Result<Constraints, String>>,
    token_bytes: OnceLock<Result<Vec<Vec<u8>>, String>>,
}

/// An embedding model.
#[derive(Debug)]
pub(crate) struct Embedder {
    pub(crate) name: String,
    pub(crate) engine: SentenceEngine,
}

/// A request prepared for the engine.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) prompts: Vec<Vec<u32>>,
    /// One for each text of each prompt.
    pub(crate) requests: Vec<Request>,
    pub(crate) reader: ToolReader,
}

impl Service {
    /// A service of a text model and an embedding model, each with its name.
    ///
    /// # Errors
    /// [`Error::NoModel`] for neither, [`Error::Model`] for an invalid chat template.
    pub fn new(writer: Option<(String, Engine)>, embedder: Option<(String, SentenceEngine)>) -> Result<Self> {
        if writer.is_none() && embedder.is_none() {
            return Err(Error::NoModel);
        }
        let writer = match writer {
            None => None,
            Some((name, engine)) => {
                let model = engine.model();
                let template = model.chat_template()?;
                let form = model.chat_template.as_deref().and_then(ToolForm::of_template);
                let (constraints, token_bytes) = (OnceLock::new(), OnceLock::new());
                Some(Writer { name, engine, template, form, constraints, token_bytes })
            }
        };
        let embedder = embedder.map(|(name, engine)| Embedder { name, engine });
        Ok(Self { writer, embedder, created: now(), metrics: Metrics::new() })
    }

    /// The text model, if it has this name.
    pub(crate) fn writer(&self, name: &str) -> Result<&Writer, ApiError> {
        self.writer.as_ref().filter(|writer| writer.name == name).ok_or_else(|| {
            let embeds = self.embedder.as_ref().is_some_and(|embedder| embedder.name == name);
            unknown_model(name, if embeds { "it is an embedding model" } else { "see /v1/models" })
        })
    }

    /// The embedding model, if it has this name.
    pub(crate) fn embedder(&self, name: &str) -> Result<&Embedder, ApiError> {
        self.embedder.as_ref().filter(|embedder| embedder.name == name).ok_or_else(|| {
            let writes = self.writer.as_ref().is_some_and(|writer| writer.name == name);
            unknown_model(name, if writes { "it is a text model" } else { "see /v1/models" })
        })
    }

    /// The names of all models.
    pub(crate) fn names(&self) -> Vec<&str> {
        let writer = self.writer.iter().map(|writer| writer.name.as_str());
        writer.chain(self.embedder.iter().map(|embedder| embedder.name.as_str())).collect()
    }
}

fn unknown_model(name: &str, hint: &str) -> ApiError {
    let name: String = name.chars().take(100).collect();
    ApiError::not_found(format!("there is no model '{name}': {hint}"), Some("model"), Some("model_not_found"))
}

impl Writer {
    /// Prepares a chat request.
    pub(crate) fn prepare_chat(&self, request: &ChatRequest) -> Result<Prepared, ApiError> {
        let Some(template) = &self.template else {
            let message = format!("{} has no chat template: use /v1/completions", self.name);
            return Err(ApiError::invalid(message));
        };
        let called: Vec<&Tool> = match &request.tool_choice {
            ToolChoice::Named(name) => request.tools.iter().filter(|tool| &tool.name == name).collect(),
            ToolChoice::Required => request.tools.iter().collect(),
            ToolChoice::Auto | ToolChoice::None => Vec::new(),
        };
        let uses_tools = !request.tools.is_empty() && request.tool_choice != ToolChoice::None;
        let form = if uses_tools { self.form } else { None };
        if uses_tools && form.is_none() {
            let message = format!("tools: the chat template of {} does not support them", self.name);
            return Err(ApiError::invalid(message));
        }
        let given: Vec<Value> = match uses_tools {
            true => request.tools.iter().map(|tool| tool.given.clone()).collect(),
            false => Vec::new(),
        };
        let rendered = template.render_with_tools(&request.messages, &given, true);
        let mut text = rendered.map_err(|error| {
            ApiError::field("messages", error, "a conversation that the template accepts")
        })?;
        let schema = match (form, &request.format) {
            (Some(form), _) if !called.is_empty() => {
                text += form.forced_begin();
                Some(form.forced_schema(&called))
            }
            (_, ResponseFormat::Json(schema)) => Some(schema.clone()),
            (_, ResponseFormat::Text) => None,
        };
        let model = self.engine.model();
        let prompt = model.tokenizer.encode_chat(&text)?;
        let mut base = self.request(&request.settings, request.alternatives)?;
        if let Some(schema) = schema {
            base.constraint = Some(self.constraints()?.json_schema(&schema)?);
        }
        if let Some(form) = form {
            base.special_tokens =
                form.special_tokens().iter().filter_map(|name| model.tokenizer.token(name)).collect();
        }
        let requests = self.requests(&request.settings, std::slice::from_ref(&prompt), &base, "messages")?;
        let reader = ToolReader::new(form, !called.is_empty());
        Ok(Prepared { prompts: vec![prompt], requests, reader })
    }

    /// Prepares a completion request.
    pub(crate) fn prepare_completion(&self, request: &CompletionRequest) -> Result<Prepared, ApiError> {
        let tokenizer = &self.engine.model().tokenizer;
        let prompt = |prompt: &Prompt| match prompt {
            Prompt::Text(text) => Ok(tokenizer.encode(text, true)?),
            Prompt::Tokens(tokens) => Ok(tokens.clone()),
        };
        let prompts = request.prompts.iter().map(prompt).collect::<Result<Vec<_>, ApiError>>()?;
        let base = self.request(&request.settings, request.alternatives)?;
        let requests = self.requests(&request.settings, &prompts, &base, "prompt")?;
        Ok(Prepared { prompts, requests, reader: ToolReader::new(None, false) })
    }

    /// The part that all texts of a request share.
    fn request(&self, settings: &Settings, alternatives: Option<usize>) -> Result<Request, ApiError> {
        if alternatives.is_some() {
            self.token_bytes()?;
        }
        Ok(Request {
            stop: settings.stop.clone(),
            bias: settings.bias.clone(),
            alternatives,
            ..Request::default()
        })
    }

    /// The request of each text; each has a different seed.
    fn requests(
        &self,
        settings: &Settings,
        prompts: &[Vec<u32>],
        base: &Request,
        place: &str,
    ) -> Result<Vec<Request>, ApiError> {
        let options = self.engine.options();
        let (choices, most) = (settings.choices, options.slots + options.queue);
        if prompts.len() * choices > most {
            let got = format!("{} texts", prompts.len() * choices);
            return Err(ApiError::field("n", got, format!("at most {most}, the capacity of this server")));
        }
        let seed = settings.seed.unwrap_or_else(random);
        let recommended = self.engine.model().recommended;
        let mut requests = Vec::with_capacity(prompts.len() * choices);
        for prompt in prompts {
            if prompt.is_empty() {
                return Err(ApiError::field(place, "a text without tokens", "at least one token"));
            }
            // At least one token must fit, unless none is requested.
            let left = options.context.saturating_sub(prompt.len());
            let wanted = settings.maximum_tokens.unwrap_or(left.max(1));
            if wanted > left {
                return Err(ApiError::context(place, prompt.len(), wanted, options.context));
            }
            requests.extend((0..choices).map(|choice| Request {
                sampling: settings.sampling(recommended, seed.wrapping_add(choice as u64)),
                maximum_tokens: wanted,
                ..base.clone()
            }));
        }
        Ok(requests)
    }

    fn constraints(&self) -> Result<&Constraints, ApiError> {
        let made = self
            .constraints
            .get_or_init(|| self.engine.model().constraints().map_err(|error| error.to_string()));
        made.as_ref()
            .map_err(|reason| ApiError::invalid(format!("this model does not support schemas: {reason}")))
    }

    /// The bytes of each token.
    pub(crate) fn token_bytes(&self) -> Result<&[Vec<u8>], ApiError> {
        let made = self
            .token_bytes
            .get_or_init(|| self.engine.model().tokenizer.token_bytes().map_err(|error| error.to_string()));
        let made = made.as_ref().map(Vec::as_slice);
        made.map_err(|reason| {
            ApiError::invalid(format!("logprobs of this model are not available: {reason}"))
        })
    }
}

/// A number that differs each time; not cryptographically secure.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
