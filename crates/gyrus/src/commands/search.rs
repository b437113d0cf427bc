//! `gyrus search`: passages of an indexed folder.

use std::io::{self, BufRead};
use std::path::PathBuf;

use clap::Args;
use gyrus::agents::retrieval::{Hit, SearchOptions};
use gyrus::verbs::SearchReport;
use gyrus::{Search, agents::retrieval::Bm25};

use super::help::{JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{note, say, say_row};

/// Letters of a quote in the terminal.
const WIDEST: usize = 300;

/// Find passages in an indexed folder
///
/// By words (BM25); with --model, the encoder that the folder was indexed with, by meaning too, and the two rankings are fused.
/// Each passage is shown by the sentence that fits best. Without words, each line of standard input is a query.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder, or the folder of its index
    folder: PathBuf,
    /// What to find
    words: Option<String>,
    /// Sentence encoder that the folder was indexed with
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// How many passages
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Most passages of one source
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    per_source: usize,
    /// How fast repeated words stop to matter
    #[arg(long, default_value_t = 0.9)]
    k1: f32,
    /// How much the length of a passage matters, from 0 to 1
    #[arg(long, default_value_t = 0.4)]
    b: f32,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { folder, words, model, top, per_source, k1, b, threads, json } = arguments;
    if !(k1.is_finite() && *k1 >= 0.0) {
        return Err(Failure::Input(format!("--k1 {k1}: expected a number from 0 on")));
    }
    if !(0.0..=1.0).contains(b) {
        return Err(Failure::Input(format!("--b {b}: expected a number from 0 to 1")));
    }
    let options = SearchOptions { top: *top, bm25: Bm25 { k1: *k1, b: *b }, per_source: *per_source };
    let verb = Search { model: model.clone(), options, threads: *threads, ..Search::new(folder) };
    let session = verb.open()?;
    if let Some(words) = words {
        return show(&session.search(words)?, *json);
    }
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::Input(format!("cannot read standard input: {error}")))?;
        if !line.trim().is_empty() {
            show(&session.search(&line)?, *json)?;
        }
    }
    Ok(())
}

fn show(report: &SearchReport, json: bool) -> Result<(), Failure> {
    if json {
        return say_row("search", report);
    }
    for hit in &report.hits {
        let Hit { passage, .. } = hit;
        let quote: String = hit.quote().split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = quote.chars().filter(|letter| !letter.is_control()).take(WIDEST).collect();
        let cut = if shown.len() < quote.len() { "…" } else { "" };
        let place = if passage.place.is_empty() { String::new() } else { format!(", {}", passage.place) };
        let title = passage.title.as_ref().map_or(String::new(), |title| format!("  {title}"));
        say(format_args!("{}{place}{title}\n  {shown}{cut}", passage.source))?;
    }
    if report.hits.is_empty() {
        note("nothing found");
    }
    if !report.unknown_words.is_empty() {
        note(format_args!("no passage holds: {}", report.unknown_words.join(", ")));
    }
    Ok(())
}
