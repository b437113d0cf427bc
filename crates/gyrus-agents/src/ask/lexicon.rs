//! The words of a schema: what tables and columns are called in a sentence.

use std::collections::HashMap;

use super::semantics::Words;
use crate::guard::Dialect;
use crate::{Database, Holds, Schema};

/// Distinct values of a column that are looked up in questions.
const MOST_VALUES: usize = 2000;
/// Columns whose values are looked up.
const MOST_COLUMNS: usize = 500;
/// Longest phrase of a question, in words.
pub(super) const LONGEST: usize = 6;

/// What a phrase can mean. Tables and columns are places in the schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    Table(usize),
    Column(usize, usize),
    /// An expression of the semantic file.
    Measure(usize),
    /// A value of a column, as it is stored.
    Value(usize, usize, String),
}

/// What phrases mean.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    meanings: HashMap<String, Vec<Meaning>>,
}

impl Lexicon {
    /// Names of tables and columns, the values of short text columns, and the words of the semantic file.
    pub(super) fn new(database: &dyn Database, words: &Words) -> Self {
        let mut lexicon = Self::default();
        let mut columns = 0;
        for (place, table) in database.schema().tables.iter().enumerate() {
            lexicon.add(&table.name, Meaning::Table(place));
            for (column, named) in table.columns.iter().enumerate() {
                lexicon.add(&named.name, Meaning::Column(place, column));
                let is_text = named.kind.is_empty() || named.holds() == Holds::Text;
                let is_open = database.rules().private(Some(&table.name), &named.name).is_none();
                if is_text && is_open && columns < MOST_COLUMNS {
                    columns += 1;
                    lexicon.add_values(database, place, column);
                }
            }
        }
        for (index, measure) in words.measures.iter().enumerate() {
            lexicon.add(&measure.name, Meaning::Measure(index));
        }
        for (word, meaning) in &words.synonyms {
            lexicon.add(word, meaning.clone());
        }
        lexicon
    }

    fn add_values(&mut self, database: &dyn Database, table: usize, column: usize) {
        let (of, named) =
            (&database.schema().tables[table], &database.schema().tables[table].columns[column]);
        let dialect = database.dialect();
        let sql = format!(
            "SELECT DISTINCT {} FROM {} LIMIT {}",
            quoted(dialect, &named.name),
            quoted(dialect, &of.name),
            MOST_VALUES.min(database.rules().most_rows)
        );
        // A column that cannot be read is one whose values nobody can ask for.
        let Ok(found) = database.query(&sql) else { return };
        for cell in found.rows.into_iter().flatten() {
            if let crate::Cell::Text(value) = cell
                && (2..60).contains(&value.len())
                && value.chars().any(char::is_alphabetic)
            {
                self.add(&value.clone(), Meaning::Value(table, column, value));
            }
        }
    }

    fn add(&mut self, name: &str, meaning: Meaning) {
        let phrase = phrase(&words(name));
        if phrase.is_empty() {
            return;
        }
        let meanings = self.meanings.entry(phrase).or_default();
        if !meanings.contains(&meaning) {
            meanings.push(meaning);
        }
    }

    /// What these words mean together.
    pub(super) fn look_up(&self, words: &[String]) -> Option<&[Meaning]> {
        self.meanings.get(&phrase(words)).map(Vec::as_slice)
    }

    /// A known phrase that is spelled much like a word.
    pub(super) fn close_to(&self, word: &str) -> Option<String> {
        crate::database::closest(word, self.meanings.keys().map(String::as_str))
    }
}

/// A name as the database reads it, whatever letters it has.
pub(crate) fn quoted(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::MySql => format!("`{}`", name.replace('`', "``")),
        Dialect::Sqlite | Dialect::Postgres | Dialect::DuckDb => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A table and a column as the database reads them.
pub(super) fn qualified(dialect: Dialect, schema: &Schema, table: usize, column: usize) -> String {
    let of = &schema.tables[table];
    format!("{}.{}", quoted(dialect, &of.name), quoted(dialect, &of.columns[column].name))
}

/// The words of a name or a sentence, in lower case: at spaces, underscores, punctuation and inner capitals.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for letter in text.chars() {
        let inner_capital = letter.is_uppercase() && before.is_lowercase();
        if !(letter.is_alphanumeric() || letter == '.' && before.is_numeric()) || inner_capital {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if letter.is_alphanumeric() || letter == '.' && before.is_numeric() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.extend((!word.is_empty()).then_some(word));
    words.iter().map(|word| word.trim_end_matches('.').to_owned()).filter(|word| !word.is_empty()).collect()
}

fn phrase(words: &[String]) -> String {
    words.iter().map(|word| singular(word)).collect::<Vec<_>>().join(" ")
}

/// A noun's singular, by the rules of spelling.
pub(super) fn singular(word: &str) -> String {
    match word {
        "people" => return "person".to_owned(),
        "children" => return "child".to_owned(),
        "men" => return "man".to_owned(),
        "women" => return "woman".to_owned(),
        _ => {}
    }
    let long = word.chars().count() > 3;
    let cut = |ending: &str, new: &str| {
        word.strip_suffix(ending).filter(|_| long).map(|stem| format!("{stem}{new}"))
    };
    cut("ies", "y")
        .or_else(|| {
            ["sses", "shes", "ches", "xes"].iter().find_map(|ending| cut(ending, &ending[..ending.len() - 2]))
        })
        .or_else(|| {
            cut("s", "").filter(|stem| !stem.ends_with('s') && !stem.ends_with('u') && !stem.ends_with('i'))
        })
        .unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sentences_become_words() {
        assert_eq!(words("InvoiceLine_id"), ["invoice", "line", "id"]);
        assert_eq!(
            words("What's the average of 2.5, in 2010?"),
            ["what", "s", "the", "average", "of", "2.5", "in", "2010"]
        );
        for (many, one) in [
            ("countries", "country"),
            ("cities", "city"),
            ("buses", "buse"),
            ("classes", "class"),
            ("status", "status"),
            ("singers", "singer"),
            ("boxes", "box"),
        ] {
            assert_eq!(singular(many), one);
        }
    }
}
