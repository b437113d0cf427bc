//! One record of a file of examples, in any of the forms that such files have.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::records::{Record, fields, kind};
use crate::{Error, Result};

/// The most messages of a conversation: the template is rendered once for each answer.
const MAXIMUM_MESSAGES: usize = 1 << 12;
/// What a record may be.
const SHAPES: &str = "prompt and completion, messages, conversations, instruction and output, or text";

/// An example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A text, all of which is learned.
    Text(String),
    /// A prompt and its completion.
    Completion {
        /// Only read.
        prompt: String,
        /// Learned.
        completion: String,
    },
    /// An instruction, in the form of the Alpaca data.
    Instruction(Instruction),
    /// A conversation.
    Conversation(Conversation),
}

/// An instruction and its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What the model reads before the conversation.
    pub system: Option<String>,
    /// Earlier questions and answers.
    pub history: Vec<[String; 2]>,
    /// What to do.
    pub instruction: String,
    /// What to do it with; may be empty.
    pub input: String,
    /// Learned.
    pub output: String,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its messages, in the form of `transformers`: objects with `role`, `content`, and perhaps `tool_calls`.
    pub messages: Vec<Value>,
    /// Whether each of them is learned.
    pub learned: Vec<bool>,
    /// Descriptions of the tools that it uses.
    pub tools: Vec<Value>,
}

impl Sample {
    /// What it is, in the plural.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "texts",
            Self::Completion { .. } => "prompts and completions",
            Self::Instruction(_) => "instructions",
            Self::Conversation(_) => "conversations",
        }
    }
}

impl Instruction {
    /// As a conversation: the input follows the instruction after an empty line.
    #[must_use]
    pub fn conversation(&self) -> Conversation {
        let message = |role: &str, text: &str| json!({"role": role, "content": text});
        let mut messages: Vec<Value> = self.system.iter().map(|text| message("system", text)).collect();
        for [question, answer] in &self.history {
            messages.extend([message("user", question), message("assistant", answer)]);
        }
        let question = match self.input.is_empty() {
            true => self.instruction.clone(),
            false => format!("{}\n\n{}", self.instruction, self.input),
        };
        messages.extend([message("user", &question), message("assistant", &self.output)]);
        let learned = messages.iter().map(is_answer).collect();
        Conversation { messages, learned, tools: Vec::new() }
    }

    /// The prompt in the words of Stanford Alpaca, for models without a chat template.
    #[must_use]
    pub fn prompt(&self) -> String {
        let Self { system, history, instruction, input, .. } = self;
        let (paired, input) = match input.is_empty() {
            true => ("", String::new()),
            false => {
                (", paired with an input that provides further context", format!("### Input:\n{input}\n\n"))
            }
        };
        let usual = format!(
            "Below is an instruction that describes a task{paired}. Write a response that appropriately completes the request."
        );
        let before: String = history
            .iter()
            .map(|[question, answer]| format!("### Instruction:\n{question}\n\n### Response:\n{answer}\n\n"))
            .collect();
        let system = system.as_deref().unwrap_or(&usual);
        format!("{system}\n\n{before}### Instruction:\n{instruction}\n\n{input}### Response:\n")
    }
}

/// Reads fields of a record, and names it in errors.
struct Reader<'a> {
    path: &'a Path,
    record: &'a Record,
}

/// The example that a record holds.
pub(crate) fn sample(path: &Path, record: &Record) -> Result<Sample> {
    let reader = Reader { path, record };
    let has = |field: &str| record.value.get(field).is_some_and(|value| !value.is_null());
    let talk = ["messages", "conversations", "conversation"].into_iter().find(|field| has(field));
    let instruction = has("instruction") && (has("output") || has("response"));
    let completion = has("completion") || (has("prompt") && has("response"));
    // Published data repeat the first prompt beside the messages, and Alpaca the whole as a text.
    let text = has("text") && !instruction;
    let prompt = has("prompt") && talk.is_none();
    match (talk, instruction, completion || prompt, text) {
        (Some(field), false, false, false) => Ok(Sample::Conversation(reader.conversation(field)?)),
        (None, true, false, _) => Ok(Sample::Instruction(reader.instruction()?)),
        (None, false, true, false) => reader.completion(),
        (None, false, false, true) => Ok(Sample::Text(reader.filled("text")?)),
        (None, false, false, false) => Err(reader.wrong("", fields(&record.value), SHAPES)),
        _ => Err(reader.wrong("", format!("several of them: {}", fields(&record.value)), SHAPES)),
    }
}

fn is_answer(message: &Value) -> bool {
    message["role"] == "assistant"
}

