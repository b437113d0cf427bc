//! SQLite, opened so that nothing can be written: read-only, defensive, with an authorizer, limits and a deadline.
//!
//! As SQLite's own advice for untrusted SQL ("Defense Against The Dark Arts", sqlite.org/security.html).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{Cell, Column, Database, Rows, Rules, Schema, Table};
use crate::guard::{self, Checked, Dialect};
use crate::{Error, Refusal, Result};

/// Instructions of SQLite's machine between two looks at the clock.
const BETWEEN_LOOKS: i32 = 1000;
/// Most bytes of one text or blob, also while a query computes.
const LONGEST_VALUE: i32 = 16 << 20;

/// A database in a file of SQLite, which cannot be written to.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    schema: Schema,
    rules: Rules,
    /// The columns that the authorizer hides.
    hidden: Arc<Mutex<Rules>>,
    /// What a person should know about how it was read.
    pub(super) notes: Vec<String>,
    /// When the running query is stopped.
    deadline: Arc<Mutex<Option<Instant>>>,
    /// Names of the running query's common table expressions.
    named: Arc<Mutex<Vec<String>>>,
}

/// Which of the engine's guards are up: all of them, except in the tests that try each alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards {
    /// Read-only, defensive, limits.
    pub(crate) engine: bool,
    /// Decides each access while a query is prepared.
    pub(crate) authorizer: bool,
}

impl Sqlite {
    /// Opens a database. Nothing is created, and nothing beside it is touched.
    ///
    /// # Errors
    /// [`Error::Open`] if the file does not exist or is not a database.
    pub fn open(path: &Path, rules: Rules) -> Result<Self> {
        Self::guarded(path, rules, Guards { engine: true, authorizer: true })
    }

    pub(crate) fn guarded(path: &Path, rules: Rules, guards: Guards) -> Result<Self> {
        let failed = |reason: String| Error::Open { path: path.to_owned(), reason };
        if !path.is_file() {
            return Err(failed("no such file".to_owned()));
        }
        let access =
            if guards.engine { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
        let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|e| failed(said(&e)))?;
        Self::on(connection, path, rules, guards)
    }

    /// A database on a connection that cannot write, such as an image in memory that was opened read-only.
    pub(super) fn on(mut connection: Connection, path: &Path, rules: Rules, guards: Guards) -> Result<Self> {
        let failed = |reason: String| Error::Open { path: path.to_owned(), reason };
        let schema = read_schema(&connection).map_err(|error| failed(said(&error)))?;
        let deadline = Arc::new(Mutex::new(None));
        let named = Arc::new(Mutex::new(Vec::new()));
        let hidden = Arc::new(Mutex::new(rules.clone()));
        let set = |connection: &mut Connection| -> rusqlite::Result<()> {
            if guards.engine {
                defend(connection)?;
            }
            if guards.authorizer {
                authorize(connection, &schema, hidden.clone(), named.clone())?;
            }
            let deadline = deadline.clone();
            connection.progress_handler(
                BETWEEN_LOOKS,
                Some(move || {
                    let deadline = *deadline.lock().unwrap_or_else(PoisonError::into_inner);
                    deadline.is_some_and(|deadline| Instant::now() >= deadline)
                }),
            )
        };
        set(&mut connection).map_err(|error| failed(said(&error)))?;
        Ok(Self { connection, schema, rules, hidden, notes: Vec::new(), deadline, named })
    }

    /// The connection itself, without the parser's guard.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn rows(&self, sql: &str) -> rusqlite::Result<Rows> {
        let mut statement = self.connection.prepare(sql)?;
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let (mut rows, mut bytes, mut is_cut) = (Vec::new(), 0, false);
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            if rows.len() >= self.rules.most_rows || bytes > self.rules.most_bytes {
                is_cut = true;
                break;
            }
            let mut cells = Vec::with_capacity(columns.len());
            for index in 0..columns.len() {
                let cell = match row.get_ref(index)? {
                    ValueRef::Null => Cell::Null,
                    ValueRef::Integer(number) => Cell::Integer(number),
                    ValueRef::Real(number) => Cell::Real(number),
                    ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(blob) => Cell::Bytes { bytes: blob.len() },
                };
                bytes += cell.weight();
                cells.push(cell);
            }
            rows.push(cells);
        }
        Ok(Rows { sql: String::new(), columns, rows, is_cut })
    }

    /// What SQLite said, as a refusal with a suggestion where a name is wrong.
    fn explain(&self, error: &rusqlite::Error) -> Error {
        let said = said(error);
        let named = |prefix: &str| {
            let rest = &said[said.find(prefix)? + prefix.len()..];
            Some(rest.split([' ', ',']).next().unwrap_or(rest).to_owned())
        };
        if let Some(name) = named("no such column: ") {
            let meant = self.schema.column_like(&name);
            return Refusal::Column { name, meant }.into();
        }
        if let Some(name) = named("no such table: ") {
            let meant = self.schema.table_like(&name);
            return Refusal::Table { name, meant }.into();
        }
        // "access to table.column is prohibited"
        if let Some(name) = named("access to ").filter(|_| said.contains("is prohibited")) {
            return Refusal::Private(name).into();
        }
        Error::Engine(said)
    }
}

