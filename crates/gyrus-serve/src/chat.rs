//! Requests for `/v1/chat/completions`.

use serde_json::{Map, Value, json};

use crate::error::{ApiError, Result};
use crate::fields::{Fields, kind};
use crate::sampling::Settings;
use crate::tools::{Tool, ToolChoice, tool_choice, tools};

/// The most messages of a conversation.
pub(crate) const MOST_MESSAGES: usize = 4096;
/// The most alternatives that can be reported with each token.
const MOST_ALTERNATIVES: u64 = 20;

/// A request for an answer in a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    pub(crate) model: String,
    /// In the form that chat templates expect: the arguments of tool calls are objects, not strings.
    pub(crate) messages: Vec<Value>,
    pub(crate) settings: Settings,
    pub(crate) format: ResponseFormat,
    /// Variables of the chat template.
    pub(crate) variables: Map<String, Value>,
    /// How much to reason, in OpenAI's words.
    pub(crate) effort: Option<String>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: ToolChoice,
    /// Whether an answer may call several tools.
    pub(crate) parallel: bool,
    /// The number of alternatives to report with each token; `None` reports no probabilities.
    pub(crate) alternatives: Option<usize>,
}

/// The required format of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ResponseFormat {
    /// Free text.
    Text,
    /// JSON that matches this schema, which stands at this place of the request.
    Json { schema: Value, place: &'static str },
}

impl ChatRequest {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// For an invalid request; names the field.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let model = fields.string("model")?;
        let model = fields.required("model", model)?;
        let messages = messages(&mut fields)?;
        let settings = Settings::take(&mut fields)?;
        let format = response_format(&mut fields)?;
        let variables = variables(&mut fields)?;
        let effort = fields.string("reasoning_effort")?;
        let tools = tools(&mut fields)?;
        let tool_choice = tool_choice(&mut fields, &tools)?;
        let parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let wanted = fields.flag("logprobs")?.unwrap_or(false);
        let alternatives = fields.count("top_logprobs", 0, MOST_ALTERNATIVES)?;
        if alternatives.is_some() && !wanted {
            return Err(ApiError::field("top_logprobs", "it without logprobs", "logprobs to be true"));
        }
        if let Some(modalities) = fields.value("modalities")
            && modalities != json!(["text"])
        {
            return Err(ApiError::unsupported("modalities"));
        }
        fields.finish()?;
        Ok(Self {
            model,
            messages,
            settings,
            format,
            variables,
            effort,
            tools,
            tool_choice,
            parallel,
            alternatives: wanted.then(|| alternatives.unwrap_or(0)),
        })
    }
}

/// The variables of a chat template; what the conversation determines is not among them.
pub(crate) fn variables(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    match fields.value("chat_template_kwargs") {
        None => Ok(Map::new()),
        Some(Value::Object(variables)) => {
            const TAKEN: [&str; 5] =
                ["messages", "tools", "documents", "add_generation_prompt", "chat_template"];
            match TAKEN.into_iter().find(|name| variables.contains_key(*name)) {
                Some(name) => Err(ApiError::unsupported(&format!("chat_template_kwargs.{name}"))),
                None => Ok(variables),
            }
        }
        Some(other) => Err(ApiError::field("chat_template_kwargs", kind(&other), "an object")),
    }
}

pub(crate) fn messages(fields: &mut Fields) -> Result<Vec<Value>, ApiError> {
    let list = fields.list("messages")?;
    let list = fields.required("messages", list)?;
    if !(1..=MOST_MESSAGES).contains(&list.len()) {
        let got = format!("{} of them", list.len());
        return Err(ApiError::field("messages", got, format!("1 to {MOST_MESSAGES}")));
    }
    list.into_iter().enumerate().map(|(index, value)| message(value, &format!("messages[{index}]"))).collect()
}

