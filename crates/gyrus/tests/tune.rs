//! `gyrus tune`: what it leaves and learns, that threads and interruptions change nothing, merging, and what it refuses.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::*;
use serde_json::{Value, json};

/// A tiny model of sentences about pets, which knows where a text ends.
fn base(folder: &Path) -> PathBuf {
    let mut random = Random(3);
    let mut lines = String::new();
    for _ in 0..300 {
        let who = ["the cat", "a dog", "my bird"][random.below(3) as usize];
        let what = ["sleeps", "eats a fish", "sings"][random.below(3) as usize];
        lines += &format!("{}\n", json!({"text": format!("{who} {what}.")}));
    }
    let (texts, out) = (folder.join("pets.jsonl"), folder.join("base"));
    fs::write(&texts, lines).unwrap();
    let shape = "--layers 2 --width 32 --heads 4 --key-value-heads 2 --context 48 --batch-size 8 --tokenizer characters";
    json(run(&format!("learn {shape} --train-steps 150 --learning-rate 0.01 --json --out"), &[&out, &texts]));
    out
}

/// What the base never saw.
const ANSWERS: [(&str, &str); 4] = [
    ("the cat", " sings to my bird."),
    ("a dog", " eats the cat."),
    ("my bird", " is a fish."),
    ("the fish", " sleeps."),
];

fn examples(path: &Path, times: usize) {
    let line = |(prompt, completion): &(&str, &str)| json!({"prompt": prompt, "completion": completion});
    let lines: String = ANSWERS.iter().map(|answer| line(answer).to_string() + "\n").collect();
    fs::write(path, lines.repeat(times)).unwrap();
}

fn answer(model: &Path, options: &str, prompt: &str) -> String {
    let line = format!("write --json --temperature 0 --max-tokens 40 {options}");
    let all = words(&line).into_iter().map(Into::into).chain([model.as_os_str().to_owned(), prompt.into()]);
    json(gyrus(all).output().unwrap())["text"].as_str().unwrap().to_owned()
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("adapter_model.safetensors")).unwrap()
}

const LEARN: &str = "--epochs 80 --learning-rate 0.02 --rank 8 --batch-size 2 --validation 0 --context 48";

#[test]
fn a_tuned_model_answers_by_heart_and_so_does_the_merged_one() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let (data, out) = (folder.path().join("answers.jsonl"), folder.path().join("adapter"));
    examples(&data, 1);
    let before = fs::read(base.join("model.safetensors")).unwrap();
    let result = json(run(&format!("tune {LEARN} --json --output"), &[&out, &base, &data]));
    assert_eq!(result["examples"], 4);
    assert!(result["validation_loss"].is_null(), "{result}");
    assert_eq!(
        names(&out),
        ["adapter_config.json", "adapter_model.safetensors", "metrics.jsonl", "report.html", "run.json"]
    );
    let rows = metrics(&out);
    let loss = |row: &Value| row["train_loss"].as_f64().unwrap();
    assert!(loss(&rows[0]) > 5.0 * loss(&rows[4]) && loss(&rows[4]) < 0.1, "{rows:?}");
    let adapter = format!("--adapter {}", out.display());
    for (prompt, completion) in ANSWERS {
        assert_eq!(answer(&base, &adapter, prompt), completion);
        // The folder names its model.
        assert_eq!(answer(&out, "", prompt), completion);
    }
    assert!(before == fs::read(base.join("model.safetensors")).unwrap(), "the model was changed");
    let config: Value = serde_json::from_slice(&fs::read(out.join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(
        (&config["peft_type"], &config["r"], &config["lora_alpha"]),
        (&json!("LORA"), &json!(8), &json!(16.0))
    );

    let merged = folder.path().join("merged");
    let result = json(run("tune --json --merge", &[&out, Path::new("--output"), &merged]));
    assert_eq!(result["products"], 14);
    assert_eq!(answer(&merged, "", "a dog"), " eats the cat.");
    let sentence = refused(&run("tune --merge", &[&out, Path::new("--output"), &merged]));
    assert!(sentence.contains("--overwrite"), "{sentence}");
}

#[test]
fn all_weights_and_rounded_ones_are_tuned_too_and_conversations_are_learned() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let data = folder.path().join("answers.jsonl");
    examples(&data, 1);
    let full = folder.path().join("full");
    let options = "--epochs 60 --learning-rate 0.005 --batch-size 2 --validation 0 --context 48";
    json(run(&format!("tune --full {options} --json --output"), &[&full, &base, &data]));
    assert_eq!(answer(&full, "", "my bird"), " is a fish.");

    let rounded = folder.path().join("rounded");
    json(run(&format!("tune --base-format q8_0 {LEARN} --json --output"), &[&rounded, &base, &data]));
    assert_eq!(answer(&base, &format!("--adapter {}", rounded.display()), "a dog"), " eats the cat.");

    // The end of a text stands between what is said.
    let path = base.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["chat_template"] = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}".into();
    fs::write(&path, config.to_string()).unwrap();
    let talk = json!({"messages": [
        {"role": "user", "content": "a dog"}, {"role": "assistant", "content": "eats"},
        {"role": "user", "content": "a fish"}, {"role": "assistant", "content": "sleeps"},
    ]});
    fs::write(&data, format!("{talk}\n{talk}\n")).unwrap();
    let talked = folder.path().join("talked");
    let result = json(run(&format!("tune {LEARN} --json --output"), &[&talked, &base, &data]));
    // Two answers and their ends, in each of two examples.
    assert_eq!(result["learnt_tokens"], 2 * (5 + 7));
    let line = format!("chat --json --temperature 0 --adapter {}", talked.display());
    let all = words(&line).into_iter().map(Into::into).chain([base.into_os_string()]);
    let mut child = gyrus(all).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"a dog\na fish\n").unwrap();
    let answer = json(child.wait_with_output().unwrap());
    assert_eq!(answer["messages"][1]["content"], "eats");
    assert_eq!(answer["messages"][3]["content"], "sleeps");
}

