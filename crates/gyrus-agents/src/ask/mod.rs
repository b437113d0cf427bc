//! From a question to a checked query and its answer.
//!
//! A [`Translator`] turns words into SQL: [`Grammar`] knows a few forms of question and the words of the schema; a language
//! model can stand in its place. Whoever wrote it, the query passes the guard, and every number of the answer is read from
//! the result.

mod grammar;
mod join;
mod lexicon;
mod sentence;

use serde::Serialize;

pub use grammar::Grammar;
pub use sentence::sentence;

use crate::{Error, Result, Rows, Schema, Sqlite};

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
    /// An earlier proposal and why it did not run.
    pub failed: Option<(&'a str, &'a str)>,
}

/// Turns questions into queries.
pub trait Translator {
    /// A query for the question, or in words why there is none.
    ///
    /// # Errors
    /// One sentence for a person: what it did not understand, and what it would need.
    fn translate(&mut self, question: Question<'_>) -> std::result::Result<Translation, String>;
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
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// Proposals that were refused before this one.
    pub repairs: usize,
}

/// Most proposals for one question.
const MOST_PROPOSALS: usize = 3;

/// Answers a question. A proposal that does not run goes back to the translator with the reason, twice at most.
///
/// # Errors
/// [`Error::NotUnderstood`] if the translator finds no query, and what was wrong with the last proposal.
pub fn answer(database: &Sqlite, translator: &mut dyn Translator, question: &str) -> Result<Answer> {
    let mut failed: Option<(String, String)> = None;
    let mut last = Error::NotUnderstood(String::new());
    for repairs in 0..MOST_PROPOSALS {
        let failed_before = failed.as_ref().map(|(sql, reason)| (sql.as_str(), reason.as_str()));
        let asked = Question { text: question, schema: database.schema(), failed: failed_before };
        let Translation { sql, assumptions } = translator.translate(asked).map_err(Error::NotUnderstood)?;
        match database.query(&sql) {
            Ok(rows) => {
                let sentence = sentence(&rows);
                return Ok(Answer { question: question.to_owned(), sentence, rows, assumptions, repairs });
            }
            // The same again would fail again.
            Err(error) if failed.as_ref().is_some_and(|(before, _)| *before == sql) => return Err(error),
            Err(error @ (Error::Refused(_) | Error::Engine(_))) => {
                failed = Some((sql, error.to_string()));
                last = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
