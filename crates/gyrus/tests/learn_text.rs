//! `gyrus learn` on texts: what it leaves, that threads and interruptions change nothing, and what it refuses.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::*;
use serde_json::Value;

/// A text that a tiny model can learn: sentences of a few words.
fn write_text(path: &Path, sentences: u64) {
    let mut random = Random(3);
    let mut text = String::new();
    for _ in 0..sentences {
        let who = ["the cat", "a dog", "my bird"][random.below(3) as usize];
        let what = ["sleeps", "eats a fish", "sings"][random.below(3) as usize];
        text += &format!("{who} {what}.\n");
    }
    fs::write(path, text).unwrap();
}

const TINY: &str = "--layers 1 --width 16 --heads 2 --context 16 --batch-size 8";

fn learn(text: &Path, options: &str, out: &Path) -> Value {
    json(run(&format!("learn {TINY} {options} --json --out"), &[out, text]))
}

#[test]
fn a_corpus_leaves_the_files_of_hugging_face_and_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let (text, out) = (folder.path().join("pets.txt"), folder.path().join("run"));
    write_text(&text, 600);
    let result = learn(&text, "--train-steps 300 --learning-rate 0.01", &out);
    // Uniform guesses among the 19 characters cost 2.9 nats; what can be known of the next one leaves about 0.3.
    let loss = result["validation_loss"].as_f64().unwrap();
    assert!(loss < 1.0, "{result}");
    assert_eq!(result["validation_loss_per_character"].as_f64().unwrap(), loss);
    assert_eq!(
        names(&out),
        [
            "config.json",
            "generation_config.json",
            "metrics.jsonl",
            "model.safetensors",
            "report.html",
            "run.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
    );
    let config: Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["model_type"], "llama");
    assert_eq!(config["hidden_size"], 16);
    assert_eq!(metrics(&out).len(), 10);
    assert_eq!(record(&out)["status"], "finished");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<h2>Sample</h2>") && page.contains("<path class=\"line validation\""));
    let sentence = refused(&run("predict", &[&out, &text]));
    assert!(sentence.contains("language"), "{sentence}");
}

#[test]
fn threads_and_interruptions_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("pets.jsonl");
    let plain = folder.path().join("plain.txt");
    write_text(&plain, 300);
    let lines = fs::read_to_string(&plain).unwrap();
    let documents: String = lines.lines().map(|line| format!("{{\"text\": \"{line}\"}}\n")).collect();
    fs::write(&text, documents).unwrap();
    let options = "--train-steps 120 --accumulate 2 --tokenizer bytes --vocabulary 280";
    let runs: Vec<PathBuf> = (1..=2)
        .map(|threads| {
            let out = folder.path().join(threads.to_string());
            learn(&text, &format!("{options} --threads {threads}"), &out);
            out
        })
        .collect();
    assert!(model(&runs[0]) == model(&runs[1]), "the number of threads changed the model");
    assert_eq!(metrics(&runs[0]), metrics(&runs[1]));

    let out = folder.path().join("killed");
    let line = format!("learn {TINY} {options} --json --out");
    let arguments =
        words(&line).into_iter().map(Into::into).chain([out.clone().into_os_string(), text.into()]);
    let mut child = gyrus(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    kill_after_checkpoint(&mut child, &out);
    if record(&out)["status"] != "finished" {
        json(run("learn --json --resume", &[&out]));
    }
    assert!(model(&runs[0]) == model(&out), "resuming changed the model");
    assert_eq!(metrics(&runs[0]), metrics(&out));
    assert_eq!(record(&runs[0])["results"], record(&out)["results"]);
    let sentence = refused(&run("learn --resume", &[&out]));
    assert!(sentence.contains("finished already"), "{sentence}");
}

#[test]
fn what_cannot_be_learned_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("short.txt");
    let out = folder.path().join("run");
    let refuse = |bytes: &[u8], options: &str| {
        fs::write(&text, bytes).unwrap();
        refused(&run(&format!("learn {options} --overwrite --out"), &[&out, &text]))
    };
    assert!(refuse(b"", "").contains("got no text"));
    assert!(refuse(b"ab\xff", "").contains("byte 2"));
    assert!(refuse(b"abc", "--context 16").contains("smaller context"));
    let words = "a text that is long enough ".repeat(200);
    assert!(refuse(words.as_bytes(), "--width 10 --heads 3").contains("width 10 with 3 heads"));
    assert!(refuse(words.as_bytes(), "--width 12 --heads 3 --key-value-heads 2").contains("3 and 2"));
    assert!(refuse(words.as_bytes(), "--schedule linear").contains("wsd"));
}
