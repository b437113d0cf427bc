//! Answers, schemas and evaluations in a terminal.

use std::path::Path;

use gyrus::Ask;
use gyrus::agents::evaluate::{Scores, Share, Verdict};
use gyrus::agents::{Cell, Rows, Schema};
use gyrus::verbs::{AskReport, counted};

use crate::exit::Failure;
use crate::output::{note, say, say_json};

/// Rows of a table in the terminal.
const SHOWN: usize = 20;
/// Letters of a cell in the terminal.
const WIDEST: usize = 40;
/// Letters of the longest bar.
const BAR: usize = 30;
/// Questions between two words on how far an evaluation is.
const BETWEEN: usize = 200;

pub(super) fn schema(schema: &Schema, json: bool) -> Result<(), Failure> {
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

pub(super) fn answer(report: &AskReport) -> Result<(), Failure> {
    let answer = &report.answer;
    say(plain(&answer.sentence))?;
    if answer.rows.rows.len() > 1 {
        say("")?;
        let bars = answer.chart.as_ref().map(|chart| chart.blocks(&answer.rows, BAR)).unwrap_or_default();
        table(&answer.rows, &bars)?;
    }
    say(format_args!("\n{}", plain(&answer.rows.sql)))?;
    answer.assumptions.iter().for_each(|text| note(format_args!("assumed: {}", plain(text))));
    if answer.repairs > 0 {
        note(format_args!(
            "{} before this one {} refused",
            counted(answer.repairs as u64, "query"),
            if answer.repairs == 1 { "was" } else { "were" }
        ));
    }
    Ok(())
}

/// A text without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { ' ' } else { letter }).collect()
}

/// A cell in one line.
fn cell(cell: &Cell) -> String {
    let text: String =
        cell.to_string().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.chars().count() <= WIDEST {
        return text;
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

fn table(rows: &Rows, bars: &[String]) -> Result<(), Failure> {
    let shown: Vec<Vec<String>> =
        rows.rows.iter().take(SHOWN.max(bars.len())).map(|row| row.iter().map(cell).collect()).collect();
    let is_number = |column: usize| {
        rows.rows.iter().all(|row| matches!(row[column], Cell::Integer(_) | Cell::Real(_) | Cell::Null))
    };
    let widths: Vec<usize> = (0..rows.columns.len())
        .map(|column| {
            let cells = shown.iter().map(|row| row[column].chars().count());
            cells.chain([rows.columns[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String], bar: &str| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let bar = if bar.is_empty() { None } else { Some(bar.to_owned()) };
        padded.chain(bar).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say(plain(&line(&rows.columns, "")))?;
    for (at, row) in shown.iter().enumerate() {
        say(line(row, bars.get(at).map_or("", String::as_str)))?;
    }
    let left = rows.rows.len() - shown.len();
    if left > 0 || rows.is_cut {
        let more = if rows.is_cut { "at least " } else { "" };
        say(format_args!("... and {more}{}", counted((left + usize::from(rows.is_cut)) as u64, "more row")))?;
    }
    Ok(())
}

/// Grades a set of questions.
pub(super) fn evaluation(verb: &Ask, questions: &Path, json: bool) -> Result<(), Failure> {
    let mut right = 0;
    let found = verb.evaluate(questions, |done, total, graded| {
        right += usize::from(graded.verdict == Verdict::Right);
        if done.is_multiple_of(BETWEEN) {
            note(format_args!("{done} of {total} asked, {right} right"));
        }
    })?;
    if json {
        return say_json(&found);
    }
    scores("zero-shot", &found.zero_shot)?;
    for gain in &found.gains {
        say(format_args!("\nwith {}: {:+.1} percent points", gain.switch, gain.gain_points))?;
        scores(&gain.switch, &gain.scores)?;
    }
    Ok(())
}

fn scores(name: &str, scores: &Scores) -> Result<(), Failure> {
    let share = |what: &str, share: &Share| match share.of {
        0 => Ok(()),
        of => say(format_args!(
            "  {what:<34} {:>5} of {of:>5}  {:5.1} % ({:.1} to {:.1})",
            share.count,
            share.percent(),
            share.low_percent,
            share.high_percent
        )),
    };
    say(format_args!("{name}, 95 % intervals:"))?;
    share("right, of all with an answer", &scores.right)?;
    share("answered, of all with an answer", &scores.answered)?;
    share("right, of the answered", &scores.precision)?;
    share("refused, of those without an answer", &scores.abstained)?;
    share("first queries that run", &scores.runs_at_once)?;
    share("first queries with invented names", &scores.invents_names)?;
    if scores.gold_fails > 0 {
        let gold = counted(scores.gold_fails as u64, "question");
        say(format_args!("  {gold} whose gold query does not run here count nowhere"))?;
    }
    Ok(())
}
