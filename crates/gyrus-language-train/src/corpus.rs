//! A training corpus: a text file, a folder of them, or a file of JSON records with a `text` each.
//!
//! Texts may be in UTF-8 with or without a byte order mark, in UTF-16 with one, and gzipped. The line ends of Windows become
//! plain ones, as Python reads them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::records::{Place, Record, kind, records};
use crate::{Error, Result, TokenizerKind};

/// The most bytes of text; they and their tokens stay in memory.
pub(crate) const MAXIMUM_BYTES: u64 = 4 << 30;
/// Names of text files end in one of these, perhaps with `.gz` behind it.
const TEXTS: [&str; 3] = ["txt", "text", "md"];
/// Names of files of records end in one of these, perhaps with `.gz` behind it.
const RECORDS: [&str; 3] = ["jsonl", "ndjson", "json"];

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
    /// Whether `path` looks like a corpus: a file whose name ends in `.txt`, `.md`, `.jsonl` or `.json`, or a folder without
    /// subfolders of whose files at least half are texts; each perhaps with `.gz` behind its name.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        if path.is_file() {
            return ending(path)
                .is_some_and(|ending| TEXTS.contains(&&*ending) || RECORDS.contains(&&*ending));
        }
        let Ok(entries) = std::fs::read_dir(path) else { return false };
        let visible =
            |path: &PathBuf| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
        let paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(visible).collect();
        let texts = paths.iter().filter(|path| is_text(path)).count();
        texts > 0 && 2 * texts >= paths.len() && !paths.iter().any(|path| path.is_dir())
    }

    /// Reads a corpus. The texts in a folder are its documents, in order of their names.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Io`], [`gyrus_formats::Error::Format`] for bytes that are not text,
    /// [`gyrus_formats::Error::Field`] for a record without text, and [`gyrus_formats::Error::Mismatch`] for a corpus that is
    /// empty or too large.
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
            files
                .iter()
                .map(|file| read_text(file, &mut left).map(plain_ends))
                .collect::<Result<Vec<String>>>()?
        } else {
            let mut left = MAXIMUM_BYTES;
            let text = read_text(path, &mut left)?;
            if Self::holds_records(path) {
                Self::records(path, &text)?.into_iter().map(|(_, document)| document).collect()
            } else {
                vec![plain_ends(text)]
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
        Ok(Self { name: name(path, "corpus"), documents, fingerprint })
    }

    /// Whether a file's name says that it holds JSON records.
    #[must_use]
    pub fn holds_records(path: &Path) -> bool {
        ending(path).is_some_and(|ending| RECORDS.contains(&&*ending))
    }

    /// The texts in the records of a file's `text`: their fields `text`, or the records themselves where they are strings.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Field`] for a record without text.
    pub fn records(path: &Path, text: &str) -> Result<Vec<(Place, String)>> {
        records(path, text)?.iter().map(|record| Ok((record.place, document(path, record)?))).collect()
    }

    /// Whether there is enough text for windows of `context` tokens in both parts, as far as can be known before it is
    /// tokenized.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] with what is there and what is needed.
    pub fn check_length(&self, kind: TokenizerKind, context: usize) -> Result<()> {
        let (most, unit) = match kind {
            TokenizerKind::Characters => (self.characters(), "characters"),
            TokenizerKind::BytePairs => (self.bytes(), "bytes"),
        };
        // Each document is surrounded by separators.
        check_tokens(most + self.documents.len() + 1, context).map_err(|expected| {
            let got = format!("{most} {unit}");
            Error::request("the corpus", got, expected)
        })
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

/// Whether that many tokens hold a whole window in the tenth that is held back for validation; if not, what would be enough.
pub(crate) fn check_tokens(tokens: usize, context: usize) -> std::result::Result<(), String> {
    // As many as `TokenStream::split` holds back.
    let held_back = tokens - (tokens / 10 * 9 + tokens % 10 * 9 / 10);
    if held_back > context {
        return Ok(());
    }
    Err(format!(
        "at least {} tokens, so that the tenth that is held back for validation holds a window of {context}; or a smaller context",
        10 * context + 1
    ))
}

/// The name of a file or folder, without its endings.
pub(crate) fn name(path: &Path, default: &str) -> String {
    let stem = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let name = match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("gz") => stem(&path.with_extension("")),
        _ => stem(path),
    };
    name.unwrap_or_else(|| default.to_owned())
}

/// The ending of a file's name in lower case; the one before `.gz`.
fn ending(path: &Path) -> Option<String> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    if ending == "gz" { self::ending(&path.with_extension("")) } else { Some(ending) }
}

