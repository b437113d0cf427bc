//! The keys of a table in a TOML file, with their lines: each is taken once, and what nobody takes is refused.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{Error, Result};

/// A table on its way into a struct.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    text: &'a str,
    /// What messages call it, such as "population `E`".
    pub(super) place: String,
    /// Its line in the file.
    pub(super) line: usize,
    entries: Vec<(String, usize, Spanned<DeValue<'a>>)>,
    /// The keys that were asked for.
    asked: Vec<String>,
}

/// The line, from 1, of a byte.
pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes()[..span.start.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// [`Error::Toml`].
pub(super) fn at(line: usize, problem: impl Into<String>) -> Error {
    Error::Toml { line, problem: problem.into() }
}

impl<'a> Fields<'a> {
    pub(super) fn document(text: &'a str) -> Result<Self> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, &span));
            at(line, error.message().to_owned())
        })?;
        Ok(Self::new(text, "the file".to_owned(), 1, table.into_inner()))
    }

    fn new(text: &'a str, place: String, line: usize, table: DeTable<'a>) -> Self {
        let entry = |(key, value): (Spanned<_>, _)| {
            let line = line_of(text, &key.span());
            let key: std::borrow::Cow<'a, str> = key.into_inner();
            (key.into_owned(), line, value)
        };
        let entries = table.into_iter().map(entry).collect();
        Self { text, place, line, entries, asked: Vec::new() }
    }

    /// A table below a key; `place` is what messages call it.
    fn table(&self, place: String, value: Spanned<DeValue<'a>>) -> Result<Self> {
        let line = line_of(self.text, &value.span());
        match value.into_inner() {
            DeValue::Table(table) => Ok(Self::new(self.text, place, line, table)),
            other => Err(at(line, format!("{place} is {}; expected a table", kind(&other)))),
        }
    }

    /// The value of a key and its line.
    pub(super) fn take(&mut self, key: &str) -> Option<(Spanned<DeValue<'a>>, usize)> {
        self.asked.push(key.to_owned());
        let found = self.entries.iter().position(|entry| entry.0 == key)?;
        let (_, line, value) = self.entries.remove(found);
        Some((value, line))
    }

    /// The line of a key, or of the table where it is missing.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.entries.iter().find(|entry| entry.0 == key).map_or(self.line, |entry| entry.1)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.0 == key)
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&mut self, key: &str) -> Result<Vec<Self>> {
        let Some((value, line)) = self.take(key) else { return Ok(Vec::new()) };
        match value.into_inner() {
            DeValue::Array(values) => {
                let named = values.into_iter().enumerate();
                named.map(|(index, value)| self.table(format!("{key} {}", index + 1), value)).collect()
            }
            other => Err(at(line, format!("`{key}` is {}; expected tables [[{key}]]", kind(&other)))),
        }
    }

    /// The tables below a key, by their names.
    pub(super) fn named_tables(&mut self, key: &str) -> Result<Vec<(String, Self)>> {
        let Some((value, _)) = self.take(key) else { return Ok(Vec::new()) };
        let inner = self.table(format!("`{key}`"), value)?;
        let Self { entries, .. } = inner;
        let named = entries.into_iter();
        named
            .map(|(name, _, value)| Ok((name.clone(), self.table(format!("{key} `{name}`"), value)?)))
            .collect()
    }

    /// Adds the entries of `base` that are not here.
    pub(super) fn fill_from(&mut self, base: &Self) {
        for entry in &base.entries {
            if !self.has(&entry.0) {
                self.entries.push(entry.clone());
            }
        }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        match value.into_inner() {
            DeValue::String(text) => Ok(Some(text.into_owned())),
            other => Err(self.not(line, key, &other, "a text in quotes")),
        }
    }

    /// A text, or several.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<(Vec<String>, usize)>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        let text = |value: DeValue<'_>| match value {
            DeValue::String(text) => Ok(text.into_owned()),
            other => Err(self.not(line, key, &other, "a text in quotes, or several in brackets")),
        };
        let texts: Result<Vec<String>> = match value.into_inner() {
            DeValue::Array(values) => values.into_iter().map(|value| text(value.into_inner())).collect(),
            other => text(other).map(|text| vec![text]),
        };
        Ok(Some((texts?, line)))
    }

    /// A number; whole ones are converted.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        match as_number(value.get_ref()) {
            Some(value) => Ok(Some(value)),
            None => Err(self.not(line, key, value.get_ref(), "a number")),
        }
    }

    /// A whole number of at least 0.
    pub(super) fn whole(&mut self, key: &str) -> Result<Option<u64>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        match as_whole(value.get_ref()) {
            Some(value) => Ok(Some(value)),
            None => Err(self.not(line, key, value.get_ref(), "a whole number of at least 0")),
        }
    }

    /// True or false.
    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        match value.into_inner() {
            DeValue::Boolean(value) => Ok(Some(value)),
            other => Err(self.not(line, key, &other, "true or false")),
        }
    }

    /// A range of neurons, as first and the one after the last.
    pub(super) fn range(&mut self, key: &str) -> Result<Option<Range<usize>>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        let ends: Vec<u64> = match value.get_ref() {
            DeValue::Array(values) => values.iter().filter_map(|value| as_whole(value.get_ref())).collect(),
            _ => Vec::new(),
        };
        match ends[..] {
            [first, end] if first < end => Ok(Some(first as usize..end as usize)),
            _ => {
                Err(self.not(line, key, value.get_ref(), "[first, the one after the last], such as [0, 50]"))
            }
        }
    }

    /// Numbers in brackets, or such lists in brackets; a single list stands for one row.
    pub(super) fn rows(&mut self, key: &str) -> Result<Option<Vec<Vec<f64>>>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        let numbers = |value: &DeValue<'_>| match value {
            DeValue::Array(values) => values.iter().map(|value| as_number(value.get_ref())).collect(),
            _ => None,
        };
        let rows: Option<Vec<Vec<f64>>> = match value.get_ref() {
            DeValue::Array(values) if values.iter().any(|value| value.get_ref().is_array()) => {
                values.iter().map(|value| numbers(value.get_ref())).collect()
            }
            single => numbers(single).map(|row| vec![row]),
        };
        match rows {
            Some(rows) => Ok(Some(rows)),
            None => Err(self.not(line, key, value.get_ref(), "numbers in brackets, or lists of them")),
        }
    }

    /// A table below a key, or the value as it is.
    pub(super) fn value_or_table(&mut self, key: &str) -> Result<Option<(ValueOrTable<'a>, usize)>> {
        let Some((value, line)) = self.take(key) else { return Ok(None) };
        let place = format!("`{key}` of {}", self.place);
        Ok(Some(match value.get_ref() {
            DeValue::Table(_) => (ValueOrTable::Table(self.table(place, value)?), line),
            other => match as_number(other) {
                Some(number) => (ValueOrTable::Number(number), line),
                None => return Err(self.not(line, key, other, "a number, or a table of a distribution")),
            },
        }))
    }

    /// An error about a key that is missing.
    pub(super) fn missing(&self, key: &str) -> Error {
        // A key with another unit, or without one, is nearly the right one.
        let stem = |key: &str| key.rsplit_once('_').map_or(key, |(stem, _)| stem).to_lowercase();
        let near = self
            .entries
            .iter()
            .find(|entry| stem(&entry.0) == stem(key) || entry.0.to_lowercase() == stem(key));
        match near {
            Some((given, line, _)) => at(*line, format!("{}: `{given}` should be `{key}`", self.place)),
            None => at(self.line, format!("{}: `{key}` is missing", self.place)),
        }
    }

    fn not(&self, line: usize, key: &str, value: &DeValue<'_>, expected: &str) -> Error {
        at(line, format!("{}: `{key}` is {}; expected {expected}", self.place, kind(value)))
    }

    /// Refuses what nobody asked for, with the key that was probably meant.
    pub(super) fn finish(self) -> Result<()> {
        let Some((key, line, _)) = self.entries.first() else { return Ok(()) };
        let lower = key.to_lowercase();
        let without_unit = self.asked.iter().find(|known| {
            known.rsplit_once('_').is_some_and(|(stem, unit)| stem.to_lowercase() == lower && is_unit(unit))
        });
        if let Some(known) = without_unit {
            return Err(at(*line, format!("{}: `{key}` has no unit; write `{known}`", self.place)));
        }
        let similarity = |known: &String| strsim::jaro_winkler(&known.to_lowercase(), &lower);
        let nearest = self.asked.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        let hint = match nearest.filter(|known| similarity(known) > 0.8) {
            Some(known) => format!("did you mean `{known}`?"),
            None => {
                let mut known = self.asked.clone();
                known.sort();
                known.dedup();
                format!("it knows: {}", known.join(", "))
            }
        };
        Err(at(*line, format!("{}: unknown key `{key}`; {hint}", self.place)))
    }
}

/// What stands at a key that may hold a distribution.
pub(super) enum ValueOrTable<'a> {
    Number(f64),
    Table(Fields<'a>),
}

fn is_unit(text: &str) -> bool {
    matches!(text, "ms" | "mV" | "pF" | "pA" | "nS" | "hz")
}

fn as_number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64)
        }
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

fn as_whole(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// What messages call a value.
fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{}\"", text.chars().take(40).collect::<String>()),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
