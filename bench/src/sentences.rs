//! Sentences to embed: the first 1,000 of tinyshakespeare, and the encoder that embeds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gyrus_language::SentenceEncoder;

use crate::timing::{Timed, timed};

/// Sentences that a step embeds.
const COUNT: usize = 1000;
/// Where the sentences stand, and where it is written which folder holds the model.
const SENTENCES: &str = "sentences.txt";
const MODEL: &str = "model.txt";

/// Writes the sentences and the place of the model, which the Python package carries, into `folder`.
///
/// # Errors
/// When the text or the package is missing.
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
        bail!("the text {} does not exist; say with GYRUS_DATA where the data are", path.display());
    }
    Ok(path)
}

/// What the speakers say, sentence by sentence. A speech is the name of who speaks, a colon, and lines up to an empty one.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    let speeches =
        text.split("\n\n").filter_map(|speech| Some(speech.split_once(":\n")?.1.replace('\n', " ")));
    speeches.flat_map(|speech| {
        let parts: Vec<String> =
            speech.split_inclusive(['.', '!', '?']).map(|part| part.trim().to_owned()).collect();
        parts.into_iter().filter(|part| part.contains(' '))
    })
}

/// The work, set up.
pub(crate) struct Work {
    encoder: SentenceEncoder,
    sentences: Vec<String>,
    threads: usize,
}

impl Work {
    /// Reads what [`prepare`] left in `folder`.
    ///
    /// # Errors
    /// When something is missing there or damaged.
    pub(crate) fn new(folder: Option<&Path>, threads: usize) -> Result<Self> {
        let folder = folder.context("this work needs sentences")?;
        let read =
            |name| std::fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name}"));
        let encoder = SentenceEncoder::open(Path::new(read(MODEL)?.trim()))?;
        let sentences = read(SENTENCES)?.lines().map(str::to_owned).collect();
        Ok(Self { encoder, sentences, threads })
    }
}

impl Timed for Work {
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
