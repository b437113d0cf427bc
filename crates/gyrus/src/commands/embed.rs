//! `gyrus embed`: texts as vectors, and which of them are closest to a question.

use std::path::PathBuf;

use clap::Args;
use gyrus::Embed;
use gyrus::verbs::counted;

use super::help::{JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{note, say, say_json, say_row};
use crate::progress::Watcher;

/// Compute sentence embeddings of texts
///
/// Each line of a file is a text, and so is the "text" of each line of a .jsonl file; empty lines are skipped. Without --out
/// or --query, each text and its vector are printed as a line of JSON.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder with a sentence encoder of the BERT family, as `sentence-transformers` keeps it
    model: PathBuf,
    /// Files with texts; - reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the vectors to this file, as the tensor "embeddings" [texts, width]
    #[arg(long, alias = "output", value_name = "FILE.safetensors", conflicts_with = "query")]
    out: Option<PathBuf>,
    /// Print the texts closest in meaning to this one
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// How many texts --query prints
    #[arg(long, default_value_t = Embed::TOP)]
    top: usize,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { model, files, out, query, top, threads, json } = arguments;
    let plain = out.is_none() && query.is_none() && !json;
    let verb = Embed {
        files: files.clone(),
        out: out.clone(),
        query: query.clone(),
        top: *top,
        threads: *threads,
        ..Embed::new(model)
    };
    let report = if plain {
        let mut said = Ok(());
        let report = verb.run_each(|text| {
            said = say_row("embedding", &text);
            said.is_ok()
        })?;
        said?;
        report
    } else {
        verb.run(&mut Watcher::without_stop())?
    };
    if *json {
        return say_json(&report);
    }
    for found in report.closest.iter().flatten() {
        let line = &found.line;
        say(format_args!("{:.3}  {}:{}  {}", found.similarity, line.file.display(), line.line, line.text))?;
    }
    let texts = counted(report.texts as u64, "text");
    note(format_args!("{texts}, {} numbers each, {:.2} s", report.width, report.seconds));
    Ok(())
}
