//! Chat templates as `transformers` renders them; see `golden/chat_templates.py`.

use crate::common;
use gyrus_formats::Format;
use gyrus_language::{ChatInput, ChatTemplate, ChatTemplates, Message, Parts, gguf, write_folder};
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

/// Published templates, which are not part of this repository: see `golden/published_templates.py`.
#[test]
fn published_templates_render_as_in_transformers() {
    let Some(path) = std::env::var_os("GYRUS_TEMPLATE_CASES") else {
        println!("skipped: GYRUS_TEMPLATE_CASES names no file");
        return;
    };
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let now = golden["now"].as_i64().unwrap();
    let (mut cases, mut templates, mut lenient) = (0, std::collections::BTreeSet::new(), 0);
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let messages = case["messages"].as_array().unwrap();
        let tools = case["tools"].as_array().map_or(&[][..], Vec::as_slice);
        let variables = case["variables"].as_object().cloned().unwrap_or_default();
        let answer = case["answer"].as_bool().unwrap();
        let template = ChatTemplate::new(case["template"].as_str().unwrap(), "<s>", "</s>");
        let got = template.and_then(|template| {
            template.at(now).render_input(&ChatInput { messages, tools, variables: &variables, answer })
        });
        (cases, _) = (cases + 1, templates.insert(name));
        match (case["text"].as_str(), got) {
            (Some(text), Ok(got)) if text == got => {}
            (None, Err(_)) => {}
            // A template that failed in Python without meaning to.
            (None, Ok(_)) if case["raised"] == false => lenient += 1,
            (expected, got) => {
                let of = messages.iter().map(|message| message["role"].as_str().unwrap()).collect::<Vec<_>>();
                wrong.push(format!(
                    "{name} {of:?} {variables:?}\n  expected {expected:?}\n  got      {got:?}"
                ));
            }
        }
    }
    println!(
        "{cases} cases of {} templates, {} of them differ, {lenient} render here alone",
        templates.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn named_templates_stay_with_a_model() {
    let mut parts = common::parts();
    let mut templates = ChatTemplates::of("plain {{ bos_token }}");
    templates.by_name.insert("tool_use".to_owned(), "tools {{ pad_token }}".to_owned());
    parts.chat_template = Some(templates);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    gguf::write(&parts, &file, Format::F32).unwrap();
    write_folder(&parts, folder.path()).unwrap();
    for path in [file.as_path(), folder.path()] {
        let read = Parts::open(path).unwrap();
        let templates = read.chat_template.as_ref().unwrap();
        assert_eq!(templates.by_name, parts.chat_template.as_ref().unwrap().by_name);
        let template = read.chat_template().unwrap().unwrap();
        let begin = read.tokenizer.text(read.config.beginning_of_text.unwrap()).unwrap();
        assert_eq!(template.render(&[Message::new("user", "Hi")], true).unwrap(), format!("plain {begin}"));
    }
}
