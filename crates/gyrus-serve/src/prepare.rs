//! Requests prepared for the engine: prompts as tokens, sampling, constraints.

use gyrus_language::{Constraint, Constraints, Request};
use serde_json::Value;

use crate::chat::{ChatRequest, ResponseFormat};
use crate::completions::{CompletionRequest, Prompt};
use crate::conversation::Talk;
use crate::error::{ApiError, Result};
use crate::reasoning::ReasoningReader;
use crate::sampling::Settings;
use crate::service::{Prepared, Writer, random};
use crate::tools::{Tool, ToolChoice, ToolForm, ToolReader};

/// What binds the text of an answer.
#[derive(Default)]
struct Binding {
    constraint: Option<Constraint>,
    branch: Option<(u32, Constraint)>,
}

impl Writer {
    /// How the model talks.
    pub(crate) fn talk(&self) -> Result<&Talk, ApiError> {
        self.talk.as_ref().map_err(|reason| {
            let name = self.names.first().map(String::as_str).unwrap_or_default();
            ApiError::invalid(format!("{name} cannot chat: {reason}; use /v1/completions"))
        })
    }

    /// Prepares a chat request.
    pub(crate) fn prepare_chat(&self, request: &ChatRequest) -> Result<Prepared, ApiError> {
        let talk = self.talk()?;
        let uses_tools = !request.tools.is_empty() && request.tool_choice != ToolChoice::None;
        let tools = if uses_tools { &request.tools[..] } else { &[] };
        let forced: Vec<&Tool> = match &request.tool_choice {
            ToolChoice::Named(name) => tools.iter().filter(|tool| &tool.name == name).collect(),
            ToolChoice::Required => tools.iter().collect(),
            ToolChoice::Auto | ToolChoice::None => Vec::new(),
        };
        let form = uses_tools.then(|| talk.form.unwrap_or(ToolForm::Hermes));
        let variables = talk.variables_of(request)?;
        let mut text = talk.render(&request.messages, tools, &variables, true)?;
        let mut open = talk.marks.is_some_and(|marks| marks.is_open(&text));
        let is_bound = !forced.is_empty() || request.format != ResponseFormat::Text;
        if let Some(marks) = talk.marks.filter(|_| open && is_bound) {
            // What is bound to a form leaves no room for reasoning.
            text = format!("{}\n\n{}\n\n", text.trim_end(), marks.end);
            open = false;
        }
        if let Some(form) = form.filter(|_| !forced.is_empty()) {
            text += form.forced_begin();
        }
        let model = self.engine.model();
        let prompt = model.tokenizer.encode_chat(&text)?;
        let mut base = self.request(&request.settings, request.alternatives)?;
        let Binding { constraint, branch } = self.binding(request, form, &forced)?;
        (base.constraint, base.branch) = (constraint, branch);
        base.end_tokens.clone_from(&talk.ends);
        let of_reasoning = talk.marks.iter().flat_map(|marks| [marks.begin, marks.end]);
        let of_tools = form.into_iter().flat_map(|form| form.special_tokens().iter().copied());
        base.special_tokens =
            of_tools.chain(of_reasoning).filter_map(|name| model.tokenizer.token(name)).collect();
        let requests = self.requests(&request.settings, std::slice::from_ref(&prompt), &base, "messages")?;
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        let reader = match form {
            Some(form) if forced.is_empty() && request.format != ResponseFormat::Text => {
                ToolReader::beside_schema(form, &names)
            }
            _ => ToolReader::new(form, !forced.is_empty()),
        };
        let reasoning = ReasoningReader::new(talk.marks.filter(|_| !is_bound), open);
        Ok(Prepared { prompts: vec![prompt], requests, reader, reasoning })
    }

    fn binding(
        &self,
        request: &ChatRequest,
        form: Option<ToolForm>,
        forced: &[&Tool],
    ) -> Result<Binding, ApiError> {
        let compile = |schema: &Value, place: &str| -> Result<Constraint, ApiError> {
            let made = self.constraints()?.json_schema(schema);
            made.map_err(|error| ApiError::schema(place, &error))
        };
        let constraint = match (form, &request.format) {
            (Some(form), _) if !forced.is_empty() => Some(compile(&form.forced_schema(forced), "tools")?),
            (None, ResponseFormat::Json { schema, place }) => Some(compile(schema, place)?),
            (Some(form), ResponseFormat::Json { schema, place }) => {
                // Each part alone, so that a mistake is found where it is.
                compile(schema, place)?;
                let tools: Vec<&Tool> = request.tools.iter().collect();
                let calls = compile(&form.forced_schema(&tools), "tools")?;
                let both = compile(&form.beside_schema(&tools, schema), place)?;
                let begin = self.engine.model().tokenizer.token(form.begin());
                return Ok(Binding { constraint: Some(both), branch: begin.map(|token| (token, calls)) });
            }
            (_, ResponseFormat::Text) => None,
        };
        Ok(Binding { constraint, branch: None })
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
        let reasoning = ReasoningReader::new(None, false);
        Ok(Prepared { prompts, requests, reader: ToolReader::new(None, false), reasoning })
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
