//! `gyrus write` with the real model of llama2.c's own tests.

mod common;

use std::fs;

use common::{gyrus, json, real_data, refused, run, stderr, stdout, succeeded};

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
        let all = ["write", "--json", model.to_str().unwrap()].iter().chain(arguments);
        json(gyrus(all).output().unwrap())
    };
    // Greedy, the story's own begin leads to the story's own end.
    let answer =
        ask(&["Once upon a time, there was a little girl", "--temperature", "0", "--max-tokens", "12"]);
    assert_eq!(answer["text"], " named Lily. She loved to play outside in");
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
