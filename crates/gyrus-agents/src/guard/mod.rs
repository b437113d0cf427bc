//! The parser's guard: one query, made of what is known, printed from the checked tree.
//!
//! An allow-list throughout: kinds of statement, clauses, tables and functions that are not named here are refused. A list
//! of forbidden words would be wrong: writes hide in common table expressions, in functions, behind comments and in second
//! statements.

mod functions;
#[cfg(test)]
mod tests;
mod walk;

use sqlparser::ast::{Expr, LimitClause, Query, SetExpr, Statement, Value, ValueWithSpan, Visit};
use sqlparser::dialect::{DuckDbDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;

pub(crate) use functions::{TABLE_FUNCTIONS, is_function};

use crate::{Refusal, Rules, Schema};

/// Most bytes of a query.
pub(crate) const LONGEST: usize = 64 << 10;
/// Deepest nesting that is parsed.
const DEEPEST: usize = 48;

/// The SQL of a kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// DuckDB.
    DuckDb,
}

/// A query that may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The checked tree, printed, with a limit of rows.
    pub sql: String,
    /// Names of its common table expressions, in lower case.
    pub(crate) named: Vec<String>,
}

/// Checks a query of a stranger.
///
/// # Errors
/// What is not accepted, and where a name is wrong, the one that is spelled like it.
pub fn check(sql: &str, dialect: Dialect, schema: &Schema, rules: &Rules) -> Result<Checked, Refusal> {
    if sql.len() > LONGEST {
        return Err(Refusal::Long { bytes: sql.len(), most: LONGEST });
    }
    if sql.contains('\0') {
        return Err(Refusal::Parse("it contains a zero byte".to_owned()));
    }
    let mut query = one_query(sql, dialect)?;
    let mut walk = walk::Walk::new(dialect, schema, rules, &query);
    if let std::ops::ControlFlow::Break(refusal) = query.visit(&mut walk) {
        return Err(*refusal);
    }
    limit(&mut query, rules.most_rows.saturating_add(1));
    Ok(Checked { sql: query.to_string(), named: walk.named })
}

fn one_query(sql: &str, dialect: Dialect) -> Result<Query, Refusal> {
    let dialect: &dyn sqlparser::dialect::Dialect = match dialect {
        Dialect::Sqlite => &SQLiteDialect {},
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::MySql => &MySqlDialect {},
        Dialect::DuckDb => &DuckDbDialect {},
    };
    let parsed = Parser::new(dialect)
        .with_recursion_limit(DEEPEST)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|error| Refusal::Parse(error.to_string()))?;
    match (statements.pop(), statements.len()) {
        (Some(Statement::Query(query)), 0) => Ok(*query),
        (Some(other), 0) => Err(Refusal::Statement(first_word(&other))),
        (last, others) => Err(Refusal::Statements(others + usize::from(last.is_some()))),
    }
}

/// The first word of a statement, as its name.
fn first_word(statement: &Statement) -> String {
    statement.to_string().split_whitespace().next().unwrap_or("this").to_uppercase()
}

/// Bounds the rows of the whole query, where it does not do so itself.
fn limit(query: &mut Query, most: usize) {
    if matches!(*query.body, SetExpr::Values(_)) || query.fetch.is_some() {
        return;
    }
    let number = |count: usize| {
        Expr::Value(ValueWithSpan {
            value: Value::Number(count.to_string(), false),
            span: sqlparser::tokenizer::Span::empty(),
        })
    };
    match &mut query.limit_clause {
        None => {
            let limit = Some(number(most));
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(number(most)),
        Some(
            LimitClause::LimitOffset { limit: Some(limit), .. } | LimitClause::OffsetCommaLimit { limit, .. },
        ) => {
            let asked = match limit {
                Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
                    text.parse::<usize>().ok()
                }
                _ => None,
            };
            // An expression stays: the reader of rows stops at the same number.
            if asked.is_some_and(|asked| asked > most) {
                *limit = number(most);
            }
        }
    }
}
