//! How many questions of a set are answered as its gold queries answer them.
//!
//! The measure is execution accuracy: two queries are equal if they give the same rows ([`same`]). Public sets hold many wrong
//! gold queries (arXiv 2601.08778), so a number here compares, it does not certify.

mod grade;
mod questions;

use serde::Serialize;

pub use grade::{gold_is_ordered, same};
pub use questions::{Asked, MOST_QUESTION_BYTES, read_questions};

use crate::ask::{Strategy, Translator, answer_with};
use crate::{Database, Error, Refusal, Result, Rows};

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rows of a gold query.
    Right,
    /// Other rows.
    Wrong,
    /// No query was found, or none that runs.
    Refused,
}

/// One question with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graded {
    /// The question.
    pub question: String,
    /// The query that ran.
    pub sql: Option<String>,
    /// Why there is none.
    pub reason: Option<String>,
    /// What became of it; for a question without an answer, refusing is right.
    pub verdict: Verdict,
    /// Whether it has an answer at all.
    pub is_answerable: bool,
    /// Whether the first proposal named a table or column that does not exist.
    pub invents_names: bool,
    /// Whether the first proposal ran.
    pub runs_at_once: bool,
}

/// A share with the interval in which it lies with a probability of 95 % (Wilson 1927).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub of: usize,
    /// The lower end, in percent.
    pub low_percent: f64,
    /// The upper end, in percent.
    pub high_percent: f64,
}

impl Share {
    /// So many of so many.
    #[must_use]
    pub fn of(count: usize, of: usize) -> Self {
        if of == 0 {
            return Self { count, of, low_percent: 0.0, high_percent: 100.0 };
        }
        let (n, z) = (of as f64, 1.959_963_985);
        let share = count as f64 / n;
        let middle = share + z * z / (2.0 * n);
        let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 100.0 / (1.0 + z * z / n);
        Self {
            count,
            of,
            low_percent: ((middle - spread) * scale).max(0.0),
            high_percent: ((middle + spread) * scale).min(100.0),
        }
    }

    /// In percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        if self.of == 0 { 0.0 } else { 100.0 * self.count as f64 / self.of as f64 }
    }
}

/// The numbers of a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Questions that have an answer and whose gold query runs.
    pub answerable: usize,
    /// Of these, those with the rows of a gold query.
    pub right: Share,
    /// Of those that were answered, the right ones.
    pub precision: Share,
    /// Of the answerable, those that were answered at all.
    pub answered: Share,
    /// Of the questions without an answer, those that were refused.
    pub abstained: Share,
    /// Of the first proposals, those that ran.
    pub runs_at_once: Share,
    /// Of the first proposals, those that named a table or column that does not exist.
    pub invents_names: Share,
    /// Questions whose gold query does not run here; they count nowhere.
    pub gold_fails: usize,
}

/// Watches a translator's first proposal for each question.
struct Watched<'a> {
    inner: &'a mut dyn Translator,
    first: Option<String>,
}

impl Translator for Watched<'_> {
    fn translate(
        &mut self,
        question: crate::ask::Question<'_>,
    ) -> std::result::Result<crate::ask::Translation, String> {
        let translation = self.inner.translate(question)?;
        self.first.get_or_insert_with(|| translation.sql.clone());
        Ok(translation)
    }
}

/// Asks one question and grades the answer. `None` if no gold query of it runs.
pub fn grade(
    database: &dyn Database,
    translator: &mut dyn Translator,
    asked: &Asked,
    strategy: Strategy,
) -> Option<Graded> {
    let golds: Vec<(Rows, bool)> =
        asked.gold.iter().filter_map(|sql| Some((database.query(sql).ok()?, gold_is_ordered(sql)))).collect();
    if golds.is_empty() && asked.is_answerable {
        return None;
    }
    let mut watched = Watched { inner: translator, first: None };
    let answered = answer_with(database, &mut watched, &asked.question, &[], strategy);
    let first = watched.first.map(|sql| database.query(&sql));
    let invents_names =
        matches!(&first, Some(Err(Error::Refused(Refusal::Table { .. } | Refusal::Column { .. }))));
    let runs_at_once = matches!(&first, Some(Ok(_)));
    let (sql, reason, verdict) = match (answered, asked.is_answerable) {
        (Ok(answer), true) => {
            let is_right = golds.iter().any(|(gold, ordered)| same(&answer.rows, gold, *ordered));
            (Some(answer.rows.sql), None, if is_right { Verdict::Right } else { Verdict::Wrong })
        }
        (Ok(answer), false) => (Some(answer.rows.sql), None, Verdict::Wrong),
        (Err(error), true) => (None, Some(error.to_string()), Verdict::Refused),
        (Err(error), false) => (None, Some(error.to_string()), Verdict::Right),
    };
    let is_answerable = asked.is_answerable;
    Some(Graded {
        question: asked.question.clone(),
        sql,
        reason,
        verdict,
        is_answerable,
        invents_names,
        runs_at_once,
    })
}

/// The numbers of graded questions.
#[must_use]
pub fn scores(graded: &[Graded], gold_fails: usize) -> Scores {
    let count = |keep: &dyn Fn(&Graded) -> bool| graded.iter().filter(|one| keep(one)).count();
    let answerable = count(&|one| one.is_answerable);
    let answered = count(&|one| one.is_answerable && one.verdict != Verdict::Refused);
    let right = count(&|one| one.is_answerable && one.verdict == Verdict::Right);
    let proposed = count(&|one| one.sql.is_some() || one.invents_names || one.runs_at_once);
    Scores {
        answerable,
        right: Share::of(right, answerable),
        precision: Share::of(right, answered),
        answered: Share::of(answered, answerable),
        abstained: Share::of(
            count(&|one| !one.is_answerable && one.verdict == Verdict::Right),
            graded.len() - answerable,
        ),
        runs_at_once: Share::of(count(&|one| one.runs_at_once), proposed),
        invents_names: Share::of(count(&|one| one.invents_names), proposed),
        gold_fails,
    }
}

/// Grades all questions of one database.
///
/// # Errors
/// None at present: what cannot be answered is a verdict.
pub fn evaluate(
    database: &dyn Database,
    translator: &mut dyn Translator,
    questions: &[Asked],
    strategy: Strategy,
    mut seen: impl FnMut(&Graded),
) -> Result<(Vec<Graded>, usize)> {
    let (mut graded, mut gold_fails) = (Vec::with_capacity(questions.len()), 0);
    for asked in questions {
        match grade(database, translator, asked, strategy) {
            Some(one) => {
                seen(&one);
                graded.push(one);
            }
            None => gold_fails += 1,
        }
    }
    Ok((graded, gold_fails))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_wilson() {
        let share = Share::of(8, 10);
        assert!(
            (share.low_percent - 49.02).abs() < 0.01 && (share.high_percent - 94.33).abs() < 0.01,
            "{share:?}"
        );
        assert_eq!(Share::of(0, 0).percent(), 0.0);
        assert!(Share::of(0, 20).low_percent == 0.0 && Share::of(20, 20).high_percent == 100.0);
    }
}
