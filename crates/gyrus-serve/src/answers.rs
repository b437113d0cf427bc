//! Engine events as OpenAI's answers: complete, or as the chunks of a stream.

use std::sync::Arc;

use gyrus_language::engine::{Event, Summary};
use gyrus_language::{Choice, Ending};
use serde_json::{Map, Value, json};

use crate::error::{ApiError, Result};
use crate::reasoning::{ReasoningReader, Said};
use crate::service::{Service, now, random};
use crate::stream::Assembly;
use crate::tools::{Part, ToolForm, ToolReader};

/// What OpenAI's interface reports for a probability of zero.
const LEAST_LOG_PROBABILITY: f32 = -9999.0;

/// The endpoint that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Completion,
}

/// An answer in progress.
pub(crate) struct Answer {
    service: Arc<Service>,
    kind: Kind,
    id: String,
    created: u64,
    model: String,
    /// Number of texts per prompt.
    choices_of_prompt: usize,
    /// Whether tool calls after the first are dropped.
    single: bool,
    /// The form of tool calls, which determines their ids.
    form: Option<ToolForm>,
    include_usage: bool,
    texts: Vec<Text>,
}

/// One of the texts of an answer.
struct Text {
    reader: ToolReader,
    reasoning_reader: ReasoningReader,
    text: String,
    reasoning: String,
    reasoning_tokens: usize,
    calls: Vec<Value>,
    probabilities: Vec<Value>,
    /// Number of characters so far.
    offset: usize,
    begun: bool,
    /// Number of tool calls so far.
    called: usize,
    summary: Option<Summary>,
}

/// What an event adds to a text.
pub(crate) struct Delta {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<Value>,
    pub(crate) probabilities: Vec<Value>,
    pub(crate) finish: Option<&'static str>,
}

/// The parameters of an answer.
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) model: String,
    /// Number of texts in total, and per prompt.
    pub(crate) texts: usize,
    pub(crate) choices_of_prompt: usize,
    pub(crate) single: bool,
    pub(crate) include_usage: bool,
    pub(crate) reader: ToolReader,
    pub(crate) reasoning: ReasoningReader,
}

impl Answer {
    pub(crate) fn new(service: Arc<Service>, shape: Shape) -> Self {
        let Shape { kind, model, texts, choices_of_prompt, single, include_usage, reader, reasoning } = shape;
        let form = reader.form();
        let text = || Text {
            reader: reader.clone(),
            reasoning_reader: reasoning.clone(),
            text: String::new(),
            reasoning: String::new(),
            reasoning_tokens: 0,
            calls: Vec::new(),
            probabilities: Vec::new(),
            offset: 0,
            begun: false,
            called: 0,
            summary: None,
        };
        let prefix = if kind == Kind::Chat { "chatcmpl" } else { "cmpl" };
        Self {
            service,
            kind,
            id: format!("{prefix}-{:016x}{:016x}", random(), random()),
            created: now(),
            model,
            choices_of_prompt,
            single,
            form,
            include_usage,
            texts: (0..texts).map(|_| text()).collect(),
        }
    }

    /// When it was asked for, in seconds since 1970.
    pub(crate) fn created(&self) -> u64 {
        self.created
    }

    /// The model, as it was asked for.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// Its token usage so far.
    pub(crate) fn usage(&self) -> Value {
        usage(&self.texts, self.choices_of_prompt)
    }

    /// The tokens of all reasoning.
    pub(crate) fn reasoning_tokens(&self) -> usize {
        self.texts.iter().map(|text| text.reasoning_tokens).sum()
    }

