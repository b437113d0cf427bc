//! Tables of text: comma, semicolon, tab or bar between the fields; UTF-8, UTF-16 or Windows-1252; gzipped or not.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::params_from_iter;

use super::infer::{Kind, Seen};
use super::{Loading, distinct};

/// The delimiters that are tried; of equals the first wins.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records by which the delimiter is chosen.
const RECORDS_TRIED: usize = 50;

/// Reads a file twice: what its columns hold, and its rows.
pub(super) fn load(path: &Path, loading: &mut Loading<'_>) -> Result<(), String> {
    let bytes = read(path, *loading.left)?;
    loading.take(bytes.len() as u64)?;
    let (text, note) = decode(&bytes)?;
    note.into_iter().for_each(|note| loading.note(note));
    let delimiter = delimiter(&text);
    let mut header = reader(&text, delimiter).into_records();
    let names = match header.next() {
        Some(Ok(record)) => record.iter().map(str::to_owned).collect::<Vec<_>>(),
        _ => return Err("an empty file; expected a line with the names of the columns".to_owned()),
    };
    let (names, notes) = distinct(names);
    notes.iter().for_each(|note| loading.note(note));
    let mut seen = vec![Seen::default(); names.len()];
    let mut record = csv::StringRecord::new();
    let mut rows = reader(&text, delimiter);
    let read_record = |rows: &mut csv::Reader<&[u8]>, record: &mut csv::StringRecord| {
        let found = rows.read_record(record).map_err(|error| error.to_string())?;
        if found && record.len() != names.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(format!("line {line} has {} fields; the header has {}", record.len(), names.len()));
        }
        Ok(found)
    };
    read_record(&mut rows, &mut record)?;
    while read_record(&mut rows, &mut record)? {
        seen.iter_mut().zip(&record).for_each(|(seen, cell)| seen.see(cell));
    }
    let kinds: Vec<Kind> = seen.iter().map(Seen::kind).collect();
    for ((seen, kind), name) in seen.iter().zip(&kinds).zip(&names) {
        match kind {
            Kind::Slashed { month_first } => {
                let order = if *month_first { "month/day/year" } else { "day/month/year" };
                loading.note(&format!("{name} is read as {order}"));
            }
            Kind::Text if seen.is_ambiguous() => {
                loading.note(&format!("{name} stays text: its dates may be day/month or month/day"));
            }
            _ => {}
        }
    }
    let columns: Vec<_> = names.iter().cloned().zip(kinds.iter().map(|kind| kind.declared())).collect();
    let insert = loading.create(&columns)?;
    let mut marks = 0_usize;
    {
        let mut statement = loading.connection.prepare(&insert).map_err(|error| error.to_string())?;
        let mut rows = reader(&text, delimiter);
        read_record(&mut rows, &mut record)?;
        while read_record(&mut rows, &mut record)? {
            let cells = kinds.iter().zip(&record).map(|(kind, cell)| {
                let (value, is_mark) = kind.value(cell);
                marks += usize::from(is_mark);
                value
            });
            statement.execute(params_from_iter(cells)).map_err(|error| error.to_string())?;
        }
    }
    if marks > 0 {
        let cells = if marks == 1 { "cell" } else { "cells" };
        loading.note(&format!(
            "{marks} {cells} such as NA or - in columns of numbers or dates are missing values"
        ));
    }
    loading.finish()
}

/// The bytes of a file, decompressed, at most so many.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let is_gzip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let mut bytes = Vec::new();
    let limit = most + 1;
    let read = match is_gzip {
        true => flate2::read::MultiGzDecoder::new(file).take(limit).read_to_end(&mut bytes),
        false => file.take(limit).read_to_end(&mut bytes),
    };
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The text without a byte-order mark, and a note where its encoding had to be guessed.
fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<&'static str>), String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        let text =
            String::from_utf16(&units).map_err(|_| "broken UTF-16; save the table as UTF-8".to_owned())?;
        Ok((Cow::Owned(text), None))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        // Every other byte of the first letters is 0: UTF-16 without its mark.
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => return utf16(bytes, u16::from_le_bytes),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => return utf16(bytes, u16::from_be_bytes),
        _ => {}
    }
    if bytes.iter().take(4096).any(|byte| *byte == 0) {
        return Err("zero bytes: not a table of text".to_owned());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)), None)),
        Err(_) => {
            let text: String = bytes.iter().map(|&byte| windows_1252(byte)).collect();
            Ok((Cow::Owned(text), Some("not UTF-8; read as Windows-1252")))
        }
    }
}

/// A letter of the code page that most tables without UTF-8 are in.
fn windows_1252(byte: u8) -> char {
    const FROM_80: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

/// The delimiter that cuts the first records into the same number of fields, at least two; where several do, or none does, the
/// one that the header has most often.
fn delimiter(text: &str) -> u8 {
    let score = |delimiter: u8| {
        let records = reader(text, delimiter).into_records().take(RECORDS_TRIED);
        let lengths: Vec<usize> =
            records.map_while(|record| record.ok().map(|record| record.len())).collect();
        let first = lengths.first().copied().unwrap_or(0);
        (first > 1 && lengths.iter().all(|length| *length == first), first)
    };
    let scores = DELIMITERS.map(|delimiter| (delimiter, score(delimiter)));
    // The first of equals: `max_by_key` would return the last.
    scores.iter().rev().max_by_key(|(_, score)| *score).map_or(b',', |(delimiter, _)| *delimiter)
}
