//! The journal of a run: a record a line, each with a hash over itself and all records before it.
//!
//! ```text
//! {"hash":"<64 hexadecimal digits>","record":{"seq":0,"kind":"start","ms":0,"body":{...}}}
//! ```
//!
//! The hash is SHA-256 of the hash before and the bytes of the record. A line that was torn by a crash is the last one, and is
//! dropped; any other damage, and any change by hand, is refused with the number of its line.

use gyrus_files::hexadecimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What stands before a hash, and between it and the record.
const BEFORE: &str = "{\"hash\":\"";
const BETWEEN: &str = "\",\"record\":";

/// A record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, from 0.
    pub seq: u64,
    /// `start`, `effect`, `event` or `finish`.
    pub kind: String,
    /// Milliseconds of work since the run began, without pauses between processes.
    pub ms: u64,
    /// What happened.
    pub body: Value,
}

/// The end of a journal, to which records are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    hash: String,
    next: u64,
}

impl Chain {
    /// The line of the next record, with its line end.
    pub fn line(&mut self, kind: &str, ms: u64, body: Value) -> String {
        let record = Record { seq: self.next, kind: kind.to_owned(), ms, body };
        let record = serde_json::to_string(&record).unwrap_or_default();
        self.hash = hashed(&self.hash, &record);
        self.next += 1;
        format!("{BEFORE}{}{BETWEEN}{record}}}\n", self.hash)
    }

    /// The hash of the last record: of the whole journal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

fn hashed(before: &str, record: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(record.as_bytes());
    hexadecimal(&hash.finalize())
}

/// A journal that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journal {
    /// Its records.
    pub records: Vec<Record>,
    /// Its end.
    pub chain: Chain,
    /// Bytes of whole lines; what follows was torn.
    pub valid_bytes: usize,
}

/// Reads a journal.
///
/// # Errors
/// A sentence that names the line that is damaged or was changed.
pub fn read(text: &[u8]) -> Result<Journal, String> {
    let mut journal = Journal::default();
    let mut rest = text;
    for number in 1.. {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let record = parse(line, &journal.chain).map_err(|reason| format!("line {number}: {reason}"))?;
        journal.valid_bytes += end + 1;
        journal.records.push(record.0);
        journal.chain = record.1;
    }
    if journal.records.is_empty() {
        return Err("it holds no record".to_owned());
    }
    Ok(journal)
}

fn parse(line: &[u8], chain: &Chain) -> Result<(Record, Chain), String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let damaged = || "it is not a record".to_owned();
    let (hash, rest) =
        line.strip_prefix(BEFORE).and_then(|rest| rest.split_at_checked(64)).ok_or_else(damaged)?;
    let record = rest.strip_prefix(BETWEEN).and_then(|rest| rest.strip_suffix('}')).ok_or_else(damaged)?;
    if hashed(&chain.hash, record) != hash {
        return Err("it was changed, or a line before it is missing".to_owned());
    }
    let parsed: Record = serde_json::from_str(record).map_err(|error| error.to_string())?;
    if parsed.seq != chain.next {
        return Err(format!("its number is {}, expected {}", parsed.seq, chain.next));
    }
    Ok((parsed, Chain { hash: hash.to_owned(), next: chain.next + 1 }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(count: u64) -> String {
        let mut chain = Chain::default();
        (0..count)
            .map(|number| chain.line("event", number, json!({"x": 0.1 + number as f64, "t": "ä\n"})))
            .collect()
    }

    #[test]
    fn a_journal_is_read_as_it_was_written_and_a_torn_line_is_dropped() {
        let text = written(5);
        let journal = read(text.as_bytes()).unwrap();
        assert_eq!((journal.records.len(), journal.valid_bytes), (5, text.len()));
        for cut in 1..text.len() {
            let part = &text.as_bytes()[..cut];
            let lines = part.iter().filter(|byte| **byte == b'\n').count();
            match read(part) {
                Ok(journal) => assert_eq!(journal.records.len(), lines),
                Err(error) => assert!(lines == 0 && error.contains("no record"), "{error}"),
            }
        }
        let mut chain = journal.chain;
        let longer = text.clone() + &chain.line("finish", 9, json!(null));
        assert_eq!(read(longer.as_bytes()).unwrap().records.len(), 6);
    }

    #[test]
    fn every_change_is_noticed() {
        let text = written(3);
        let bytes = text.as_bytes();
        for at in 0..bytes.len() - 1 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let read = read(&changed);
            assert!(read.is_err(), "byte {at}");
        }
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        assert!(read([lines[0], lines[2]].concat().as_bytes()).unwrap_err().starts_with("line 2"));
        assert!(read([lines[1], lines[0]].concat().as_bytes()).is_err());
    }
}
