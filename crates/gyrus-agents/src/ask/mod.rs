//! From a question to a checked query and its answer.
//!
//! A [`Translator`] turns words into SQL: [`Grammar`] knows a few forms of question and the words of the schema; a language
//! model can stand in its place. Whoever wrote it, the query passes the guard, and every number of the answer is read from
//! the result.

mod brief;
mod chart;
mod draft;
mod follow;
mod grammar;
mod join;
mod lexicon;
mod semantics;
mod sentence;
mod written;

use serde::Serialize;

pub use brief::{Brief, brief, dialect_name, without_values};
pub use chart::{Chart, ChartKind, chart, number};
pub use grammar::Grammar;
pub(crate) use lexicon::quoted;
pub use semantics::{MOST_SEMANTICS_BYTES, Privacy, Semantics};
pub use sentence::sentence;
pub use written::Written;

use crate::guard::Dialect;
use crate::{Cell, Database, Error, Holds, Result, Rows, Schema};

/// A query that a translator proposes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Translation {
    /// The query.
    pub sql: String,
    /// What was taken for granted, each in one sentence.
    pub assumptions: Vec<String>,
}

/// What a translator is given.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The question.
    pub text: &'a str,
    /// Tables and columns.
    pub schema: &'a Schema,
    /// The SQL that the database speaks.
    pub dialect: Dialect,
    /// The conversation before it, the oldest first.
    pub history: &'a [Turn],
    /// An earlier proposal and why it did not run, or what to think of.
    pub failed: Option<(&'a str, &'a str)>,
    /// The how manieth of several proposals that are compared, from 0.
    pub attempt: usize,
}

/// A question that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// The question.
    pub question: String,
    /// The query that ran.
    pub sql: String,
}

/// Turns questions into queries.
pub trait Translator {
    /// A query for the question, or in words why there is none.
    ///
    /// # Errors
    /// One sentence for a person: what it did not understand, and what it would need.
    fn translate(&mut self, question: Question<'_>) -> std::result::Result<Translation, String>;
}

/// What is done beyond one proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Strategy {
    /// How often a proposal that does not run goes back with the reason.
    pub repairs: usize,
    /// Proposals whose results are compared; the most frequent result wins. 1: no vote.
    pub votes: usize,
    /// Whether the translator is asked to look at its query again.
    pub reflects: bool,
    /// Whether the translator may read what the database says about values, not about names alone.
    pub sees_values: bool,
}

impl Default for Strategy {
    /// Two repairs, no vote, no second look, no values.
    fn default() -> Self {
        Self { repairs: 2, votes: 1, reflects: false, sees_values: false }
    }
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// The answer in a sentence, whose numbers and names are those of the rows.
    pub sentence: String,
    /// The rows, with the query that ran.
    #[serde(flatten)]
    pub rows: Rows,
    /// How the rows are drawn; none where a drawing would say nothing.
    pub chart: Option<Chart>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// Proposals that were refused before this one.
    pub repairs: usize,
}

/// Answers a question with the usual strategy, outside of a conversation.
///
/// # Errors
/// As [`answer_with`].
pub fn answer(database: &dyn Database, translator: &mut dyn Translator, question: &str) -> Result<Answer> {
    answer_with(database, translator, question, &[], Strategy::default())
}

/// Answers a question.
///
/// # Errors
/// [`Error::NotUnderstood`] if the translator finds no query, and what was wrong with the last proposal.
pub fn answer_with(
    database: &dyn Database,
    translator: &mut dyn Translator,
    question: &str,
    history: &[Turn],
    strategy: Strategy,
) -> Result<Answer> {
    let mut asking = Asking { database, translator, question, history, strategy };
    let mut answer = match strategy.votes {
        0 | 1 => asking.repaired(0)?,
        votes => asking.voted(votes)?,
    };
    if strategy.reflects {
        answer = asking.reflected(answer);
    }
    Ok(answer)
}

struct Asking<'a> {
    database: &'a dyn Database,
    translator: &'a mut dyn Translator,
    question: &'a str,
    history: &'a [Turn],
    strategy: Strategy,
}

