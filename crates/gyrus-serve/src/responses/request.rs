//! Requests for `/v1/responses`, turned into conversations.

use serde_json::{Map, Value, json};

use crate::chat::{ChatRequest, MOST_MESSAGES, ResponseFormat, variables};
use crate::error::{ApiError, Result};
use crate::fields::{Fields, kind};
use crate::sampling::Settings;
use crate::tools::{MOST_TOOLS, Tool, ToolChoice, tool_choice};

/// The most alternatives that can be reported with each token.
const MOST_ALTERNATIVES: u64 = 20;

/// A request for a response.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseRequest {
    /// The conversation that it asks for.
    pub(crate) chat: ChatRequest,
    /// What the response repeats of the request.
    pub(crate) echo: Map<String, Value>,
}

impl ResponseRequest {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// For an invalid request; names the field.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let echo = echo(&fields);
        for (name, reason) in [
            ("previous_response_id", "this server keeps no responses: send the items of the conversation"),
            ("conversation", "this server keeps no conversations: send its items"),
            ("prompt", "this server keeps no prompts"),
        ] {
            if fields.value(name).is_some() {
                return Err(ApiError::field(name, "a reference", format!("nothing; {reason}")));
            }
        }
        if fields.flag("background")? == Some(true) {
            return Err(ApiError::unsupported("background"));
        }
        if fields.string("truncation")?.is_some_and(|how| how != "disabled") {
            return Err(ApiError::unsupported("truncation"));
        }
        // Nothing here runs tools by itself.
        fields.count("max_tool_calls", 0, u64::MAX)?;
        let model = fields.string("model")?;
        let model = fields.required("model", model)?;
        let mut messages = Vec::new();
        if let Some(text) = fields.string("instructions")? {
            messages.push(json!({"role": "system", "content": text}));
        }
        let input = fields.value("input");
        items(fields.required("input", input)?, &mut messages)?;
        fields.rename("max_output_tokens", "max_tokens");
        let settings = Settings::take(&mut fields)?;
        if settings.choices != 1 {
            return Err(ApiError::unsupported("n"));
        }
        let format = format(&mut fields)?;
        let tools = tools(&mut fields)?;
        if let Some(Value::Object(choice)) = fields.peek("tool_choice")
            && choice.get("function").is_none()
        {
            let mut choice = choice.clone();
            let name = choice.shift_remove("name").unwrap_or_default();
            choice.insert("function".to_owned(), json!({"name": name}));
            fields.put("tool_choice", Value::Object(choice));
        }
        let tool_choice = if tools.is_empty() && fields.peek("tool_choice").is_none_or(Value::is_string) {
            fields.value("tool_choice");
            ToolChoice::Auto
        } else {
            tool_choice(&mut fields, &tools)?
        };
        let parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let included = fields.list("include")?.unwrap_or_default();
        let wanted = included.iter().any(|what| what == "message.output_text.logprobs");
        let alternatives = fields.count("top_logprobs", 0, MOST_ALTERNATIVES)?;
        let effort = effort(&mut fields)?;
        let variables = variables(&mut fields)?;
        fields.finish()?;
        let alternatives = wanted.then(|| alternatives.unwrap_or(0));
        let chat = ChatRequest {
            model,
            messages,
            settings,
            format,
            variables,
            effort,
            tools,
            tool_choice,
            parallel,
            alternatives,
        };
        Ok(Self { chat, echo })
    }
}

/// The fields that a response repeats, with OpenAI's defaults.
fn echo(fields: &Fields) -> Map<String, Value> {
    let defaults = json!({
        "instructions": null, "max_output_tokens": null, "metadata": {}, "parallel_tool_calls": true,
        "previous_response_id": null, "reasoning": {"effort": null, "summary": null}, "store": false,
        "temperature": null, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": null,
        "truncation": "disabled", "user": null,
    });
    let Value::Object(mut echo) = defaults else { return Map::new() };
    for (name, value) in echo.iter_mut().filter(|(name, _)| *name != "store") {
        if let Some(given) = fields.peek(name) {
            *value = given.clone();
        }
    }
    echo
}

