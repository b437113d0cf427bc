//! Questions without a language model: a small grammar over the words of the schema.
//!
//! It understands counts, averages, sums, extremes, lists, groups, orders and conditions on the names and values that the
//! database has, and answers only if every word of the question has a meaning. What it does not understand it names.

mod draft;
mod names;
mod parts;
mod query;

use draft::Draft;
pub(super) use parts::Part;
use parts::parts;

use super::lexicon::Lexicon;
use super::semantics::Words;
use super::{Question, Semantics, Translation, Translator, follow};
use crate::Database;

/// The grammar with the words of one database.
#[derive(Debug)]
pub struct Grammar {
    lexicon: Lexicon,
    words: Words,
}

impl Grammar {
    /// Reads the names, and the values of short text columns, of a database.
    #[must_use]
    pub fn new(database: &dyn Database) -> Self {
        Self { lexicon: Lexicon::new(database, &Words::default()), words: Words::default() }
    }

    /// The same, with the words of a semantic file.
    ///
    /// # Errors
    /// The entry that names something that is not there.
    pub fn with(database: &dyn Database, semantics: &Semantics) -> Result<Self, String> {
        let words = semantics.words(database.schema())?;
        Ok(Self { lexicon: Lexicon::new(database, &words), words })
    }

    /// The parts of a question, also of one that goes on from those before it.
    fn parts(&self, question: Question<'_>) -> Result<Vec<Part>, String> {
        let mut before: Option<Vec<Part>> = None;
        for turn in question.history {
            before = self.read(&turn.question, before.as_deref()).ok().or(before);
        }
        self.read(question.text, before.as_deref())
    }

    fn read(&self, text: &str, before: Option<&[Part]>) -> Result<Vec<Part>, String> {
        match (follow::rest(text), before) {
            (Some(rest), Some(before)) => follow::merged(before, &parts(&rest, &self.lexicon)?),
            _ => parts(text, &self.lexicon),
        }
    }
}

impl Translator for Grammar {
    fn translate(&mut self, question: Question<'_>) -> Result<Translation, String> {
        if let Some((_, reason)) = question.failed {
            return Err(format!("the grammar has no other reading of the question; {reason}"));
        }
        let parts = self.parts(question)?;
        if parts.iter().all(|part| matches!(part, Part::Filler)) {
            return Err("the question names nothing of this database".to_owned());
        }
        let draft = Draft::new(question.schema, question.dialect, &self.words.measures, &parts);
        let (sql, assumptions) = draft.read()?.sql()?;
        Ok(Translation { sql, assumptions })
    }
}
