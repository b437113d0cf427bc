//! Responses: complete, or as the events of a stream. Each event carries its number.

use gyrus_language::engine::Event;
use serde_json::{Map, Value, json};

use crate::answers::{Answer, Delta};
use crate::error::{ApiError, Result};
use crate::service::random;
use crate::stream::Assembly;

/// A response in progress.
pub(crate) struct ResponseAnswer {
    answer: Answer,
    /// The response without its output.
    frame: Map<String, Value>,
    output: Vec<Item>,
    /// Whether the last item may still grow.
    open: bool,
    begun: bool,
    number: u64,
    finish: Option<&'static str>,
}

/// An item of the output.
struct Item {
    id: String,
    content: Content,
}

enum Content {
    Reasoning(String),
    Message { text: String, probabilities: Vec<Value> },
    Call { id: String, name: String, arguments: String },
}

impl Item {
    fn json(&self, done: bool) -> Value {
        let status = if done { "completed" } else { "in_progress" };
        match &self.content {
            Content::Reasoning(_) => json!({
                "id": self.id, "type": "reasoning", "summary": [], "status": status,
                "content": if done { json!([self.part(true)]) } else { json!([]) },
            }),
            Content::Message { .. } => json!({
                "id": self.id, "type": "message", "status": status, "role": "assistant",
                "content": if done { json!([self.part(true)]) } else { json!([]) },
            }),
            Content::Call { id, name, arguments } => json!({
                "id": self.id, "type": "function_call", "status": status, "call_id": id, "name": name,
                "arguments": if done { arguments } else { "" },
            }),
        }
    }

    /// The part of its content, filled if `done`.
    fn part(&self, done: bool) -> Value {
        match &self.content {
            Content::Reasoning(text) => {
                json!({"type": "reasoning_text", "text": if done { text } else { "" }})
            }
            Content::Message { text, probabilities } if done => {
                json!({"type": "output_text", "text": text, "annotations": [], "logprobs": probabilities})
            }
            Content::Message { .. } => {
                json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
            }
            Content::Call { .. } => Value::Null,
        }
    }
}

fn new_id(prefix: &str) -> String {
    format!("{prefix}_{:016x}{:016x}", random(), random())
}

impl ResponseAnswer {
    /// A response; `echo` is what it repeats of the request.
    pub(crate) fn new(answer: Answer, echo: Map<String, Value>) -> Self {
        let mut frame = Map::new();
        frame.insert("id".to_owned(), json!(new_id("resp")));
        frame.insert("object".to_owned(), json!("response"));
        frame.insert("created_at".to_owned(), json!(answer.created()));
        frame.insert("status".to_owned(), json!("in_progress"));
        frame.insert("background".to_owned(), json!(false));
        frame.insert("error".to_owned(), Value::Null);
        frame.insert("incomplete_details".to_owned(), Value::Null);
        frame.insert("model".to_owned(), json!(answer.model()));
        frame.extend(echo);
        Self { answer, frame, output: Vec::new(), open: false, begun: false, number: 0, finish: None }
    }

