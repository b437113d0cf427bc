//! Lists of synapses as CSV: the columns `source`, `target`, the weight with its unit, and `delay_ms`.

use std::path::Path;

use gyrus_files::read_text;

use crate::Result;
use crate::error::in_file;

/// The largest list.
const LIMIT: u64 = 1 << 30;

/// The rows of a file, each as source, target, weight and delay; `weight` is the name of that column.
pub(super) fn read(path: &Path, weight: &str) -> Result<Vec<Vec<f64>>> {
    let text = read_text(path, LIMIT)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(String::new(), |place| format!("line {}", place.line()));
        in_file(path, line, error.to_string())
    };
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    let mut columns = Vec::new();
    for wanted in ["source", "target", weight, "delay_ms"] {
        let column = names.iter().position(|name| name == wanted).ok_or_else(|| {
            in_file(path, "line 1", format!("no column `{wanted}`; it has: {}", names.join(", ")))
        })?;
        columns.push(column);
    }
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let line = row.position().map_or(0, csv::Position::line);
        let value = |column: &usize| {
            let text = row.get(*column).unwrap_or_default();
            text.parse::<f64>().map_err(|_| {
                in_file(
                    path,
                    format!("line {line}"),
                    format!("`{text}` is not a number, in `{}`", names[*column]),
                )
            })
        };
        rows.push(columns.iter().map(value).collect::<Result<Vec<f64>>>()?);
    }
    Ok(rows)
}
