//! Databases as sources of research: a question that the grammar understands is answered by its query, and words find rows.
//!
//! Every query passes the guard of [`crate::guard`], whoever asks. Each row that comes back is evidence: it names its database, table
//! and key, and the hash of the result that it belongs to. A model never writes these queries: what it puts into a query it could
//! read back as if the database had said it.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use gyrus_files::hexadecimal;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::quotes::subject;
use crate::ask::{answer, quoted};
use crate::core::{Draft, EvidenceKind, ToolOutput};
use crate::guard::Dialect;
use crate::retrieval::{WordWeight, Words, is_stop_word};
use crate::{Cell, Database, Error, Grammar, Holds, Rows, Semantics, Table};

/// Rows of an answer that become evidence.
const ANSWERED: usize = 20;
/// Rows of a table, and of all of them, that a search finds.
const PER_TABLE: usize = 8;
const FOUND: usize = 16;
/// Words that are searched for, columns in which, and tables.
const MOST_WORDS: usize = 8;
const MOST_COLUMNS: usize = 30;
const MOST_TABLES: usize = 200;
/// Bytes of a row as evidence: what fits into a quote.
const ROW_BYTES: usize = 820;
/// Bytes of a cell of it.
const CELL_BYTES: usize = 300;
/// Databases of a folder, and how deep they lie at most.
const MOST_DATABASES: usize = 16;
const DEEPEST: usize = 16;

/// A database that is a source.
pub struct DataSource {
    name: String,
    database: Box<dyn Database>,
    grammar: Grammar,
    finds_rows: bool,
}

/// What a search of one database brought.
#[derive(Default)]
struct Search {
    /// Rows with the number of words that they hold.
    rows: Vec<(usize, Draft)>,
    /// Whether a table has more of them.
    is_cut: bool,
}

/// Rows as evidence, and what was taken for granted.
type Answered = (Vec<Draft>, Vec<String>);

impl DataSource {
    /// A database under the name that citations give it, with the words of its semantic file. `finds_rows` is false where the rows
    /// stand in an index of documents anyway.
    ///
    /// # Errors
    /// The entry of the semantic file that names something that is not there.
    pub fn new(
        name: impl Into<String>,
        database: Box<dyn Database>,
        semantics: &Semantics,
        finds_rows: bool,
    ) -> Result<Self, String> {
        let grammar = Grammar::with(database.as_ref(), semantics)?;
        Ok(Self { name: name.into(), database, grammar, finds_rows })
    }