    fn complete(mut self) -> Value {
        let texts = std::mem::take(&mut self.texts);
        let usage = usage(&texts, self.choices_of_prompt);
        let choice = |(index, text): (usize, Text)| {
            let finish = text.finish();
            let probabilities = self.probabilities(text.probabilities);
            let Text { text, reasoning, calls, .. } = text;
            if self.kind == Kind::Completion {
                return json!({"index": index, "text": text, "logprobs": probabilities, "finish_reason": finish});
            }
            let content =
                if text.is_empty() && !calls.is_empty() { Value::Null } else { Value::String(text) };
            let mut message = json!({"role": "assistant", "content": content, "refusal": null});
            if !reasoning.is_empty() {
                message["reasoning_content"] = Value::String(reasoning);
            }
            if !calls.is_empty() {
                message["tool_calls"] = Value::Array(calls);
            }
            json!({"index": index, "message": message, "logprobs": probabilities, "finish_reason": finish})
        };
        let choices: Vec<Value> = texts.into_iter().enumerate().map(choice).collect();
        let object = if self.kind == Kind::Chat { "chat.completion" } else { "text_completion" };
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "choices": choices, "usage": usage, "system_fingerprint": null,
        })
    }

    /// The chunks for an event of a text.
    fn chunks(&mut self, index: usize, event: Event) -> Result<Vec<Value>, ApiError> {
        let mut delta = self.delta(index, event)?;
        let mut chunks = Vec::new();
        let first = !std::mem::replace(&mut self.texts[index].begun, true);
        if self.kind == Kind::Completion {
            let probabilities = self.probabilities(delta.probabilities);
            if !delta.text.is_empty() || !probabilities.is_null() || delta.finish.is_some() {
                chunks.push(self.chunk(json!({
                    "index": index, "text": delta.text, "logprobs": probabilities, "finish_reason": delta.finish,
                })));
            }
            return Ok(chunks);
        }
        let chunk = |delta: Value, probabilities: Value, finish: Option<&str>| {
            self.chunk(
                json!({"index": index, "delta": delta, "logprobs": probabilities, "finish_reason": finish}),
            )
        };
        if first {
            chunks.push(chunk(json!({"role": "assistant", "content": ""}), Value::Null, None));
        }
        let probabilities = self.probabilities(std::mem::take(&mut delta.probabilities));
        if !delta.reasoning.is_empty() {
            chunks.push(chunk(json!({"reasoning_content": delta.reasoning}), Value::Null, None));
        }
        if !delta.text.is_empty() || !probabilities.is_null() {
            chunks.push(chunk(json!({"content": delta.text}), probabilities, None));
        }
        if !delta.calls.is_empty() {
            chunks.push(chunk(json!({"tool_calls": delta.calls}), Value::Null, None));
        }
        if delta.finish.is_some() {
            chunks.push(chunk(json!({}), Value::Null, delta.finish));
        }
        Ok(chunks)
    }

    /// The chunk with the token usage of the answer, if requested.
    fn usage_chunk(&self) -> Option<Value> {
        self.include_usage.then(|| {
            let mut chunk = self.chunk(Value::Null);
            chunk["choices"] = json!([]);
            chunk["usage"] = usage(&self.texts, self.choices_of_prompt);
            chunk
        })
    }

    fn chunk(&self, choice: Value) -> Value {
        let object = if self.kind == Kind::Chat { "chat.completion.chunk" } else { "text_completion" };
        let mut chunk = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": [choice],
            "system_fingerprint": null,
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    /// What an event adds to a text.
    pub(crate) fn delta(&mut self, index: usize, event: Event) -> Result<Delta, ApiError> {
        let Some(text) = self.texts.get_mut(index) else {
            return Err(ApiError::server("an event of a text that is not part of this answer"));
        };
        let mut probabilities = Vec::new();
        let (said, ended) = match event {
            Event::Text(piece) => {
                if let Some(choice) = &piece.choice {
                    let bytes = match &self.service.writer {
                        Some(writer) => writer.token_bytes()?,
                        None => &[],
                    };
                    probabilities.push(match self.kind {
                        Kind::Chat => chat_probability(choice, bytes),
                        Kind::Completion => completion_probability(choice, bytes, &mut text.offset),
                    });
                }
                (text.reasoning_reader.push(&piece.text), false)
            }
            Event::Ended(summary) => {
                text.summary = Some(summary);
                (text.reasoning_reader.finish(), true)
            }
            Event::Failed(failure) => return Err(failure.into()),
        };
        let mut delta = Delta {
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            probabilities,
            finish: None,
        };
        let mut parts = Vec::new();
        text.reasoning_tokens += usize::from(text.reasoning_reader.is_inside() && !ended);
        for said in said {
            match said {
                Said::Reasoning(more) => delta.reasoning += &more,
                Said::Answer(more) => parts.extend(text.reader.push(&more)),
            }
        }
        if ended {
            parts.extend(text.reader.finish());
        }
        for part in parts {
            if self.single && text.called > 0 {
                break;
            }
            match part {
                Part::Text(part) => delta.text += &part,
                Part::Call { name, arguments } => {
                    let mut call = Map::new();
                    call.insert("index".to_owned(), json!(text.called));
                    call.insert("id".to_owned(), Value::String(call_id(self.form)));
                    call.insert("type".to_owned(), json!("function"));
                    call.insert("function".to_owned(), json!({"name": name, "arguments": arguments}));
                    delta.calls.push(Value::Object(call));
                    text.called += 1;
                }
            }
        }
        if ended {
            delta.finish = text.finish();
        }
        Ok(delta)
    }

    fn probabilities(&self, list: Vec<Value>) -> Value {
        if list.is_empty() {
            return Value::Null;
        }
        match self.kind {
            Kind::Chat => json!({"content": list, "refusal": null}),
            Kind::Completion => {
                let column = |name: &str| list.iter().map(|row| row[name].clone()).collect::<Vec<Value>>();
                json!({
                    "tokens": column("token"), "token_logprobs": column("logprob"),
                    "top_logprobs": column("top"), "text_offset": column("offset"),
                })
            }
        }
    }
}

