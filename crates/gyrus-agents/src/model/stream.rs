//! The bodies of OpenAI-compatible endpoints, whole or as a stream of events, with the deviations that are met in practice:
//! content as a list of parts, reasoning in fields of its own, tool arguments as objects, usage that is missing, an error inside
//! a stream, a stream that ends early.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use super::{ChatReply, ModelError, without_thoughts};

/// The most bytes of an answer.
const MOST_BYTES: u64 = 16 << 20;

/// What came so far.
#[derive(Default)]
struct Gathered {
    text: String,
    arguments: String,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
    finish: Option<String>,
    is_over: bool,
}

/// Reads a body, whichever of the two it is.
///
/// # Errors
/// If nothing in it is an answer.
pub(super) fn read_body(body: impl Read) -> Result<ChatReply, ModelError> {
    let mut lines = BufReader::new(body.take(MOST_BYTES));
    let mut gathered = Gathered::default();
    let mut plain = String::new();
    let mut line = Vec::new();
    let mut broken = None;
    while !gathered.is_over {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                broken = Some(error.to_string());
                break;
            }
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        match text.strip_prefix("data:") {
            Some(data) => gathered.event(data.trim())?,
            // Names of events, comments, blank lines between them.
            None if plain.is_empty()
                && (text.is_empty() || text.starts_with(':') || text.starts_with("event:")) => {}
            None => {
                plain.push_str(text);
                plain.push('\n');
            }
        }
    }
    if !plain.trim().is_empty() && gathered.text.is_empty() && gathered.arguments.is_empty() {
        let value: Value = serde_json::from_str(&plain).map_err(|error| {
            let start: String = plain.chars().take(80).collect();
            ModelError::Unreadable(broken.clone().unwrap_or(format!("{error} in '{}'", start.trim())))
        })?;
        gathered.value(&value)?;
        gathered.is_over = true;
    }
    let text = if gathered.text.trim().is_empty() { &gathered.arguments } else { &gathered.text };
    if text.is_empty() && !gathered.is_over && gathered.finish.is_none() {
        return Err(ModelError::Unreadable(broken.unwrap_or_else(|| "the answer is empty".to_owned())));
    }
    Ok(ChatReply {
        text: without_thoughts(text).to_owned(),
        tokens_in: gathered.tokens_in,
        tokens_out: gathered.tokens_out,
        is_cut: gathered.finish.as_deref() == Some("length")
            || (gathered.finish.is_none() && !gathered.is_over),
    })
}

impl Gathered {
    fn event(&mut self, data: &str) -> Result<(), ModelError> {
        if data == "[DONE]" {
            self.is_over = true;
            return Ok(());
        }
        // Half an event, before the connection broke, says nothing.
        match serde_json::from_str::<Value>(data) {
            Ok(value) => self.value(&value),
            Err(_) => Ok(()),
        }
    }

    fn value(&mut self, value: &Value) -> Result<(), ModelError> {
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            let text = error.get("message").and_then(Value::as_str).map_or(error.to_string(), str::to_owned);
            return Err(ModelError::Refused(text));
        }
        if let Some(usage) = value.get("usage") {
            self.tokens_in = usage["prompt_tokens"].as_u64().or(self.tokens_in);
            self.tokens_out = usage["completion_tokens"].as_u64().or(self.tokens_out);
        }
        let choice = &value["choices"][0];
        for message in [&choice["delta"], &choice["message"]] {
            self.message(message);
        }
        if let Some(text) = choice["text"].as_str() {
            self.text.push_str(text);
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            self.finish = Some(finish.to_owned());
        }
        Ok(())
    }

    fn message(&mut self, message: &Value) {
        match &message["content"] {
            Value::String(text) => self.text.push_str(text),
            Value::Array(parts) => {
                parts
                    .iter()
                    .filter_map(|part| part["text"].as_str())
                    .for_each(|text| self.text.push_str(text));
            }
            object @ Value::Object(_) => self.text.push_str(&object.to_string()),
            _ => {}
        }
        match &message["tool_calls"][0]["function"]["arguments"] {
            Value::String(text) => self.arguments.push_str(text),
            object @ Value::Object(_) => self.arguments.push_str(&object.to_string()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ChatReply, ModelError> {
        read_body(text.as_bytes())
    }

    #[test]
    fn whole_answers_and_streams_say_the_same() {
        let whole = r#"{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n: ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        let expected =
            ChatReply { text: "ab".to_owned(), tokens_in: Some(3), tokens_out: Some(2), is_cut: false };
        assert_eq!(read(whole).unwrap(), expected);
        assert_eq!(read(stream).unwrap(), expected);
    }

    #[test]
    fn deviations_are_read() {
        let parts = r#"{"choices":[{"message":{"content":[{"type":"text","text":"<think>no</think> a"}]},"finish_reason":"stop"}]}"#;
        assert_eq!(read(parts).unwrap().text, "a");
        assert_eq!(read(parts).unwrap().tokens_in, None);
        for arguments in [r#""{\"a\":1}""#, r#"{"a":1}"#] {
            let call = format!(
                "{{\"choices\":[{{\"message\":{{\"content\":null,\"tool_calls\":[{{\"function\":{{\"arguments\":{arguments}}}}}]}},\"finish_reason\":\"tool_calls\"}}]}}"
            );
            assert_eq!(read(&call).unwrap().text, "{\"a\":1}");
        }
        let cut = "data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\ndata: {\"choi";
        assert!(read(cut).unwrap().is_cut);
        assert_eq!(read(cut).unwrap().text, "half");
        let long = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"length"}]}"#;
        assert!(read(long).unwrap().is_cut);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(matches!(read(""), Err(ModelError::Unreadable(_))));
        assert!(matches!(read("<html>"), Err(ModelError::Unreadable(_))));
        let error = "data: {\"error\":{\"message\":\"out of memory\"}}\n";
        assert_eq!(read(error), Err(ModelError::Refused("out of memory".to_owned())));
    }
}
