//! Text tables (CSV): delimiter found by itself, one header line, quoted fields, every line of equal length.

use std::path::Path;

use crate::{Error, Result};

/// A table as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The names of the columns, all different; an empty name becomes `column N`.
    pub header: Vec<String>,
    /// The rows, each as long as the header, without surrounding blanks.
    pub rows: Vec<Vec<String>>,
    /// The line of each row in the file, counted from 1.
    pub lines: Vec<u64>,
}

/// Reads a table; `path` is for the errors. Empty lines are ignored.
///
/// # Errors
/// [`Error::Line`] for invalid UTF-8, no header, no rows, two columns of one name or a row that is longer or
/// shorter than the header.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Sheet> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u64;
        let wrong = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        Error::line(path, line, format!("the byte {wrong:#04x}"), "UTF-8 text (save the table as UTF-8)")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());

    let mut sheet = Sheet { header: Vec::new(), rows: Vec::new(), lines: Vec::new() };
    for record in reader.records() {
        let line_of = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
        let record = record.map_err(|error| {
            Error::line(path, line_of(error.position()), error.to_string(), "a row of a table")
        })?;
        let line = line_of(record.position());
        if sheet.header.is_empty() {
            sheet.header = header(&record, line, path)?;
            continue;
        }
        if record.len() != sheet.header.len() {
            let expected = format!("{} as in the header", sheet.header.len());
            return Err(Error::line(path, line, format!("{} fields", record.len()), expected));
        }
        sheet.rows.push(record.iter().map(str::to_owned).collect());
        sheet.lines.push(line);
    }
    if sheet.header.is_empty() {
        return Err(Error::line(path, 1, "an empty file", "a line with the names of the columns"));
    }
    if sheet.rows.is_empty() {
        return Err(Error::line(path, 2, "the end of the file", "rows below the header"));
    }
    Ok(sheet)
}

/// Reads a file of at most 2 GiB.
pub(crate) fn read_file(path: &Path) -> Result<Sheet> {
    const MAXIMUM_BYTES: u64 = 2 << 30;
    let io = |source| Error::io(path, source);
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAXIMUM_BYTES {
        return Err(Error::mismatch(path, format!("{size} bytes"), format!("at most {MAXIMUM_BYTES} bytes")));
    }
    parse(&std::fs::read(path).map_err(io)?, path)
}

fn header(record: &csv::StringRecord, line: u64, path: &Path) -> Result<Vec<String>> {
    let names: Vec<String> = record
        .iter()
        .enumerate()
        .map(|(at, name)| if name.is_empty() { format!("column {}", at + 1) } else { name.to_owned() })
        .collect();
    let mut seen = std::collections::HashMap::new();
    for (at, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name, at) {
            let got = format!("the name '{name}' for the columns {} and {}", first + 1, at + 1);
            return Err(Error::line(path, line, got, "a different name for each column"));
        }
    }
    Ok(names)
}

/// The most frequent of comma, semicolon and tab in the first line that is not empty, outside of quotes.
fn delimiter(text: &str) -> u8 {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in line.bytes() {
        quoted ^= byte == b'"';
        for (_, count) in counts.iter_mut().filter(|(delimiter, _)| *delimiter == byte && !quoted) {
            *count += 1;
        }
    }
    // The first of equals: `max_by_key` would return the last.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}
