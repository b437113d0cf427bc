//! `gyrus write` with the real model of llama2.c's own tests.

use std::fs;

use crate::common::{gyrus, json, real_data, refused, run, stderr, stdout, succeeded};

#[test]
fn the_story_of_llama2c_is_told_word_for_word_and_with_any_number_of_threads() {
    let Some(data) = real_data("stories260K") else { return };
    let model = data.join("stories260K.bin");
    let expected = fs::read_to_string(data.join("expected")).unwrap();
    for threads in ["1", "2", "3"] {
        let line = format!("write --temperature 0 --max-tokens 200 --threads {threads}");
        let output = succeeded(run(&line, &[&model]));
        assert_eq!(stdout(&output).trim_end(), expected.trim_end());
        assert!(stderr(&output).contains("tokens/s"), "{}", stderr(&output));
    }
    let answer = json(run("write --json --temperature 0 --max-tokens 200", &[&model]));
    assert_eq!(answer["text"].as_str().unwrap().trim_end(), expected.trim_end());
    assert_eq!((answer["tokens"].as_u64(), answer["ending"].as_str()), (Some(200), Some("length")));
}

#[test]
fn a_prompt_is_continued_stop_texts_end_it_and_a_seed_repeats_it() {
    let Some(data) = real_data("stories260K") else { return };
    let model = data.join("stories260K.bin");
    let ask = |arguments: &[&str]| {
        let all = ["write", "--json", model.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
        json(gyrus(all).output().unwrap())
    };
    // Greedy, the story's own begin leads to the story's own end.
    let answer =
        ask(&["Once upon a time, there was a little girl", "--temperature", "0", "--max-tokens", "12"]);
    assert_eq!(answer["text"], " named Lily. She loved to play outsid");
    let answer = ask(&["", "--temperature", "0", "--stop", " loved to", "--stop", "never"]);
    assert_eq!(answer["text"], "Once upon a time, there was a little girl named Lily. She");
    assert_eq!(answer["ending"], "stop");

    let drawn = |seed: &str, threads: &str| {
        ask(&["A dog", "--seed", seed, "--threads", threads, "--max-tokens", "60", "--top-p", "0.95"])["text"]
            .clone()
    };
    assert_eq!(drawn("1", "1"), drawn("1", "3"));
    assert_ne!(drawn("1", "1"), drawn("2", "1"));
}

#[test]
fn what_is_no_model_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    let said = refused(&run("write", &[&path]));
    assert!(said.contains("model.bin"), "{said}");
    fs::write(&path, [0; 100]).unwrap();
    let said = refused(&run("write", &[&path]));
    assert!(said.contains("byte 0") && said.contains("width"), "{said}");
    let mut header: Vec<u8> = [64i32, 172, 5, 8, 4, 512, 512].iter().flat_map(|n| n.to_le_bytes()).collect();
    header.extend([0; 1000]);
    fs::write(&path, header).unwrap();
    let said = refused(&run("write", &[&path]));
    assert!(said.contains("the end at 1028") && said.contains("model.embed_tokens.weight"), "{said}");
}

/// A folder of Hugging Face with the real model and this chat template.
fn chat_model(data: &std::path::Path, template: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let parts = gyrus::language::Parts::open(&data.join("stories260K.bin")).unwrap();
    gyrus::language::write_folder(&parts, folder.path()).unwrap();
    fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    folder
}

fn chat(arguments: &[&str], lines: &str) -> std::process::Output {
    let mut command = gyrus(["chat"].iter().chain(arguments));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_conversation_is_turned_into_the_text_that_its_template_makes() {
    let Some(data) = real_data("stories260K") else { return };
    let template = "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }} {% else %}\
                    {{ m.content }}{% endif %}{% endfor %}";
    let folder = chat_model(&data, template);
    let path = folder.path().to_str().unwrap();
    let greedy = ["--temperature", "0", "--max-tokens", "9", "--json"];
    let lines = "there was a little girl\n\n. The girl\n";
    let answer = json(chat(&[&[path, "--system", "Once upon a time,"], &greedy[..]].concat(), lines));
    let said: Vec<(&str, &str)> = answer["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| (message["role"].as_str().unwrap(), message["content"].as_str().unwrap()))
        .collect();
    let roles: Vec<&str> = said.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"], "an empty line says nothing");
    // The model sees exactly the text that it would be given by hand, whether or not it has read a part of it.
    let by_hand = |prompt: &str| {
        let output = gyrus(["write", path, prompt].iter().chain(&greedy)).output().unwrap();
        json(output)["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(said[2].1, by_hand("Once upon a time, there was a little girl"));
    let whole = format!("Once upon a time, there was a little girl{}. The girl", said[2].1);
    assert_eq!(said[4].1, by_hand(&whole));
    let shown = succeeded(chat(&[&[path], &greedy[..4]].concat(), "Once upon a time\n"));
    assert_eq!(stdout(&shown).trim_end(), by_hand("Once upon a time").trim_end());
}

#[test]
fn templates_are_needed_and_may_refuse() {
    let Some(data) = real_data("stories260K") else { return };
    let model = data.join("stories260K.bin");
    let said = refused(&chat(&[model.to_str().unwrap()], "Hello\n"));
    assert!(said.contains("no chat template"), "{said}");
    let folder = chat_model(&data, "{{ raise_exception('I do not talk') }}");
    let said = refused(&chat(&[folder.path().to_str().unwrap()], "Hello\n"));
    assert!(said.contains("I do not talk"), "{said}");
    let folder = chat_model(&data, "{% for %}");
    let said = refused(&chat(&[folder.path().to_str().unwrap()], "Hello\n"));
    assert!(said.contains("template"), "{said}");
}

#[test]
fn a_schema_binds_the_text() {
    let Some(data) = real_data("stories260K") else { return };
    let model = data.join("stories260K.bin");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.json");
    fs::write(&path, r#"{"type": "array", "items": {"enum": ["cat", "dog"]}, "minItems": 2, "maxItems": 3}"#)
        .unwrap();
    let ask = || {
        gyrus(["write", model.to_str().unwrap(), "Animals:", "--json", "--json-schema"])
            .arg(&path)
            .output()
            .unwrap()
    };
    let answer = json(ask());
    let list: serde_json::Value = serde_json::from_str(answer["text"].as_str().unwrap()).unwrap();
    let list = list.as_array().unwrap();
    assert!(
        (2..=3).contains(&list.len()) && list.iter().all(|item| item == "cat" || item == "dog"),
        "{list:?}"
    );
    fs::write(&path, "{").unwrap();
    let said = refused(&ask());
    assert!(said.contains("schema.json"), "{said}");
}
