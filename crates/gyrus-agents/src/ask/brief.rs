//! What a model is told of a database: never more than the privacy mode allows, and never more than fits.

use std::fmt::Write;

use super::lexicon::{quoted, singular, words};
use super::semantics::{Privacy, Semantics};
use crate::guard::Dialect;
use crate::{Database, Holds, Schema, Table};

/// Values of a column of texts that a model sees in the mode `full`.
const SHOWN_VALUES: usize = 3;
/// Letters of such a value.
const LONGEST_VALUE: usize = 40;

/// A text about a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    /// The text.
    pub text: String,
    /// What was left out, one sentence each.
    pub notes: Vec<String>,
}

/// Tells a model of a database, in at most so many bytes: the tables whose names and columns share words with the question
/// come first, and those that do not fit are left out, which the notes say.
#[must_use]
pub fn brief(database: &dyn Database, semantics: &Semantics, question: &str, most_bytes: usize) -> Brief {
    let schema = database.schema();
    let asked: Vec<String> = words(question).iter().map(|word| singular(word)).collect();
    let score = |table: &Table| {
        let own = |name: &str| words(name).iter().filter(|word| asked.contains(&singular(word))).count();
        let known = semantics.synonyms.iter().filter(|(word, meant)| {
            let of_table = meant.split('.').next().is_some_and(|of| of.eq_ignore_ascii_case(&table.name));
            of_table && words(word).iter().all(|word| asked.contains(&singular(word)))
        });
        3 * own(&table.name)
            + table.columns.iter().map(|column| own(&column.name)).sum::<usize>()
            + 3 * known.count()
    };
    let mut order: Vec<usize> = (0..schema.tables.len()).collect();
    order.sort_by_key(|&table| std::cmp::Reverse(score(&schema.tables[table])));
    let mut text = String::new();
    for convention in &semantics.conventions {
        let _ = writeln!(text, "-- {}", convention.replace('\n', " "));
    }
    for (name, expression) in &semantics.measures {
        let _ = writeln!(text, "-- {} means {}", name.replace('\n', " "), expression.replace('\n', " "));
    }
    for (name, meant) in &semantics.synonyms {
        let _ = writeln!(text, "-- {} means {}", name.replace('\n', " "), meant.replace('\n', " "));
    }
    let (mut told, mut left) = (Vec::new(), 0);
    let mut notes = Vec::new();
    for table in order {
        let own = described(database, &schema.tables[table], semantics.privacy);
        match text.len() + own.len() <= most_bytes {
            true => {
                text += &own;
                told.push(table);
            }
            // A table that is too wide alone is told by the columns that the question may mean.
            false if told.is_empty() => {
                let all = &schema.tables[table];
                let mut columns = all.columns.clone();
                let meant = |column: &crate::Column| {
                    words(&column.name).iter().filter(|word| asked.contains(&singular(word))).count()
                };
                columns.sort_by_key(|column| std::cmp::Reverse((meant(column), column.is_key)));
                let mut fits = None;
                while fits.is_none() && columns.len() > 1 {
                    columns.truncate(columns.len() / 2);
                    let part = Table { columns: columns.clone(), ..all.clone() };
                    fits = Some(described(database, &part, semantics.privacy))
                        .filter(|own| text.len() + own.len() <= most_bytes);
                }
                match fits {
                    Some(own) => {
                        text += &own;
                        told.push(table);
                        notes.push(format!(
                            "the model was told of {} of {} columns of {}: more do not fit",
                            columns.len(),
                            all.columns.len(),
                            all.name
                        ));
                    }
                    None => left += 1,
                }
            }
            false => left += 1,
        }
    }
    if left > 0 {
        notes.push(format!(
            "the model was told of {} of {} tables: more do not fit",
            told.len(),
            schema.tables.len()
        ));
    }
    Brief { text, notes }
}

