//! Sentence embeddings, and the texts that are closest to a query.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use gyrus_files::write_atomically;
use gyrus_language::SentenceEncoder;
use gyrus_language_train::Corpus;
use gyrus_tensor::with_threads;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use super::serialized;
use crate::observer::{Observer, Stage};
use crate::{Error, Result};

/// Longest line in bytes.
const LONGEST_LINE: u64 = 1 << 24;
/// The most bytes of a file's text.
const MAXIMUM_BYTES: u64 = 4 << 30;
/// Texts per pass, so that results come before all are done.
const TOGETHER: usize = 4096;

/// Computes sentence embeddings of texts.
///
/// Each line of a file is a text, and so is the "text" of each record of a .jsonl or .json file; empty ones are skipped.
#[derive(Clone, Debug)]
pub struct Embed {
    /// A folder with an encoder of the BERT family, as `sentence-transformers` keeps it.
    pub model: PathBuf,
    /// Files with texts; `-` reads standard input.
    pub files: Vec<PathBuf>,
    /// Write the vectors to this safetensors file: "embeddings", `[texts, width]`.
    pub out: Option<PathBuf>,
    /// Find the texts whose meaning is closest to this one.
    pub query: Option<String>,
    /// How many of them.
    pub top: usize,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct EmbedReport {
    /// The encoder.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// Number of texts.
    pub texts: usize,
    /// Numbers of a vector.
    pub width: usize,
    /// How long it took.
    pub seconds: f64,
    /// The file that was written.
    #[serde(serialize_with = "serialized::some_path")]
    pub out: Option<PathBuf>,
    /// The query.
    pub query: Option<String>,
    /// The texts that are closest to it, the closest first.
    pub closest: Option<Vec<Closest>>,
    /// `[texts, width]`, in the order of the files' lines.
    #[serde(skip)]
    pub embeddings: Vec<f32>,
}

/// Receives some texts, the number of all, and their vectors `[texts, width]`; returns whether to go on.
type Take<'a> = dyn FnMut(&[Line], usize, &[f32]) -> bool + 'a;

/// A text that is close to the query.
#[derive(Clone, Debug, Serialize)]
pub struct Closest {
    /// The cosine of the two vectors.
    pub similarity: f32,
    /// The text and its place.
    #[serde(flatten)]
    pub line: Line,
}

/// A text and its place.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub file: Arc<Path>,
    /// Counted from 1; the place in the list where a .json file holds one.
    pub line: usize,
    /// The text.
    pub text: String,
}

/// A text and its vector.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Embedded<'a> {
    /// The text and its place.
    #[serde(flatten)]
    pub line: &'a Line,
    /// `[width]`
    pub embedding: &'a [f32],
}

impl Embed {
    /// Default number of closest texts.
    pub const TOP: usize = 10;

    /// With this encoder, on all cores.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), files: Vec::new(), out: None, query: None, top: Self::TOP, threads: 0 }
    }

    /// A file with texts.
    #[must_use]
    pub fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.push(file.into());
        self
    }

    /// Finds the texts that are closest to this one.
    #[must_use]
    pub fn query(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// Embeds all texts. The observer sees how many are done; it cannot stop it.
    ///
    /// # Errors
    /// If the encoder or a file cannot be read, there is no text, or the vectors cannot be written.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<EmbedReport> {
        with_threads(self.threads, || {
            let mut embeddings = Vec::new();
            let mut done = 0;
            let (encoder, lines, seconds) = self.embed(&mut |part, total, vectors| {
                embeddings.extend_from_slice(vectors);
                done += part.len() as u64;
                observer.stage(&Stage { name: "embedding texts", done, total: total as u64 });
                true
            })?;
            let width = encoder.width();
            let closest = match &self.query {
                Some(query) => {
                    let found = closest(&encoder.embed(&[query])?, &embeddings, self.top);
                    let named = |(similarity, index): (f32, usize)| Closest {
                        similarity,
                        line: lines[index].clone(),
                    };
                    Some(found.into_iter().map(named).collect())
                }
                None => None,
            };
            if let Some(out) = &self.out {
                write(out, &embeddings, width)?;
            }
            Ok(EmbedReport { closest, embeddings, ..self.report(&lines, width, seconds) })
        })?
    }

    /// Embeds the texts and hands out each while there are more to do, keeping none, until `each` returns false. It neither
    /// writes a file nor answers a query.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_each(&self, mut each: impl FnMut(Embedded<'_>) -> bool + Send) -> Result<EmbedReport> {
        with_threads(self.threads, || {
            let (encoder, lines, seconds) = self.embed(&mut |lines, _, vectors| {
                let width = vectors.len() / lines.len().max(1);
                let mut rows = lines.iter().zip(vectors.chunks_exact(width.max(1)));
                rows.all(|(line, embedding)| each(Embedded { line, embedding }))
            })?;
            Ok(self.report(&lines, encoder.width(), seconds))
        })?
    }

    /// The encoder, the texts, and how long it took to embed them. Each part goes to `take`, with the number of all texts, until
    /// that returns false.
    fn embed(&self, take: &mut Take<'_>) -> Result<(SentenceEncoder, Vec<Line>, f64)> {
        let encoder = SentenceEncoder::open(&super::resolve_model(&self.model)?)?;
        let mut lines = Vec::new();
        for file in &self.files {
            read(file, &mut lines)?;
        }
        if lines.is_empty() {
            return Err(Error::request("the files hold no text"));
        }
        let start = Instant::now();
        for part in lines.chunks(TOGETHER) {
            let texts: Vec<&str> = part.iter().map(|line| line.text.as_str()).collect();
            if !take(part, lines.len(), &encoder.embed(&texts)?) {
                break;
            }
        }
        Ok((encoder, lines, start.elapsed().as_secs_f64()))
    }

    fn report(&self, lines: &[Line], width: usize, seconds: f64) -> EmbedReport {
        EmbedReport {
            model: self.model.clone(),
            texts: lines.len(),
            width,
            seconds,
            out: self.out.clone(),
            query: self.query.clone(),
            closest: None,
            embeddings: Vec::new(),
        }
    }
}

