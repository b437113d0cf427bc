//! MySQL and MariaDB, asked in read-only transactions that are always rolled back.
//!
//! Queries are prepared, so that the server accepts one statement only, and each has a deadline that the server keeps. The
//! session reads backslashes in texts as backslashes, as the guard prints them; files of this machine are never sent.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{AccessMode, Conn, DriverError, Opts, OptsBuilder, SslOpts, TxOpts, Value};

use super::tls::{Mode, Tls};
use super::{Cell, Column, Database, Rows, Rules, Schema, Table, shown_address};
use crate::guard::{Checked, Dialect};
use crate::{Error, Refusal, Result};

/// Seconds to wait for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database of MySQL or MariaDB.
pub struct MySql {
    connection: Mutex<Conn>,
    schema: Schema,
    rules: Rules,
    notes: Vec<String>,
}

impl fmt::Debug for MySql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySql").field("tables", &self.schema.tables.len()).finish_non_exhaustive()
    }
}

impl MySql {
    /// Connects to a server: `mysql://user:password@host:port/database`, or `?socket=/run/mysqld/mysqld.sock`;
    /// with `sslmode` and `sslrootcert` as for PostgreSQL, or `ssl-mode` and `ssl-ca`.
    ///
    /// # Errors
    /// [`Error::Connect`], without the password.
    pub fn connect(address: &str, rules: Rules) -> Result<Self> {
        let failed = |reason: String| Error::Connect { address: shown_address(address), reason };
        let (plain, tls) = Tls::split(address).map_err(failed)?;
        let opts = Opts::from_url(&plain.replacen("mariadb://", "mysql://", 1))
            .map_err(|error| failed(error.to_string()))?;
        if opts.get_db_name().is_none_or(str::is_empty) {
            return Err(failed("it names no database; expected mysql://user@host/DATABASE".to_owned()));
        }
        let wait = Duration::from_secs_f64(rules.seconds.clamp(0.0, 86_400.0)) + PATIENCE;
        let opts = OptsBuilder::from_opts(opts)
            .tcp_connect_timeout(Some(PATIENCE))
            .read_timeout(Some(wait))
            .prefer_socket(false)
            .stmt_cache_size(0);
        let open = || -> Result<(Conn, Schema, Vec<String>), mysql::Error> {
            let mut connection = match Conn::new(opts.clone().ssl_opts(ssl_opts(&tls))) {
                Err(mysql::Error::DriverError(DriverError::TlsNotSupported)) if tls.mode == Mode::Prefer => {
                    Conn::new(opts)?
                }
                connected => connected?,
            };
            let notes = prepare_session(&mut connection, rules.seconds)?;
            let schema = read_schema(&mut connection)?;
            Ok((connection, schema, notes))
        };
        let (connection, schema, notes) = open().map_err(|error| failed(said(&error)))?;
        Ok(Self { connection: Mutex::new(connection), schema, rules, notes })
    }

    fn rows(&self, connection: &mut Conn, sql: &str) -> Result<Rows, mysql::Error> {
        let options = TxOpts::default().set_access_mode(Some(AccessMode::ReadOnly));
        let mut transaction = connection.start_transaction(options)?;
        let statement = transaction.prep(sql)?;
        let columns = statement.columns().iter().map(|column| column.name_str().into_owned()).collect();
        let (mut rows, mut bytes, mut is_cut) = (Vec::new(), 0, false);
        let mut found = transaction.exec_iter(&statement, ())?;
        for row in found.by_ref() {
            if rows.len() >= self.rules.most_rows || bytes > self.rules.most_bytes {
                is_cut = true;
                break;
            }
            let row = row?;
            let kinds: Vec<_> = row.columns_ref().iter().map(mysql::Column::column_type).collect();
            let cells: Vec<Cell> =
                row.unwrap().into_iter().zip(kinds).map(|(value, kind)| cell(value, kind)).collect();
            bytes += cells.iter().map(Cell::weight).sum::<usize>();
            rows.push(cells);
        }
        drop(found);
        transaction.rollback()?;
        Ok(Rows { sql: String::new(), columns, rows, is_cut })
    }

    fn explain(&self, error: &mysql::Error, seconds: f64) -> Error {
        let said = said(error);
        let code = if let mysql::Error::MySqlError(error) = error { error.code } else { 0 };
        let quoted = || said.split('\'').nth(1).unwrap_or_default().to_owned();
        match code {
            // Interrupted: MySQL's max_execution_time, MariaDB's max_statement_time.
            3024 | 1969 | 1317 => Error::Stopped { seconds },
            1146 => {
                let name = quoted().rsplit('.').next().unwrap_or_default().to_owned();
                Refusal::Table { meant: self.schema.table_like(&name), name }.into()
            }
            1054 => {
                let name = quoted();
                Refusal::Column { meant: self.schema.column_like(&name), name }.into()
            }
            _ => Error::Engine(said),
        }
    }
}

