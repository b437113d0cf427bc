//! How a model talks: its chat template, what that can show, and conversations as its text.

use gyrus_language::{ChatInput, ChatTemplate, Model};
use serde_json::{Map, Value, json};

use crate::chat::ChatRequest;
use crate::error::{ApiError, Result};
use crate::reasoning::Marks;
use crate::tools::generic::{add_to_system, description, in_words, without_system};
use crate::tools::{Tool, ToolForm};

/// A text that no conversation contains.
const PROBE: &str = "gyrus-probe";
/// The values of `reasoning_effort` in OpenAI's interface.
const EFFORTS: [&str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];

/// A model's way of talking.
#[derive(Debug)]
pub(crate) struct Talk {
    template: ChatTemplate,
    /// The form of tool calls that the template shows; without one, tools are told in words.
    pub(crate) form: Option<ToolForm>,
    /// How the model marks its reasoning.
    pub(crate) marks: Option<Marks>,
    /// Tokens that end a turn.
    pub(crate) ends: Vec<u32>,
    /// Variables that requests may override.
    pub(crate) variables: Map<String, Value>,
    /// Whether the template shows system messages, rather than refusing or dropping them.
    shows_system: bool,
    takes_effort: bool,
    takes_thinking: bool,
}

impl Talk {
    /// The way of this model, or why it has none.
    pub(crate) fn of(model: &Model) -> Result<Self, String> {
        let template = model.chat_template().map_err(|error| error.to_string())?;
        let template = template.ok_or("it has no chat template")?;
        let text = model.chat_template.as_ref().and_then(|templates| templates.tools_text());
        let text = text.unwrap_or_default();
        let (takes_effort, takes_thinking) =
            (text.contains("reasoning_effort"), text.contains("enable_thinking"));
        let (form, marks) = (ToolForm::of_template(text), Marks::of_template(text));
        let ends = model.turn_ends(&template);
        let mut talk = Self {
            template,
            form,
            marks,
            ends,
            variables: Map::new(),
            shows_system: true,
            takes_effort,
            takes_thinking,
        };
        let probe = |messages: &[Value]| talk.fill(messages, &[], &Map::new(), true);
        let [system, user] = ["system", "user"].map(|role| json!({"role": role, "content": PROBE}));
        let alone = probe(std::slice::from_ref(&user));
        if let Err(error) = &alone {
            return Err(error.to_string());
        }
        let hello = json!({"role": "user", "content": "Hello"});
        talk.shows_system = probe(&[system, hello]).is_ok_and(|text| text.contains(PROBE));
        Ok(talk)
    }

    /// The variables of a request.
    pub(crate) fn variables_of(&self, request: &ChatRequest) -> Result<Map<String, Value>, ApiError> {
        let mut variables = self.variables.clone();
        if let Some(effort) = &request.effort {
            if !EFFORTS.contains(&effort.as_str()) {
                return Err(ApiError::field("reasoning_effort", format!("{effort:?}"), EFFORTS.join(", ")));
            }
            match (self.takes_effort, self.takes_thinking) {
                (true, _) => drop(variables.insert("reasoning_effort".to_owned(), json!(effort))),
                (false, true) => {
                    drop(variables.insert("enable_thinking".to_owned(), json!(effort != "none")));
                }
                (false, false) => return Err(ApiError::unsupported("reasoning_effort")),
            }
        }
        variables.extend(request.variables.clone());
        Ok(variables)
    }

    /// The text of a conversation; `answer` adds the beginning of the next answer.
    pub(crate) fn render(
        &self,
        messages: &[Value],
        tools: &[Tool],
        variables: &Map<String, Value>,
        answer: bool,
    ) -> Result<String, ApiError> {
        let given: Vec<Value> = tools.iter().map(|tool| tool.given.clone()).collect();
        let mut messages = messages.to_vec();
        let has_calls = |messages: &[Value]| {
            messages.iter().any(|message| message["role"] == "tool" || message.get("tool_calls").is_some())
        };
        let native = self.form.is_some();
        if !native && has_calls(&messages) {
            messages = in_words(&messages);
        }
        if !native && !given.is_empty() {
            add_to_system(&mut messages, &description(&given));
        }
        if !self.shows_system {
            messages = without_system(messages);
        }
        let shown = if native { &given[..] } else { &[] };
        let mut text = self.fill(&messages, shown, variables, answer);
        if text.is_err() && has_calls(&messages) {
            // Some templates want the arguments of earlier calls as text.
            text = self.fill(&with_text_arguments(&messages), shown, variables, answer).or(text);
        }
        text.map_err(|error| ApiError::field("messages", error, "a conversation that the template accepts"))
    }

    fn fill(
        &self,
        messages: &[Value],
        tools: &[Value],
        variables: &Map<String, Value>,
        answer: bool,
    ) -> gyrus_language::Result<String> {
        self.template.render_input(&ChatInput { messages, tools, variables, answer })
    }
}

fn with_text_arguments(messages: &[Value]) -> Vec<Value> {
    let mut messages = messages.to_vec();
    for message in &mut messages {
        for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
            let arguments = &mut call["function"]["arguments"];
            if !arguments.is_string() {
                *arguments = Value::String(arguments.to_string());
            }
        }
    }
    messages
}
