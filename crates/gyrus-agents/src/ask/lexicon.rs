//! The words of a schema: what tables and columns are called in a sentence.

use std::collections::HashMap;

use crate::{Schema, Sqlite};

/// Distinct values of a column that are looked up in questions.
const MOST_VALUES: usize = 2000;
/// Longest phrase of a question, in words.
pub(super) const LONGEST: usize = 6;

/// What a phrase can mean. Tables and columns are places in the schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    Table(usize),
    Column(usize, usize),
    /// A value of a column, as it is stored.
    Value(usize, usize, String),
}

/// What phrases mean.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    meanings: HashMap<String, Vec<Meaning>>,
}

impl Lexicon {
    /// Names of tables and columns, and the values of short text columns.
    pub(super) fn new(database: &Sqlite) -> Self {
        let mut lexicon = Self::default();
        for (place, table) in database.schema().tables.iter().enumerate() {
            lexicon.add(&table.name, Meaning::Table(place));
            for (column, named) in table.columns.iter().enumerate() {
                lexicon.add(&named.name, Meaning::Column(place, column));
                let kind = named.kind.to_ascii_lowercase();
                let is_text = kind.is_empty() || kind.contains("char") || kind.contains("text");
                if is_text && database.rules().private(Some(&table.name), &named.name).is_none() {
                    lexicon.add_values(database, place, column);
                }
            }
        }
        lexicon
    }

    fn add_values(&mut self, database: &Sqlite, table: usize, column: usize) {
        let (of, named) =
            (&database.schema().tables[table], &database.schema().tables[table].columns[column]);
        let sql = format!(
            "SELECT DISTINCT {} FROM {} LIMIT {}",
            quoted(&named.name),
            quoted(&of.name),
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

/// A name as SQLite reads it, whatever letters it has.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table and a column as SQLite reads them.
pub(super) fn qualified(schema: &Schema, table: usize, column: usize) -> String {
    let of = &schema.tables[table];
    format!("{}.{}", quoted(&of.name), quoted(&of.columns[column].name))
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