fn is_text(path: &Path) -> bool {
    path.is_file() && ending(path).is_some_and(|ending| TEXTS.contains(&&*ending))
}

/// Reads a text file of at most `left` bytes, and reduces `left` by its length.
pub(crate) fn read_text(path: &Path, left: &mut u64) -> Result<String> {
    let text = gyrus_files::read_text(path, *left).map_err(|error| match error {
        gyrus_files::Error::Io { path, source } => Error::io(&path, source),
        gyrus_files::Error::TooLarge { path, bytes, .. } => {
            let expected = format!("texts of at most {MAXIMUM_BYTES} bytes together");
            Error::mismatch(&path, format!("{bytes} bytes"), expected)
        }
        gyrus_files::Error::NotText { path, offset, got } => {
            Error::format(&path, offset, got, "text in UTF-8, or in UTF-16 with a byte order mark")
        }
        other => Error::mismatch(path, other.to_string(), "a text file"),
    })?;
    *left = left.saturating_sub(text.len() as u64);
    Ok(text)
}

/// The text with `\n` for each `\r\n`.
fn plain_ends(text: String) -> String {
    if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text }
}

/// The text of a record: its field `text`, or the record itself where it is a string.
fn document(path: &Path, Record { place, value }: &Record) -> Result<String> {
    if let Value::String(text) = value {
        return Ok(text.clone());
    }
    match value.get("text") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(Error::field(path, format!("{place}: text"), kind(other), "a string")),
        None => {
            let got = crate::records::fields(value);
            Err(Error::field(path, format!("{place}: text"), format!("nothing, but {got}"), "a string"))
        }
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
        assert!(
            message("e.jsonl", b"{\"body\": \"a\", \"id\": 1}").contains("nothing, but the fields body, id")
        );
        assert!(message("f.txt", b"ab\xffcd").contains("byte 2: got the byte 0xff"));
        assert!(message("g.txt", b"").contains("got no text"));
        assert!(!Corpus::is_at(&folder.path().join("none")));
    }

    #[test]
    fn marks_line_ends_and_packed_files_change_no_letter() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert!(Corpus::is_at(&path), "{name}");
            Corpus::read(&path).unwrap()
        };
        let plain = read("a.txt", "ä\nb\n".as_bytes());
        let utf16: Vec<u8> = "\u{feff}ä\r\nb\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in ["\u{feff}ä\nb\n".as_bytes(), "ä\r\nb\r\n".as_bytes(), &utf16] {
            let other = read("b.txt", bytes);
            assert_eq!(
                (other.documents, other.fingerprint),
                (plain.documents.clone(), plain.fingerprint.clone())
            );
        }
        let lines = "\u{feff}{\"text\": \"a\\r\"}\r\n{\"text\": \"b\"}\r\n";
        assert_eq!(read("c.jsonl", lines.as_bytes()).documents, ["a\r", "b"]);
        assert_eq!(read("d.json", b" [\n{\"text\": \"a\"}, \"b\"]\n").documents, ["a", "b"]);
        assert_eq!(name(Path::new("x/data.jsonl.gz"), ""), "data");
    }

    #[test]
    fn a_folder_of_other_files_beside_a_text_is_no_corpus() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png", "readme.txt"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        assert!(!Corpus::is_at(folder.path()));
        std::fs::write(folder.path().join("more.md"), b"x").unwrap();
        assert!(Corpus::is_at(folder.path()));
    }
}
