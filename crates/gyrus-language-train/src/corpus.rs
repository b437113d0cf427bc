//! A training corpus: a text file, a folder of them, or a `.jsonl` file with a `text` in each line.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The most bytes of text; they and their tokens stay in memory.
pub(crate) const MAXIMUM_BYTES: u64 = 4 << 30;

/// The texts of a corpus, in order.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The name of the file or folder, without its extension.
    pub name: String,
    /// The documents; each file is one.
    pub documents: Vec<String>,
    /// SHA-256 over the documents and their lengths, in hexadecimal.
    pub fingerprint: String,
}

impl Corpus {
    /// Whether `path` looks like a corpus: a `.txt` or `.jsonl` file, or a folder that contains `.txt` files and no
    /// subfolder.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        if path.is_file() {
            return ending(path).is_some_and(|ending| ending == "txt" || ending == "jsonl");
        }
        let Ok(entries) = std::fs::read_dir(path) else { return false };
        let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.iter().any(|path| is_text(path)) && !paths.iter().any(|path| path.is_dir())
    }

    /// Reads a corpus. The `.txt` files of a folder are its documents, in order of their names.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Io`], [`gyrus_formats::Error::Format`] for bytes that are not UTF-8,
    /// [`gyrus_formats::Error::Field`] for a line without text, and [`gyrus_formats::Error::Mismatch`] for a corpus that is empty
    /// or too large.
    pub fn read(path: &Path) -> Result<Self> {
        let documents = if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|source| Error::io(path, source))?;
            let mut files = Vec::new();
            for entry in entries {
                files.push(entry.map_err(|source| Error::io(path, source))?.path());
            }
            files.retain(|file| is_text(file));
            files.sort();
            let mut left = MAXIMUM_BYTES;
            files.iter().map(|file| read_text(file, &mut left)).collect::<Result<Vec<String>>>()?
        } else {
            let mut left = MAXIMUM_BYTES;
            let text = read_text(path, &mut left)?;
            if ending(path).is_some_and(|ending| ending == "jsonl") {
                lines(path, &text)?
            } else {
                vec![text]
            }
        };
        if documents.iter().all(String::is_empty) {
            return Err(Error::mismatch(path, "no text", "text to learn from"));
        }
        let mut hash = Sha256::new();
        for document in &documents {
            hash.update((document.len() as u64).to_le_bytes());
            hash.update(document.as_bytes());
        }
        let fingerprint = gyrus_files::hexadecimal(&hash.finalize());
        let name =
            path.file_stem().map_or_else(|| "corpus".into(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, documents, fingerprint })
    }

    /// Total bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.documents.iter().map(String::len).sum()
    }

    /// Total characters.
    #[must_use]
    pub fn characters(&self) -> usize {
        self.documents.iter().map(|text| text.chars().count()).sum()
    }
}

fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

fn is_text(path: &Path) -> bool {
    path.is_file() && ending(path).is_some_and(|ending| ending == "txt")
}

/// Reads a text file of at most `left` bytes, and reduces `left` by its length.
pub(crate) fn read_text(path: &Path, left: &mut u64) -> Result<String> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
    *left = left.checked_sub(metadata.len()).ok_or_else(|| {
        let expected = format!("texts of at most {MAXIMUM_BYTES} bytes together");
        Error::mismatch(path, format!("{} bytes", metadata.len()), expected)
    })?;
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let got = format!("the byte 0x{:02x}", error.as_bytes()[offset]);
        Error::format(path, offset as u64, got, "text in UTF-8")
    })
}

/// The documents of a `.jsonl` file.
fn lines(path: &Path, text: &str) -> Result<Vec<String>> {
    let filled = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let document = |(index, line): (usize, &str)| {
        let field = format!("line {}: text", index + 1);
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| {
            Error::field(path, format!("line {}", index + 1), error.to_string(), "a JSON object")
        })?;
        match value.get("text") {
            Some(serde_json::Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(Error::field(path, field, kind(other), "a string")),
            None => Err(Error::field(path, field, "nothing", "a string")),
        }
    };
    filled.map(document).collect()
}

pub(crate) fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "true or false",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_lines_are_read_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let second = write("b.txt", b"second");
        write("a.txt", "first: \u{e4}".as_bytes());
        assert!(Corpus::is_at(folder.path()) && Corpus::is_at(&second));
        let all = Corpus::read(folder.path()).unwrap();
        assert_eq!(all.documents, ["first: \u{e4}", "second"]);
        assert_eq!((all.bytes(), all.characters()), (15, 14));
        assert_ne!(all.fingerprint, Corpus::read(&second).unwrap().fingerprint);

        let lines = write("c.jsonl", b"{\"text\": \"one\"}\n\n{\"text\": \"two\", \"id\": 3}\n");
        assert_eq!(Corpus::read(&lines).unwrap().documents, ["one", "two"]);
        let message = |name: &str, bytes: &[u8]| Corpus::read(&write(name, bytes)).unwrap_err().to_string();
        assert!(
            message("d.jsonl", b"{\"text\": \"one\"}\n{\"text\": 3}\n")
                .ends_with("d.jsonl, field 'line 2: text': got a number, expected a string")
        );
        assert!(message("e.jsonl", b"{\"text\"").contains("line 1"));
        assert!(message("f.txt", b"ab\xffcd").contains("byte 2: got the byte 0xff"));
        assert!(message("g.txt", b"").contains("got no text"));
        assert!(!Corpus::is_at(&folder.path().join("none")));
    }
}
