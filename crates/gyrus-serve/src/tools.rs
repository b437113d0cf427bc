//! Tools: what a model may call, how calls appear in its text, and how to force one.
//!
//! Models are trained to call tools in different forms ([`ToolForm`]); the chat template shows which. [`ToolReader`] reads an
//! answer as it arrives: text that could be the beginning of a call is held back until that is decided.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::fields::Fields;

/// The most tools of a request.
const MOST_TOOLS: usize = 128;
/// The most bytes of a tool's name.
const LONGEST_NAME: usize = 64;

/// A function that may be called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// The schema of its arguments.
    parameters: Value,
    /// As given, for the chat template.
    pub(crate) given: Value,
}

/// Which tools an answer should call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ToolChoice {
    /// None.
    None,
    /// The model decides.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// The tools of a request.
pub(crate) fn tools(fields: &mut Fields) -> Result<Vec<Tool>, ApiError> {
    let list = fields.list("tools")?.unwrap_or_default();
    if list.len() > MOST_TOOLS {
        return Err(ApiError::field(
            "tools",
            format!("{} of them", list.len()),
            format!("at most {MOST_TOOLS}"),
        ));
    }
    let tool = |(index, given): (usize, Value)| {
        let mut tool = Fields::of(given.clone(), &format!("tools[{index}]"))?;
        if tool.string("type")?.as_deref() != Some("function") {
            return Err(ApiError::field(&tool.at("type"), "another", "function"));
        }
        let function = tool.value("function");
        let mut function = Fields::of(tool.required("function", function)?, &tool.at("function"))?;
        tool.finish()?;
        let name = function.string("name")?;
        let name = function.required("name", name)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            let expected = format!("1 to {LONGEST_NAME} letters, digits, underscores, dots and dashes");
            return Err(ApiError::field(&function.at("name"), "another name", expected));
        }
        function.string("description")?;
        // Forced calls follow the schema strictly.
        function.flag("strict")?;
        let parameters = function.value("parameters").unwrap_or(json!({"type": "object", "properties": {}}));
        function.finish()?;
        Ok(Tool { name, parameters, given })
    };
    list.into_iter().enumerate().map(tool).collect()
}

/// The `tool_choice` of a request.
pub(crate) fn tool_choice(fields: &mut Fields, tools: &[Tool]) -> Result<ToolChoice, ApiError> {
    let wrong = || ApiError::field("tool_choice", "another", "none, auto, required, or one of the tools");
    let choice = match fields.value("tool_choice") {
        None => ToolChoice::Auto,
        Some(Value::String(choice)) => match choice.as_str() {
            "none" => ToolChoice::None,
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => return Err(wrong()),
        },
        Some(choice) => {
            let mut choice = Fields::of(choice, "tool_choice")?;
            if choice.string("type")?.as_deref() != Some("function") {
                return Err(ApiError::field("tool_choice.type", "another", "function"));
            }
            let function = choice.value("function");
            let mut function = Fields::of(choice.required("function", function)?, "tool_choice.function")?;
            choice.finish()?;
            let name = function.string("name")?;
            let name = function.required("name", name)?;
            function.finish()?;
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(wrong());
            }
            ToolChoice::Named(name)
        }
    };
    if tools.is_empty() && choice == ToolChoice::Required {
        return Err(ApiError::field("tool_choice", "required", "tools to choose from"));
    }
    Ok(choice)
}

/// The form in which a model calls tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolForm {
    /// `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen, SmolLM3.
    Hermes,
    /// The whole answer is `{"name": ..., "parameters": {...}}`: Llama 3.
    Llama,
    /// `[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]`: Mistral.
    Mistral,
}

impl ToolForm {
    /// The form in a chat template; `None` if it does not support tools.
    #[must_use]
    pub fn of_template(template: &str) -> Option<Self> {
        if !template.contains("tools") {
            return None;
        }
        if template.contains("[TOOL_CALLS]") {
            Some(Self::Mistral)
        } else if template.contains("<tool_call>") {
            Some(Self::Hermes)
        } else if template.contains("\"parameters\"") || template.contains("<|python_tag|>") {
            Some(Self::Llama)
        } else {
            None
        }
    }

