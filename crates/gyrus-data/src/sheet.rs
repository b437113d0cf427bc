//! Text tables (CSV): encoding and delimiter found by themselves, one header line, quoted fields, every line of equal length.
//!
//! UTF-8 and UTF-16 with or without a byte-order mark, gzipped or not; comma, semicolon, tab or vertical bar.

use std::borrow::Cow;
use std::path::Path;

use crate::{Error, Result, read};

/// The delimiters that are tried; of equals the first wins.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Records by which the delimiter is chosen.
const RECORDS_TRIED: usize = 50;

/// The largest table, in bytes after decompression.
const MAXIMUM_BYTES: u64 = 2 << 30;

/// Cells that are named in a note; the others are counted.
const CELLS_NAMED: usize = 3;

/// A table as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The names of the columns, all different; an empty name becomes `column N`.
    pub header: Vec<String>,
    /// The rows, each as long as the header, without surrounding blanks.
    pub rows: Vec<Vec<String>>,
    /// The line of each row in the file, counted from 1.
    pub lines: Vec<u64>,
    /// What separates the fields.
    pub delimiter: u8,
    /// Whether the header names the first column.
    pub first_is_named: bool,
    /// What a person should know about the file, one sentence each.
    pub notes: Vec<String>,
}

/// Reads a table; `path` is for the errors. Empty lines are ignored. A cell with a NUL byte is emptied, and named in the notes.
///
/// # Errors
/// [`Error::Line`] for text that is neither UTF-8 nor UTF-16, no header, no rows, two columns of one name or a row that is
/// longer or shorter than the header.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Sheet> {
    let text = decode(bytes, path)?;
    let delimiter = delimiter(&text);
    let mut records = Vec::new();
    for record in reader(&text, delimiter).records() {
        let line_of = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
        let record = record.map_err(|error| {
            Error::line(path, line_of(error.position()), error.to_string(), "a row of a table")
        })?;
        records.push((line_of(record.position()), record));
    }
    let mut records = records.into_iter();
    let Some((line, first)) = records.next() else {
        return Err(Error::line(path, 1, "an empty file", "a line with the names of the columns"));
    };
    let rows: Vec<(u64, csv::StringRecord)> = records.collect();
    if rows.is_empty() {
        return Err(Error::line(path, line + 1, "the end of the file", "rows below the header"));
    }
    let mut names: Vec<&str> = first.iter().collect();
    // R writes the names of rows without a name for their column.
    if rows.iter().all(|(_, row)| row.len() == names.len() + 1) {
        let ends_empty = rows.iter().all(|(_, row)| row.iter().next_back().is_none_or(str::is_empty));
        names.insert(if ends_empty { names.len() } else { 0 }, "");
    }
    let mut sheet = Sheet {
        header: header(&names, line, path)?,
        rows: Vec::with_capacity(rows.len()),
        lines: Vec::with_capacity(rows.len()),
        delimiter,
        first_is_named: names.first().is_some_and(|name| !name.is_empty() && !name.starts_with("Unnamed: ")),
        notes: Vec::new(),
    };
    for (line, row) in rows {
        if row.len() != sheet.header.len() {
            let expected = format!("{} as in the header", sheet.header.len());
            return Err(Error::line(path, line, gyrus_files::counted(row.len() as u64, "field"), expected));
        }
        sheet.rows.push(row.iter().map(str::to_owned).collect());
        sheet.lines.push(line);
    }
    sheet.empty_unreadable_cells();
    Ok(sheet)
}

impl Sheet {
    /// Empties cells with a NUL byte, which is no text, and names them.
    fn empty_unreadable_cells(&mut self) {
        let mut named = Vec::new();
        for (row, line) in self.rows.iter_mut().zip(&self.lines) {
            for (cell, column) in row.iter_mut().zip(&self.header) {
                if cell.contains('\0') {
                    cell.clear();
                    named.push(format!("line {line}, column '{column}'"));
                }
            }
        }
        if !named.is_empty() {
            let cells = cells(&named);
            self.notes.push(format!("a cell holds a NUL byte and is taken as missing: {cells}"));
        }
    }
}

/// The first of these places, and how many more there are.
pub(crate) fn cells(places: &[String]) -> String {
    let shown = places.iter().take(CELLS_NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match places.len().saturating_sub(CELLS_NAMED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// Reads a file of at most 2 GiB, gzipped or not.
pub(crate) fn read_file(path: &Path) -> Result<Sheet> {
    let mut reader = read::Positioned::new(read::open(path)?, path);
    let bytes = reader.at_most(MAXIMUM_BYTES + 1)?;
    if bytes.len() as u64 > MAXIMUM_BYTES {
        return Err(Error::mismatch(
            path,
            format!("more than {MAXIMUM_BYTES} bytes"),
            format!("at most {MAXIMUM_BYTES} bytes"),
        ));
    }
    parse(&bytes, path)
}

/// The text of a file, without its byte-order mark.
fn decode<'a>(bytes: &'a [u8], path: &Path) -> Result<Cow<'a, str>> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks().0.iter().map(|pair| unit(*pair));
        let mut line = 1;
        let mut text = String::with_capacity(bytes.len() / 2);
        for letter in char::decode_utf16(units) {
            let letter = letter.map_err(|wrong| {
                let got = format!("the unpaired UTF-16 unit {:#06x}", wrong.unpaired_surrogate());
                Error::line(path, line, got, "UTF-16 text (save the table as UTF-8)")
            })?;
            line += u64::from(letter == '\n');
            text.push(letter);
        }
        Ok(Cow::Owned(text))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        // Every other byte of the first letters is 0: UTF-16 without its mark.
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => return utf16(bytes, u16::from_le_bytes),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => return utf16(bytes, u16::from_be_bytes),
        _ => {}
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u64;
        let wrong = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        Error::line(path, line, format!("the byte {wrong:#04x}"), "UTF-8 text (save the table as UTF-8)")
    })?;
    Ok(Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)))
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

fn header(names: &[&str], line: u64, path: &Path) -> Result<Vec<String>> {
    let names: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(at, name)| if name.is_empty() { format!("column {}", at + 1) } else { (*name).to_owned() })
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

/// The delimiter that cuts the first records into the same number of fields, at least two; where several do, or none does, the
/// one that the header has most often.
fn delimiter(text: &str) -> u8 {
    let fields = |delimiter: u8| {
        let records = reader(text, delimiter).into_records().take(RECORDS_TRIED);
        records.map_while(|record| record.ok().map(|record| record.len())).collect::<Vec<usize>>()
    };
    let score = |delimiter: u8| {
        let lengths = fields(delimiter);
        let first = lengths.first().copied().unwrap_or(0);
        (first > 1 && lengths.iter().all(|length| *length == first), first)
    };
    let scores = DELIMITERS.map(|delimiter| (delimiter, score(delimiter)));
    // The first of equals: `max_by_key` would return the last.
    scores.iter().rev().max_by_key(|(_, score)| *score).map_or(b',', |(delimiter, _)| *delimiter)
}
