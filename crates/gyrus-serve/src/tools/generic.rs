//! Tools in words, for models whose chat template shows none: what a system message says of them, and calls and results of a
//! conversation as text, in the form of Hermes.

use serde_json::{Value, json};

/// The conversation without tools: calls stand in the text of the assistant, results in messages of the user.
pub(crate) fn in_words(messages: &[Value]) -> Vec<Value> {
    let mut plain: Vec<Value> = Vec::with_capacity(messages.len());
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        let mut text = message["content"].as_str().unwrap_or_default().to_owned();
        let mut new = message.clone();
        if let Some(fields) = new.as_object_mut() {
            fields.shift_remove("tool_calls");
            fields.shift_remove("tool_call_id");
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            if !text.is_empty() {
                text.push('\n');
            }
            let call = json!({"name": call["function"]["name"], "arguments": call["function"]["arguments"]});
            text += &format!("<tool_call>\n{call}\n</tool_call>");
        }
        if role == "tool" {
            new["role"] = json!("user");
            text = format!("<tool_response>\n{text}\n</tool_response>");
        }
        // Many templates want users and assistants to take turns.
        match plain.last_mut().filter(|last| last["role"] == "user" && new["role"] == "user") {
            Some(last) => {
                last["content"] = json!(format!("{}\n{text}", last["content"].as_str().unwrap_or_default()));
            }
            None => {
                new["content"] = json!(text);
                plain.push(new);
            }
        }
    }
    plain
}

/// What is said of the tools.
pub(crate) fn description(tools: &[Value]) -> String {
    let list: String = tools.iter().map(|tool| format!("{tool}\n")).collect();
    format!(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function \
         signatures within <tools></tools> XML tags:\n<tools>\n{list}</tools>\n\nFor each function call, return a json object \
         with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{{\"name\": <function-name>, \
         \"arguments\": <args-json-object>}}\n</tool_call>"
    )
}

/// Adds text to the system message, or a system message to the beginning.
pub(crate) fn add_to_system(messages: &mut Vec<Value>, text: &str) {
    match messages.first_mut().filter(|first| first["role"] == "system") {
        Some(first) => {
            let before = first["content"].as_str().unwrap_or_default();
            first["content"] = json!(format!("{before}\n\n{text}").trim_start());
        }
        None => messages.insert(0, json!({"role": "system", "content": text})),
    }
}

/// Moves system messages to the beginning of the user's next message, for templates that refuse them.
pub(crate) fn without_system(messages: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::with_capacity(messages.len());
    let mut waiting = String::new();
    for mut message in messages {
        let text = message["content"].as_str().unwrap_or_default();
        if message["role"] == "system" {
            waiting += text;
            waiting += "\n\n";
            continue;
        }
        if message["role"] == "user" && !waiting.is_empty() {
            message["content"] = json!(std::mem::take(&mut waiting) + text);
        }
        kept.push(message);
    }
    if !waiting.is_empty() {
        kept.push(json!({"role": "user", "content": waiting.trim_end()}));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_results_become_text() {
        let messages = [
            json!({"role": "user", "content": "Where?"}),
            json!({"role": "assistant", "content": "", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]}),
            json!({"role": "tool", "tool_call_id": "1", "content": "Rome"}),
            json!({"role": "user", "content": "And?"}),
        ];
        let mut plain = in_words(&messages);
        assert_eq!(plain.len(), 3);
        let call = "<tool_call>\n{\"name\":\"f\",\"arguments\":{\"x\":1}}\n</tool_call>";
        assert_eq!(plain[1], json!({"role": "assistant", "content": call}));
        assert_eq!(
            plain[2],
            json!({"role": "user", "content": "<tool_response>\nRome\n</tool_response>\nAnd?"})
        );
        add_to_system(&mut plain, "Be");
        add_to_system(&mut plain, "brief");
        assert_eq!(plain[0], json!({"role": "system", "content": "Be\n\nbrief"}));
        let merged = without_system(plain);
        assert_eq!((merged.len(), merged[0]["content"].as_str()), (3, Some("Be\n\nbrief\n\nWhere?")));
        assert!(description(&[json!({"name": "f"})]).contains("\n{\"name\":\"f\"}\n</tools>"));
    }
}
