//! What the tests of the program share: running it as a person would, and judging what it says.
#![allow(dead_code)] // Each test file uses a part.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program, with nothing on its standard input and no network.
pub(crate) fn gyrus<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gyrus"));
    command.args(arguments).stdin(Stdio::null()).env("HF_HUB_OFFLINE", "1").env_remove("RUST_BACKTRACE");
    command
}

/// The arguments of a command line whose words hold no blanks.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Runs a command line; `paths` are appended as they are.
pub(crate) fn run(line: &str, paths: &[&Path]) -> Output {
    let paths = paths.iter().map(|path| path.as_os_str().to_owned());
    gyrus(words(line).into_iter().map(Into::into).chain(paths)).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with everything that the program said unless it succeeded.
#[track_caller]
pub(crate) fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}: {}{}", output.status, stdout(&output), stderr(&output));
    output
}

/// The one JSON object that a `--json` command prints, and nothing else.
#[track_caller]
pub(crate) fn json(output: Output) -> Value {
    let output = succeeded(output);
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1, "one line only: {text}");
    assert!(text.ends_with('\n'), "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(value.is_object(), "{text}");
    value
}

/// Nothing that only a programmer could understand.
#[track_caller]
pub(crate) fn assert_calm(output: &Output) {
    let said = stderr(output);
    for word in ["panicked", "RUST_BACKTRACE", "memory allocation of", "stack overflow", "Error {"] {
        assert!(!said.contains(word), "{}: {said}", output.status);
    }
    assert!(output.status.code().is_some(), "ended by a signal: {} {said}", output.status);
}

/// How lines begin that may stand before the sentence: notes and progress.
const NOTES: [&str; 4] = ["note: ", "skipped ", "epoch ", "step "];

/// Ended with this exit code and one sentence on standard error, which is returned; notes may go before it.
#[track_caller]
pub(crate) fn failed(output: &Output, code: i32) -> String {
    assert_calm(output);
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{}{said}", stdout(output));
    let mut lines: Vec<&str> =
        said.lines().filter(|line| !NOTES.iter().any(|start| line.starts_with(start))).collect();
    let sentence = lines.pop().unwrap_or_default();
    assert!(lines.is_empty(), "more than one sentence: {said}");
    let sentence = sentence.strip_prefix("gyrus: ").expect(&said);
    assert!(sentence.len() > 10 && sentence.len() < 1200, "{} bytes: {said}", sentence.len());
    sentence.to_owned()
}

/// Standard output holds nothing but the error, as JSON.
#[track_caller]
pub(crate) fn says_error(output: &Output) {
    let text = stdout(output);
    let error: Value = serde_json::from_str(&text).expect(&text);
    assert_eq!((&error["kind"], &error["version"]), (&"error".into(), &1.into()), "{text}");
    assert_eq!(error["code"], output.status.code().unwrap(), "{text}");
    assert!(stderr(output).contains(error["message"].as_str().unwrap()), "{text}");
}

/// Refused as the caller's mistake.
#[track_caller]
pub(crate) fn refused(output: &Output) -> String {
    failed(output, 2)
}

/// Refused while the arguments were read: these errors have the shape of the argument parser.
#[track_caller]
pub(crate) fn usage(output: &Output) -> String {
    assert_calm(output);
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: "), "{said}");
    assert!(output.stdout.is_empty());
    said
}

/// The repository's real data, or a loud skip.
pub(crate) fn real_data(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("GYRUS_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let path = root.join(part);
    if !path.is_dir() {
        println!("skipped: no {} (set GYRUS_DATA to the folder with the real data)", path.display());
        return None;
    }
    Some(path)
}

/// Random numbers for tests (SplitMix64): the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// A table to classify: two numbers with gaps, a category with gaps, and a rule that a network can learn.
pub(crate) fn write_table(path: &Path, rows: u64) {
    let mut random = Random(7);
    let mut text = String::from("width,height,color,kind,price\n");
    for _ in 0..rows {
        let (width, height) = (random.below(100), random.below(100));
        let color = ["red", "green", "blue", ""][random.below(4) as usize];
        let kind = if width + height > 100 { "large" } else { "small" };
        let price = 3 * width + height + if color == "red" { 50 } else { 0 };
        let gap = |value: u64, random: &mut Random| match random.below(10) {
            0 => String::new(),
            _ => value.to_string(),
        };
        let (width, height) = (gap(width, &mut random), gap(height, &mut random));
        text += &format!("{width},{height},{color},{kind},{price}.5\n");
    }
    fs::write(path, text).unwrap();
}

/// The rows of `metrics.jsonl` without the one field that differs from run to run.
pub(crate) fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let row = |line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        row.as_object_mut().unwrap().remove("seconds").expect("every row says how long it took");
        row
    };
    text.lines().map(row).collect()
}

pub(crate) fn model(run: &Path) -> Vec<u8> {
    fs::read(run.join("model.safetensors")).unwrap()
}

pub(crate) fn record(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap()
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Kills a training as soon as it has something to be resumed from.
pub(crate) fn kill_after_checkpoint(child: &mut Child, run: &Path) {
    wait_for_checkpoint(run);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Waits until a training has saved its state for the first time.
pub(crate) fn wait_for_checkpoint(run: &Path) {
    let clock = Instant::now();
    while !run.join("checkpoint.safetensors").exists() {
        assert!(clock.elapsed() < Duration::from_secs(100), "no checkpoint in {}", run.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Stops after so many looks.
pub(crate) struct Impatient(pub(crate) u32);

impl gyrus::Observer for Impatient {
    fn wants_to_stop(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}
