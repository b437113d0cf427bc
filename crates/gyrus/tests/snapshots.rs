//! Every help text and the sentences of refusals, word for word, in `tests/snapshots`.
//!
//! After a change that is meant, `GYRUS_UPDATE_SNAPSHOTS=1 cargo test --workspace --test all -- snapshots::` writes them
//! anew; read the difference before it is committed.

use std::fs;
use std::path::Path;

use crate::common::{assert_calm, gyrus, stderr, stdout, succeeded, words, write_table};

/// Fails at the first line in which a text differs from its snapshot.
#[track_caller]
fn same_as_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name).with_extension("txt");
    if std::env::var_os("GYRUS_UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let lines = text.lines().zip(expected.lines()).enumerate();
    for (line, (got, expected)) in lines {
        assert_eq!(got, expected, "{}, line {}", path.display(), line + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "lines of {}", path.display());
}

#[test]
fn help() {
    let help = |line: &str| stdout(&succeeded(gyrus(words(line)).env_remove("COLUMNS").output().unwrap()));
    let whole = help("--help");
    same_as_snapshot("help/gyrus", &whole);
    assert!(whole.lines().all(|line| line.chars().count() <= 80), "{whole}");
    let rows = whole.lines().take_while(|line| *line != "Options:").filter(|line| line.starts_with("  "));
    let verbs: Vec<&str> = rows.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() > 15, "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        same_as_snapshot(&format!("help/{verb}"), &help(&format!("{verb} --help")));
    }
}

/// Files that a command line can be wrong about.
fn prepare(folder: &Path) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write_table(&folder.join("things.csv"), 60);
    write("short.csv", "a,kind\n1,x\n2\n");
    write("twice.csv", "a,a,kind\n1,2,x\n");
    write("alone.csv", "kind\nx\ny\nx\ny\n");
    write("letter.txt", "dear");
    write("letter.safetensors", "dear");
    write("nothing.jsonl", "");
    write("unknown.toml", "name = \"mine\"\n\n[[node]]\nname = \"edges\"\nkind = \"Conv7d\"\n");
    write("nameless.toml", "");
    for pictures in ["no-classes", "one-class/cats"] {
        fs::create_dir_all(folder.join(pictures)).unwrap();
    }
}

const REFUSED: [&str; 66] = [
    "",
    "forget digits",
    "learnn digits",
    "generate hello",
    "org/model hello",
    "learn digits --max-tokens 5",
    "write model.gguf Once upon a time",
    "learn digits -q -v",
    "learn",
    "learn digitz",
    "learn fashion_mnits",
    "learn nowhere.csv",
    "learn digits --optimizer adam",
    "learn digits --schedule linear",
    "learn digits --augment heavy",
    "learn digits --device tpu",
    "learn digits --blueprint resnet99",
    "learn digits --blueprint unknown.toml",
    "learn digits --blueprint nameless.toml",
    "learn digits --epochs 0",
    "learn digits --batch-size many",
    "learn digits --learning-rate inf",
    "learn digits --weight-decay 2",
    "learn digits --threads 1000000",
    "learn digits --steps 4",
    "learn digits --spiking --encoder morse",
    "learn digits --spiking --readout morse",
    "learn digits --spiking --integration midpoint",
    "learn digits --spiking --surrogate sine",
    "learn digits --no-such-option",
    "learn digits --resume run",
    "learn --resume run --out other",
    "learn --resume run --surrogate atan",
    "learn --resume run --context 7",
    "learn --resume run",
    "learn things.csv",
    "learn things.csv --target knid",
    "learn short.csv --target kind",
    "learn twice.csv --target kind",
    "learn alone.csv --target kind",
    "learn things.csv --target kind --blueprint resnet20",
    "learn no-classes",
    "learn one-class",
    "learn letter.txt --tokenizer words",
    "predict",
    "predict run digit.png",
    "predict letter.txt digit.png",
    "predict . digit.png",
    "predict none.nir digit.png",
    "spike run",
    "spike run --exact --steps 4",
    "spike run --nir none/net.nir",
    "inspect letter.safetensors",
    "inspect none.nir",
    "write nowhere hello",
    "write https://example.com/org/model hello",
    "write -m",
    "pull model.gguf",
    "chat nowhere",
    "see . hello",
    "embed nowhere letter.txt",
    "quantize nowhere model.bin",
    "quantize nowhere model.gguf --to q9",
    "tune nowhere nothing.jsonl --out tuned",
    "tune --resume run --rank 3",
    "tune --merge adapter --out merged --rank 3",
];

#[test]
fn refusals() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let mut all = String::new();
    for line in REFUSED {
        let output = gyrus(words(line)).env_remove("COLUMNS").current_dir(folder.path()).output().unwrap();
        assert_calm(&output);
        assert!(output.stdout.is_empty(), "{line}: {}", stdout(&output));
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        all += &format!("$ gyrus {line}\n{}\n", stderr(&output).trim_end());
    }
    same_as_snapshot("refusals", &all.replace('\\', "/"));
}