impl Database for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn schema_mut(&mut self) -> &mut Schema {
        &mut self.schema
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn hide(&mut self, columns: &[(String, String)]) {
        self.rules.hide(columns);
        *self.hidden.lock().unwrap_or_else(PoisonError::into_inner) = self.rules.clone();
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn run(&self, checked: &Checked) -> Result<Rows> {
        let begin = Instant::now();
        let limit = Duration::from_secs_f64(self.rules.seconds.clamp(0.0, 86_400.0));
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(begin + limit);
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&checked.named);
        let rows = self.rows(&checked.sql);
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match rows {
            Ok(rows) => Ok(Rows { sql: checked.sql.clone(), ..rows }),
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::OperationInterrupted =>
            {
                Err(Error::Stopped { seconds: begin.elapsed().as_secs_f64() })
            }
            Err(error) => Err(self.explain(&error)),
        }
    }
}

/// SQLite's words, without the query that it repeats.
fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::InvalidQuery => "not a query that only reads".to_owned(),
        other => other.to_string(),
    }
}

/// Everything that SQLite itself offers against SQL of strangers.
fn defend(connection: &Connection) -> rusqlite::Result<()> {
    let on = [DbConfig::SQLITE_DBCONFIG_DEFENSIVE];
    let off = [
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA,
        DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
        DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE,
        DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE,
    ];
    for setting in on {
        connection.set_db_config(setting, true)?;
    }
    for setting in off {
        connection.set_db_config(setting, false)?;
    }
    // Sorting in memory, so that no file is made; pages checked before they are used.
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;",
    )?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, guard::LONGEST as i32 * 4),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    Ok(())
}

/// Allows reading known tables by known functions, and nothing else.
fn authorize(
    connection: &mut Connection,
    schema: &Schema,
    hidden: Arc<Mutex<Rules>>,
    named: Arc<Mutex<Vec<String>>>,
) -> rusqlite::Result<()> {
    let tables: Vec<String> = schema.tables.iter().map(|table| table.name.to_ascii_lowercase()).collect();
    connection.authorizer(Some(move |context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Read { table_name, column_name } => {
            let table = table_name.to_ascii_lowercase();
            let known = tables.contains(&table) || guard::TABLE_FUNCTIONS.contains(&table.as_str());
            let hidden = hidden.lock().unwrap_or_else(PoisonError::into_inner);
            let is_private = hidden.private(Some(table_name), column_name).is_some();
            // A common table expression of which only the rows are counted.
            let is_named = || {
                let named = named.lock().unwrap_or_else(PoisonError::into_inner);
                column_name.is_empty() && named.contains(&table)
            };
            if (known || is_named()) && !is_private { Authorization::Allow } else { Authorization::Deny }
        }
        AuthAction::Function { function_name } => {
            match guard::is_function(Dialect::Sqlite, &function_name.to_ascii_lowercase()) {
                true => Authorization::Allow,
                false => Authorization::Deny,
            }
        }
        _ => Authorization::Deny,
    }))
}

fn read_schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let sql = "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let named = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut schema = Schema::default();
    for row in named {
        let (name, kind) = row?;
        // A view over something that is gone has no columns to tell.
        let columns = columns(connection, &name).unwrap_or_default();
        if !columns.is_empty() {
            schema.tables.push(Table { name, columns, is_view: kind == "view" });
        }
    }
    Ok(schema)
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut columns = Vec::new();
    let mut statement = connection.prepare("SELECT name, type, pk FROM pragma_table_info(?1)")?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let (name, kind, key): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        columns.push(Column { name, kind, is_key: key > 0, references: None });
    }
    let sql = "SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1)";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let (from, to_table, to): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if let Some(column) = columns.iter_mut().find(|column| column.name.eq_ignore_ascii_case(&from)) {
            // Without a column the primary key is meant, which mostly has the same name.
            column.references = Some((to_table, to.unwrap_or(from)));
        }
    }
    Ok(columns)
}
