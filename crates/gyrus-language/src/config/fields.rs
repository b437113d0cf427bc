//! Reads the fields of a JSON object and records which were read; a field that was never read is unsupported.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The largest size that is accepted: above every published model.
const LIMIT: usize = 1 << 24;

pub(super) struct Fields<'a> {
    path: &'a Path,
    prefix: String,
    map: &'a Map<String, Value>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(path: &'a Path, prefix: &str, map: &'a Map<String, Value>) -> Self {
        Self { path, prefix: prefix.to_owned(), map, asked: RefCell::default() }
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn error(&self, field: &str, got: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::field(self.path, format!("{}{field}", self.prefix), got, expected)
    }

    /// The value of a field; `None` if it is missing or null.
    pub(super) fn value(&self, field: &str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(field.to_owned());
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field exists, even as null.
    pub(super) fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    fn wrong(&self, field: &str, value: &Value, expected: &str) -> Error {
        let mut got = value.to_string();
        if got.len() > 60 {
            got = format!("{}…", got.chars().take(60).collect::<String>());
        }
        self.error(field, got, expected)
    }

    fn missing(&self, field: &str, expected: &str) -> Error {
        self.error(field, "nothing", expected)
    }

    /// A size from 1 to [`LIMIT`].
    pub(super) fn optional_count(&self, field: &str) -> Result<Option<usize>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        match count.filter(|count| (1..=LIMIT).contains(count)) {
            Some(count) => Ok(Some(count)),
            None => Err(self.wrong(field, value, "an integer from 1 to 16777216")),
        }
    }

    pub(super) fn count(&self, field: &str) -> Result<usize> {
        self.optional_count(field)?.ok_or_else(|| self.missing(field, "an integer"))
    }

    pub(super) fn count_or(&self, field: &str, default: usize) -> Result<usize> {
        Ok(self.optional_count(field)?.unwrap_or(default))
    }

    pub(super) fn optional_number(&self, field: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(field, value, "a number")),
        }
    }

    pub(super) fn number_or(&self, field: &str, default: f64) -> Result<f64> {
        Ok(self.optional_number(field)?.unwrap_or(default))
    }

    /// A positive number.
    pub(super) fn positive(&self, field: &str, default: Option<f64>) -> Result<f64> {
        let number = self.optional_number(field)?.or(default);
        let number = number.ok_or_else(|| self.missing(field, "a number"))?;
        if number > 0.0 { Ok(number) } else { Err(self.error(field, number.to_string(), "a number above 0")) }
    }

    pub(super) fn flag(&self, field: &str, default: bool) -> Result<bool> {
        let Some(value) = self.value(field) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(field, value, "true or false"))
    }

    pub(super) fn text(&self, field: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(field, value, "a string"))
    }

    pub(super) fn object(&self, field: &str) -> Result<Option<&'a Map<String, Value>>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        value.as_object().map(Some).ok_or_else(|| self.wrong(field, value, "an object"))
    }

    pub(super) fn array(&self, field: &str) -> Result<Option<&'a Vec<Value>>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        value.as_array().map(Some).ok_or_else(|| self.wrong(field, value, "a list"))
    }

    /// A list of positive numbers of this length.
    pub(super) fn numbers(&self, field: &str, length: usize) -> Result<Vec<f64>> {
        let list = self.array(field)?.ok_or_else(|| self.missing(field, "a list of numbers"))?;
        let numbers: Option<Vec<f64>> =
            list.iter().map(|value| value.as_f64().filter(|number| *number > 0.0)).collect();
        numbers.filter(|numbers| numbers.len() == length).ok_or_else(|| {
            self.error(field, format!("{} values", list.len()), format!("{length} numbers above 0"))
        })
    }

    /// A token or a list of tokens.
    pub(super) fn tokens(&self, field: &str) -> Result<Vec<u32>> {
        let Some(value) = self.value(field) else { return Ok(Vec::new()) };
        let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let tokens = list.iter().map(|value| value.as_u64().and_then(|token| u32::try_from(token).ok()));
        tokens.collect::<Option<_>>().ok_or_else(|| self.wrong(field, value, "a token or a list of tokens"))
    }

    /// Fails unless these fields are off; what they enable is not supported.
    pub(super) fn refuse(&self, fields: &[&str]) -> Result<()> {
        for field in fields {
            if let Some(value) = self.value(field)
                && *value != Value::Bool(false)
            {
                return Err(self.wrong(field, value, "false or nothing, because Gyrus does not support it"));
            }
        }
        Ok(())
    }

    /// Fails if there is a field that was not read, is not in `inert` and is not off.
    pub(super) fn finish(&self, inert: &[&str]) -> Result<()> {
        let asked = self.asked.borrow();
        let off = |value: &Value| value.is_null() || *value == Value::Bool(false);
        let unknown = self
            .map
            .iter()
            .find(|(name, value)| !asked.contains(*name) && !inert.contains(&name.as_str()) && !off(value));
        match unknown {
            Some((name, value)) => Err(self.wrong(name, value, "only fields that Gyrus knows")),
            None => Ok(()),
        }
    }
}
