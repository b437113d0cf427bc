//! Reading the entries of an architecture, and which of them were read: one that was not might change the result.

use std::cell::RefCell;
use std::collections::BTreeSet;

use gyrus_formats::gguf::{Gguf, Value};

use super::refused;
use crate::Result;

/// The entries under the name of the architecture.
pub(super) struct Entries<'a> {
    pub(super) file: &'a Gguf,
    prefix: String,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(file: &'a Gguf, architecture: &str) -> Self {
        Self { file, prefix: format!("{architecture}."), asked: RefCell::default() }
    }

    /// The whole key.
    pub(super) fn key(&self, name: &str) -> String {
        let key = format!("{}{name}", self.prefix);
        self.asked.borrow_mut().insert(key.clone());
        key
    }

    pub(super) fn error(
        &self,
        name: &str,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> crate::Error {
        refused(self.file, &self.key(name), got, expected)
    }

    /// An integer, or a list of equal ones: some writers repeat it for each layer.
    pub(super) fn optional_count(&self, name: &str) -> Result<Option<usize>> {
        let key = self.key(name);
        if let Some(Value::Numbers(numbers)) = self.file.entries.get(&key) {
            let first = numbers.first().copied().unwrap_or_default();
            let whole = first >= 0.0 && first <= f64::from(1 << 24) && first.fract() == 0.0;
            if !whole || numbers.iter().any(|&number| number != first) {
                return Err(self.error(name, "a list", "the same for all layers"));
            }
            return Ok(Some(first as usize));
        }
        Ok(self.file.count(&key)?)
    }

    /// An integer above 0.
    pub(super) fn count(&self, name: &str) -> Result<usize> {
        let count = self.optional_count(name)?.filter(|&count| count > 0);
        count.ok_or_else(|| self.error(name, "nothing", "an integer above 0"))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        Ok(self.file.number(&self.key(name))?)
    }

    /// A number of which 0 means that there is none.
    pub(super) fn nonzero(&self, name: &str) -> Result<Option<f64>> {
        Ok(self.number(name)?.filter(|&number| number != 0.0))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        Ok(self.file.text(&self.key(name))?)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.file.flag(&self.key(name), default)?)
    }

    /// A flag for each layer; a number `n` stands for a period of `n` layers, of which the last has no flag (0: none has).
    pub(super) fn flags(&self, name: &str, layers: usize) -> Result<Option<Vec<bool>>> {
        let key = self.key(name);
        match self.file.entries.get(&key) {
            None => Ok(None),
            Some(Value::Integer(period @ 0..=1024)) => Ok(Some(periodic(layers, *period as usize))),
            Some(Value::Numbers(flags)) if flags.len() == layers => {
                Ok(Some(flags.iter().map(|&flag| flag != 0.0).collect()))
            }
            Some(_) => Err(self.error(name, "something else", format!("a flag for each of {layers} layers"))),
        }
    }

    /// Fails for an entry of the architecture that was not read, is not in `inert` and says something.
    pub(super) fn finish(&self, inert: &[&str]) -> Result<()> {
        let asked = self.asked.borrow();
        let unknown = self.file.entries.iter().find(|(key, value)| {
            key.strip_prefix(&self.prefix).is_some_and(|name| {
                !asked.contains(*key) && !inert.contains(&name) && !says_nothing(name, value)
            })
        });
        match unknown {
            Some((key, value)) => {
                let got: String = format!("{value:?}").chars().take(60).collect();
                Err(refused(self.file, key, got, "only entries that Gyrus knows, or that change nothing"))
            }
            None => Ok(()),
        }
    }
}

/// Flags for all layers but the last of each period.
pub(super) fn periodic(layers: usize, period: usize) -> Vec<bool> {
    (0..layers).map(|layer| period > 0 && layer % period < period - 1).collect()
}

/// Whether an entry has the value that changes nothing: off, none, zero, or the factor 1.
fn says_nothing(name: &str, value: &Value) -> bool {
    let factor = ["scale", "factor", "mul", "alpha", "weight"].iter().any(|word| name.contains(word));
    match value {
        Value::Flag(flag) => !flag,
        Value::Integer(number) => *number == 0 || factor && *number == 1,
        Value::Number(number) => *number == 0.0 || factor && *number == 1.0,
        Value::Text(text) => text.is_empty() || text == "none",
        Value::Texts(texts) => texts.is_empty(),
        Value::Numbers(numbers) => numbers.iter().all(|&number| number == 0.0),
    }
}