fn described(database: &dyn Database, table: &Table, privacy: Privacy) -> String {
    let is_private = |column: &str| database.rules().private(Some(&table.name), column).is_some();
    let open = table.columns.iter().filter(|column| !is_private(&column.name));
    let columns = open.map(|column| {
        let reference = column.references.as_ref();
        let reference =
            reference.map_or(String::new(), |(table, column)| format!(" references {table}({column})"));
        let kind = if column.kind.is_empty() { String::new() } else { format!(" {}", column.kind) };
        format!("{}{kind}{reference}", column.name)
    });
    let mut text = format!("{}({})\n", table.name, columns.collect::<Vec<_>>().join(", "));
    if privacy == Privacy::Schema {
        return text;
    }
    let (dialect, mut facts) = (database.dialect(), Vec::new());
    let one = |sql: &str| database.query(sql).ok().and_then(|found| found.rows.into_iter().next());
    let from = quoted(dialect, &table.name);
    if let Some(row) = one(&format!("SELECT count(*) FROM {from}")) {
        facts.extend(row.first().map(|count| format!("{count} rows")));
    }
    for column in table.columns.iter().filter(|column| !is_private(&column.name)) {
        let name = quoted(dialect, &column.name);
        let is_ranged = matches!(column.holds(), Holds::Numbers | Holds::Dates) && !column.is_key;
        let is_text = column.holds() == Holds::Text;
        if is_ranged {
            if let Some(row) = one(&format!("SELECT min({name}), max({name}) FROM {from}"))
                && let [least, most] = &row[..]
            {
                facts.push(format!("{} from {least} to {most}", column.name));
            }
        } else if is_text && let Some(row) = one(&format!("SELECT count(DISTINCT {name}) FROM {from}")) {
            facts.extend(row.first().map(|count| format!("{} has {count} different values", column.name)));
        }
        if is_text && privacy == Privacy::Full {
            let sql =
                format!("SELECT DISTINCT {name} FROM {from} WHERE {name} IS NOT NULL LIMIT {SHOWN_VALUES}");
            if let Ok(found) = database.query(&sql) {
                let values = found.rows.iter().flatten().map(|cell| {
                    let shown: String = cell.to_string().chars().take(LONGEST_VALUE).collect();
                    format!("'{}'", shown.replace(['\n', '\r'], " "))
                });
                facts.push(format!("{} such as {}", column.name, values.collect::<Vec<_>>().join(", ")));
            }
        }
    }
    let _ = writeln!(text, "--   {}", facts.join("; "));
    text
}

/// What a database said of a query, without words in quotes and numbers that neither the query nor the schema has: they may be
/// values.
#[must_use]
pub fn without_values(said: &str, sql: &str, schema: &Schema) -> String {
    let known = |part: &str| {
        let part = part.to_lowercase();
        part.is_empty()
            || sql.to_lowercase().contains(&part)
            || schema.tables.iter().any(|table| {
                table.name.to_lowercase() == part
                    || table.columns.iter().any(|column| {
                        column.name.to_lowercase() == part
                            || format!("{}.{}", table.name, column.name).to_lowercase() == part
                    })
            })
    };
    let mut text = String::new();
    let mut rest = said;
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let quote = rest[at..].chars().next().unwrap_or('"');
        text += &rest[..at];
        let inner = &rest[at + 1..];
        let Some(end) = inner.find(quote) else {
            // An apostrophe, or a quote that does not end.
            rest = inner;
            text.push(quote);
            continue;
        };
        let part = if known(&inner[..end]) { &inner[..end] } else { "…" };
        let _ = write!(text, "{quote}{part}{quote}");
        rest = &inner[end + 1..];
    }
    text += rest;
    text.split(' ')
        .map(|word| {
            let bare = word.trim_matches(|letter: char| !letter.is_alphanumeric());
            let is_value = bare.contains(|letter: char| letter.is_ascii_digit()) && !known(bare);
            if is_value { "…" } else { word }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// What the SQL of a database is called.
#[must_use]
pub fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "SQLite",
        Dialect::Postgres => "PostgreSQL",
        Dialect::MySql => "MySQL",
        Dialect::DuckDb => "DuckDB",
    }
}
