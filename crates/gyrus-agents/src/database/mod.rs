//! Databases as a question sees them: tables, columns, and the rows of an answer.

mod sqlite;

use std::fmt;

use serde::Serialize;

#[cfg(test)]
pub(crate) use sqlite::Guards;
pub use sqlite::Sqlite;

/// The tables of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// Tables and views, in the order of their names.
    pub tables: Vec<Table>,
}

/// A table or view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Whether it is a view.
    pub is_view: bool,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as declared; empty where none is.
    pub kind: String,
    /// Whether it belongs to the primary key.
    pub is_key: bool,
    /// The table and column that it refers to.
    pub references: Option<(String, String)>,
}

impl Schema {
    /// The table of this name, whatever the case of its letters.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// The name of a table that is spelled much like this one.
    #[must_use]
    pub fn table_like(&self, name: &str) -> Option<String> {
        closest(name, self.tables.iter().map(|table| table.name.as_str()))
    }

    /// The name of a column, as `table.column`, that is spelled much like this one.
    #[must_use]
    pub fn column_like(&self, name: &str) -> Option<String> {
        let wanted = name.rsplit('.').next().unwrap_or(name);
        let all =
            self.tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
        let close = closest(wanted, all.clone().map(|(_, column)| column.name.as_str()))?;
        let (table, column) = all.into_iter().find(|(_, column)| column.name == close)?;
        Some(format!("{}.{}", table.name, column.name))
    }
}

/// The name that is spelled most like `wanted`, if one is close.
pub(crate) fn closest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let wanted = wanted.to_ascii_lowercase();
    let similarity = |name: &str| strsim::jaro_winkler(&wanted, &name.to_ascii_lowercase());
    let scored = names.map(|name| (similarity(name), name)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.to_owned())
}

/// What a query may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Most rows of an answer; what lies beyond is left out and said.
    pub most_rows: usize,
    /// Most bytes of an answer's text.
    pub most_bytes: usize,
    /// Seconds after which a query is stopped.
    pub seconds: f64,
    /// Columns that must not be read, as (table, column).
    pub private: Vec<(String, String)>,
}

impl Default for Rules {
    /// 1,000 rows, 8 MiB, 10 seconds, nothing private.
    fn default() -> Self {
        Self { most_rows: 1000, most_bytes: 8 << 20, seconds: 10.0, private: Vec::new() }
    }
}

impl Rules {
    /// The private column of this name, in this table or, without one, in any.
    pub(crate) fn private(&self, table: Option<&str>, column: &str) -> Option<String> {
        let is = |(of, name): &&(String, String)| {
            name.eq_ignore_ascii_case(column) && table.is_none_or(|table| of.eq_ignore_ascii_case(table))
        };
        self.private.iter().find(is).map(|(table, column)| format!("{table}.{column}"))
    }
}

/// The rows of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rows {
    /// The query that ran, printed from the checked tree.
    pub sql: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// `[rows][columns]`
    pub rows: Vec<Vec<Cell>>,
    /// Whether there are more rows than the rules allow.
    pub is_cut: bool,
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text; what is not UTF-8 is replaced.
    Text(String),
    /// Bytes, of which only the number is told.
    Bytes {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Bytes { bytes } => write!(f, "{bytes} bytes"),
        }
    }
}
