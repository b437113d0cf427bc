//! Texts, examples and models as people bring them: encodings, forms of examples, short corpora, tokens, what is in a file,
//! and the way of every model to a GGUF file.
#![cfg(unix)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::*;
use serde_json::{Value, json};

const TINY: &str = "--layers 1 --width 32 --heads 2 --context 32 --batch-size 4 --tokenizer characters";

fn sentences(many: usize) -> String {
    let mut random = Random(3);
    let sentence = |_| {
        let who = ["the cat", "a dög", "my bird"][random.below(3) as usize];
        format!("{who} {}.\r\n", ["sleeps", "eats a fish", "sings"][random.below(3) as usize])
    };
    (0..many).map(sentence).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn learn(text: &Path, out: &Path) {
    json(run(&format!("learn {TINY} --train-steps 60 --learning-rate 0.01 --json --out"), &[out, text]));
}

#[test]
fn every_encoding_of_a_corpus_trains_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let text = sentences(60);
    let plain = write(folder.path(), "plain.txt", text.replace("\r\n", "\n").as_bytes());
    let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("\u{feff}{text}").as_bytes()).unwrap();
    let others = [
        write(folder.path(), "utf16.txt", &utf16),
        write(folder.path(), "packed.txt.gz", &packed.finish().unwrap()),
    ];
    let first = folder.path().join("first");
    learn(&plain, &first);
    for other in others {
        let out = other.with_extension("run");
        learn(&other, &out);
        assert!(model(&out) == model(&first), "{}", other.display());
    }
}

#[test]
fn a_corpus_that_is_too_short_is_refused_with_the_reason_and_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let short = write(folder.path(), "short.txt", &"a b ".repeat(200).as_bytes()[..789]);
    let out = folder.path().join("run");
    let said = refused(&run("learn --out", &[&out, &short]));
    assert!(
        said.contains("789 characters") && said.contains("at least 1281") && said.contains("smaller context"),
        "{said}"
    );
    assert!(!out.exists());
    json(run(
        "learn --context 32 --train-steps 1 --width 16 --heads 2 --layers 1 --json --out",
        &[&out, &short],
    ));
}

#[test]
fn tokens_are_shown_and_models_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let text = write(folder.path(), "pets.txt", sentences(60).as_bytes());
    let out = folder.path().join("run");
    learn(&text, &out);
    let shown =
        stdout(&succeeded(gyrus(["tokenize".as_ref(), out.as_os_str(), "a dög".as_ref()]).output().unwrap()));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 6, "{shown}");
    assert!(lines[1].ends_with("\" \"") && lines[3].ends_with("\"ö\""), "{shown}");
    assert_eq!(lines[5], "5 tokens of 5 characters");
    let records = write(
        folder.path(),
        "texts.jsonl",
        "\u{feff}{\"text\": \"a\"}\r\n{\"text\": \"cat\"}\r\n".as_bytes(),
    );
    let ids = |paths: &[&Path]| stdout(&succeeded(run("tokenize --ids", paths)));
    let of_file = stdout(&succeeded(run("tokenize --ids --file", &[&records, &out])));
    assert_eq!(of_file.lines().count(), 2, "{of_file}");
    assert_eq!(ids(&[&out, Path::new("cat")]).trim_end(), of_file.lines().nth(1).unwrap());
    let mut child = gyrus(["tokenize".as_ref(), out.as_os_str(), "--json".as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"cat").unwrap();
    let report = json(child.wait_with_output().unwrap());
    assert_eq!(
        (&report["texts"][0]["count"], &report["texts"][0]["pieces"]),
        (&json!(3), &json!(["c", "a", "t"]))
    );
    refused(&run("tokenize", &[&folder.path().join("none"), Path::new("a")]));

    let report = json(run("inspect --json", &[&out]));
    assert_eq!(
        (&report["format"], &report["architecture"]),
        (&json!("hugging_face"), &json!("LlamaForCausalLM"))
    );
    assert_eq!((&report["run"]["data"], &report["run"]["status"]), (&json!("pets"), &json!("finished")));
    assert_eq!((&report["context"], &report["problem"]), (&json!(32), &Value::Null));
    assert_eq!(report["types"]["F32"]["parameters"], report["parameters"]);
    let said = stdout(&succeeded(run("inspect", &[&out])));
    assert!(said.contains("runs here       yes") && said.contains("learned from pets"), "{said}");
    let blueprint = write(
        folder.path(),
        "tiny.toml",
        b"name = \"tiny\"\n[[node]]\nname = \"input\"\nkind = \"Input\"\nshape = [4]\n[[node]]\nname = \"out\"\nkind = \"Affine\"\nout_features = 2\n[[node]]\nname = \"output\"\nkind = \"Output\"\n",
    );
    assert_eq!(json(run("inspect --json", &[&blueprint]))["trained_parameters"], 10);
    // Two events of 5 bytes: x, y, polarity and 23 bits of microseconds.
    let recording = write(folder.path(), "saccade.bin", &[3, 4, 0x80, 0, 1, 5, 2, 0, 0x27, 0x11]);
    let report = json(run("inspect --json", &[&recording]));
    assert_eq!(
        (&report["events"], &report["on"], &report["duration_ms"]),
        (&json!(2), &json!(1), &json!(10.0))
    );
    let said = refused(&run("inspect", &[folder.path()]));
    assert!(said.contains("holds neither"), "{said}");
}

