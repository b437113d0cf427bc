//! Sets of questions with gold queries: JSON Lines or CSV, as Spider, GeoQuery, ACME and Defog write them.

use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// Most bytes of a set.
pub const MOST_QUESTION_BYTES: u64 = 64 << 20;

/// A question with the queries that answer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The question.
    pub question: String,
    /// Gold queries, of which any is right.
    pub gold: Vec<String>,
    /// The database that it is about, if the set names one.
    pub database: Option<String>,
    /// Whether the database holds an answer.
    pub is_answerable: bool,
}

/// Names that sets give to the parts of a row.
const QUESTION: [&str; 3] = ["question", "text", "display_text"];
const GOLD: [&str; 4] = ["sql", "query", "gold_query_text", "gold"];
const DATABASE: [&str; 3] = ["db_id", "db_name", "database"];

/// Reads a set. Gold queries may stand one after the other, separated by `;`. A row without one, or whose query reads no table, is
/// a question without an answer.
///
/// # Errors
/// [`Error::File`] with the line that is not as it should be.
pub fn read_questions(path: &Path) -> Result<Vec<Asked>> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MOST_QUESTION_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > MOST_QUESTION_BYTES {
        return Err(failed(format!("more than {MOST_QUESTION_BYTES} bytes")));
    }
    let text = text.trim_start_matches('\u{feff}');
    let asked = if text.trim_start().starts_with(['{', '[']) { of_json(text) } else { of_csv(text) };
    let asked = asked.map_err(failed)?;
    if asked.is_empty() {
        return Err(failed("no questions; expected rows with `question` and `sql` or `query`".to_owned()));
    }
    Ok(asked)
}

fn of_json(text: &str) -> std::result::Result<Vec<Asked>, String> {
    let rows: Vec<(usize, serde_json::Value)> = if text.trim_start().starts_with('[') {
        let all: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        all.into_iter().enumerate().map(|(at, row)| (at + 1, row)).collect()
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(at, line)| {
                serde_json::from_str(line)
                    .map(|row| (at + 1, row))
                    .map_err(|error| format!("line {}: {error}", at + 1))
            })
            .collect::<std::result::Result<_, _>>()?
    };
    rows.into_iter()
        .map(|(at, row)| {
            let text = |names: &[&str]| {
                names
                    .iter()
                    .find_map(|name| row.get(*name))
                    .and_then(|value| value.as_str())
                    .map(str::to_owned)
            };
            let question = text(&QUESTION).ok_or_else(|| format!("row {at} has no `question`"))?;
            Ok(asked(question, text(&GOLD), text(&DATABASE)))
        })
        .collect()
}

fn of_csv(text: &str) -> std::result::Result<Vec<Asked>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let place =
        |names: &[&str]| names.iter().find_map(|name| header.iter().position(|column| column == *name));
    let Some(question) = place(&QUESTION) else {
        return Err(format!(
            "no column `question`; its columns are {}",
            header.iter().collect::<Vec<_>>().join(", ")
        ));
    };
    let (gold, database) = (place(&GOLD), place(&DATABASE));
    let mut all = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| error.to_string())?;
        let text = |place: Option<usize>| place.and_then(|place| row.get(place)).map(str::to_owned);
        all.push(asked(text(Some(question)).unwrap_or_default(), text(gold), text(database)));
    }
    Ok(all)
}

fn asked(question: String, gold: Option<String>, database: Option<String>) -> Asked {
    let gold: Vec<String> = gold.iter().flat_map(|gold| statements(gold)).collect();
    // "SELECT 'no data to answer from' AS answer" reads nothing.
    let reads = |sql: &String| {
        let outside: Vec<&str> = sql.split('\'').step_by(2).collect();
        outside.join(" ").to_ascii_lowercase().split_whitespace().any(|word| word == "from")
    };
    let is_answerable = gold.iter().any(reads);
    Asked { question, gold: if is_answerable { gold } else { Vec::new() }, database, is_answerable }
}

/// Statements that stand one after the other, cut at semicolons outside of quotes.
fn statements(text: &str) -> Vec<String> {
    let (mut all, mut current, mut quote) = (Vec::new(), String::new(), None);
    for letter in text.chars() {
        match (quote, letter) {
            (None, ';') => all.push(std::mem::take(&mut current)),
            (None, '\'' | '"' | '`') => {
                quote = Some(letter);
                current.push(letter);
            }
            (Some(open), _) => {
                quote = (letter != open).then_some(open);
                current.push(letter);
            }
            _ => current.push(letter),
        }
    }
    all.push(current);
    all.into_iter().map(|sql| sql.trim().to_owned()).filter(|sql| !sql.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_public_sets_are_read() {
        let json = of_json(
            "{\"db_id\": \"a\", \"question\": \"q\", \"query\": \"SELECT 1 FROM t\"}\n\n{\"question\": \"r\"}\n",
        );
        assert_eq!(
            json,
            Ok(vec![
                Asked {
                    question: "q".to_owned(),
                    gold: vec!["SELECT 1 FROM t".to_owned()],
                    database: Some("a".to_owned()),
                    is_answerable: true
                },
                Asked { question: "r".to_owned(), ..Asked::default() },
            ])
        );
        let csv = of_csv(
            "question,query,db_name\nq,\"SELECT ';' FROM t;SELECT b FROM t;\",d\nx,SELECT 'no' AS a;,d\n",
        );
        let csv = csv.unwrap_or_default();
        assert_eq!(csv[0].gold, ["SELECT ';' FROM t", "SELECT b FROM t"]);
        assert!(csv[0].is_answerable && !csv[1].is_answerable);
        assert!(of_csv("a,b\n1,2\n").is_err_and(|reason| reason.contains("no column `question`")));
        assert!(of_json("{\"question\"").is_err_and(|reason| reason.starts_with("line 1")));
    }
}
