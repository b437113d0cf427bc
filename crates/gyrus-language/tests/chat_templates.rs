//! Chat templates as `transformers` renders them; see `golden/chat_templates.py`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use gyrus_language::{ChatInput, ChatTemplate, Message};
use serde_json::{Map, Value};

#[test]
fn conversations_render_as_in_transformers() {
    let golden: Value = serde_json::from_str(include_str!("golden/chat_templates.json")).unwrap();
    for case in golden["cases"].as_array().unwrap().iter().filter(|case| case["tools"].is_null()) {
        let template = ChatTemplate::new(case["template"].as_str().unwrap(), "<s>", "</s>").unwrap();
        let messages: Vec<Message> = case["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| {
                Message::new(message["role"].as_str().unwrap(), message["content"].as_str().unwrap())
            })
            .collect();
        let got = template.render(&messages, case["answer"].as_bool().unwrap());
        match case["text"].as_str() {
            Some(text) => assert_eq!(got.unwrap(), text, "{}", case["name"]),
            None => assert!(got.unwrap_err().to_string().contains("must alternate"), "{}", case["name"]),
        }
    }
}

#[test]
fn tools_and_their_calls_render_as_in_transformers() {
    let golden: Value = serde_json::from_str(include_str!("golden/chat_templates.json")).unwrap();
    let mut with_tools = 0;
    for case in golden["cases"].as_array().unwrap() {
        let messages = case["messages"].as_array().unwrap();
        let tools = case["tools"].as_array().map_or(&[][..], Vec::as_slice);
        let template = ChatTemplate::new(case["template"].as_str().unwrap(), "<s>", "</s>").unwrap();
        let answer = case["answer"].as_bool().unwrap();
        let got = template.render_input(&ChatInput { messages, tools, variables: &Map::new(), answer });
        match case["text"].as_str() {
            Some(text) => assert_eq!(got.unwrap(), text, "{}", case["name"]),
            None => assert!(got.unwrap_err().to_string().contains("must alternate"), "{}", case["name"]),
        }
        with_tools += usize::from(!tools.is_empty());
    }
    assert!(with_tools >= 3);
}