/// Reads the texts of a file: its lines, or the records of a JSON file.
fn read(path: &Path, lines: &mut Vec<Line>) -> Result<()> {
    let failed = |error| Error::Request(format!("cannot read {}: {error}", path.display()));
    let text = match path.as_os_str() == "-" {
        true => {
            let mut bytes = Vec::new();
            std::io::stdin().take(MAXIMUM_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
            gyrus_files::decode_text(path, bytes, MAXIMUM_BYTES)?
        }
        false => gyrus_files::read_text(path, MAXIMUM_BYTES)?,
    };
    let file: Arc<Path> = path.into();
    if Corpus::holds_records(path) {
        for (place, text) in Corpus::records(path, &text)? {
            if !text.trim().is_empty() {
                lines.push(Line { file: file.clone(), line: place.number(), text });
            }
        }
        return Ok(());
    }
    for (text, line) in text.lines().zip(1..) {
        if text.len() as u64 >= LONGEST_LINE {
            let place = format!("{}, line {line}", path.display());
            return Err(Error::Request(format!("{place}: longer than {LONGEST_LINE} bytes")));
        }
        if !text.trim().is_empty() {
            lines.push(Line { file: file.clone(), line, text: text.to_owned() });
        }
    }
    Ok(())
}

/// The rows of `embeddings` with the largest cosine to `query`, and these.
fn closest(query: &[f32], embeddings: &[f32], top: usize) -> Vec<(f32, usize)> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let length = |x: &[f32]| dot(x, x).sqrt().max(f32::MIN_POSITIVE);
    let rows = embeddings.chunks_exact(query.len()).enumerate();
    let mut all: Vec<(f32, usize)> =
        rows.map(|(index, row)| (dot(query, row) / (length(query) * length(row)), index)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.truncate(top);
    all
}

fn write(path: &Path, embeddings: &[f32], width: usize) -> Result<()> {
    let bytes: Vec<u8> = embeddings.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view =
        TensorView::new(Dtype::F32, vec![embeddings.len() / width, width], &bytes).map_err(Error::failed)?;
    let file = safetensors::serialize([("embeddings", view)], None).map_err(Error::failed)?;
    write_atomically(path, &file).map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_records_are_read_in_every_encoding() {
        let folder = tempfile::tempdir().unwrap();
        let read_all = |name: &str, bytes: &[u8]| {
            let (path, mut lines) = (folder.path().join(name), Vec::new());
            std::fs::write(&path, bytes).unwrap();
            read(&path, &mut lines).unwrap();
            lines.into_iter().map(|line| (line.line, line.text)).collect::<Vec<_>>()
        };
        let expected = [(1, "ä b".to_owned()), (3, "c".to_owned())];
        let text = "\u{feff}ä b\r\n\r\nc\r\n";
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read_all("a.txt", text.as_bytes()), expected);
        assert_eq!(read_all("a.txt", &utf16), expected);
        let records = "\u{feff}{\"text\": \"ä b\"}\r\n\r\n{\"text\": \"c\"}\r\n";
        assert_eq!(read_all("a.jsonl", records.as_bytes()), expected);
    }

    #[test]
    fn the_closest_come_first() {
        let embeddings = [0.0, 2.0, 1.0, 0.0, 1.0, 1.0, -1.0, 0.0];
        let found = closest(&[3.0, 0.0], &embeddings, 3);
        let indices: Vec<usize> = found.iter().map(|(_, index)| *index).collect();
        assert_eq!(indices, [1, 2, 0]);
        assert_eq!(found[0].0, 1.0);
    }
}
