//! Embedding sentences: the first 1,000 of tinyshakespeare, and the encoder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gyrus_language::SentenceEncoder;

use crate::timing::{Timed, timed};

/// Sentences per step.
const COUNT: usize = 1000;
/// Files with the sentences and with the path of the model.
const SENTENCES: &str = "sentences.txt";
const MODEL: &str = "model.txt";

/// Writes the sentences and the path of the model, which a Python package contains, into `folder`.
///
/// # Errors
/// If the text or the package is missing.
pub(crate) fn prepare(folder: &Path, python: &Path, peers: &Path) -> Result<()> {
    let path = text()?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let found: Vec<String> = sentences(&text).take(COUNT).collect();
    if found.len() < COUNT {
        bail!("{} has {} sentences, expected {COUNT}", path.display(), found.len());
    }
    std::fs::write(folder.join(SENTENCES), found.join("\n") + "\n")?;
    let mut command = Command::new(python);
    command.arg(peers.join("embed_worker.py")).arg("--model");
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(std::fs::write(folder.join(MODEL), output.stdout)?)
}

/// The text: tinyshakespeare in $GYRUS_DATA or in ../shared/data.
fn text() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = std::env::var_os("GYRUS_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let path = data.join("tinyshakespeare/input.txt");
    if !path.is_file() {
        bail!("the text {} does not exist; set GYRUS_DATA to the folder of the data", path.display());
    }
    Ok(path)
}

/// The sentences of all speeches. A speech is the speaker's name, a colon, and lines up to an empty one.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    let speeches =
        text.split("\n\n").filter_map(|speech| Some(speech.split_once(":\n")?.1.replace('\n', " ")));
    speeches.flat_map(|speech| {
        let parts: Vec<String> =
            speech.split_inclusive(['.', '!', '?']).map(|part| part.trim().to_owned()).collect();
        parts.into_iter().filter(|part| part.contains(' '))
    })
}

/// The workload, ready to run.
pub(crate) struct Workload {
    encoder: SentenceEncoder,
    sentences: Vec<String>,
    threads: usize,
}

impl Workload {
    /// Reads what [`prepare`] left in `folder`.
    ///
    /// # Errors
    /// If something is missing or damaged there.
    pub(crate) fn new(folder: Option<&Path>, threads: usize) -> Result<Self> {
        let folder = folder.context("this workload needs sentences")?;
        let read =
            |name| std::fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name}"));
        let encoder = SentenceEncoder::open(Path::new(read(MODEL)?.trim()))?;
        let sentences = read(SENTENCES)?.lines().map(str::to_owned).collect();
        Ok(Self { encoder, sentences, threads })
    }
}

impl Timed for Workload {
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        timed(self.threads, count, |_| {
            std::hint::black_box(self.encoder.embed(&self.sentences)?);
            Ok(())
        })
    }

    fn parameters(&self) -> usize {
        self.encoder.parameter_count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_no_speakers_and_no_line_ends() {
        let text = "A B:\nOne two,\nthree. Four five!\n\nC:\nNo\n\nD:\nSix seven";
        assert_eq!(sentences(text).collect::<Vec<_>>(), ["One two, three.", "Four five!", "Six seven"]);
    }
}
