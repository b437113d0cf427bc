//! `gyrus embed`: texts as vectors, and which of them are closest to a question.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use gyrus_language::SentenceEncoder;
use gyrus_tensor::with_threads;
use gyrus_train::write_atomically;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::learn::threads;
use crate::failure::Failure;
use crate::say::{note, say};

/// Bytes of a line, at most.
const LONGEST_LINE: u64 = 1 << 24;
/// Texts that are embedded together, so that results come while there is more to do.
const TOGETHER: usize = 4096;

/// Turn texts into vectors of their meaning.
///
/// Each line of a file is a text, and so is the "text" of each line of a .jsonl file; empty lines are left out. Without --out
/// or --query, each text and its vector are printed as a line of JSON.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder with an encoder of the BERT family, as `sentence-transformers` keeps it
    model: PathBuf,
    /// Files with texts; - reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the vectors to this file: "embeddings", texts by width
    #[arg(long, value_name = "FILE.safetensors", conflicts_with = "query")]
    out: Option<PathBuf>,
    /// Print the texts whose meaning is closest to this one
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// How many of them
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Threads; 0 for one a core. The result does not depend on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

/// A text and where it stands.
struct Text {
    file: usize,
    /// Counted from 1.
    line: usize,
    text: String,
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let encoder = SentenceEncoder::open(&arguments.model)?;
    let mut texts = Vec::new();
    for (index, file) in arguments.files.iter().enumerate() {
        read(file, index, &mut texts)?;
    }
    if texts.is_empty() {
        return Err(Failure::Caller("the files hold no text".to_owned()));
    }
    let width = encoder.width();
    let plain = arguments.out.is_none() && arguments.query.is_none() && !arguments.json;
    let mut embeddings = Vec::new();
    let start = Instant::now();
    for part in texts.chunks(TOGETHER) {
        let lines: Vec<&str> = part.iter().map(|text| text.text.as_str()).collect();
        let vectors = encoder.embed(&lines)?;
        if plain {
            for (text, vector) in part.iter().zip(vectors.chunks_exact(width)) {
                say(
                    json!({"file": arguments.files[text.file], "line": text.line, "text": text.text, "embedding": vector}),
                )?;
            }
        } else {
            embeddings.extend(vectors);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let found = match &arguments.query {
        Some(query) => closest(&encoder.embed(&[query])?, &embeddings, arguments.top),
        None => Vec::new(),
    };
    if let Some(out) = &arguments.out {
        write(out, &embeddings, width)?;
    }
    if arguments.json {
        let row = |&(similarity, index): &(f32, usize)| {
            let text = &texts[index];
            json!({"similarity": similarity, "file": arguments.files[text.file], "line": text.line, "text": text.text})
        };
        return say(json!({
            "model": arguments.model,
            "texts": texts.len(),
            "width": width,
            "seconds": seconds,
            "out": arguments.out,
            "query": arguments.query,
            "closest": arguments.query.as_ref().map(|_| found.iter().map(row).collect::<Vec<_>>()),
        }));
    }
    for (similarity, index) in found {
        let text = &texts[index];
        say(format_args!(
            "{similarity:.3}  {}:{}  {}",
            arguments.files[text.file].display(),
            text.line,
            text.text
        ))?;
    }
    note(format_args!("{} texts, {width} numbers each, {seconds:.2} s", texts.len()));
    Ok(())
}

/// Reads the texts of a file.
fn read(path: &Path, file: usize, texts: &mut Vec<Text>) -> Result<(), Failure> {
    let failed = |error| Failure::Caller(format!("cannot read {}: {error}", path.display()));
    let mut reader: Box<dyn BufRead> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(path).map_err(failed)?)),
    };
    let records = path.extension().is_some_and(|extension| extension == "jsonl");
    for line in 1.. {
        let place = || format!("{}, line {line}", path.display());
        let mut text = String::new();
        if (&mut reader).take(LONGEST_LINE).read_line(&mut text).map_err(failed)? == 0 {
            break;
        }
        if text.len() as u64 == LONGEST_LINE && !text.ends_with('\n') {
            return Err(Failure::Caller(format!("{}: longer than {LONGEST_LINE} bytes", place())));
        }
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            continue;
        }
        let text = match records {
            false => text.to_owned(),
            true => {
                let record: Value = serde_json::from_str(text)
                    .map_err(|error| Failure::Caller(format!("{}: {error}", place())))?;
                let text = record["text"].as_str();
                let missing = || {
                    Failure::Caller(format!("{}: got no \"text\", expected a string of that name", place()))
                };
                text.ok_or_else(missing)?.to_owned()
            }
        };
        texts.push(Text { file, line, text });
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

fn write(path: &Path, embeddings: &[f32], width: usize) -> Result<(), Failure> {
    let bytes: Vec<u8> = embeddings.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![embeddings.len() / width, width], &bytes)
        .map_err(Failure::failed)?;
    let file = safetensors::serialize([("embeddings", view)], None).map_err(Failure::failed)?;
    write_atomically(path, &file).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_come_first() {
        let embeddings = [0.0, 2.0, 1.0, 0.0, 1.0, 1.0, -1.0, 0.0];
        let found = closest(&[3.0, 0.0], &embeddings, 3);
        let indices: Vec<usize> = found.iter().map(|(_, index)| *index).collect();
        assert_eq!(indices, [1, 2, 0]);
        assert_eq!(found[0].0, 1.0);
    }
}