impl Assembly for Answer {
    fn add(&mut self, index: usize, event: Event) -> Result<(), ApiError> {
        let delta = self.delta(index, event)?;
        let text = &mut self.texts[index];
        text.text += &delta.text;
        text.reasoning += &delta.reasoning;
        text.calls.extend(delta.calls);
        text.probabilities.extend(delta.probabilities);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.texts.iter().all(|text| text.summary.is_some())
    }

    fn whole(self: Box<Self>) -> Value {
        self.complete()
    }

    fn lines(&mut self, index: usize, event: Event) -> Result<Vec<String>, ApiError> {
        Ok(self.chunks(index, event)?.iter().map(line).collect())
    }

    fn last_lines(&self) -> Vec<String> {
        self.usage_chunk().as_ref().map(line).into_iter().chain(["data: [DONE]\n\n".to_owned()]).collect()
    }

    fn failure(&mut self, error: &ApiError) -> Vec<String> {
        vec![line(&error.json())]
    }
}

fn line(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

impl Text {
    /// OpenAI's `finish_reason`.
    fn finish(&self) -> Option<&'static str> {
        let ending = self.summary?.ending;
        Some(match ending {
            _ if self.called > 0 => "tool_calls",
            Ending::Length => "length",
            Ending::EndOfText | Ending::Stop | Ending::Complete | Ending::Interrupted => "stop",
        })
    }
}

/// Token usage of all texts; each prompt is counted once.
fn usage(texts: &[Text], choices_of_prompt: usize) -> Value {
    let summaries = || texts.iter().filter_map(|text| text.summary);
    let prompts = || summaries().step_by(choices_of_prompt.max(1));
    let prompt: usize = prompts().map(|summary| summary.prompt_tokens).sum();
    let reused: usize = prompts().map(|summary| summary.reused_tokens).sum();
    let written: usize = summaries().map(|summary| summary.tokens).sum();
    json!({
        "prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": reused},
    })
}

/// An id for a tool call. Mistral's templates accept only nine letters and digits.
fn call_id(form: Option<ToolForm>) -> String {
    let id = format!("{:016x}", random());
    match form {
        Some(ToolForm::Mistral) => id[..9].to_owned(),
        _ => format!("call_{id}"),
    }
}

fn shown(bytes: &[Vec<u8>], token: u32) -> (String, &[u8]) {
    let bytes = bytes.get(token as usize).map_or(&[][..], Vec::as_slice);
    (String::from_utf8_lossy(bytes).into_owned(), bytes)
}

fn chat_probability(choice: &Choice, bytes: &[Vec<u8>]) -> Value {
    let entry = |token: u32, log_probability: f32| {
        let (text, bytes) = shown(bytes, token);
        json!({"token": text, "logprob": log_probability.max(LEAST_LOG_PROBABILITY), "bytes": bytes})
    };
    let mut value = entry(choice.token, choice.log_probability);
    let top: Vec<Value> =
        choice.alternatives.iter().map(|&(token, log_probability)| entry(token, log_probability)).collect();
    value["top_logprobs"] = Value::Array(top);
    value
}

fn completion_probability(choice: &Choice, bytes: &[Vec<u8>], offset: &mut usize) -> Value {
    let (text, _) = shown(bytes, choice.token);
    let top: Map<String, Value> = choice
        .alternatives
        .iter()
        .map(|&(token, log_probability)| {
            (shown(bytes, token).0, json!(log_probability.max(LEAST_LOG_PROBABILITY)))
        })
        .collect();
    let at = *offset;
    *offset += text.chars().count();
    json!({"token": text, "logprob": choice.log_probability.max(LEAST_LOG_PROBABILITY), "top": top, "offset": at})
}
