//! What all verbs share: names of models, short options, JSON for programs, completions, manual pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::*;
use serde_json::Value;

fn said(line: &str) -> Output {
    gyrus(words(line)).output().unwrap()
}

/// A model on disk: half a megabyte of random weights in the form of llama2.c.
fn cached_model(cache: &Path) -> PathBuf {
    let folder = cache.join("models--org--tiny");
    let snapshot = folder.join("snapshots/c0ffee");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(folder.join("refs")).unwrap();
    fs::write(folder.join("refs/main"), "c0ffee").unwrap();
    fs::write(snapshot.join("tiny-Q8_0.gguf"), "not a model").unwrap();
    fs::write(snapshot.join("README.md"), "a model").unwrap();
    snapshot
}

#[test]
fn errors_are_json_where_results_are() {
    let usage = said("learn digits --json --epochs 0");
    says_error(&usage);
    let error: Value = serde_json::from_str(&stdout(&usage)).unwrap();
    assert_eq!((&error["fault"], &error["code"]), (&"input".into(), &2.into()), "{error}");
    assert!(error["message"].as_str().unwrap().contains("--epochs"), "{error}");
    says_error(&said("predict --json nowhere digit.png"));
    says_error(&said("predict --jsonl nowhere digit.png"));
    // After `--` it is no option.
    assert!(said("predict nowhere -- --json").stdout.is_empty());
}

#[test]
fn every_row_is_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let learned = json(run("learn digits --epochs 1 --blueprint perceptron --json -o", &[&run_folder]));
    assert_eq!((&learned["kind"], &learned["version"]), (&"learn".into(), &1.into()));
    assert_eq!(learned["out"], learned["run"]);
    assert!(Path::new(learned["page"].as_str().unwrap()).is_file());
    assert_eq!(learned["seconds"], learned["total_seconds"]);
    let picture = folder.path().join("picture.png");
    image::GrayImage::new(8, 8).save(&picture).unwrap();
    let rows = succeeded(run("predict --jsonl", &[&run_folder, &picture, &picture]));
    let rows: Vec<Value> = stdout(&rows).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["kind"] == "prediction" && row["class"].is_string()), "{rows:?}");
    let listed = json(run("list --json", &[folder.path()]));
    assert_eq!((&listed["kind"], &listed["runs"][0]["run"]), (&"list".into(), &learned["run"]));
    assert_eq!(listed["runs"][0]["status"], "finished");
}

#[test]
fn quiet_prints_results_alone_and_a_log_shows_each_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let line = "learn digits --epochs 2 --blueprint perceptron --overwrite --out";
    let run_folder = folder.path().join("run");
    let quiet = succeeded(run(&format!("-q {line}"), &[&run_folder]));
    assert!(quiet.stderr.is_empty(), "{}", stderr(&quiet));
    assert_eq!(stdout(&quiet).lines().count(), 1, "{}", stdout(&quiet));
    let loud = succeeded(run(&format!("-v {line}"), &[&run_folder]));
    for part in ["epoch 1: loss", "epoch 2: loss", "validation", "took "] {
        assert!(stderr(&loud).contains(part), "{part}: {}", stderr(&loud));
    }
    assert!(stdout(&loud).contains("Next:"));
}

#[test]
fn models_are_found_under_every_name_and_listed() {
    let cache = tempfile::tempdir().unwrap();
    let snapshot = cached_model(cache.path());
    let ask = |line: &str| gyrus(words(line)).env("HF_HUB_CACHE", cache.path()).output().unwrap();
    for name in ["org/tiny", "org/tiny:q8_0", "hf://org/tiny:Q8_0", "https://huggingface.co/org/tiny"] {
        let pulled = json(ask(&format!("pull {name} --json")));
        assert_eq!(pulled["path"], snapshot.join("tiny-Q8_0.gguf").to_str().unwrap(), "{name}");
        assert_eq!((&pulled["kind"], &pulled["bytes"]), (&"pull".into(), &11.into()));
    }
    assert!(failed(&ask("pull org/tiny:Q4_0"), 1).contains("tiny-Q8_0.gguf"));
    assert!(failed(&ask("write org/other hello"), 1).contains("HF_HUB_OFFLINE"));
    // `run`, `-m` and `-p` lead to the same file, which is no model.
    for line in ["run org/tiny hello", "write -p hello -m org/tiny", "RUN -m org/tiny"] {
        assert!(refused(&ask(line)).contains("tiny-Q8_0.gguf"), "{line}");
    }
    let listed = json(ask("list --json nowhere"));
    assert_eq!(listed["models"][0]["name"], "org/tiny");
    assert_eq!(listed["models"][0]["holds"], "tiny-Q8_0.gguf");
}

#[test]
fn shells_complete_every_verb_and_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&succeeded(said(&format!("completions {shell}"))));
        for word in ["learn", "quantize", "completions", "label-smoothing"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert!(stderr(&said("completions tcsh")).contains("zsh"));
}

#[test]
fn every_verb_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let written = json(gyrus(["man", "--json", "-o"]).arg(folder.path()).output().unwrap());
    let pages = names(folder.path());
    assert_eq!(written["pages"], pages.len());
    for page in ["gyrus.1", "gyrus-learn.1", "gyrus-pull.1", "gyrus-serve.1"] {
        assert!(pages.contains(&page.to_owned()), "{pages:?}");
    }
    let learn = fs::read_to_string(folder.path().join("gyrus-learn.1")).unwrap();
    assert!(learn.contains(".TH gyrus-learn 1") && learn.contains(".SH EXAMPLES"), "{learn}");
}

#[test]
fn the_version_says_what_was_built() {
    let version = stdout(&succeeded(said("--version")));
    for part in [concat!("gyrus ", env!("CARGO_PKG_VERSION")), "features  ", "devices   cpu"] {
        assert!(version.contains(part), "{version}");
    }
    assert_eq!(stdout(&succeeded(said("-V"))).lines().count(), 1);
    assert_eq!(stdout(&succeeded(said("INSPECT -h"))), stdout(&succeeded(said("inspect -h"))));
}
