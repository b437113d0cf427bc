//! The first draft of a semantic file, from names, types and values; a person edits it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::lexicon::{quoted, words};
use super::semantics::{Privacy, Semantics};
use crate::guard::Dialect;
use crate::{Cell, Column, Database, Holds, Table};

/// Most measures of a draft.
const MOST_MEASURES: usize = 24;
/// Values by which a column of texts is judged.
const TRIED: usize = 50;
/// Most columns whose values are looked at.
const MOST_COLUMNS: usize = 300;

/// Words of names of columns that say something about one person, or open something.
const PRIVATE: [&[&str]; 24] = [
    &["email"],
    &["e", "mail"],
    &["mail"],
    &["phone"],
    &["telephone"],
    &["mobile"],
    &["fax"],
    &["address"],
    &["street"],
    &["postal"],
    &["zip"],
    &["birth"],
    &["birthday"],
    &["dob"],
    &["ssn"],
    &["passport"],
    &["iban"],
    &["card", "number"],
    &["credit", "card"],
    &["salary"],
    &["password"],
    &["token"],
    &["secret"],
    &["login"],
];

/// Words of names of columns whose sum means something.
const SUMMED: [&str; 16] = [
    "amount",
    "total",
    "revenue",
    "sales",
    "quantity",
    "qty",
    "profit",
    "fee",
    "premium",
    "payment",
    "cost",
    "budget",
    "spent",
    "income",
    "attendance",
    "units",
];

/// What else tables and columns are called.
const OTHER_WORDS: [(&str, &[&str]); 10] = [
    ("customer", &["client", "buyer"]),
    ("employee", &["staff"]),
    ("invoice", &["bill"]),
    ("country", &["nation"]),
    ("track", &["song"]),
    ("product", &["item"]),
    ("vehicle", &["car"]),
    ("film", &["movie"]),
    ("movie", &["film"]),
    ("doctor", &["physician"]),
];

/// Tables whose totals are what somebody bought.
const SALES: [&str; 6] = ["invoice", "order", "sale", "purchase", "payment", "transaction"];

fn has(name: &str, wanted: &[&str]) -> bool {
    words(name).windows(wanted.len()).any(|part| part.iter().map(String::as_str).eq(wanted.iter().copied()))
}

fn is_simple(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic())
}

impl Semantics {
    /// A draft for a database.
    #[must_use]
    pub fn draft(database: &dyn Database) -> Self {
        let mut draft = Self { privacy: Privacy::Schema, ..Self::default() };
        let mut looked = 0;
        for table in database.schema().tables.iter().filter(|table| !table.is_view) {
            for column in &table.columns {
                looked += 1;
                let by_name = PRIVATE.iter().any(|wanted| has(&column.name, wanted));
                let by_value = || looked <= MOST_COLUMNS && holds_addresses(database, table, column);
                if (by_name && column.references.is_none() && !column.is_key) || by_value() {
                    draft.private.push(format!("{}.{}", table.name, column.name));
                }
            }
            draft.measures_of(table, database.dialect());
        }
        draft.words_of(database);
        draft
    }

    fn measures_of(&mut self, table: &Table, dialect: Dialect) {
        // PostgreSQL reads names without quotes in lower case.
        let is_folded = |name: &str| dialect == Dialect::Postgres && name.chars().any(char::is_uppercase);
        let plain = |name: &str| if is_folded(name) { quoted(dialect, name) } else { name.to_owned() };
        let named = |column: &Column| format!("{}.{}", plain(&table.name), plain(&column.name));
        let numbers: Vec<&Column> = table
            .columns
            .iter()
            .filter(|column| {
                column.holds() == Holds::Numbers
                    && !column.is_key
                    && column.references.is_none()
                    && is_simple(&column.name)
                    && is_simple(&table.name)
            })
            .collect();
        let of = |wanted: &[&str]| {
            numbers.iter().find(|column| wanted.iter().any(|word| has(&column.name, &[word]))).copied()
        };
        let measures = &mut self.measures;
        let add = |measures: &mut BTreeMap<String, String>, name: String, expression: String| {
            if measures.len() < MOST_MEASURES {
                measures.entry(name).or_insert(expression);
            }
        };
        if let (Some(price), Some(quantity)) = (of(&["price"]), of(&["quantity", "qty"])) {
            let name = format!("{} value", words(&table.name).join(" "));
            add(measures, name, format!("sum({} * {})", named(price), named(quantity)));
        }
        for column in numbers {
            if !SUMMED.iter().any(|word| has(&column.name, &[word])) {
                continue;
            }
            let own = words(&column.name).join(" ");
            let table_words = words(&table.name).join(" ");
            let name = if own == "total" || own == "amount" {
                format!("{table_words} {own}")
            } else {
                format!("total {own}")
            };
            let name = if measures.contains_key(&name) { format!("{name} of {table_words}") } else { name };
            add(measures, name, format!("sum({})", named(column)));
        }
    }