    /// The beginning of a call in the text.
    fn begin(self) -> &'static str {
        match self {
            Self::Hermes => "<tool_call>",
            Self::Llama => "<|python_tag|>",
            Self::Mistral => "[TOOL_CALLS]",
        }
    }

    /// Special tokens that belong to a call.
    pub(crate) fn special_tokens(self) -> &'static [&'static str] {
        match self {
            Self::Hermes => &["<tool_call>", "</tool_call>"],
            Self::Llama => &["<|python_tag|>"],
            Self::Mistral => &["[TOOL_CALLS]"],
        }
    }

    /// Appended to the prompt if the answer must be a call, so that only its JSON remains to be generated.
    pub(crate) fn forced_begin(self) -> &'static str {
        match self {
            Self::Hermes => "<tool_call>\n",
            Self::Llama => "",
            Self::Mistral => "[TOOL_CALLS]",
        }
    }

    /// The field that holds the arguments.
    fn arguments(self) -> &'static str {
        match self {
            Self::Hermes | Self::Mistral => "arguments",
            Self::Llama => "parameters",
        }
    }

    /// The JSON schema of a call of one of these tools.
    pub(crate) fn forced_schema(self, tools: &[&Tool]) -> Value {
        let place = if self == Self::Mistral { "#/items" } else { "#" };
        let of = |tool: &Tool, place: String| {
            let arguments = self.arguments();
            let parameters = moved(&tool.parameters, &format!("{place}/properties/{arguments}"));
            json!({
                "type": "object",
                "properties": {"name": {"const": tool.name}, arguments: parameters},
                "required": ["name", arguments],
                "additionalProperties": false,
            })
        };
        let call = match tools {
            [tool] => of(tool, place.to_owned()),
            several => {
                let any = several.iter().enumerate();
                let any: Vec<Value> =
                    any.map(|(index, tool)| of(tool, format!("{place}/anyOf/{index}"))).collect();
                json!({"anyOf": any})
            }
        };
        match self {
            Self::Mistral => json!({"type": "array", "items": call, "minItems": 1, "maxItems": 1}),
            Self::Hermes | Self::Llama => call,
        }
    }

    /// Parses JSON into calls.
    fn calls(self, text: &str) -> Option<Vec<Part>> {
        let value: Value = serde_json::from_str(text.trim()).ok()?;
        let list = match value {
            Value::Array(list) => list,
            one => vec![one],
        };
        let call = |call: Value| {
            let name = call.get("name")?.as_str()?.to_owned();
            let arguments = call.get("arguments").or_else(|| call.get("parameters"))?;
            let arguments = match arguments {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some(Part::Call { name, arguments })
        };
        list.into_iter().map(call).collect::<Option<Vec<Part>>>().filter(|calls| !calls.is_empty())
    }
}

/// Moves a schema to another place, adapting its internal references.
fn moved(schema: &Value, place: &str) -> Value {
    match schema {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("$ref", Value::String(target)) if target.starts_with('#') => {
                    (name.clone(), Value::String(format!("{place}{}", &target[1..])))
                }
                ("const" | "enum" | "default" | "examples", _) => (name.clone(), value.clone()),
                _ => (name.clone(), moved(value, place)),
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(|value| moved(value, place)).collect()),
        other => other.clone(),
    }
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text for the user.
    Text(String),
    /// A call of a tool.
    Call {
        /// The tool's name.
        name: String,
        /// The arguments as JSON, if the model keeps to its form.
        arguments: String,
    },
}

/// Reads an answer as it arrives.
#[derive(Clone, Debug)]
pub struct ToolReader {
    /// `None` without tools: everything is text.
    form: Option<ToolForm>,
    /// The answer is a forced call, without its beginning.
    forced: bool,
    /// Only whitespace has arrived so far.
    fresh: bool,
    /// The last part was a call: whitespace after it is dropped.
    after_call: bool,
    /// A possible or incomplete call.
    held: String,
    /// Inside a call.
    calling: bool,
}