#[test]
fn a_vocabulary_of_characters_becomes_a_gguf_file_with_the_same_tokens_and_texts() {
    let folder = tempfile::tempdir().unwrap();
    let documents: String =
        sentences(60).lines().map(|line| json!({"text": line}).to_string() + "\n").collect();
    let ascii = sentences(60).replace('ö', "o");
    // With an end of text; without, in ASCII and beyond.
    for (name, text, kind) in
        [("many.jsonl", documents, "gpt2"), ("ascii.txt", ascii, "rwkv"), ("one.txt", sentences(60), "gpt2")]
    {
        let (text, out) =
            (write(folder.path(), name, text.as_bytes()), folder.path().join(name).with_extension("run"));
        learn(&text, &out);
        let file = out.with_extension("gguf");
        json(run("quantize --to f16 --json", &[&out, &file]));
        let tokens = |model: &Path| {
            stdout(&succeeded(run("tokenize --ids", &[model, Path::new("the\ncat\u{20}d\u{f6}g,Xs")])))
        };
        assert_eq!(tokens(&file), tokens(&out), "{name}");
        let write = |model: &Path| {
            let words = ["write", "--json", "--temperature", "0", "--max-tokens", "60"].map(Into::into);
            json(
                gyrus(words.into_iter().chain([model.as_os_str().to_owned(), "the".into()]))
                    .output()
                    .unwrap(),
            )["text"]
                .clone()
        };
        assert_eq!(write(&file), write(&out), "{name}");
        let report = json(run("inspect --json", &[&file]));
        assert!(report["tokenizer"]["model"].as_str().unwrap().starts_with(kind), "{report}");
        // llama.cpp ends at some token in any case; a character that is not in ASCII is the rarest.
        let ends = [("many.jsonl", "<|endoftext|>"), ("one.txt", "Ã¶")].iter().find(|(own, _)| *own == name);
        assert_eq!(report["tokenizer"]["ends"], json!(ends.map_or(vec![], |(_, end)| vec![end])), "{report}");
    }
}

#[test]
fn examples_come_in_the_usual_forms() {
    let folder = tempfile::tempdir().unwrap();
    let text = write(folder.path(), "pets.txt", sentences(60).as_bytes());
    let base = folder.path().join("base");
    learn(&text, &base);
    let tune = |data: &Path| {
        let out = data.with_extension("tuned");
        run("tune --steps 1 --rank 2 --context 320 --validation 0 --json --out", &[&out, &base, data])
    };
    let pair = r#"{"prompt": "the", "completion": " cat"}"#;
    let forms = [
        ("bom.jsonl", format!("\u{feff}{pair}\r\n{pair}\r\n"), 2),
        ("list.json", format!("[{pair},\n {pair}, {pair}]\n"), 3),
        ("data.json", format!("{{\"data\": [\n{pair}\n]}}\n"), 1),
        (
            "alpaca.json",
            r#"[{"instruction": "sing", "input": "", "output": "the bird sings."}]"#.to_owned(),
            1,
        ),
        ("response.jsonl", r#"{"prompt": "the", "response": " cat"}"#.to_owned(), 1),
    ];
    for (name, text, count) in forms {
        assert_eq!(json(tune(&write(folder.path(), name, text.as_bytes())))["examples"], count, "{name}");
    }
    let said = refused(&tune(&write(folder.path(), "other.jsonl", br#"{"question": "a", "answer": "b"}"#)));
    assert!(said.contains("question, answer") && said.contains("instruction and output"), "{said}");
    let silent = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}"#;
    let said = refused(&tune(&write(folder.path(), "silent.jsonl", silent.as_bytes())));
    assert!(said.contains("weight 0 for every answer"), "{said}");
}
