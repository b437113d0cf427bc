//! The configurations of SONATA: JSON with variables such as `$NETWORK_DIR` for the beginnings of paths.
//!
//! A file names its network and its simulation directly, or in `network` and `simulation` other files that do. Each file's
//! `manifest` holds its variables; paths are relative to the folder of their file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_files::read_text;
use serde_json::{Map, Value};

use crate::Result;
use crate::error::in_file;

/// The largest configuration.
const LIMIT: u64 = 16 << 20;
/// Variables within variables, and replacements in one text.
const MOST_REPLACEMENTS: usize = 64;
/// Bytes of a text after its replacements.
const LONGEST: usize = 1 << 16;
/// Files that name files.
const MOST_FILES: usize = 8;

/// A configuration with all its files, every variable replaced.
#[derive(Debug, Default)]
pub(super) struct Config {
    entries: Map<String, Value>,
    /// The file of each key, to which its paths are relative.
    files: BTreeMap<String, PathBuf>,
}

impl Config {
    /// Reads a file, or `config.json`, `simulation_config.json` or `circuit_config.json` of a folder.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut config = Self::default();
        config.add(&file_of(path)?, 0)?;
        Ok(config)
    }

    fn add(&mut self, path: &Path, depth: usize) -> Result<()> {
        let text = read_text(path, LIMIT)?;
        let read: Value = serde_json::from_str(&text)
            .map_err(|error| in_file(path, format!("line {}", error.line()), format!("not JSON: {error}")))?;
        let Value::Object(mut object) = read else {
            return Err(in_file(path, "", "expected a JSON object"));
        };
        let variables = match object.remove("manifest") {
            Some(Value::Object(variables)) => variables,
            _ => Map::new(),
        };
        for (key, value) in object {
            let value = replaced(value, &variables, path)?;
            match (key.as_str(), &value) {
                ("network" | "simulation", Value::String(file)) if depth < MOST_FILES => {
                    self.add(&beside(path, file), depth + 1)?;
                }
                _ => {
                    self.files.entry(key.clone()).or_insert(path.to_owned());
                    self.entries.entry(key).or_insert(value);
                }
            }
        }
        Ok(())
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// The file in which a key is given.
    pub(super) fn file(&self, key: &str) -> PathBuf {
        self.files.get(key).cloned().unwrap_or_default()
    }

    /// A path in the value of `key`, relative to its file.
    pub(super) fn path(&self, key: &str, path: &str) -> PathBuf {
        beside(&self.file(key), path)
    }
}

/// Whether a file or folder is a SONATA configuration, by its name.
#[must_use]
pub fn is_config(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json") || (path.is_dir() && file_of(path).is_ok())
}

fn file_of(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let names = ["config.json", "simulation_config.json", "circuit_config.json"];
    let found = names.map(|name| path.join(name)).into_iter().find(|file| file.is_file());
    found.ok_or_else(|| in_file(path, "", format!("no SONATA network: expected one of {}", names.join(", "))))
}

/// A path relative to the folder of a file.
pub(super) fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

/// A value with all variables in its texts replaced.
fn replaced(value: Value, variables: &Map<String, Value>, path: &Path) -> Result<Value> {
    Ok(match value {
        Value::String(text) => Value::String(replaced_text(text, variables, path)?),
        Value::Array(values) => {
            let values: Result<Vec<Value>> =
                values.into_iter().map(|value| replaced(value, variables, path)).collect();
            Value::Array(values?)
        }
        Value::Object(object) => {
            let mut kept = Map::new();
            for (key, value) in object {
                kept.insert(key, replaced(value, variables, path)?);
            }
            Value::Object(kept)
        }
        value => value,
    })
}

fn replaced_text(mut text: String, variables: &Map<String, Value>, path: &Path) -> Result<String> {
    for _ in 0..MOST_REPLACEMENTS {
        if text.len() > LONGEST {
            break;
        }
        let Some(start) = text.find('$') else { return Ok(text) };
        let rest = &text[start + 1..];
        let (name, length) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name.to_owned(), name.len() + 3),
            None => {
                let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                let end = rest.find(|letter| !letters(letter)).unwrap_or(rest.len());
                (rest[..end].to_owned(), end + 1)
            }
        };
        let value = [format!("${name}"), format!("${{{name}}}"), name.clone()]
            .iter()
            .find_map(|key| variables.get(key).and_then(Value::as_str));
        let Some(value) = value else {
            let known: Vec<&str> = variables.keys().map(String::as_str).collect();
            let problem = format!("`${name}` is not in its manifest, which has: {}", known.join(", "));
            return Err(in_file(path, "", problem));
        };
        text.replace_range(start..start + length, value);
    }
    Err(in_file(
        path,
        "manifest",
        format!("its variables name each other more than {MOST_REPLACEMENTS} times"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn variables_are_replaced_within_variables() {
        let manifest = variables(r#"{"$BASE_DIR": ".", "$NETWORK_DIR": "$BASE_DIR/network", "$X": "$X"}"#);
        let replaced = |text: &str| replaced_text(text.to_owned(), &manifest, Path::new("a.json"));
        assert_eq!(replaced("$NETWORK_DIR/v1.h5").unwrap(), "./network/v1.h5");
        assert_eq!(replaced("${NETWORK_DIR}_2").unwrap(), "./network_2");
        assert_eq!(replaced("plain").unwrap(), "plain");
        let message = replaced("$NET/v1.h5").unwrap_err().to_string();
        assert!(
            message.contains("`$NET` is not in its manifest") && message.contains("$BASE_DIR"),
            "{message}"
        );
        assert!(replaced("$X").unwrap_err().to_string().contains("name each other"));
    }
}
