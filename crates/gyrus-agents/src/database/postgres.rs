//! PostgreSQL, asked in read-only transactions that are always rolled back.
//!
//! Queries go by the extended protocol, in which the server accepts one statement only. Each has a deadline that the server
//! keeps, and its rows come in portions, so that a large result is never held. A role that may only `SELECT` is the better
//! guard still; the notes of the documentation say so.

mod cells;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};

use super::tls::{Mode, Tls};
use super::{Cell, Column, Database, Rows, Rules, Schema, Table, shown_address};
use crate::guard::{Checked, Dialect};
use crate::{Error, Refusal, Result};

/// Rows that the server sends at once.
const PORTION: i32 = 200;
/// Seconds to wait for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database of PostgreSQL. Its tables are those of the schema `public`.
pub struct Postgres {
    client: Mutex<Client>,
    schema: Schema,
    rules: Rules,
    notes: Vec<String>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("tables", &self.schema.tables.len()).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects to a server: `postgres://user:password@host:port/database`, or `postgres:///database?host=/run/postgresql`;
    /// with `sslmode` and `sslrootcert` as PostgreSQL's own client reads them.
    ///
    /// # Errors
    /// [`Error::Connect`], without the password.
    pub fn connect(address: &str, rules: Rules) -> Result<Self> {
        let failed = |reason: String| Error::Connect { address: shown_address(address), reason };
        let (plain, tls) = Tls::split(address).map_err(failed)?;
        let mut config: Config = plain.parse().map_err(|error: postgres::Error| failed(said(&error)))?;
        config.connect_timeout(PATIENCE).application_name("gyrus");
        // The session begins read-only, before anything can run in it.
        let options = config.get_options().unwrap_or_default();
        let options = format!("{options} -c default_transaction_read_only=on");
        config.options(options.trim());
        config.ssl_mode(match tls.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        let connected = match tls.mode {
            Mode::Disable => config.connect(NoTls),
            _ => config.connect(tls.connector().map_err(failed)?),
        };
        let mut client = connected.map_err(|error| failed(said(&error)))?;
        let (schema, notes) = read_schema(&mut client).map_err(|error| failed(said(&error)))?;
        Ok(Self { client: Mutex::new(client), schema, rules, notes })
    }

    fn rows(&self, client: &mut Client, sql: &str) -> Result<Rows, postgres::Error> {
        let mut transaction = client.build_transaction().read_only(true).start()?;
        let milliseconds = (self.rules.seconds.clamp(0.001, 86_400.0) * 1000.0).ceil() as u64;
        transaction.batch_execute(&format!(
            "SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds}; \
             SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL search_path = pg_catalog, public, pg_temp; \
             SET LOCAL standard_conforming_strings = on",
            milliseconds + 60_000
        ))?;
        let statement = transaction.prepare(sql)?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let portal = transaction.bind(&statement, &[])?;
        let (mut rows, mut bytes, mut is_cut) = (Vec::new(), 0, false);
        let begin = Instant::now();
        'portions: loop {
            let portion = transaction.query_portal(&portal, PORTION)?;
            for row in &portion {
                if rows.len() >= self.rules.most_rows || bytes > self.rules.most_bytes {
                    is_cut = true;
                    break 'portions;
                }
                let cells: Vec<Cell> = (0..row.len())
                    .map(|index| row.try_get::<_, cells::Any>(index).map(|any| any.0))
                    .collect::<Result<_, _>>()?;
                bytes += cells.iter().map(Cell::weight).sum::<usize>();
                rows.push(cells);
            }
            // The server's deadline holds for each portion anew.
            if portion.len() < PORTION as usize || begin.elapsed().as_secs_f64() > self.rules.seconds {
                is_cut |= portion.len() == PORTION as usize;
                break;
            }
        }
        transaction.rollback()?;
        Ok(Rows { sql: String::new(), columns, rows, is_cut })
    }

