//! Databases as a question sees them: tables, columns, and the rows of an answer.

mod calendar;
mod mysql;
mod postgres;
mod references;
#[cfg(test)]
mod server_tests;
mod sqlite;
mod tabular;
mod tls;

use std::fmt;
use std::path::Path;

use serde::Serialize;

pub use mysql::MySql;
pub use postgres::Postgres;
#[cfg(test)]
pub(crate) use sqlite::Guards;
pub use sqlite::Sqlite;
pub use tabular::{MOST_TABLE_BYTES, MOST_TABLES};

use crate::guard::{self, Checked, Dialect};
use crate::{Error, Result};

/// A database that is only read.
pub trait Database: Send {
    /// The SQL that it speaks.
    fn dialect(&self) -> Dialect;

    /// Its tables.
    fn schema(&self) -> &Schema;

    /// Its tables, to add references that the database itself does not declare. Nothing that protects it looks here.
    fn schema_mut(&mut self) -> &mut Schema;

    /// What queries may do.
    fn rules(&self) -> &Rules;

    /// Forbids these columns as well, as (table, column).
    fn hide(&mut self, columns: &[(String, String)]);

    /// What a person should know about how it was read, one sentence each.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Runs a query that the guard has printed.
    ///
    /// # Errors
    /// [`Error::Stopped`] after too many seconds, [`Error::Engine`] if the database cannot run it.
    fn run(&self, checked: &Checked) -> Result<Rows>;

    /// Checks a query, and runs it as it is printed from the checked tree.
    ///
    /// # Errors
    /// [`Error::Refused`] if it may not run, and as [`Self::run`].
    fn query(&self, sql: &str) -> Result<Rows> {
        let checked = guard::check(sql, self.dialect(), self.schema(), self.rules())?;
        self.run(&checked)
    }
}

/// Opens a database: `postgres://...`, `mysql://...`, a file of SQLite, a CSV or Parquet file or a folder of them.
///
/// # Errors
/// [`Error::Open`] or [`Error::Connect`], with what is wrong and what would be right.
pub fn open(address: &Path, rules: Rules) -> Result<Box<dyn Database>> {
    let text = address.to_string_lossy();
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("postgres" | "postgresql") => return Ok(Box::new(Postgres::connect(&text, rules)?)),
        Some("mysql" | "mariadb") => return Ok(Box::new(MySql::connect(&text, rules)?)),
        Some(other) => {
            return Err(Error::Connect {
                address: shown_address(&text),
                reason: format!(
                    "unknown kind of database `{other}`; expected postgres://, mysql:// or a file"
                ),
            });
        }
        None => {}
    }
    if tabular::is_tabular(address) {
        return Ok(Box::new(tabular::open(address, rules)?));
    }
    Ok(Box::new(Sqlite::open(address, rules)?))
}

/// Whether a folder itself holds files of tables.
#[must_use]
pub fn has_tables(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let path = entry.path();
            !path.is_dir() && tabular::is_tabular(&path)
        })
    })
}

/// An address without the password in it.
#[must_use]
pub fn shown_address(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    // A password may stand before the host, or among the options.
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
        None => rest.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((host, options)) => {
            let shown =
                options.split('&').filter(|option| !option.to_ascii_lowercase().starts_with("password"));
            format!("{host}?{}", shown.collect::<Vec<_>>().join("&"))
        }
        None => rest,
    };
    format!("{scheme}://{}", rest.trim_end_matches('?'))
}

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

/// What a column holds, as far as its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Numbers.
    Numbers,
    /// Dates or times.
    Dates,
    /// Text.
    Text,
    /// Something else, or its type does not say.
    Other,
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

    /// The place of a column, as (table, column), from `table.column` in any case.
    #[must_use]
    pub fn place(&self, named: &str) -> Option<(usize, usize)> {
        let (table, column) = named.rsplit_once('.')?;
        let same = |name: &str, other: &str| name.eq_ignore_ascii_case(other.trim());
        let at = self.tables.iter().position(|own| same(&own.name, table))?;
        let columns = &self.tables[at].columns;
        Some((at, columns.iter().position(|own| same(&own.name, column))?))
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

impl Column {
    /// What its declared type says that it holds.
    #[must_use]
    pub fn holds(&self) -> Holds {
        let kind = self.kind.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| kind.contains(word));
        if has(&["date", "time"]) || kind == "year" {
            Holds::Dates
        } else if has(&["char", "text", "clob", "enum", "uuid"]) || kind == "name" {
            Holds::Text
        } else if has(&["int", "real", "floa", "doub", "num", "dec", "money", "serial"]) {
            Holds::Numbers
        } else {
            Holds::Other
        }
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
    /// Forbids these columns as well.
    pub(crate) fn hide(&mut self, columns: &[(String, String)]) {
        for column in columns {
            if !self.private.contains(column) {
                self.private.push(column.clone());
            }
        }
    }

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

impl Cell {
    /// Bytes that it takes in memory.
    fn weight(&self) -> usize {
        size_of::<Self>() + if let Self::Text(text) = self { text.len() } else { 0 }
    }
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