impl Reader<'_> {
    fn wrong(&self, field: &str, got: impl Into<String>, expected: &str) -> Error {
        let place = &self.record.place;
        let place = if field.is_empty() { place.to_string() } else { format!("{place}: {field}") };
        Error::field(self.path, place, got, expected)
    }

    fn text(&self, of: &Value, field: &str, name: &str) -> Result<String> {
        match of.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.wrong(name, kind(other), "a string")),
            None => Err(self.wrong(name, "nothing", "a string")),
        }
    }

    /// A text that may be missing.
    fn optional(&self, field: &str) -> Result<Option<String>> {
        match self.record.value.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(&self.record.value, field, field).map(Some),
        }
    }

    /// A text to learn.
    fn filled(&self, field: &str) -> Result<String> {
        let text = self.text(&self.record.value, field, field)?;
        if text.is_empty() { Err(self.wrong(field, "an empty string", "text to learn")) } else { Ok(text) }
    }

    /// The field's name for answers, which some call `response`.
    fn answer<'n>(&self, usual: &'n str) -> &'n str {
        if self.record.value.get(usual).is_none_or(Value::is_null)
            && self.record.value.get("response").is_some()
        {
            "response"
        } else {
            usual
        }
    }

    fn completion(&self) -> Result<Sample> {
        let value = &self.record.value;
        let field = self.answer("completion");
        if let (Some(Value::Array(_)), Some(Value::Array(_))) = (value.get("prompt"), value.get(field)) {
            let mut whole = self.messages("prompt")?;
            whole.learned.fill(false);
            let answer = self.messages(field)?;
            whole.messages.extend(answer.messages);
            whole.learned.extend(answer.learned);
            whole.tools = self.tools()?;
            self.check_learned(field, &whole)?;
            return Ok(Sample::Conversation(whole));
        }
        let completion = self.filled(field)?;
        Ok(Sample::Completion { prompt: self.text(value, "prompt", "prompt")?, completion })
    }

    fn instruction(&self) -> Result<Instruction> {
        let mut history = Vec::new();
        if let Some(list) = self.record.value.get("history").filter(|list| !list.is_null()) {
            let pairs =
                list.as_array().ok_or_else(|| self.wrong("history", kind(list), "a list of pairs"))?;
            for pair in pairs {
                let pair = serde_json::from_value(pair.clone())
                    .map_err(|_| self.wrong("history", kind(pair), "pairs of a question and an answer"))?;
                history.push(pair);
            }
        }
        Ok(Instruction {
            system: self.optional("system")?.filter(|text| !text.is_empty()),
            history,
            instruction: self.text(&self.record.value, "instruction", "instruction")?,
            input: self.optional("input")?.unwrap_or_default(),
            output: self.filled(self.answer("output"))?,
        })
    }

    fn conversation(&self, field: &str) -> Result<Conversation> {
        let mut whole = self.messages(field)?;
        if let Some(system) = self.optional("system")?.filter(|text| !text.is_empty()) {
            whole.messages.insert(0, json!({"role": "system", "content": system}));
            whole.learned.insert(0, false);
        }
        whole.tools = self.tools()?;
        if !whole.messages.iter().any(is_answer) {
            let expected = "at least one message with the role assistant";
            return Err(self.wrong(field, "no answer to learn", expected));
        }
        self.check_learned(field, &whole)?;
        Ok(whole)
    }

    fn check_learned(&self, field: &str, whole: &Conversation) -> Result<()> {
        if whole.learned.contains(&true) {
            return Ok(());
        }
        Err(self.wrong(field, "weight 0 for every answer", "an answer to learn"))
    }

    fn messages(&self, field: &str) -> Result<Conversation> {
        let list = &self.record.value[field];
        let list = list.as_array().filter(|list| list.len() <= MAXIMUM_MESSAGES).ok_or_else(|| {
            let expected = format!("a list of at most {MAXIMUM_MESSAGES} messages");
            self.wrong(field, kind(list), &expected)
        })?;
        let (mut messages, mut learned) = (Vec::new(), Vec::new());
        for (index, message) in list.iter().enumerate() {
            let name = |part: &str| format!("{field}[{index}].{part}");
            let (message, weight) = self.message(message, &name)?;
            learned.push(is_answer(&message) && weight);
            messages.push(message);
        }
        Ok(Conversation { messages, learned, tools: Vec::new() })
    }

    /// A message as `transformers` has it, and whether it may be learned.
    fn message(&self, given: &Value, name: &dyn Fn(&str) -> String) -> Result<(Value, bool)> {
        let learned = match given.get("weight") {
            None | Some(Value::Null) => true,
            Some(weight) => match weight.as_f64() {
                Some(0.0) => false,
                Some(1.0) => true,
                _ => return Err(self.wrong(&name("weight"), weight.to_string(), "0 or 1")),
            },
        };
        if given.get("from").is_some() && given.get("role").is_none() {
            return Ok((self.shared(given, name)?, learned));
        }
        let mut message = Map::new();
        message.insert("role".to_owned(), self.text(given, "role", &name("role"))?.into());
        let calls = self.calls(given, name)?;
        let content = match given.get("content") {
            Some(Value::Array(parts)) => self.parts(parts, &name("content"))?,
            None | Some(Value::Null) if calls.is_some() => String::new(),
            _ => self.text(given, "content", &name("content"))?,
        };
        message.insert("content".to_owned(), content.into());
        message.extend(calls.map(|calls| ("tool_calls".to_owned(), calls)));
        for (field, value) in given.as_object().into_iter().flatten() {
            let read = ["role", "content", "tool_calls", "function_call", "weight"].contains(&field.as_str());
            if !read && !value.is_null() {
                message.insert(field.clone(), value.clone());
            }
        }
        Ok((Value::Object(message), learned))
    }

    /// The texts of a message's parts.
    fn parts(&self, parts: &[Value], name: &str) -> Result<String> {
        let text = |part: &Value| match (part, part.get("text")) {
            (Value::String(text), _) | (_, Some(Value::String(text))) => Ok(text.clone()),
            _ => {
                let got = part.get("type").and_then(Value::as_str).unwrap_or(kind(part));
                Err(self.wrong(name, format!("a part of type {got}"), "parts with text"))
            }
        };
        parts.iter().map(text).collect()
    }

    /// The calls of tools in a message, with arguments as objects; those of OpenAI's older form too.
    fn calls(&self, given: &Value, name: &dyn Fn(&str) -> String) -> Result<Option<Value>> {
        let filled = |field: &str| given.get(field).filter(|value| !value.is_null());
        let calls = match (filled("tool_calls"), filled("function_call")) {
            (Some(Value::Array(calls)), _) => calls.clone(),
            (Some(other), _) => return Err(self.wrong(&name("tool_calls"), kind(other), "a list")),
            (None, Some(call)) => vec![call.clone()],
            (None, None) => return Ok(None),
        };
        if calls.is_empty() {
            return Ok(None);
        }
        let calls = calls.iter().map(|call| self.call(call, &name("tool_calls")));
        Ok(Some(Value::Array(calls.collect::<Result<_>>()?)))
    }

    /// A call with its arguments as an object.
    fn call(&self, call: &Value, name: &str) -> Result<Value> {
        let function = call.get("function").unwrap_or(call);
        let called = self.text(function, "name", &format!("{name}.name"))?;
        let arguments = match function.get("arguments") {
            None | Some(Value::Null) => json!({}),
            Some(Value::String(text)) if text.trim().is_empty() => json!({}),
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(other) => other.clone(),
        };
        if !arguments.is_object() {
            let got = function["arguments"].to_string();
            return Err(self.wrong(&format!("{name}.arguments"), got, "a JSON object"));
        }
        let mut whole = json!({"type": "function", "function": {"name": called, "arguments": arguments}});
        if let Some(id) = call.get("id").filter(|id| id.is_string()) {
            whole["id"] = id.clone();
        }
        Ok(whole)
    }

    /// A message of ShareGPT's form.
    fn shared(&self, given: &Value, name: &dyn Fn(&str) -> String) -> Result<Value> {
        let from = self.text(given, "from", &name("from"))?;
        let value = self.text(given, "value", &name("value"))?;
        let role = match from.as_str() {
            "human" | "user" => "user",
            "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "bot" | "model" => "assistant",
            "system" => "system",
            "tool" | "observation" | "function_response" => "tool",
            "function_call" => {
                let calls = match serde_json::from_str(&value) {
                    Ok(Value::Array(calls)) => calls,
                    Ok(call) => vec![call],
                    Err(error) => {
                        return Err(self.wrong(&name("value"), error.to_string(), "a call as JSON"));
                    }
                };
                let calls = calls.iter().map(|call| self.call(call, &name("value")));
                let calls = calls.collect::<Result<Vec<Value>>>()?;
                return Ok(json!({"role": "assistant", "content": "", "tool_calls": calls}));
            }
            other => {
                let expected = "human, gpt, system, tool, observation or function_call";
                return Err(self.wrong(&name("from"), format!("'{other}'"), expected));
            }
        };
        Ok(json!({"role": role, "content": value}))
    }

    /// The descriptions of tools beside a conversation.
    fn tools(&self) -> Result<Vec<Value>> {
        let filled = |field: &str| self.record.value.get(field).filter(|value| !value.is_null());
        let parsed = |text: &str| match text.trim().is_empty() {
            true => Ok(json!([])),
            false => serde_json::from_str(text),
        };
        match (filled("tools"), filled("functions")) {
            (Some(Value::Array(tools)), _) => Ok(tools.clone()),
            (Some(Value::String(text)), _) => match parsed(text) {
                Ok(Value::Array(tools)) => Ok(tools),
                _ => Err(self.wrong("tools", "a string", "a list of tools as JSON")),
            },
            (Some(other), _) => Err(self.wrong("tools", kind(other), "a list")),
            (None, Some(Value::Array(functions))) => {
                let tool = |function: &Value| json!({"type": "function", "function": function});
                Ok(functions.iter().map(tool).collect())
            }
            (None, Some(other)) => Err(self.wrong("functions", kind(other), "a list")),
            (None, None) => Ok(Vec::new()),
        }
    }
}