#[test]
fn threads_recomputed_layers_and_interruptions_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let data = folder.path().join("answers.jsonl");
    examples(&data, 5);
    let options = "--steps 120 --learning-rate 0.01 --accumulate 2 --dropout 0.1 --batch-size 1 --context 40 --judgements 4";
    let runs: Vec<PathBuf> = ["--threads 1", "--threads 2", "--checkpoint-activations"]
        .iter()
        .map(|more| {
            let out = folder.path().join(more);
            json(run(&format!("tune {options} {more} --json --output"), &[&out, &base, &data]));
            out
        })
        .collect();
    for other in &runs[1..] {
        assert!(weights(&runs[0]) == weights(other), "{} changed the adapter", other.display());
        assert_eq!(metrics(&runs[0]), metrics(other));
    }
    assert!(record(&runs[0])["results"]["validation_loss"].as_f64().unwrap() < 3.0);

    let out = folder.path().join("killed");
    let line = format!("tune {options} --json --output");
    let all = words(&line).into_iter().map(Into::into);
    let all = all.chain([out.clone(), base.clone(), data].map(PathBuf::into_os_string));
    let mut child = gyrus(all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    kill_after_checkpoint(&mut child, &out);
    if record(&out)["status"] != "finished" {
        json(run("tune --json --resume", &[&out]));
    }
    assert!(weights(&runs[0]) == weights(&out), "resuming changed the adapter");
    assert_eq!(metrics(&runs[0]), metrics(&out));
    assert_eq!(record(&runs[0])["results"], record(&out)["results"]);
    let sentence = refused(&run("tune --resume", &[&out]));
    assert!(sentence.contains("finished already"), "{sentence}");
    let sentence = refused(&run("learn --resume", &[&out]));
    assert!(sentence.contains("gyrus tune --resume"), "{sentence}");

    // As if it had been killed, and the model changed since.
    let path = out.join("run.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("\"finished\"", "\"running\"")).unwrap();
    let path = base.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let sentence = refused(&run("tune --resume", &[&out]));
    assert!(sentence.contains("other weights"), "{sentence}");
}

#[test]
fn what_cannot_be_tuned_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let (data, out) = (folder.path().join("answers.jsonl"), folder.path().join("out"));
    let refuse = |text: &str, options: &str| {
        fs::write(&data, text).unwrap();
        refused(&run(&format!("tune {options} --overwrite --output"), &[&out, &base, &data]))
    };
    let good = "{\"prompt\": \"a dog\", \"completion\": \" sings.\"}\n";
    assert!(refuse("", "").contains("0 examples"));
    assert!(refuse(&format!("{good}\n{{\"prompt\": 3}}\n"), "").contains("line 3"));
    assert!(
        refuse("{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}]}", "")
            .contains("chat template")
    );
    assert!(refuse(good, "--target gates").contains("gates"));
    assert!(refuse(good, "--context 4").contains("larger context"));
    assert!(refuse(good, "--schedule linear").contains("wsd"));
    usage(&run("tune --base-format q5 --output", &[&out, &base, &data]));
    usage(&run("tune --output", &[&out]));
    let sentence = refused(&run("tune --resume", &[&base]));
    assert!(sentence.contains("is not a `gyrus tune` run"), "{sentence}");
    let sentence = refused(&run("tune --output", &[&out, &folder.path().join("none"), &data]));
    assert!(sentence.contains("none"), "{sentence}");

    // An adapter of another model.
    fs::write(&data, good).unwrap();
    let adapter = folder.path().join("adapter");
    json(run("tune --steps 1 --context 32 --json --output", &[&adapter, &base, &data]));
    let path = adapter.join("adapter_config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"use_dora\": false", "\"use_dora\": true")).unwrap();
    let sentence = refused(&run("write", &[&base, Path::new("--adapter"), &adapter]));
    assert!(sentence.contains("use_dora"), "{sentence}");
}
