//! `gyrus ask`: questions about a database.

mod show;
mod talk;

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gyrus::Ask;
use gyrus::agents::{Privacy, Rules, Strategy};
use gyrus::verbs::{AskReport, AskSession};

use super::help::{JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{note, page, say, say_json};

/// Answer questions about a database, which is never written to
///
/// Each query is parsed, checked and run on a read-only connection; the answer shows it. Without --model a small grammar
/// understands questions in the words of the schema, such as "how many customers per country", and says what it does not
/// understand. Without a question, it is a conversation: "and for 2011?" goes on from the question before; from a pipe, each line
/// is a question.
#[derive(Args)]
pub(crate) struct Arguments {
    /// File of SQLite, CSV or Parquet file or folder of them, postgres://USER@HOST/DB or mysql://USER@HOST/DB
    #[arg(value_name = "DB")]
    database: PathBuf,
    /// The question
    #[arg(conflicts_with = "sql")]
    question: Option<String>,
    /// Run this query instead, by the same rules
    #[arg(long, value_name = "QUERY")]
    sql: Option<String>,
    /// Language model that writes the queries, or the name of the endpoint's model
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// OpenAI-compatible endpoint of the model, such as http://127.0.0.1:8080/v1; its key from GYRUS_API_KEY or OPENAI_API_KEY
    #[arg(long, value_name = "URL", requires = "model")]
    endpoint: Option<String>,
    /// List tables and columns; with --out, write a first semantic file: measures, synonyms, joins, private columns
    #[arg(long, conflicts_with_all = ["question", "sql", "model"])]
    describe: bool,
    /// Semantic file; without it, semantic.toml beside the database, if it is there
    #[arg(long, value_name = "FILE")]
    semantic: Option<PathBuf>,
    /// What a model may see: names alone, also counts and ranges, or also values (default: as the semantic file says, or schema)
    #[arg(long, value_name = "MODE")]
    privacy: Option<PrivacyMode>,
    /// Column that must not be read; may be given several times
    #[arg(long, value_name = "TABLE.COLUMN")]
    private: Vec<String>,
    /// Most rows of an answer
    #[arg(long, default_value_t = 1000)]
    rows: usize,
    /// Seconds after which a query is stopped
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How often a query of the model that does not run goes back with the reason
    #[arg(long, value_name = "N", default_value_t = 2)]
    repairs: usize,
    /// Queries that the model writes for a question; the most frequent result wins
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=50))]
    votes: u16,
    /// Let the model look at its query again
    #[arg(long)]
    reflect: bool,
    /// Grade the answers to the questions of this file (JSON Lines or CSV with `question` and `sql` or `query`); DB may be a folder
    #[arg(long, value_name = "QUESTIONS", conflicts_with_all = ["question", "sql", "describe"])]
    evaluate: Option<PathBuf>,
    /// Write the answer as a page (.html), or with --describe the semantic file (.toml)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file of --out
    #[arg(long)]
    overwrite: bool,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum PrivacyMode {
    Schema,
    Aggregates,
    Full,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut private = Vec::new();
    for named in &arguments.private {
        let Some((table, column)) = named.split_once('.') else {
            return Err(Failure::Input(format!("--private {named}: expected TABLE.COLUMN")));
        };
        private.push((table.to_owned(), column.to_owned()));
    }
    if !(arguments.seconds.is_finite() && arguments.seconds > 0.0) {
        return Err(Failure::Input(format!("--seconds {}: expected a number above 0", arguments.seconds)));
    }
    check_out(arguments)?;
    let rules = Rules { most_rows: arguments.rows, seconds: arguments.seconds, private, ..Rules::default() };
    let verb = Ask {
        model: arguments.model.clone(),
        endpoint: arguments.endpoint.clone(),
        key: ["GYRUS_API_KEY", "OPENAI_API_KEY"].iter().find_map(|name| std::env::var(name).ok()),
        semantic: arguments.semantic.clone(),
        privacy: arguments.privacy.map(|mode| match mode {
            PrivacyMode::Schema => Privacy::Schema,
            PrivacyMode::Aggregates => Privacy::Aggregates,
            PrivacyMode::Full => Privacy::Full,
        }),
        strategy: Strategy {
            repairs: arguments.repairs,
            votes: arguments.votes.into(),
            reflects: arguments.reflect,
            ..Strategy::default()
        },
        rules,
        threads: arguments.threads,
        ..Ask::new(&arguments.database)
    };
    if let Some(questions) = &arguments.evaluate {
        return show::evaluation(&verb, questions, arguments.json);
    }
    let mut session = verb.open()?;
    session.notes().iter().for_each(note);
    if arguments.describe {
        return match &arguments.out {
            Some(file) => {
                write(file, &session.draft())?;
                note(format_args!("wrote {}: edit it; it is read on every question", file.display()));
                Ok(())
            }
            None => show::schema(session.schema(), arguments.json),
        };
    }
    let report = match (&arguments.sql, &arguments.question) {
        (Some(sql), _) => session.query(sql)?,
        (None, Some(question)) => session.ask(question)?,
        (None, None) if arguments.out.is_some() => {
            return Err(Failure::Input("--out needs a question, --sql or --describe".to_owned()));
        }
        (None, None) => return converse(&mut session, arguments.json),
    };
    finish(report, arguments)
}

fn check_out(arguments: &Arguments) -> Result<(), Failure> {
    let Some(file) = &arguments.out else { return Ok(()) };
    let wanted = if arguments.describe { "toml" } else { "html" };
    if file.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case(wanted)) {
        return Err(Failure::Input(format!(
            "--out {}: expected a file that ends with .{wanted}",
            file.display()
        )));
    }
    if file.exists() && !arguments.overwrite {
        return Err(Failure::Input(format!("{} exists; --overwrite replaces it", file.display())));
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |source| gyrus::Error::Io { action: "write", path: file.to_owned(), source };
    Ok(gyrus::files::write_atomically(file, text.as_bytes()).map_err(failed)?)
}

/// Shows an answer, and writes its page.
fn finish(report: AskReport, arguments: &Arguments) -> Result<(), Failure> {
    let written = arguments.out.as_ref().map(|file| file.display().to_string());
    let report = AskReport { page: written, ..report };
    if let Some(file) = &arguments.out {
        write(file, &report.to_html())?;
    }
    match arguments.json {
        true => say_json(&report)?,
        false => show::answer(&report)?,
    }
    if let (Some(file), false) = (&arguments.out, arguments.json) {
        say(format_args!("\npage: {}", page(file)))?;
    }
    Ok(())
}

/// One question a line; one that is not understood does not end the others.
fn converse(session: &mut AskSession, json: bool) -> Result<(), Failure> {
    if io::stdin().is_terminal() && !json {
        return talk::talk(session);
    }
    let mut failed = None;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::Input(format!("cannot read standard input: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        match session.ask(&line) {
            Ok(report) if json => say_json(&report)?,
            Ok(report) => show::answer(&report)?,
            Err(error) => {
                note(format_args!("{line}: {error}"));
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
