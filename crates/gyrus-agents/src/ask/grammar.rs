//! Questions without a language model: a small grammar over the words of the schema.
//!
//! It understands counts, averages, sums, extremes, lists, groups, orders and conditions on the names and values that the
//! database has, and answers only if every word of the question has a meaning. What it does not understand it names.

mod draft;
mod parts;
mod query;

use draft::Draft;
use parts::{Part, parts};

use super::lexicon::Lexicon;
use super::{Question, Translation, Translator};
use crate::Sqlite;

/// The grammar with the words of one database.
#[derive(Debug)]
pub struct Grammar {
    lexicon: Lexicon,
}

impl Grammar {
    /// Reads the names, and the values of short text columns, of a database.
    #[must_use]
    pub fn new(database: &Sqlite) -> Self {
        Self { lexicon: Lexicon::new(database) }
    }
}

impl Translator for Grammar {
    fn translate(&mut self, question: Question<'_>) -> Result<Translation, String> {
        if let Some((_, reason)) = question.failed {
            return Err(format!("the grammar has no other reading of the question; {reason}"));
        }
        let parts = parts(question.text, &self.lexicon)?;
        if parts.iter().all(|part| matches!(part, Part::Filler)) {
            return Err("the question names nothing of this database".to_owned());
        }
        let (sql, assumptions) = Draft::new(question.schema, &parts).read()?.sql()?;
        Ok(Translation { sql, assumptions })
    }
}