/// A text, or the items of a conversation.
fn items(input: Value, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    let list = match input {
        Value::String(text) => {
            messages.push(json!({"role": "user", "content": text}));
            return Ok(());
        }
        Value::Array(list) => list,
        other => return Err(ApiError::field("input", kind(&other), "a string or a list of items")),
    };
    if !(1..=MOST_MESSAGES).contains(&list.len()) {
        return Err(ApiError::field(
            "input",
            format!("{} items", list.len()),
            format!("1 to {MOST_MESSAGES}"),
        ));
    }
    let mut reasoning: Option<String> = None;
    for (index, item) in list.into_iter().enumerate() {
        let mut item = Fields::of(item, &format!("input[{index}]"))?;
        // What the server once said of an item has no effect.
        item.value("id");
        item.value("status");
        match item.string("type")?.as_deref() {
            None | Some("message") => message(&mut item, &mut reasoning, messages)?,
            Some("function_call") => call(&mut item, &mut reasoning, messages)?,
            Some("function_call_output") => {
                let id = item.string("call_id")?;
                let id = item.required("call_id", id)?;
                let text = texts(&mut item, "output")?;
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": text}));
            }
            Some("reasoning") => {
                item.value("encrypted_content");
                let said = texts(&mut item, "content")?;
                let summary = texts(&mut item, "summary")?;
                reasoning =
                    Some(if said.is_empty() { summary } else { said }).filter(|text| !text.is_empty());
            }
            _ => {
                let expected = "message, function_call, function_call_output or reasoning";
                return Err(ApiError::field(&item.at("type"), "another", expected));
            }
        }
        item.finish()?;
    }
    Ok(())
}

fn message(
    item: &mut Fields,
    reasoning: &mut Option<String>,
    messages: &mut Vec<Value>,
) -> Result<(), ApiError> {
    let role = item.string("role")?;
    let role = match item.required("role", role)?.as_str() {
        "developer" | "system" => "system",
        "user" => "user",
        "assistant" => "assistant",
        _ => {
            let expected = "user, assistant, system or developer";
            return Err(ApiError::field(&item.at("role"), "another", expected));
        }
    };
    // The phase of an answer ("commentary", "final_answer").
    item.value("phase");
    let text = texts(item, "content")?;
    let mut new = json!({"role": role, "content": text});
    if role == "assistant"
        && let Some(reasoning) = reasoning.take()
    {
        new["reasoning_content"] = Value::String(reasoning);
    }
    match messages.last_mut().filter(|last| role == "system" && last["role"] == "system") {
        // Templates know one system message.
        Some(last) => {
            last["content"] = json!(format!("{}\n\n{text}", last["content"].as_str().unwrap_or_default()));
        }
        None => messages.push(new),
    }
    Ok(())
}

fn call(
    item: &mut Fields,
    reasoning: &mut Option<String>,
    messages: &mut Vec<Value>,
) -> Result<(), ApiError> {
    let id = item.string("call_id")?;
    let id = item.required("call_id", id)?;
    let name = item.string("name")?;
    let name = item.required("name", name)?;
    let arguments = item.string("arguments")?.unwrap_or_default();
    let arguments = match arguments.trim() {
        "" => json!({}),
        text => serde_json::from_str(text).unwrap_or(Value::String(arguments)),
    };
    let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    match messages.last_mut().filter(|last| last["role"] == "assistant") {
        Some(last) => match last.get_mut("tool_calls").and_then(Value::as_array_mut) {
            Some(calls) => calls.push(call),
            None => last["tool_calls"] = json!([call]),
        },
        None => {
            let mut new = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            if let Some(reasoning) = reasoning.take() {
                new["reasoning_content"] = Value::String(reasoning);
            }
            messages.push(new);
        }
    }
    Ok(())
}

/// A string, or a list of parts with text.
fn texts(item: &mut Fields, name: &str) -> Result<String, ApiError> {
    let place = item.at(name);
    let parts = match item.value(name) {
        None => return Ok(String::new()),
        Some(Value::String(text)) => return Ok(text),
        Some(Value::Array(parts)) => parts,
        Some(other) => return Err(ApiError::field(&place, kind(&other), "a string or a list of parts")),
    };
    let mut texts = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let mut part = Fields::of(part, &format!("{place}[{index}]"))?;
        part.value("logprobs");
        let text = match part.string("type")?.as_deref() {
            Some("input_text" | "output_text" | "text" | "summary_text" | "reasoning_text") => {
                part.string("text")?
            }
            Some("refusal") => part.string("refusal")?,
            _ => {
                return Err(ApiError::field(
                    &part.at("type"),
                    "another",
                    "input_text: only text is supported",
                ));
            }
        };
        texts.push(part.required("text", text)?);
        part.finish()?;
    }
    Ok(texts.join("\n"))
}

/// The field `text`.
fn format(fields: &mut Fields) -> Result<ResponseFormat, ApiError> {
    let Some(text) = fields.value("text") else { return Ok(ResponseFormat::Text) };
    let mut text = Fields::of(text, "text")?;
    if text.string("verbosity")?.is_some_and(|verbosity| verbosity != "medium") {
        return Err(ApiError::unsupported("text.verbosity"));
    }
    let format = text.value("format");
    text.finish()?;
    let Some(format) = format else { return Ok(ResponseFormat::Text) };
    let mut format = Fields::of(format, "text.format")?;
    let read = match format.string("type")?.as_deref() {
        Some("text") => ResponseFormat::Text,
        Some("json_object") => {
            ResponseFormat::Json { schema: json!({"type": "object"}), place: "text.format" }
        }
        Some("json_schema") => {
            let schema = format.value("schema");
            let schema = format.required("schema", schema)?;
            format.string("name")?;
            format.string("description")?;
            format.flag("strict")?;
            ResponseFormat::Json { schema, place: "text.format.schema" }
        }
        _ => {
            let expected = "text, json_object or json_schema";
            return Err(ApiError::field("text.format.type", "another", expected));
        }
    };
    format.finish()?;
    Ok(read)
}

