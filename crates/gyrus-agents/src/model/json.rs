//! The JSON object in what a model wrote.

use serde_json::Value;

/// Most objects that are tried.
const TRIES: usize = 64;

/// The text without what a model thought: `<think>...</think>`, also where the opening mark is missing or the closing one.
#[must_use]
pub fn without_thoughts(text: &str) -> &str {
    const END: &str = "</think>";
    if let Some(at) = text.rfind(END) {
        return text[at + END.len()..].trim();
    }
    let text = text.trim();
    if text.starts_with("<think>") { "" } else { text }
}

/// The first JSON object in a text: alone, in a fence, or amid prose. Objects in strings count too: some endpoints encode twice.
#[must_use]
pub fn json_in(text: &str) -> Option<Value> {
    let text = without_thoughts(text);
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => return Some(Value::Object(object)),
        Ok(Value::String(inner)) => return json_in(&inner),
        _ => {}
    }
    let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'{').map(|(at, _)| at);
    for start in starts.take(TRIES) {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        if let Some(Ok(value @ Value::Object(_))) = values.next() {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_found_wherever_they_are() {
        let expected = Some(json!({"a": 1}));
        for text in [
            "{\"a\": 1}",
            "```json\n{\"a\": 1}\n```",
            "<think>{\"a\": 2}</think>\nHere it is: {\"a\": 1}. Good?",
            "thoughts {not json} </think> {\"a\": 1}",
            "{oops {\"a\": 1}",
            "\"{\\\"a\\\": 1}\"",
        ] {
            assert_eq!(json_in(text), expected, "{text}");
        }
        for text in ["", "no", "[1]", "{\"a\": 1", "<think>{\"a\": 1}"] {
            assert_eq!(json_in(text), None, "{text}");
        }
    }
}