    fn explain(&self, error: &postgres::Error, seconds: f64) -> Error {
        let said = said(error);
        let quoted = || said.split('"').nth(1).unwrap_or_default().to_owned();
        match error.code() {
            Some(&SqlState::QUERY_CANCELED) => Error::Stopped { seconds },
            Some(&SqlState::UNDEFINED_TABLE) => {
                let name = quoted();
                Refusal::Table { meant: self.schema.table_like(&name), name }.into()
            }
            Some(&SqlState::UNDEFINED_COLUMN) => {
                // "column c.nam does not exist", or in quotes.
                let name = match said.contains('"') {
                    true => quoted(),
                    false => said.split_whitespace().nth(1).unwrap_or_default().to_owned(),
                };
                Refusal::Column { meant: self.schema.column_like(&name), name }.into()
            }
            _ => Error::Engine(said),
        }
    }
}

/// The server's words, or those of the connection.
fn said(error: &postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text += &format!(": {inner_text}");
        }
        source = inner.source();
    }
    text
}

impl Database for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
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
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn run(&self, checked: &Checked) -> Result<Rows> {
        let begin = Instant::now();
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        match self.rows(&mut client, &checked.sql) {
            Ok(rows) => Ok(Rows { sql: checked.sql.clone(), ..rows }),
            Err(error) => Err(self.explain(&error, begin.elapsed().as_secs_f64())),
        }
    }
}

/// Tables, columns, keys and references that the catalog tells.
fn read_schema(client: &mut Client) -> Result<(Schema, Vec<String>), postgres::Error> {
    let mut transaction = client.build_transaction().read_only(true).start()?;
    let columns = transaction.query(
        "SELECT c.table_name::text, c.column_name::text, \
                CASE WHEN c.data_type = 'USER-DEFINED' THEN c.udt_name::text ELSE c.data_type::text END, \
                t.table_type = 'VIEW' \
         FROM information_schema.columns c \
         JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = 'public' ORDER BY c.table_name, c.ordinal_position",
        &[],
    )?;
    let mut schema = Schema::default();
    for row in &columns {
        let (table, name, kind, is_view): (String, String, String, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        if schema.tables.last().is_none_or(|last| last.name != table) {
            schema.tables.push(Table { name: table, is_view, columns: Vec::new() });
        }
        if let Some(last) = schema.tables.last_mut() {
            last.columns.push(Column { name, kind, ..Column::default() });
        }
    }
    // Keys and references from the catalog itself: information_schema hides those of tables of others.
    let constraints = transaction.query(
        "SELECT r.relname::text, a.attname::text, c.contype = 'p', f.relname::text, fa.attname::text \
         FROM pg_catalog.pg_constraint c \
         JOIN pg_catalog.pg_class r ON r.oid = c.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace AND n.nspname = 'public' \
         CROSS JOIN LATERAL unnest(c.conkey, CASE WHEN c.contype = 'f' THEN c.confkey ELSE c.conkey END) k(own, other) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.own \
         LEFT JOIN pg_catalog.pg_class f ON f.oid = c.confrelid \
         LEFT JOIN pg_catalog.pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = k.other \
         WHERE c.contype IN ('p', 'f') ORDER BY c.oid",
        &[],
    )?;
    for row in &constraints {
        let (table, name, is_key): (String, String, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let to: (Option<String>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
        let own = schema.tables.iter_mut().find(|own| own.name == table);
        let Some(column) = own.and_then(|own| own.columns.iter_mut().find(|column| column.name == name))
        else {
            continue;
        };
        match to {
            (Some(table), Some(other)) => column.references = Some((table, other)),
            _ => column.is_key |= is_key,
        }
    }
    let mut notes = Vec::new();
    let rights: Vec<String> = transaction
        .query(
            "SELECT DISTINCT privilege_type::text FROM information_schema.role_table_grants \
             WHERE grantee = current_user AND privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') ORDER BY 1",
            &[],
        )?
        .iter()
        .filter_map(|row| row.try_get(0).ok())
        .collect();
    if !rights.is_empty() {
        notes.push("this role may also write; a role that may only SELECT would be safer still".to_owned());
    }
    transaction.rollback()?;
    Ok((schema, notes))
}
