//! `gyrus ask`: questions about a database.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use gyrus::Ask;
use gyrus::agents::{Cell, Rows, Rules};
use gyrus::verbs::{AskReport, AskSession, counted};

use super::help::{JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{note, say, say_json};

/// Rows of a table in the terminal.
const SHOWN: usize = 20;
/// Letters of a cell in the terminal.
const WIDEST: usize = 40;

/// Answer questions about a database, which is never written to
///
/// Each query is parsed, checked and run on a read-only connection; the answer shows it. Without --model a small grammar
/// understands questions in the words of the schema, such as "how many customers per country", and says what it does not
/// understand. Without a question, each line of standard input is one.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A file of SQLite
    #[arg(value_name = "DB")]
    database: PathBuf,
    /// The question
    #[arg(conflicts_with = "sql")]
    question: Option<String>,
    /// Run this query instead, by the same rules
    #[arg(long, value_name = "QUERY")]
    sql: Option<String>,
    /// Language model that writes the queries
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// List tables and columns
    #[arg(long, conflicts_with_all = ["question", "sql", "model"])]
    describe: bool,
    /// Column that must not be read; may be given several times
    #[arg(long, value_name = "TABLE.COLUMN")]
    private: Vec<String>,
    /// Most rows of an answer
    #[arg(long, default_value_t = 1000)]
    rows: usize,
    /// Seconds after which a query is stopped
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
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
    let rules = Rules { most_rows: arguments.rows, seconds: arguments.seconds, private, ..Rules::default() };
    let verb = Ask {
        model: arguments.model.clone(),
        rules,
        threads: arguments.threads,
        ..Ask::new(&arguments.database)
    };
    let mut session = verb.open()?;
    if arguments.describe {
        return describe(&session, arguments.json);
    }
    match (&arguments.sql, &arguments.question) {
        (Some(sql), _) => show(&session.query(sql)?, arguments.json),
        (None, Some(question)) => show(&session.ask(question)?, arguments.json),
        (None, None) => converse(&mut session, arguments.json),
    }
}

/// One question a line; one that is not understood does not end the others.
fn converse(session: &mut AskSession, json: bool) -> Result<(), Failure> {
    let person = io::stdin().is_terminal();
    if person {
        note(format_args!("{}. Ask; an empty line ends.", tables(session)));
    }
    let mut failed = None;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::Input(format!("cannot read standard input: {error}")))?;
        if line.trim().is_empty() {
            if person {
                break;
            }
            continue;
        }
        match session.ask(&line) {
            Ok(report) => show(&report, json)?,
            Err(error) => {
                note(format_args!("{line}: {error}"));
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if !person => Err(error.into()),
        _ => Ok(()),
    }
}

fn tables(session: &AskSession) -> String {
    counted(session.schema().tables.len() as u64, "table")
}

fn describe(session: &AskSession, json: bool) -> Result<(), Failure> {
    let schema = session.schema();
    if json {
        return say_json(schema);
    }
    for table in &schema.tables {
        say(format_args!("{}{}", table.name, if table.is_view { " (view)" } else { "" }))?;
        for column in &table.columns {
            let reference = column.references.as_ref();
            let reference =
                reference.map_or(String::new(), |(table, column)| format!(" -> {table}.{column}"));
            let key = if column.is_key { ", key" } else { "" };
            say(format_args!("  {} {}{key}{reference}", column.name, column.kind.to_lowercase()))?;
        }
    }
    Ok(())
}

fn show(report: &AskReport, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(report);
    }
    let answer = &report.answer;
    say(&answer.sentence)?;
    if answer.rows.rows.len() > 1 {
        say("")?;
        table(&answer.rows)?;
    }
    say(format_args!("\n{}", answer.rows.sql))?;
    answer.assumptions.iter().for_each(|text| note(format_args!("assumed: {text}")));
    if answer.repairs > 0 {
        note(format_args!(
            "{} before this one {} refused",
            counted(answer.repairs as u64, "query"),
            if answer.repairs == 1 { "was" } else { "were" }
        ));
    }
    Ok(())
}

/// A cell in one line, without what a terminal would obey.
fn cell(cell: &Cell) -> String {
    let text: String =
        cell.to_string().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.chars().count() <= WIDEST {
        return text;
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

fn table(rows: &Rows) -> Result<(), Failure> {
    let shown: Vec<Vec<String>> =
        rows.rows.iter().take(SHOWN).map(|row| row.iter().map(cell).collect()).collect();
    let is_number = |column: usize| {
        rows.rows.iter().all(|row| matches!(row[column], Cell::Integer(_) | Cell::Real(_) | Cell::Null))
    };
    let widths: Vec<usize> = (0..rows.columns.len())
        .map(|column| {
            let cells = shown.iter().map(|row| row[column].chars().count());
            cells.chain([rows.columns[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say(line(&rows.columns))?;
    shown.iter().try_for_each(|row| say(line(row)))?;
    let left = rows.rows.len() - shown.len();
    if left > 0 || rows.is_cut {
        let more = if rows.is_cut { "at least " } else { "" };
        say(format_args!("... and {more}{}", counted((left + usize::from(rows.is_cut)) as u64, "more row")))?;
    }
    Ok(())
}