fn tools(fields: &mut Fields) -> Result<Vec<Tool>, ApiError> {
    let list = fields.list("tools")?.unwrap_or_default();
    if list.len() > MOST_TOOLS {
        let got = format!("{} of them", list.len());
        return Err(ApiError::field("tools", got, format!("at most {MOST_TOOLS}")));
    }
    let tool = |(index, given): (usize, Value)| {
        let mut tool = Fields::of(given.clone(), &format!("tools[{index}]"))?;
        if tool.string("type")?.as_deref() != Some("function") {
            return Err(ApiError::field(&tool.at("type"), "another", "function: this server runs no tools"));
        }
        let mut function = given;
        if let Some(fields) = function.as_object_mut() {
            fields.shift_remove("type");
            fields.shift_remove("strict");
        }
        let read = Tool::take(&mut tool, json!({"type": "function", "function": function}))?;
        tool.finish()?;
        Ok(read)
    };
    list.into_iter().enumerate().map(tool).collect()
}

fn effort(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(reasoning) = fields.value("reasoning") else { return Ok(None) };
    let mut reasoning = Fields::of(reasoning, "reasoning")?;
    let effort = reasoning.string("effort")?;
    // Reasoning is returned as it is.
    reasoning.value("summary");
    reasoning.value("generate_summary");
    reasoning.finish()?;
    Ok(effort)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: Value) -> Result<ResponseRequest, ApiError> {
        let mut body = json!({"model": "m", "input": "Hi"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        ResponseRequest::parse(body.to_string().as_bytes())
    }

    #[test]
    fn items_become_messages() {
        let input = json!([
            {"role": "developer", "content": [{"type": "input_text", "text": "Be"}]},
            {"type": "message", "role": "user", "content": "Where?"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"x\": 1}", "status": "completed"},
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
            {"type": "function_call_output", "call_id": "c1", "output": "Rome"},
            {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "There", "annotations": [], "logprobs": []}]},
        ]);
        let tools = json!([{"type": "function", "name": "f", "parameters": {}, "strict": true}]);
        let more = json!({"input": input, "instructions": "Brief", "tools": tools, "max_output_tokens": 5,
            "tool_choice": {"type": "function", "name": "f"}, "reasoning": {"effort": "low"}, "store": true,
            "text": {"format": {"type": "json_schema", "name": "s", "schema": {}, "strict": true}}});
        let ResponseRequest { chat, echo } = parse(more).unwrap();
        assert_eq!(chat.messages[0], json!({"role": "system", "content": "Brief\n\nBe"}));
        assert_eq!(chat.messages[2]["reasoning_content"], "Hm");
        assert_eq!(chat.messages[2]["tool_calls"][0]["function"]["arguments"], json!({"x": 1}));
        assert_eq!(chat.messages[2]["tool_calls"][1]["id"], "c2");
        assert_eq!(chat.messages[3], json!({"role": "tool", "tool_call_id": "c1", "content": "Rome"}));
        assert_eq!((chat.messages[4]["content"].as_str(), chat.messages.len()), (Some("There"), 5));
        assert_eq!((chat.settings.maximum_tokens, chat.effort.as_deref()), (Some(5), Some("low")));
        assert_eq!(chat.tool_choice, ToolChoice::Named("f".to_owned()));
        assert_eq!(chat.tools[0].given["function"]["name"], "f");
        assert_eq!((&echo["max_output_tokens"], &echo["store"]), (&json!(5), &json!(false)));
    }

    #[test]
    fn what_a_server_without_memory_cannot_do_is_refused() {
        for (more, param) in [
            (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
            (json!({"conversation": "conv_1"}), "conversation"),
            (json!({"background": true}), "background"),
            (json!({"truncation": "auto"}), "truncation"),
            (json!({"input": []}), "input"),
            (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0].type"),
            (
                json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
                "input[0].content[0].type",
            ),
            (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
            (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
            (json!({"max_output_tokens": -1}), "max_output_tokens"),
            (json!({"other": 1}), "other"),
        ] {
            assert_eq!(parse(more.clone()).unwrap_err().json()["error"]["param"], param, "{more}");
        }
        parse(json!({"tool_choice": "auto", "tools": [], "parallel_tool_calls": true, "user": "x"})).unwrap();
    }
}