    /// The rows that answer a question, if the grammar understands every word of it; with what it took for granted.
    fn answered(&mut self, question: &str) -> Result<Option<Answered>, Error> {
        let answer = match answer(self.database.as_ref(), &mut self.grammar, question) {
            Ok(answer) => answer,
            Err(Error::NotUnderstood(_) | Error::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let result = hash(&answer.rows);
        let rows = &answer.rows;
        let is_empty = |row: &Vec<Cell>| row.iter().all(|cell| matches!(cell, Cell::Null));
        let drafts: Vec<Draft> = (1..)
            .zip(&rows.rows)
            .filter(|(_, row)| !is_empty(row))
            .take(ANSWERED)
            .map(|(number, row)| Draft {
                kind: EvidenceKind::Result,
                source: self.name.clone(),
                title: Some(self.name.clone()),
                place: format!("row {number} of the result {result} of {}", one_line(&rows.sql)),
                start: 0,
                text: row_text(&rows.columns, row),
                derived_from: Vec::new(),
            })
            .collect();
        let mut assumed = answer.assumptions;
        if drafts.len() < rows.rows.len() || rows.is_cut {
            let more = if rows.is_cut { "more than " } else { "" };
            assumed.push(format!("{} of {more}{} rows are kept", drafts.len(), rows.rows.len()));
        }
        Ok((!drafts.is_empty()).then_some((drafts, assumed)))
    }

    /// The rows of all tables that hold most of these beginnings of words.
    fn found(&self, beginnings: &[String]) -> Result<Search, Error> {
        let mut search = Search::default();
        for table in self.database.schema().tables.iter().take(MOST_TABLES) {
            self.found_in(table, beginnings, &mut search)?;
        }
        search.rows.sort_by_key(|row| std::cmp::Reverse(row.0));
        Ok(search)
    }

    fn found_in(&self, table: &Table, beginnings: &[String], search: &mut Search) -> Result<(), Error> {
        let dialect = self.database.dialect();
        let rules = self.database.rules();
        let allowed =
            table.columns.iter().filter(|column| rules.private(Some(&table.name), &column.name).is_none());
        let shown: Vec<_> = allowed.take(2 * MOST_COLUMNS).collect();
        let searched = shown.iter().filter(|column| match column.holds() {
            Holds::Text => true,
            // SQLite's types are advice.
            Holds::Dates | Holds::Other => dialect == Dialect::Sqlite,
            Holds::Numbers => false,
        });
        let searched: Vec<String> =
            searched.take(MOST_COLUMNS).map(|column| quoted(dialect, &column.name)).collect();
        if searched.is_empty() || beginnings.is_empty() {
            return Ok(());
        }
        let holds = |word: &String| {
            let parts: Vec<String> =
                searched.iter().map(|column| format!("lower({column}) LIKE '%{word}%'")).collect();
            format!("({})", parts.join(" OR "))
        };
        let conditions: Vec<String> = beginnings.iter().map(holds).collect();
        let counted: Vec<String> =
            conditions.iter().map(|condition| format!("CASE WHEN {condition} THEN 1 ELSE 0 END")).collect();
        let columns: Vec<String> = shown.iter().map(|column| quoted(dialect, &column.name)).collect();
        let keys: Vec<usize> = (0..shown.len()).filter(|&at| shown[at].is_key).collect();
        let order: Vec<String> = match keys.is_empty() {
            true => columns.clone(),
            false => keys.iter().map(|&at| columns[at].clone()).collect(),
        };
        let sql = format!(
            "SELECT {}, {} AS words_found FROM {} WHERE {} ORDER BY words_found DESC, {} LIMIT {}",
            columns.join(", "),
            counted.join(" + "),
            quoted(dialect, &table.name),
            conditions.join(" OR "),
            order.join(", "),
            PER_TABLE + 1,
        );
        let rows = match self.database.query(&sql) {
            Ok(rows) => rows,
            // A view of something that is gone, a type without LIKE: this table says nothing.
            Err(Error::Engine(_) | Error::Refused(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        search.is_cut |= rows.rows.len() > PER_TABLE || rows.is_cut;
        let result = hash(&rows);
        for (number, row) in (1..).zip(rows.rows.iter().take(PER_TABLE)) {
            let Some((Cell::Integer(count), cells)) = row.split_last() else { continue };
            let key: Vec<String> =
                keys.iter().map(|&at| format!("{} {}", shown[at].name, cells[at])).collect();
            let key = if key.is_empty() { format!("row {number}") } else { key.join(", ") };
            search.rows.push((
                usize::try_from(*count).unwrap_or(0),
                Draft {
                    kind: EvidenceKind::Result,
                    source: self.name.clone(),
                    title: Some(self.name.clone()),
                    place: format!("table {}, {key} of the result {result}", table.name),
                    start: 0,
                    text: format!("{}: {}", table.name, row_text(&rows.columns[..cells.len()], cells)),
                    derived_from: Vec::new(),
                },
            ));
        }
        Ok(())
    }
}

/// What the databases say to a question or, where it is not `whole`, to words alone, as a tool: `facts` hold the words, how many of the evidence, counted from the
/// first, answer the whole question, and what was taken for granted.
///
/// # Errors
/// A sentence, if no database could be asked.
pub fn ask_data(sources: &mut [DataSource], question: &str, whole: bool) -> Result<ToolOutput, String> {
    let (mut answers, mut found, mut assumed, mut failed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let words = asked_words(question);
    let beginnings: Vec<String> = words.iter().map(|word| word.1.clone()).collect();
    let mut absent = vec![true; words.len()];
    for source in sources.iter_mut() {
        // Parts of a question, such as "customers", would be answered with whole tables.
        match if whole { source.answered(question) } else { Ok(None) } {
            Ok(Some((drafts, notes))) => {
                assumed.extend(notes.into_iter().map(|note| format!("{}: {note}", source.name)));
                answers.extend(drafts);
                continue;
            }
            Ok(None) => {}
            Err(error) => failed.push(format!("{}: {error}", source.name)),
        }
        if !source.finds_rows {
            continue;
        }
        match source.found(&beginnings) {
            Ok(search) => {
                for (at, word) in beginnings.iter().enumerate() {
                    let stands = |search: &Search| {
                        search.rows.iter().any(|row| row.1.text.to_lowercase().contains(word))
                    };
                    // A table may have more rows than were looked at: this word alone.
                    let alone = search.is_cut && !stands(&search);
                    let alone =
                        alone && source.found(&beginnings[at..=at]).is_ok_and(|own| !own.rows.is_empty());
                    absent[at] &= !(stands(&search) || alone);
                }
                found.extend(search.rows);
            }
            Err(error) => failed.push(format!("{}: {error}", source.name)),
        }
    }
    if answers.is_empty() && found.is_empty() && failed.len() >= sources.len() && !failed.is_empty() {
        return Err(failed.join("; "));
    }
    assumed.extend(failed.into_iter().map(|failure| format!("a search failed: {failure}")));
    let texts: Vec<String> = found.iter().map(|row| row.1.text.to_lowercase()).collect();
    let count = answers.len();
    let weighed: Vec<WordWeight> = words
        .into_iter()
        .zip(absent)
        .map(|((word, beginning, term), is_absent)| {
            let holding = texts.iter().filter(|text| text.contains(&beginning)).count();
            let (all, own) = (texts.len() as f64, holding as f64);
            let weight = (1.0 + (all - own + 0.5) / (own + 0.5)).ln();
            let passages = if is_absent { 0 } else { holding.max(1) as u64 };
            WordWeight { word, term, passages, weight }
        })
        .collect();
    // Rare words first: a name tells more than a verb.
    let score = |text: &String| -> f64 {
        let held = beginnings.iter().zip(&weighed).filter(|(beginning, _)| text.contains(beginning.as_str()));
        held.map(|(_, word)| word.weight).sum()
    };
    let mut found: Vec<(f64, Draft)> =
        texts.iter().map(score).zip(found.into_iter().map(|row| row.1)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(FOUND);
    let evidence = answers.into_iter().chain(found.into_iter().map(|row| row.1)).collect();
    let facts = json!({"words": weighed, "answers": count, "assumed": assumed});
    Ok(ToolOutput { evidence, addresses: Vec::new(), facts })
}

/// The words of a question that tell something, as (word, its beginning that other forms share, stem).
fn asked_words(question: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = Vec::new();
    Words::default().each(&subject(question), |term, start, end| {
        let word = &subject(question)[start..end];
        let lower = word.to_lowercase();
        let shared = lower.chars().zip(term.chars()).take_while(|(own, other)| own == other).count();
        let mut beginning: String = lower.chars().take(shared.max(3)).collect();
        // The stemmer writes the y of "country" as i.
        if term.ends_with('i') && beginning.ends_with('i') && shared > 3 {
            beginning.pop();
        }
        let is_plain = beginning.chars().all(char::is_alphanumeric) && beginning.chars().count() > 2;
        if is_plain && !is_stop_word(&lower) && !found.iter().any(|known| known.2 == term) {
            found.push((word.to_owned(), beginning, term.to_owned()));
        }
    });
    found.truncate(MOST_WORDS);
    found
}

/// A row as one line: each name with its value, without what is missing.
fn row_text(columns: &[String], row: &[Cell]) -> String {
    let mut text = String::new();
    for (name, cell) in columns.iter().zip(row).filter(|(_, cell)| !matches!(cell, Cell::Null)) {
        let value = one_line(&cell.to_string());
        let part = format!("{}{name}: {}", if text.is_empty() { "" } else { "; " }, cut(&value, CELL_BYTES));
        if text.len() + part.len() > ROW_BYTES {
            text.push_str("; …");
            break;
        }
        text.push_str(&part);
    }
    text
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first digits of the SHA-256 of a query and its rows.
fn hash(rows: &Rows) -> String {
    let text = serde_json::to_vec(rows).unwrap_or_default();
    hexadecimal(&Sha256::digest(text))[..12].to_owned()
}

/// The files of SQLite below a folder, as paths from there; links and hidden files are left out. Also how many more there are.
#[must_use]
pub fn databases_in(folder: &Path) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, name, depth)) = open.pop() {
        let Ok(entries) = fs::read_dir(&path) else { continue };
        for entry in entries.flatten() {
            let (path, part) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let name = if name.is_empty() { part.clone() } else { format!("{name}/{part}") };
            if part.starts_with('.') || metadata.is_symlink() {
                continue;
            }
            if metadata.is_dir() && depth < DEEPEST {
                open.push((path, name, depth + 1));
            } else if metadata.is_file() && is_sqlite(&path) {
                found.push(name);
            }
        }
    }
    found.sort();
    let more = found.len().saturating_sub(MOST_DATABASES);
    found.truncate(MOST_DATABASES);
    (found, more)
}

/// By its ending and its first bytes.
fn is_sqlite(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    if !matches!(ending.as_deref(), Some("sqlite" | "sqlite3" | "db" | "db3")) {
        return false;
    }
    let mut head = [0; 16];
    fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && &head == b"SQLite format 3\0"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_searched_by_what_their_forms_share() {
        let words = asked_words("Which albums did the Beatles record in the countries?");
        let beginnings: Vec<&str> = words.iter().map(|word| word.1.as_str()).collect();
        assert_eq!(beginnings, ["album", "beatl", "record", "countr"]);
        assert!(asked_words("100% o'x?").iter().all(|word| word.1.chars().all(char::is_alphanumeric)));
    }

    #[test]
    fn long_rows_are_cut_where_it_shows() {
        let names: Vec<String> = (0..9).map(|at| format!("c{at}")).collect();
        let cells: Vec<Cell> = (0..9).map(|_| Cell::Text("wörd ".repeat(99))).collect();
        let text = row_text(&names, &cells);
        assert!(text.len() < 900 && text.ends_with('…') && text.starts_with("c0: wörd"), "{text}");
    }
}
