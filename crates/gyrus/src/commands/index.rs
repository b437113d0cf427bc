//! `gyrus index`: a folder of documents becomes searchable.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gyrus::IndexFolder;
use gyrus::agents::retrieval::sources::extract_pdf;
use gyrus::verbs::counted;

use super::help::{JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{next, note, say_json};
use crate::progress::Watcher;

/// Files that are named when they cannot be used.
const NAMED: usize = 10;
/// The first argument of the process that reads one PDF document.
const PDF: &str = "__read-pdf";
/// Memory of that process, in bytes, and its seconds on a processor.
#[cfg(unix)]
const PDF_MEMORY: u64 = 3 << 30;
#[cfg(unix)]
const PDF_SECONDS: u64 = 60;

/// Index a folder of documents for search and research
///
/// Markdown, text, HTML, PDF and CSV, in any encoding. Files that did not change since the last time are left as they are. Links
/// are not followed, hidden files are left out, and each PDF document is read by a process of its own with limits of memory and
/// time. With --model, passages are found by meaning as well.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder
    folder: PathBuf,
    /// Sentence encoder of the BERT family, for a search by meaning as well
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Folder of the index, instead of .gyrus-index in the folder itself
    #[arg(long, value_name = "INDEX")]
    out: Option<PathBuf>,
    /// About how many bytes a passage has
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(64..=1_000_000_000))]
    passage: u32,
    /// Build the index anew
    #[arg(long)]
    rebuild: bool,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { folder, model, out, passage, rebuild, threads, json } = arguments;
    let verb = IndexFolder {
        model: model.clone(),
        out: out.clone(),
        passage_bytes: *passage as usize,
        rebuild: *rebuild,
        pdf_program: pdf_program(),
        threads: *threads,
        ..IndexFolder::new(folder)
    };
    let done = verb.run(&mut Watcher::new())?;
    if *json {
        return say_json(&done);
    }
    let report = &done.report;
    for skipped in report.skipped.iter().take(NAMED) {
        note(format_args!("skipped {}: {}", skipped.source, skipped.reason));
    }
    if report.skipped.len() > NAMED {
        note(format_args!("and {} more; --json lists them", report.skipped.len() - NAMED));
    }
    let parts = [(report.added, "new"), (report.changed, "changed"), (report.removed, "removed")];
    let parts: Vec<String> =
        parts.iter().filter(|part| part.0 > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let what = if parts.is_empty() { "nothing new".to_owned() } else { parts.join(", ") };
    // What was done is on the disk: nothing that -q lets through.
    next(format_args!(
        "{} with {} in {} ({what}; {:.1} MB of text, {:.1} s)",
        counted(report.sources as u64, "source"),
        counted(report.passages, "passage"),
        done.out.display(),
        report.text_bytes as f64 / 1e6,
        report.seconds
    ))
}

/// This program as the one that reads PDF documents.
pub(crate) fn pdf_program() -> Vec<OsString> {
    std::env::current_exe().map_or(Vec::new(), |program| vec![program.into_os_string(), PDF.into()])
}

/// Reads a document on standard input where this process was started for that.
pub(crate) fn reads_pdf() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != PDF {
        return None;
    }
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        for (resource, limit) in
            [(Resource::As, PDF_MEMORY), (Resource::Cpu, PDF_SECONDS), (Resource::Core, 0)]
        {
            let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
        }
    }
    std::panic::set_hook(Box::new(|_| {}));
    let mut bytes = Vec::new();
    let read = io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string());
    // A document may nest deeply.
    let reader = std::thread::Builder::new().stack_size(64 << 20).spawn(move || extract_pdf(&bytes));
    let text = match (read, reader) {
        (Ok(_), Ok(reader)) => reader.join().unwrap_or_else(|_| Err("its reader gave up".to_owned())),
        (Err(error), _) => Err(error),
        (_, Err(error)) => Err(error.to_string()),
    };
    let (text, code) = match text {
        Ok(text) => (text, 0),
        Err(reason) => (reason, 2),
    };
    let written = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    Some(ExitCode::from(if written.is_ok() { code } else { 1 }))
}
