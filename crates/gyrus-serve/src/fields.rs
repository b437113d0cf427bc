//! Takes the fields of a JSON object one by one; fields left at the end are unknown.

use serde_json::{Map, Value};

use crate::error::{ApiError, Result};

/// Fields without effect on the answer.
const WITHOUT_EFFECT: [&str; 10] = [
    "annotations",
    "cache_control",
    "prediction",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// An object whose fields are being taken. A null field counts as missing.
pub(crate) struct Fields {
    /// The prefix of field names in messages.
    place: String,
    fields: Map<String, Value>,
    /// A field by its given name and by the name under which it is taken.
    renamed: Option<(&'static str, &'static str)>,
}

impl Fields {
    /// Parses an object.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| ApiError::invalid(format!("the body is not JSON: {error}")))?;
        match value {
            Value::Object(fields) => Ok(Self { place: String::new(), fields, renamed: None }),
            _ => Err(ApiError::invalid("the body: got something else, expected an object")),
        }
    }

    /// An object inside another, at `place`.
    pub(crate) fn of(value: Value, place: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(fields) => Ok(Self { place: format!("{place}."), fields, renamed: None }),
            other => Err(ApiError::field(place, kind(&other), "an object")),
        }
    }

    /// The full name of a field.
    pub(crate) fn at(&self, name: &str) -> String {
        let given = self.renamed.filter(|(_, taken)| *taken == name).map_or(name, |(given, _)| given);
        format!("{}{given}", self.place)
    }

    /// A field, unchanged.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.fields.shift_remove(name).filter(|value| !value.is_null())
    }

    /// A field, without taking it.
    pub(crate) fn peek(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Gives a field another value.
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    /// Takes a field by another name; messages keep the one that was given.
    pub(crate) fn rename(&mut self, given: &'static str, name: &'static str) {
        if let Some(value) = self.fields.shift_remove(given) {
            self.fields.insert(name.to_owned(), value);
            self.renamed = Some((given, name));
        }
    }

    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(ApiError::field(&self.at(name), shown(&value), expected)),
        }
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.take(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.take(name, "true or false", Value::as_bool)
    }

    /// A number within bounds.
    pub(crate) fn number(&mut self, name: &str, least: f64, most: f64) -> Result<Option<f32>, ApiError> {
        self.take(name, &format!("a number from {least} to {most}"), |value| {
            value.as_f64().filter(|number| (least..=most).contains(number)).map(|number| number as f32)
        })
    }

    /// An integer within bounds.
    pub(crate) fn count(&mut self, name: &str, least: u64, most: u64) -> Result<Option<usize>, ApiError> {
        self.take(name, &format!("an integer from {least} to {most}"), |value| {
            let number = value.as_u64().filter(|number| (least..=most).contains(number))?;
            usize::try_from(number).ok()
        })
    }

    /// A signed or unsigned 64-bit integer, as its 64 bits.
    pub(crate) fn seed(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        self.take(name, "a 64-bit integer", |value| {
            value.as_u64().or_else(|| value.as_i64().map(|number| number as u64))
        })
    }

    /// The elements of a list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(ApiError::field(&self.at(name), kind(&other), "a list")),
        }
    }

    /// A required field.
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, ApiError> {
        value.ok_or_else(|| ApiError::field(&self.at(name), "nothing", "a value"))
    }

    /// Fails if a field was not taken that would change the answer.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        let unknown = self
            .fields
            .iter()
            .find(|(name, value)| !value.is_null() && !WITHOUT_EFFECT.contains(&name.as_str()));
        match unknown {
            Some((name, _)) => Err(ApiError::unsupported(&self.at(&shortened(name)))),
            None => Ok(()),
        }
    }
}

/// The kind of a value, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A short value, or its kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 40 => format!("{text:?}"),
        other => kind(other).to_owned(),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}