    fn words_of(&mut self, database: &dyn Database) {
        let schema = database.schema();
        let is_taken = |word: &str| {
            schema.tables.iter().any(|table| {
                has(&table.name, &[word]) || table.columns.iter().any(|column| has(&column.name, &[word]))
            })
        };
        for (word, others) in OTHER_WORDS {
            let meant = schema
                .tables
                .iter()
                .find(|table| words(&table.name).iter().map(|own| super::lexicon::singular(own)).eq([word]));
            for other in others.iter().filter(|other| !is_taken(other)) {
                if let Some(table) = meant {
                    self.synonyms.insert((*other).to_owned(), table.name.clone());
                }
            }
        }
        // What a sale is worth, if one measure says so.
        let sales: Vec<String> = self
            .measures
            .iter()
            .filter(|(_, expression)| {
                let table = expression.trim_start_matches("sum(").split('.').next().unwrap_or_default();
                let own = words(table).iter().map(|word| super::lexicon::singular(word)).collect::<Vec<_>>();
                SALES.iter().any(|word| own == [*word])
                    && !expression.contains('*')
                    && ["total", "amount"].iter().any(|word| has(expression, &[word]))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if let [measure] = &sales[..] {
            for word in ["bought", "spent", "sold", "revenue"] {
                if !is_taken(word) && !self.measures.contains_key(word) {
                    self.synonyms.insert(word.to_owned(), measure.clone());
                }
            }
        }
    }

    /// The file as text, with what a person needs to edit it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let list = |items: &[String]| {
            let items: Vec<String> = items.iter().map(|item| format!("    {},\n", quoted(item))).collect();
            if items.is_empty() { "[]".to_owned() } else { format!("[\n{}]", items.concat()) }
        };
        let mut text = String::from(
            "# What the words of questions mean in this database. `gyrus ask` reads this file on every question: edit it.\n\n",
        );
        if let Some(database) = &self.database {
            let _ = writeln!(text, "database = {}\n", quoted(database));
        }
        let privacy = match self.privacy {
            Privacy::Schema => "schema",
            Privacy::Aggregates => "aggregates",
            Privacy::Full => "full",
        };
        let _ = writeln!(
            text,
            "# What a model may see: \"schema\" (names alone), \"aggregates\" (also counts and ranges) or \"full\" (also values).\n\
             privacy = \"{privacy}\"\n\n\
             # Columns that no query may read, whoever wrote it.\nprivate = {}\n\n\
             # What everybody here takes for granted, a sentence each, such as \"Amounts are in euros.\"; a model reads them.\n\
             conventions = {}\n\n\
             # References that the database does not declare: \"invoice.buyer = customer.id\".\njoins = {}\n",
            list(&self.private),
            list(&self.conventions),
            list(&self.joins),
        );
        text += "# Names of expressions over rows; columns are written table.column.\n[measures]\n";
        for (name, expression) in &self.measures {
            let _ = writeln!(text, "{} = {}", quoted(name), quoted(expression));
        }
        text += "\n# Other words for a table, a table.column or a measure.\n[synonyms]\n";
        for (name, meant) in &self.synonyms {
            let _ = writeln!(text, "{} = {}", quoted(name), quoted(meant));
        }
        text
    }
}

/// Whether most values of a column are addresses of e-mail.
fn holds_addresses(database: &dyn Database, table: &Table, column: &Column) -> bool {
    if column.holds() != Holds::Text {
        return false;
    }
    let dialect = database.dialect();
    let name = quoted(dialect, &column.name);
    let sql =
        format!("SELECT {name} FROM {} WHERE {name} IS NOT NULL LIMIT {TRIED}", quoted(dialect, &table.name));
    let Ok(found) = database.query(&sql) else { return false };
    let is_address = |cell: &Cell| {
        matches!(cell, Cell::Text(text) if text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.contains(' ')
        }))
    };
    let addresses = found.rows.iter().flatten().filter(|cell| is_address(cell)).count();
    addresses > 0 && addresses * 2 > found.rows.len()
}