fn message(value: Value, place: &str) -> Result<Value, ApiError> {
    let mut fields = Fields::of(value, place)?;
    let role = fields.string("role")?;
    let role = match fields.required("role", role)?.as_str() {
        // The newer name of `system`.
        "developer" => "system".to_owned(),
        role @ ("system" | "user" | "assistant" | "tool") => role.to_owned(),
        other => {
            let got = format!("{:?}", other.chars().take(40).collect::<String>());
            let expected = "system, developer, user, assistant or tool";
            return Err(ApiError::field(&fields.at("role"), got, expected));
        }
    };
    let mut message = Map::new();
    let content = content(&mut fields)?;
    if role == "assistant" {
        let calls = calls(&mut fields)?;
        // The name of newer servers, and that of older ones.
        let reasoning = fields.string("reasoning_content")?.or(fields.string("reasoning")?);
        if content.is_none() && calls.is_empty() && reasoning.is_none() {
            return Err(ApiError::field(&fields.at("content"), "nothing", "a string or tool_calls"));
        }
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        if let Some(reasoning) = reasoning {
            message.insert("reasoning_content".to_owned(), Value::String(reasoning));
        }
        // A refusal is an answer as well.
        if let Some(refusal) = fields.string("refusal")?
            && content.is_none()
        {
            message.insert("content".to_owned(), Value::String(refusal));
        }
    } else if content.is_none() {
        return Err(ApiError::field(&fields.at("content"), "nothing", "a string"));
    }
    if role == "tool"
        && let Some(id) = fields.string("tool_call_id")?
    {
        message.insert("tool_call_id".to_owned(), Value::String(id));
    }
    if let Some(name) = fields.string("name")? {
        message.insert("name".to_owned(), Value::String(name));
    }
    fields.finish()?;
    message.insert("role".to_owned(), Value::String(role));
    // Templates concatenate it with strings, so it must not be null.
    message.entry("content").or_insert(Value::String(content.unwrap_or_default()));
    Ok(Value::Object(message))
}

/// A string, or a list of text parts.
fn content(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let place = fields.at("content");
    let parts = match fields.value("content") {
        None => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(parts)) => parts,
        Some(other) => return Err(ApiError::field(&place, kind(&other), "a string or a list of parts")),
    };
    let mut texts = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        let mut part = Fields::of(part, &place)?;
        match part.string("type")?.as_deref() {
            Some("text") => {
                let text = part.string("text")?;
                texts.push(part.required("text", text)?);
            }
            _ => return Err(ApiError::field(&part.at("type"), "another", "text: only text is supported")),
        }
        part.finish()?;
    }
    Ok(Some(texts.join("\n")))
}