impl ToolReader {
    /// A reader of an answer; `forced` means that the answer is a forced call.
    #[must_use]
    pub fn new(form: Option<ToolForm>, forced: bool) -> Self {
        let forced = forced && form.is_some();
        Self { form, forced, fresh: true, after_call: false, held: String::new(), calling: forced }
    }

    /// The form of calls; `None` without tools.
    pub(crate) fn form(&self) -> Option<ToolForm> {
        self.form
    }

    /// The parts that `text` completes.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        let Some(form) = self.form else {
            return if text.is_empty() { Vec::new() } else { vec![Part::Text(text.to_owned())] };
        };
        self.held += text;
        let mut parts = VecDeque::new();
        while !self.forced && self.advance(form, &mut parts) {}
        parts.into()
    }

    /// The remaining parts after the answer has ended.
    pub fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        let Some(form) = self.form.filter(|_| !held.is_empty()) else { return Vec::new() };
        let calling = std::mem::take(&mut self.calling);
        if !calling && self.after_call && held.trim().is_empty() {
            return Vec::new();
        }
        let body = held.trim_start();
        let body = body.strip_prefix(form.begin()).unwrap_or(body);
        let body = body.trim_end().strip_suffix("</tool_call>").unwrap_or(body);
        match form.calls(body).filter(|_| calling) {
            Some(calls) => calls,
            None => vec![Part::Text(held)],
        }
    }

    /// Takes one part out of the held text; returns whether there may be more.
    fn advance(&mut self, form: ToolForm, parts: &mut VecDeque<Part>) -> bool {
        if self.calling {
            // Only this form marks the end of a call.
            const END: &str = "</tool_call>";
            if form != ToolForm::Hermes {
                return false;
            }
            let Some(end) = self.held.find(END) else { return false };
            let rest = self.held.split_off(end + END.len());
            let call = std::mem::replace(&mut self.held, rest);
            let body = &call[form.begin().len()..end];
            match form.calls(body) {
                Some(calls) => parts.extend(calls),
                None => parts.push_back(Part::Text(call)),
            }
            (self.calling, self.after_call) = (false, true);
            return true;
        }
        if form == ToolForm::Llama && self.fresh {
            let begin = self.held.trim_start();
            if begin.is_empty() || (begin.len() < form.begin().len() && form.begin().starts_with(begin)) {
                return false;
            }
            if begin.starts_with('{') || begin.starts_with(form.begin()) {
                self.calling = true;
                return true;
            }
        }
        if let Some(place) = self.held.find(form.begin()) {
            let call = self.held.split_off(place);
            let text = std::mem::replace(&mut self.held, call);
            self.show(text, parts);
            self.calling = true;
            return true;
        }
        if self.after_call && self.held.trim().is_empty() {
            return false;
        }
        // Keep the longest suffix that could be the beginning of a call.
        let begin = form.begin();
        let kept = (1..begin.len()).rev().find(|&length| self.held.ends_with(&begin[..length])).unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - kept);
        let text = std::mem::replace(&mut self.held, kept);
        self.show(text, parts);
        false
    }

    fn show(&mut self, text: String, parts: &mut VecDeque<Part>) {
        let blank = text.trim().is_empty();
        if text.is_empty() || self.after_call && blank {
            return;
        }
        self.fresh &= blank;
        self.after_call = false;
        parts.push_back(Part::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of an answer that arrives in pieces of `size` characters, with texts joined.
    fn read(form: ToolForm, forced: bool, answer: &str, size: usize) -> Vec<Part> {
        let mut reader = ToolReader::new(Some(form), forced);
        let letters: Vec<char> = answer.chars().collect();
        let mut parts = Vec::new();
        for piece in letters.chunks(size) {
            parts.extend(reader.push(&piece.iter().collect::<String>()));
        }
        parts.extend(reader.finish());
        let mut joined: Vec<Part> = Vec::new();
        for part in parts {
            match (joined.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => *before += &text,
                (_, part) => joined.push(part),
            }
        }
        joined
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn call(name: &str, arguments: &str) -> Part {
        Part::Call { name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn calls_are_found_in_every_form_however_they_come() {
        use ToolForm::{Hermes, Llama, Mistral};
        for size in [1, 2, 3, 7, 1000] {
            let answer = "Let me see. <tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>\n\
                          <tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>";
            let expected = [text("Let me see. "), call("f", "{\"x\":1}"), call("g", "{}")];
            assert_eq!(read(Hermes, false, &format!("{answer}\n"), size), expected, "{size}");
            let more = format!("{answer}\n And more <");
            assert_eq!(read(Hermes, false, &more, size)[3..], [text("\n And more <")], "{size}");
            let cut = "<tool_call>{\"name\": \"g\", \"arguments\": {}}";
            assert_eq!(read(Hermes, false, cut, size), [call("g", "{}")], "the end may be a special token");
            assert_eq!(read(Hermes, false, "a <tool_x> b <too", size), [text("a <tool_x> b <too")]);
            let broken = "<tool_call>{\"name\": </tool_call> or so";
            assert_eq!(read(Hermes, false, broken, size), [text(broken)]);
            let answer = " {\"name\": \"f\", \"parameters\": {\"x\": [1]}}";
            assert_eq!(read(Llama, false, answer, size), [call("f", "{\"x\":[1]}")]);
            let answer = "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}";
            assert_eq!(read(Llama, false, answer, size), [call("f", "{}")]);
            assert_eq!(read(Llama, false, "{braces} are text", size), [text("{braces} are text")]);
            assert_eq!(read(Llama, false, "Hi {you}", size), [text("Hi {you}")]);
            let answer =
                "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]";
            assert_eq!(read(Mistral, false, answer, size), [call("f", "{}"), call("g", "{}")]);
            for form in [Hermes, Llama, Mistral] {
                assert_eq!(read(form, true, "{\"name\": \"f\", \"arguments\": {}}", size), [call("f", "{}")]);
                assert_eq!(
                    read(form, true, "{\"name\": \"f\", ", size),
                    [text("{\"name\": \"f\", ")],
                    "cut off"
                );
                assert_eq!(read(form, false, "plain words", size), [text("plain words")]);
            }
        }
        let mut reader = ToolReader::new(None, false);
        assert_eq!(reader.push("<tool_call>"), [text("<tool_call>")], "without tools all is text");
        assert_eq!(reader.finish(), []);
    }

    #[test]
    fn templates_determine_forms() {
        let of = ToolForm::of_template;
        assert_eq!(of("{% if tools %}<tool_call>{% endif %}"), Some(ToolForm::Hermes));
        assert_eq!(of("{% if tools %}[TOOL_CALLS]{% endif %}"), Some(ToolForm::Mistral));
        assert_eq!(of("{% if tools %}{\"name\": x, \"parameters\": y}{% endif %}"), Some(ToolForm::Llama));
        assert_eq!(of("{{ messages[0].content }}<tool_call>"), None);
    }

    #[test]
    fn internal_references_of_schemas_keep_their_meaning() {
        let parameters =
            json!({"$defs": {"a": {"type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/a"}}});
        let tool =
            |name: &str| Tool { name: name.to_owned(), parameters: parameters.clone(), given: Value::Null };
        let (f, g) = (tool("f"), tool("g"));
        let schema = ToolForm::Hermes.forced_schema(&[&f, &g]);
        let target =
            schema["anyOf"][1]["properties"]["arguments"]["properties"]["x"]["$ref"].as_str().unwrap();
        assert_eq!(schema.pointer(&target[1..]).unwrap(), &json!({"type": "integer"}));
        let schema = ToolForm::Mistral.forced_schema(&[&f]);
        let call = &schema["items"]["properties"]["arguments"]["properties"]["x"]["$ref"];
        assert_eq!(schema.pointer(&call.as_str().unwrap()[1..]).unwrap(), &json!({"type": "integer"}));
    }
}