impl Asking<'_> {
    fn proposal(&mut self, failed: Option<(&str, &str)>, attempt: usize) -> Result<Translation> {
        let asked = Question {
            text: self.question,
            schema: self.database.schema(),
            dialect: self.database.dialect(),
            history: self.history,
            failed,
            attempt,
        };
        self.translator.translate(asked).map_err(Error::NotUnderstood)
    }

    fn answer(&self, rows: Rows, assumptions: Vec<String>, repairs: usize) -> Answer {
        let (mut sentence, chart) = (sentence(&rows), chart(&rows));
        let is_void = match rows.rows.as_slice() {
            [] => true,
            [row] => matches!(row.as_slice(), [Cell::Null | Cell::Integer(0)]),
            _ => false,
        };
        if is_void && let Some(range) = self.dates(&rows.sql) {
            sentence = format!("{sentence} {range}");
        }
        Answer { question: self.question.to_owned(), sentence, rows, chart, assumptions, repairs }
    }

    /// The range of the first date that a query names: without rows, the reason is often a date that is not there.
    fn dates(&self, sql: &str) -> Option<String> {
        let (schema, dialect) = (self.database.schema(), self.database.dialect());
        let mentions = |name: &str| {
            let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
            sql.match_indices(name)
                .any(|(at, _)| !sql[..at].ends_with(is_part) && !sql[at + name.len()..].starts_with(is_part))
        };
        let tables = schema.tables.iter().filter(|table| mentions(&table.name));
        let mut dates = tables.flat_map(|table| {
            let columns = table.columns.iter().filter(|column| column.holds() == Holds::Dates);
            columns.filter(|column| mentions(&column.name)).map(move |column| (table, column))
        });
        let (table, column) = dates.next()?;
        let (of, named) = (quoted(dialect, &table.name), quoted(dialect, &column.name));
        let rows = self.database.query(&format!("SELECT min({named}), max({named}) FROM {of}")).ok()?;
        match rows.rows.first()?.as_slice() {
            [Cell::Null, _] | [_, Cell::Null] => None,
            [first, last] => Some(format!("{} runs from {first} to {last}.", column.name)),
            _ => None,
        }
    }

    /// One proposal; one that does not run goes back to the translator with the reason.
    fn repaired(&mut self, attempt: usize) -> Result<Answer> {
        let mut failed: Option<(String, String)> = None;
        let mut last = Error::NotUnderstood("no query was proposed".to_owned());
        for repairs in 0..=self.strategy.repairs {
            let before = failed.as_ref().map(|(sql, reason)| (sql.as_str(), reason.as_str()));
            let proposed = self.proposal(before, attempt);
            // What was wrong with the query says more than that there is no other.
            let Translation { sql, assumptions } = match (proposed, repairs) {
                (Ok(proposed), _) => proposed,
                (Err(error), 0) => return Err(error),
                (Err(_), _) => return Err(last),
            };
            match self.database.query(&sql) {
                Ok(rows) => return Ok(self.answer(rows, assumptions, repairs)),
                // The same again would fail again.
                Err(error) if failed.as_ref().is_some_and(|(before, _)| *before == sql) => return Err(error),
                Err(error @ (Error::Refused(_) | Error::Engine(_))) => {
                    let reason = error.to_string();
                    let reason = if self.strategy.sees_values {
                        reason
                    } else {
                        without_values(&reason, &sql, self.database.schema())
                    };
                    failed = Some((sql, reason));
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// The answer whose rows most proposals give; of equals, the first.
    fn voted(&mut self, votes: usize) -> Result<Answer> {
        let mut answers: Vec<(Answer, usize)> = Vec::new();
        let mut failed = None;
        for attempt in 0..votes {
            match self.repaired(attempt) {
                Ok(answer) => {
                    let same = |(other, _): &&mut (Answer, usize)| {
                        crate::evaluate::same(&other.rows, &answer.rows, false)
                    };
                    match answers.iter_mut().find(same) {
                        Some((_, votes)) => *votes += 1,
                        None => answers.push((answer, 1)),
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        // The first of equals: `max_by_key` would return the last.
        let won = answers.into_iter().rev().max_by_key(|(_, votes)| *votes);
        match (won, failed) {
            (Some((mut answer, won)), _) => {
                answer.assumptions.push(format!("{won} of {votes} proposals agree with this result"));
                Ok(answer)
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::NotUnderstood("no query was proposed".to_owned())),
        }
    }

    /// The same answer, or that of the translator's second thought if it runs.
    fn reflected(&mut self, answer: Answer) -> Answer {
        let thought = format!(
            "it runs and gives {} rows with the columns {}; if it answers the question, write it again, else write a better one",
            answer.rows.rows.len(),
            answer.rows.columns.join(", ")
        );
        let Ok(second) = self.proposal(Some((&answer.rows.sql, &thought)), 0) else { return answer };
        match self.database.query(&second.sql) {
            Ok(rows) if rows.sql != answer.rows.sql => self.answer(rows, second.assumptions, answer.repairs),
            _ => answer,
        }
    }
}