/// What the driver checks; none for a connection without TLS.
fn ssl_opts(tls: &Tls) -> Option<SslOpts> {
    if tls.mode == Mode::Disable {
        return None;
    }
    let opts = SslOpts::default()
        .with_danger_accept_invalid_certs(!tls.verifies())
        .with_danger_skip_domain_validation(tls.mode != Mode::VerifyFull);
    Some(opts.with_root_cert_path(tls.root.clone().filter(|_| tls.verifies()).map(std::borrow::Cow::Owned)))
}

/// What the session may do, set before anything of a stranger runs in it.
fn prepare_session(connection: &mut Conn, seconds: f64) -> Result<Vec<String>, mysql::Error> {
    let version: String = connection.query_first("SELECT version()")?.unwrap_or_default();
    let seconds = seconds.clamp(0.001, 86_400.0);
    match version.to_ascii_lowercase().contains("mariadb") {
        true => connection.query_drop(format!("SET SESSION max_statement_time = {seconds:.3}"))?,
        false => {
            let milliseconds = (seconds * 1000.0).ceil();
            connection.query_drop(format!("SET SESSION max_execution_time = {milliseconds}"))?;
        }
    }
    connection.query_drop("SET SESSION TRANSACTION READ ONLY")?;
    connection.query_drop(
        "SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES,ERROR_FOR_DIVISION_BY_ZERO'",
    )?;
    connection.query_drop("SET NAMES utf8mb4")?;
    let grants: Vec<String> = connection.query("SHOW GRANTS").unwrap_or_default();
    let writes = ["ALL PRIVILEGES", "INSERT", "UPDATE", "DELETE", "FILE"];
    let is_strong = grants.iter().any(|grant| writes.iter().any(|right| grant.contains(right)));
    Ok(is_strong
        .then(|| "this user may also write; a user that may only SELECT would be safer still".to_owned())
        .into_iter()
        .collect())
}

fn cell(value: Value, kind: mysql::consts::ColumnType) -> Cell {
    use mysql::consts::ColumnType;
    match value {
        Value::NULL => Cell::Null,
        Value::Int(number) => Cell::Integer(number),
        Value::UInt(number) => i64::try_from(number).map_or(Cell::Real(number as f64), Cell::Integer),
        Value::Float(number) => Cell::Real(f64::from(number)),
        Value::Double(number) => Cell::Real(number),
        Value::Bytes(bytes) => match String::from_utf8(bytes) {
            Err(error) => Cell::Bytes { bytes: error.as_bytes().len() },
            Ok(text) => {
                let is_decimal =
                    matches!(kind, ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL);
                match (is_decimal, text.parse::<i64>(), text.parse::<f64>()) {
                    (true, Ok(whole), _) => Cell::Integer(whole),
                    (true, _, Ok(number)) => Cell::Real(number),
                    _ => Cell::Text(text),
                }
            }
        },
        Value::Date(year, month, day, 0, 0, 0, 0) if kind == ColumnType::MYSQL_TYPE_DATE => {
            Cell::Text(format!("{year:04}-{month:02}-{day:02}"))
        }
        Value::Date(year, month, day, hour, minute, second, micros) => {
            let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            Cell::Text(if micros > 0 { format!("{text}.{micros:06}") } else { text })
        }
        Value::Time(is_negative, days, hours, minutes, seconds, _) => {
            let sign = if is_negative { "-" } else { "" };
            Cell::Text(format!("{sign}{:02}:{minutes:02}:{seconds:02}", days * 24 + u32::from(hours)))
        }
    }
}

/// The server's words, or those of the connection.
fn said(error: &mysql::Error) -> String {
    match error {
        mysql::Error::MySqlError(error) => error.message.clone(),
        other => other.to_string(),
    }
}

impl Database for MySql {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
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
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match self.rows(&mut connection, &checked.sql) {
            Ok(rows) => Ok(Rows { sql: checked.sql.clone(), ..rows }),
            Err(error) => Err(self.explain(&error, begin.elapsed().as_secs_f64())),
        }
    }
}

fn read_schema(connection: &mut Conn) -> Result<Schema, mysql::Error> {
    let columns: Vec<(String, String, String, String, String)> = connection.query(
        "SELECT c.table_name, c.column_name, c.data_type, c.column_key, t.table_type \
         FROM information_schema.columns c JOIN information_schema.tables t \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = DATABASE() ORDER BY c.table_name, c.ordinal_position",
    )?;
    let mut schema = Schema::default();
    for (table, name, kind, key, of) in columns {
        if schema.tables.last().is_none_or(|last| last.name != table) {
            schema.tables.push(Table { name: table, is_view: of.contains("VIEW"), columns: Vec::new() });
        }
        if let Some(last) = schema.tables.last_mut() {
            last.columns.push(Column { name, kind, is_key: key == "PRI", references: None });
        }
    }
    let references: Vec<(String, String, String, String)> = connection.query(
        "SELECT table_name, column_name, referenced_table_name, referenced_column_name \
         FROM information_schema.key_column_usage \
         WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL",
    )?;
    for (table, name, to_table, to) in references {
        let own = schema.tables.iter_mut().find(|own| own.name == table);
        if let Some(column) = own.and_then(|own| own.columns.iter_mut().find(|column| column.name == name)) {
            column.references = Some((to_table, to));
        }
    }
    Ok(schema)
}