    /// The response as it stands.
    fn json(&self) -> Value {
        let mut frame = self.frame.clone();
        let output: Vec<Value> = self.output.iter().map(|item| item.json(true)).collect();
        frame.insert("output".to_owned(), Value::Array(output));
        let usage = match self.finish {
            None => Value::Null,
            Some(finish) => {
                let status = if finish == "length" { "incomplete" } else { "completed" };
                frame.insert("status".to_owned(), json!(status));
                if finish == "length" {
                    frame.insert("incomplete_details".to_owned(), json!({"reason": "max_output_tokens"}));
                }
                let usage = self.answer.usage();
                json!({
                    "input_tokens": usage["prompt_tokens"],
                    "input_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"]},
                    "output_tokens": usage["completion_tokens"],
                    "output_tokens_details": {"reasoning_tokens": self.answer.reasoning_tokens()},
                    "total_tokens": usage["total_tokens"],
                })
            }
        };
        frame.insert("usage".to_owned(), usage);
        Value::Object(frame)
    }

    fn event(&mut self, kind: &str, mut event: Value) -> Value {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.number);
        self.number += 1;
        event
    }

    /// An event of the last item.
    fn of_item(&mut self, kind: &str, mut event: Value) -> Value {
        let at = self.output.len().saturating_sub(1);
        event["output_index"] = json!(at);
        if let Some(item) = self.output.get(at)
            && !kind.starts_with("response.output_item")
        {
            event["item_id"] = json!(item.id);
            if !kind.starts_with("response.function_call") {
                event["content_index"] = json!(0);
            }
        }
        self.event(kind, event)
    }

    fn begin(&mut self, prefix: &str, content: Content, events: &mut Vec<Value>) {
        self.end(events);
        let item = Item { id: new_id(prefix), content };
        let (shown, part) = (item.json(false), item.part(false));
        self.output.push(item);
        self.open = true;
        events.push(self.of_item("response.output_item.added", json!({"item": shown})));
        if !part.is_null() {
            events.push(self.of_item("response.content_part.added", json!({"part": part})));
        }
    }

    /// Closes the last item.
    fn end(&mut self, events: &mut Vec<Value>) {
        let Some(item) = self.output.last().filter(|_| self.open) else { return };
        let (shown, part) = (item.json(true), item.part(true));
        let (kind, done) = match &item.content {
            Content::Reasoning(text) => ("response.reasoning_text.done", json!({"text": text})),
            Content::Message { text, probabilities } => {
                ("response.output_text.done", json!({"text": text, "logprobs": probabilities}))
            }
            Content::Call { name, arguments, .. } => {
                ("response.function_call_arguments.done", json!({"name": name, "arguments": arguments}))
            }
        };
        self.open = false;
        events.push(self.of_item(kind, done));
        if !part.is_null() {
            events.push(self.of_item("response.content_part.done", json!({"part": part})));
        }
        events.push(self.of_item("response.output_item.done", json!({"item": shown})));
    }

    /// Adds an event of the engine; returns those of the stream.
    fn advance(&mut self, event: Event) -> Result<Vec<Value>, ApiError> {
        let Delta { text, reasoning, calls, probabilities, finish } = self.answer.delta(0, event)?;
        let mut events = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            for kind in ["response.created", "response.in_progress"] {
                let response = self.json();
                events.push(self.event(kind, json!({"response": response})));
            }
        }
        if !reasoning.is_empty() {
            let last = self.output.last().filter(|_| self.open);
            if !last.is_some_and(|item| matches!(item.content, Content::Reasoning(_))) {
                self.begin("rs", Content::Reasoning(String::new()), &mut events);
            }
            if let Some(Content::Reasoning(all)) = self.output.last_mut().map(|item| &mut item.content) {
                *all += &reasoning;
            }
            events.push(self.of_item("response.reasoning_text.delta", json!({"delta": reasoning})));
        }
        let nothing_yet = finish.is_some() && self.output.is_empty() && calls.is_empty();
        if !text.is_empty() || nothing_yet {
            self.say(text, probabilities, &mut events);
        }
        for call in calls {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (name, arguments) = (text(&call["function"]["name"]), text(&call["function"]["arguments"]));
            let content = Content::Call { id: text(&call["id"]), name, arguments: arguments.clone() };
            self.begin("fc", content, &mut events);
            events.push(self.of_item("response.function_call_arguments.delta", json!({"delta": arguments})));
            self.end(&mut events);
        }
        if finish.is_some() {
            self.end(&mut events);
            self.finish = finish;
            let kind = if finish == Some("length") { "response.incomplete" } else { "response.completed" };
            let response = self.json();
            events.push(self.event(kind, json!({"response": response})));
        }
        Ok(events)
    }

    fn say(&mut self, text: String, probabilities: Vec<Value>, events: &mut Vec<Value>) {
        let last = self.output.last().filter(|_| self.open);
        if !last.is_some_and(|item| matches!(item.content, Content::Message { .. })) {
            let content = Content::Message { text: String::new(), probabilities: Vec::new() };
            self.begin("msg", content, events);
        }
        if let Some(Content::Message { text: all, probabilities: list }) =
            self.output.last_mut().map(|item| &mut item.content)
        {
            *all += &text;
            list.extend(probabilities.iter().cloned());
        }
        if !text.is_empty() {
            let delta = json!({"delta": text, "logprobs": probabilities});
            events.push(self.of_item("response.output_text.delta", delta));
        }
    }
}

fn line(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}

impl Assembly for ResponseAnswer {
    fn add(&mut self, _: usize, event: Event) -> Result<(), ApiError> {
        self.advance(event).map(|_| ())
    }

    fn is_whole(&self) -> bool {
        self.answer.is_whole()
    }

    fn whole(self: Box<Self>) -> Value {
        self.json()
    }

    fn lines(&mut self, _: usize, event: Event) -> Result<Vec<String>, ApiError> {
        Ok(self.advance(event)?.iter().map(line).collect())
    }

    fn last_lines(&self) -> Vec<String> {
        Vec::new()
    }

    fn failure(&mut self, error: &ApiError) -> Vec<String> {
        let mut response = self.json();
        response["status"] = json!("failed");
        let message = error.json()["error"]["message"].clone();
        response["error"] = json!({"code": "server_error", "message": message});
        vec![line(&self.event("response.failed", json!({"response": response})))]
    }
}
