//! Tables in files: a CSV or Parquet file, or a folder of them, as a database.
//!
//! The files are read once into an SQLite database in memory, with types inferred from their values, and that is opened again
//! read-only with every guard of a database in a file. Memory: about the size of the tables, twice while they are read.

mod infer;
mod parquet;
mod text;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::references;
use super::sqlite::Guards;
use super::{Rules, Sqlite};
use crate::{Error, Result};

/// Most bytes of all files together, as they are before or after decompression.
pub const MOST_TABLE_BYTES: u64 = 1 << 30;
/// Most files of a folder.
pub const MOST_TABLES: usize = 500;
/// Most columns of a table, which is SQLite's own limit.
const MOST_COLUMNS: usize = 2000;

/// Endings of files that are tables.
const ENDINGS: [&str; 6] = ["csv", "tsv", "tab", "csv.gz", "tsv.gz", "parquet"];

/// The ending of a table's file, in lower case.
fn ending(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    ENDINGS.into_iter().find(|ending| name.strip_suffix(ending).is_some_and(|stem| stem.ends_with('.')))
}

/// Whether an address is a folder, or a file of a table.
pub(super) fn is_tabular(path: &Path) -> bool {
    path.is_dir() || ending(path).is_some()
}

/// Reads the tables.
pub(super) fn open(path: &Path, rules: Rules) -> Result<Sqlite> {
    let failed = |reason: String| Error::Open { path: path.to_owned(), reason };
    let files = files(path)?;
    let in_memory = || Connection::open_in_memory_with_flags(flags());
    let mut connection = in_memory().map_err(|error| failed(error.to_string()))?;
    let (mut left, mut notes) = (MOST_TABLE_BYTES, Vec::new());
    for (name, file) in &files {
        let mut loading = Loading { connection: &mut connection, name, left: &mut left, notes: &mut notes };
        let loaded = match ending(file) {
            Some("parquet") => parquet::load(file, &mut loading),
            _ => text::load(file, &mut loading),
        };
        loaded.map_err(|reason| Error::Open { path: file.clone(), reason })?;
    }
    let found = references::found(&connection).map_err(|error| failed(error.to_string()))?;
    // The same pages again, this time without a way to write them.
    let image = connection.serialize("main").map_err(|error| failed(error.to_string()))?;
    let mut frozen = in_memory().map_err(|error| failed(error.to_string()))?;
    frozen
        .deserialize_read_exact("main", &image[..], image.len(), true)
        .map_err(|error| failed(error.to_string()))?;
    drop(image);
    drop(connection);
    let mut database = Sqlite::on(frozen, path, rules, Guards { engine: true, authorizer: true })?;
    references::enter(super::Database::schema_mut(&mut database), &found);
    if !found.references.is_empty() {
        let shown: Vec<String> = found.references.iter().take(3).map(ToString::to_string).collect();
        let more = match found.references.len().saturating_sub(3) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        notes
            .push(format!("references are inferred from equal names and values: {}{more}", shown.join("; ")));
    }
    database.notes = notes;
    Ok(database)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The tables' names and files, in the order of their names. Links that lead out of the folder are left out.
fn files(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |reason: String| Error::Open { path: path.to_owned(), reason };
    let stem = |file: &Path| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let cut = ending(file).map_or(0, |ending| ending.len() + 1);
        name[..name.len().saturating_sub(cut)].to_owned()
    };
    if !path.is_dir() {
        if !path.is_file() {
            return Err(failed("no such file".to_owned()));
        }
        return Ok(vec![(stem(path), path.to_owned())]);
    }
    let home = path.canonicalize().map_err(|error| failed(error.to_string()))?;
    let mut found: HashMap<String, PathBuf> = HashMap::new();
    for entry in std::fs::read_dir(path).map_err(|error| failed(error.to_string()))? {
        let file = entry.map_err(|error| failed(error.to_string()))?.path();
        let is_inside = file.canonicalize().is_ok_and(|real| real.starts_with(&home));
        if ending(&file).is_none() || !file.is_file() || !is_inside {
            continue;
        }
        let name = stem(&file);
        if let Some(other) = found.insert(name.to_ascii_lowercase(), file.clone()) {
            return Err(failed(format!(
                "{} and {} would both be the table {name}",
                other.file_name().unwrap_or_default().to_string_lossy(),
                file.file_name().unwrap_or_default().to_string_lossy()
            )));
        }
    }
    if found.is_empty() {
        return Err(failed(
            "no tables in this folder; expected files that end with .csv, .tsv or .parquet".to_owned(),
        ));
    }
    if found.len() > MOST_TABLES {
        return Err(failed(format!("{} tables; the most is {MOST_TABLES}", found.len())));
    }
    let mut files: Vec<_> = found.into_values().map(|file| (stem(&file), file)).collect();
    files.sort();
    Ok(files)
}

/// What a table is read into.
struct Loading<'a> {
    connection: &'a mut Connection,
    /// Name of the table.
    name: &'a str,
    /// Bytes that may still be read.
    left: &'a mut u64,
    notes: &'a mut Vec<String>,
}

impl Loading<'_> {
    /// Counts bytes against the limit of all files.
    fn take(&mut self, bytes: u64) -> Result<(), String> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                *self.left = left;
                Ok(())
            }
            None => Err(format!(
                "the tables have more than {} MiB; put them into a database",
                MOST_TABLE_BYTES >> 20
            )),
        }
    }

    fn note(&mut self, text: &str) {
        self.notes.push(format!("{}: {text}", self.name));
    }

    /// Creates the table; the statement that adds a row.
    fn create(&mut self, columns: &[(String, &'static str)]) -> Result<String, String> {
        if columns.is_empty() || columns.len() > MOST_COLUMNS {
            return Err(format!("{} columns; expected 1 to {MOST_COLUMNS}", columns.len()));
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let declared: Vec<String> =
            columns.iter().map(|(name, kind)| format!("{} {kind}", quoted(name))).collect();
        let table = quoted(self.name);
        self.connection
            .execute_batch(&format!("CREATE TABLE {table} ({}); BEGIN", declared.join(", ")))
            .map_err(|error| error.to_string())?;
        Ok(format!("INSERT INTO {table} VALUES ({})", vec!["?"; columns.len()].join(", ")))
    }

    fn finish(&mut self) -> Result<(), String> {
        self.connection.execute_batch("COMMIT").map_err(|error| error.to_string())
    }
}

/// Names of columns, all different whatever their case: an empty one is numbered, a second one of the same name too.
fn distinct(names: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut seen, mut notes) = (HashMap::new(), Vec::new());
    let mut distinct: Vec<String> = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        let mut own = if name.is_empty() { format!("column {}", at + 1) } else { name.clone() };
        let mut count = 1;
        while seen.contains_key(&own.to_lowercase()) {
            count += 1;
            own = format!("{name}_{count}");
        }
        if own != name && !name.is_empty() {
            notes.push(format!("column {} is called {own}: an earlier one has its name", at + 1));
        }
        seen.insert(own.to_lowercase(), ());
        distinct.push(own);
    }
    (distinct, notes)
}

#[cfg(test)]
mod tests;
