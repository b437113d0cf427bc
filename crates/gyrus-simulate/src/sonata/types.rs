//! The tables of node types and edge types: values separated by blanks, with a line of names first.

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_files::read_text;

use crate::Result;
use crate::error::in_file;

/// The largest table.
const LIMIT: u64 = 64 << 20;

/// The properties of a type by name; those that are `NULL` are left out.
pub(super) type Properties = BTreeMap<String, String>;

/// The types of a file by their number in column `id`.
pub(super) fn read(path: &Path, id: &str) -> Result<BTreeMap<u64, Properties>> {
    let text = read_text(path, LIMIT)?;
    let mut reader = csv::ReaderBuilder::new().delimiter(b' ').flexible(true).from_reader(text.as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(String::new(), |place| format!("line {}", place.line()));
        in_file(path, line, error.to_string())
    };
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    if !names.iter().any(|name| name == id) {
        return Err(in_file(path, "line 1", format!("no column `{id}`; it has: {}", names.join(", "))));
    }
    let mut types = BTreeMap::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let line = row.position().map_or(0, csv::Position::line);
        let given = names.iter().zip(&row).filter(|(_, value)| !value.is_empty() && *value != "NULL");
        let properties: Properties = given.map(|(name, value)| (name.clone(), value.to_owned())).collect();
        let number = properties.get(id).and_then(|value| value.parse().ok()).ok_or_else(|| {
            in_file(path, format!("line {line}"), format!("its `{id}` is not a whole number of at least 0"))
        })?;
        if types.insert(number, properties).is_some() {
            return Err(in_file(path, format!("line {line}"), format!("`{id}` {number} occurs twice")));
        }
    }
    Ok(types)
}

/// A number among the properties of a type.
pub(super) fn number(properties: &Properties, name: &str, path: &Path) -> Result<Option<f64>> {
    let Some(text) = properties.get(name) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(in_file(path, format!("column `{name}`"), format!("`{text}` is not a number"))),
    }
}
