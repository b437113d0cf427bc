//! Questions answered without a model: how many, and how many of them rightly.

use crate::common::data;
use gyrus_agents::{Cell, Database, Grammar, Rules, Sqlite, answer};

/// Whether two results hold the same rows, in any order.
fn same(ours: &[Vec<Cell>], gold: &[Vec<Cell>]) -> bool {
    let sorted = |rows: &[Vec<Cell>]| {
        let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        rows.sort();
        rows
    };
    sorted(ours) == sorted(gold)
}

#[test]
fn the_spider_questions_that_it_answers_are_mostly_right() {
    let Some(folder) = data() else { return };
    let text = std::fs::read_to_string(folder.join("spider_dev/dev.jsonl")).unwrap();
    let (mut all, mut answered, mut right) = (0, 0, 0);
    let mut open: Option<(String, Sqlite, Grammar)> = None;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = row["db_id"].as_str().unwrap();
        if open.as_ref().is_none_or(|(opened, ..)| opened != name) {
            let rules = Rules { most_rows: 100_000, ..Rules::default() };
            let database = Sqlite::open(&folder.join(format!("spider_dev/db/{name}.sqlite")), rules).unwrap();
            let grammar = Grammar::new(&database);
            open = Some((name.to_owned(), database, grammar));
        }
        let (_, database, grammar) = open.as_mut().unwrap();
        all += 1;
        let question = row["question"].as_str().unwrap();
        let Ok(ours) = answer(database, grammar, question) else { continue };
        answered += 1;
        let gold = database.query(row["query"].as_str().unwrap()).unwrap();
        if same(&ours.rows.rows, &gold.rows) {
            right += 1;
        } else if std::env::var_os("GYRUS_SHOW").is_some() {
            println!("{name}: {question}\n  ours {}\n  gold {}", ours.rows.sql, gold.sql);
        }
    }
    println!("{all} questions, {answered} answered, {right} of these as the gold query does");
    assert!(right * 10 >= answered * 7, "{right} of {answered} answered questions are right");
    assert!(right >= 100, "{right} right answers");
}
