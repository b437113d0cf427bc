//! Files of JSON records: one per line (JSON Lines), a list of them, or an object that holds such a list.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A record and its place in the file.
pub(crate) struct Record {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// The place of a record, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of JSON Lines.
    Line(usize),
    /// An entry of a list.
    Entry(usize),
}

impl Place {
    /// Its number.
    #[must_use]
    pub fn number(self) -> usize {
        match self {
            Self::Line(number) | Self::Entry(number) => number,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Entry(entry) => write!(f, "entry {entry}"),
        }
    }
}

/// The records of a file.
pub(crate) fn records(path: &Path, text: &str) -> Result<Vec<Record>> {
    if text.trim_start().starts_with('[') {
        let list: Vec<Value> = serde_json::from_str(text)
            .map_err(|error| Error::field(path, "the list", error.to_string(), "a JSON list of records"))?;
        return Ok(entries(list));
    }
    let filled = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = filled.map(|(index, line)| {
        let value = serde_json::from_str(line).map_err(|error| {
            // The position within the line; its number there is always 1.
            Error::field(path, format!("line {}", index + 1), error.to_string(), "a JSON object")
        })?;
        Ok(Record { place: Place::Line(index + 1), value })
    });
    let lines = parsed.collect::<Result<Vec<Record>>>();
    // One object over several lines, or one that holds everything.
    if lines.as_ref().map_or(true, |lines| lines.len() == 1)
        && let Ok(Value::Object(object)) = serde_json::from_str(text)
    {
        if let Some(list) = only_list(&object) {
            return Ok(entries(list.clone()));
        }
        if lines.is_err() {
            return Ok(entries(vec![Value::Object(object)]));
        }
    }
    lines
}

/// The list of records in an object that is no record itself, such as `{"data": [...]}`.
fn only_list(object: &Map<String, Value>) -> Option<&Vec<Value>> {
    /// Fields of a record.
    const OWN: [&str; 7] =
        ["messages", "conversations", "conversation", "prompt", "completion", "tools", "text"];
    if object.keys().any(|name| OWN.contains(&name.as_str())) {
        return None;
    }
    let lists = object.values().filter_map(Value::as_array);
    let mut lists = lists.filter(|list| !list.is_empty() && list.iter().all(Value::is_object));
    lists.next().filter(|_| lists.next().is_none())
}

fn entries(list: Vec<Value>) -> Vec<Record> {
    list.into_iter().zip(1..).map(|(value, entry)| Record { place: Place::Entry(entry), value }).collect()
}

/// The fields of a record, for messages.
pub(crate) fn fields(value: &Value) -> String {
    /// More would not be read.
    const SHOWN: usize = 12;
    match value {
        Value::Object(object) if object.is_empty() => "an empty object".to_owned(),
        Value::Object(object) => {
            let names: Vec<&str> = object.keys().map(String::as_str).take(SHOWN).collect();
            let more = if object.len() > SHOWN { ", ..." } else { "" };
            let what = if object.len() == 1 { "field" } else { "fields" };
            format!("the {what} {}{more}", names.join(", "))
        }
        other => kind(other).to_owned(),
    }
}

/// What a value is, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let records = records(Path::new("x.json"), text).unwrap();
        records.iter().map(|record| (record.place.to_string(), record.value.to_string())).collect()
    }

    #[test]
    fn lines_lists_and_objects_of_lists_are_read() {
        let pair = |place: &str, value: &str| (place.to_owned(), value.to_owned());
        assert_eq!(
            found("{\"a\":1}\r\n\r\n{\"a\":2}"),
            [pair("line 1", "{\"a\":1}"), pair("line 3", "{\"a\":2}")]
        );
        assert_eq!(
            found(" [ {\"a\":1},\n{\"a\":2}]"),
            [pair("entry 1", "{\"a\":1}"), pair("entry 2", "{\"a\":2}")]
        );
        assert_eq!(found("{\"version\": 1,\n\"data\": [{\"a\":1}]\n}"), [pair("entry 1", "{\"a\":1}")]);
        assert_eq!(found("{\n\"text\": \"a\"\n}"), [pair("entry 1", "{\"text\":\"a\"}")]);
        assert_eq!(found("{\"messages\": [{\"a\":1}]}"), [pair("line 1", "{\"messages\":[{\"a\":1}]}")]);
        let said = |text| records(Path::new("x.json"), text).err().unwrap().to_string();
        assert!(said("{\"a\":1}\n{").contains("line 2"), "{}", said("{\"a\":1}\n{"));
        assert!(said("[{\"a\":1},").contains("the list"));
    }
}
