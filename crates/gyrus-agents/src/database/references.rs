//! Keys and references that files do not declare: a column whose values are all different and that is named as an identifier
//! is a key; a column of the same name elsewhere, whose values all occur there, refers to it.

use std::fmt;

use rusqlite::Connection;

use super::Schema;

/// Pairs of columns that are compared, at most.
const MOST_PAIRS: usize = 2000;
/// Ends of names that identify something.
const ENDINGS: [&str; 7] = ["id", "identifier", "key", "code", "number", "no", "uuid"];

/// A reference from a column to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    table: String,
    column: String,
    to_table: String,
    to: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} -> {}.{}", self.table, self.column, self.to_table, self.to)
    }
}

/// What was found in the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// As (table, column).
    keys: Vec<(String, String)>,
    pub(super) references: Vec<Reference>,
}

/// The words of a name, run together: `InvoiceLine_Id` as `invoicelineid`.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Looks for keys and references.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<Found> {
    let mut found = Found::default();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut columns: Vec<(String, String)> = Vec::new();
    for table in &tables {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get::<_, String>(0))?;
        for name in names {
            columns.push((table.clone(), name?));
        }
    }
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let is = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, bool>(0));
    for table in &tables {
        let own = columns.iter().filter(|(of, _)| of == table).map(|(_, name)| name);
        let named = own.enumerate().find(|(at, name)| {
            let lower = name.to_ascii_lowercase();
            let ends = ENDINGS.iter().any(|ending| lower.ends_with(ending));
            let stem = ENDINGS.iter().find_map(|ending| plain(name).strip_suffix(ending).map(str::to_owned));
            let of_table = stem.is_some_and(|stem| stem.is_empty() || related(&stem, &plain(table)));
            ends && (of_table || *at == 0)
        });
        let Some((_, name)) = named else { continue };
        let (column, from) = (quoted(name), quoted(table));
        let sql = format!("SELECT count(*) > 0 AND count(*) = count(DISTINCT {column}) FROM {from}");
        if is(&sql)? {
            found.keys.push((table.clone(), name.clone()));
        }
    }
    let mut pairs = 0;
    for (to_table, to) in &found.keys.clone() {
        for (table, column) in &columns {
            // `id` alone names nothing elsewhere; `customer_id` may refer to the `id` of `customer`.
            let is_same =
                column.eq_ignore_ascii_case(to) && !ENDINGS.contains(&to.to_ascii_lowercase().as_str());
            let is_long = ENDINGS.contains(&to.to_ascii_lowercase().as_str())
                && [plain(to_table), singular(&plain(to_table))]
                    .iter()
                    .any(|stem| plain(column) == format!("{stem}{}", plain(to)));
            let is_own_key = found.keys.iter().any(|key| key == &(table.clone(), column.clone()));
            if table == to_table || !(is_same || is_long) || pairs >= MOST_PAIRS {
                continue;
            }
            // Of two tables with the same key, the one that is named after it is meant.
            let stem = ENDINGS.iter().find_map(|ending| plain(to).strip_suffix(ending).map(str::to_owned));
            if is_same && is_own_key && !stem.is_some_and(|stem| related(&stem, &plain(to_table))) {
                continue;
            }
            pairs += 1;
            let (own, of, key, keys) = (quoted(column), quoted(table), quoted(to), quoted(to_table));
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM {of} WHERE {own} IS NOT NULL) AND NOT EXISTS \
                 (SELECT 1 FROM {of} WHERE {own} IS NOT NULL AND {own} NOT IN (SELECT {key} FROM {keys}))"
            );
            if is(&sql)? {
                let reference = Reference {
                    table: table.clone(),
                    column: column.clone(),
                    to_table: to_table.clone(),
                    to: to.clone(),
                };
                found.references.push(reference);
            }
        }
    }
    Ok(found)
}

fn singular(name: &str) -> String {
    name.strip_suffix('s').unwrap_or(name).to_owned()
}

/// Whether a key's stem is the name of its table: `customer` of `customers`.
fn related(stem: &str, table: &str) -> bool {
    stem == table || stem == singular(table) || singular(stem) == singular(table)
}

/// Enters what was found into a schema.
pub(super) fn enter(schema: &mut Schema, found: &Found) {
    for table in &mut schema.tables {
        for column in &mut table.columns {
            column.is_key |= found.keys.iter().any(|(of, name)| *of == table.name && *name == column.name);
            let own =
                found.references.iter().find(|own| own.table == table.name && own.column == column.name);
            if let Some(own) = own {
                column.references = Some((own.to_table.clone(), own.to.clone()));
            }
        }
    }
}