/// The tool calls of an earlier answer.
fn calls(fields: &mut Fields) -> Result<Vec<Value>, ApiError> {
    let place = fields.at("tool_calls");
    let calls = fields.list("tool_calls")?.unwrap_or_default();
    let call = |(index, call): (usize, Value)| {
        let mut call = Fields::of(call, &format!("{place}[{index}]"))?;
        let id = call.string("id")?.unwrap_or_default();
        if call.string("type")?.is_some_and(|kind| kind != "function") {
            return Err(ApiError::field(&call.at("type"), "another", "function"));
        }
        let function = call.value("function");
        let mut function = Fields::of(call.required("function", function)?, &call.at("function"))?;
        let name = function.string("name")?;
        let name = function.required("name", name)?;
        let arguments = function.value("arguments").unwrap_or_default();
        // Arguments that are not JSON are shown to the model unchanged.
        let arguments = match arguments {
            Value::Null => json!({}),
            Value::String(text) if text.trim().is_empty() => json!({}),
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            object @ Value::Object(_) => object,
            other => {
                return Err(ApiError::field(&function.at("arguments"), kind(&other), "JSON as a string"));
            }
        };
        function.finish()?;
        // The position in a stream, if a client sends back what it received.
        call.value("index");
        call.finish()?;
        Ok(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
    };
    calls.into_iter().enumerate().map(call).collect()
}

fn response_format(fields: &mut Fields) -> Result<ResponseFormat, ApiError> {
    let Some(format) = fields.value("response_format") else { return Ok(ResponseFormat::Text) };
    let mut format = Fields::of(format, "response_format")?;
    let read = match format.string("type")?.as_deref() {
        Some("text") => ResponseFormat::Text,
        Some("json_object") => {
            ResponseFormat::Json { schema: json!({"type": "object"}), place: "response_format" }
        }
        Some("json_schema") => {
            let inner = format.value("json_schema");
            let inner = format.required("json_schema", inner)?;
            let mut inner = Fields::of(inner, "response_format.json_schema")?;
            let schema = inner.value("schema");
            let schema = inner.required("schema", schema)?;
            // Every schema is enforced strictly; names and descriptions have no effect.
            for (name, what) in [("name", "a string"), ("description", "a string")] {
                if inner.value(name).is_some_and(|value| !value.is_string()) {
                    return Err(ApiError::field(&inner.at(name), "another value", what));
                }
            }
            inner.flag("strict")?;
            inner.finish()?;
            ResponseFormat::Json { schema, place: "response_format.json_schema.schema" }
        }
        _ => {
            let expected = "text, json_object or json_schema";
            return Err(ApiError::field("response_format.type", "another", expected));
        }
    };
    format.finish()?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &Value) -> Result<ChatRequest, ApiError> {
        ChatRequest::parse(body.to_string().as_bytes())
    }

    fn refused(more: &Value) -> Value {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        parse(&body).expect_err(&body.to_string()).json()["error"].clone()
    }

    #[test]
    fn what_is_asked_is_read() {
        let body = json!({
            "model": "m",
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief"}]},
                {"role": "user", "content": "Hi", "name": "Ann"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
                {"role": "assistant", "content": "3", "reasoning_content": "I think.", "annotations": [], "audio": null},
                {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
            ],
            "chat_template_kwargs": {"enable_thinking": false},
            "temperature": 0.5, "seed": -1, "stop": "END", "n": 2, "max_tokens": null, "max_completion_tokens": 7,
            "logit_bias": {"5": -100, "6": 3}, "stream": true, "stream_options": {"include_usage": true},
            "logprobs": true, "top_logprobs": 2, "user": "somebody", "metadata": {"a": "b"},
        });
        let request = parse(&body).unwrap();
        assert_eq!(request.messages[0], json!({"role": "system", "content": "Be\nbrief"}));
        assert_eq!(request.messages[2]["tool_calls"][0]["function"]["arguments"]["x"], 1);
        assert_eq!(request.messages[3]["tool_call_id"], "c1");
        assert_eq!(request.messages[4]["reasoning_content"], "I think.");
        assert_eq!(request.variables["enable_thinking"], false);
        let settings = request.settings;
        assert_eq!((settings.seed, settings.choices, settings.maximum_tokens), (Some(u64::MAX), 2, Some(7)));
        assert_eq!(settings.bias, [(5, f32::NEG_INFINITY), (6, 3.0)]);
        assert_eq!(settings.stop, ["END"]);
        assert!(settings.stream && settings.include_usage);
        assert_eq!(request.alternatives, Some(2));
    }

    #[test]
    fn fields_that_would_change_the_answer_are_refused_by_name() {
        for (body, param) in [
            (json!({"reasoning_effort": 3}), "reasoning_effort"),
            (json!({"chat_template_kwargs": []}), "chat_template_kwargs"),
            (json!({"chat_template_kwargs": {"messages": []}}), "chat_template_kwargs.messages"),
            (json!({"audio": {"voice": "x"}}), "audio"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"n": 0}), "n"),
            (json!({"stop": [1]}), "stop"),
            (json!({"logit_bias": {"x": 1}}), "logit_bias"),
            (json!({"max_tokens": 1, "max_completion_tokens": 2}), "max_tokens"),
            (json!({"stream_options": {"include_usage": true}}), "stream_options"),
            (json!({"stream": true, "stream_options": {"other": 1}}), "stream_options.other"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": [{"role": "king", "content": "x"}]}), "messages[0].role"),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
                "messages[0].content[0].type",
            ),
            (json!({"messages": [{"role": "user", "content": "x", "audio": {}}]}), "messages[0].audio"),
            (json!({"response_format": {"type": "xml"}}), "response_format.type"),
            (json!({"top_logprobs": 1}), "top_logprobs"),
            (json!({"tool_choice": "required"}), "tool_choice"),
        ] {
            let error = refused(&body);
            assert_eq!(error["param"], param, "{error}");
            assert_eq!(error["type"], "invalid_request_error");
        }
    }

    #[test]
    fn invalid_requests_are_refused() {
        for body in ["", "[]", "{", "null", "{\"model\": \"m\"}", "{\"messages\": []}"] {
            assert!(ChatRequest::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn damaged_requests_do_not_panic() {
        let body = json!({
            "model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "stop": ["a"],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": "#/a"}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}}, "logit_bias": {"1": 2.5}, "n": 2,
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}, "stream": true,
        })
        .to_string();
        let mut state = 1u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let mut bytes = body.clone().into_bytes();
            for _ in 0..1 + random(3) {
                let at = random(bytes.len().max(1));
                match random(4) {
                    0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = random(256) as u8),
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, b"{}[]\",:0-e"[random(10)]),
                    _ => drop(bytes.drain(at..(at + 5).min(bytes.len()))),
                }
            }
            let _ = ChatRequest::parse(&bytes);
            let _ = crate::CompletionRequest::parse(&bytes);
            let _ = crate::EmbeddingRequest::parse(&bytes);
        }
    }
}
