//! `gyrus ask`: answers from a database that stays as it is.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::*;

fn shop(folder: &Path) -> PathBuf {
    let file = folder.join("shop.sqlite");
    let tables = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, country TEXT, phone TEXT);
        CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer(id), day DATE, amount REAL);
        INSERT INTO customer VALUES (1, 'Ada', 'Norway', '1'), (2, 'Ben', 'Chile', '2'), (3, 'Eva', 'Norway', '3');
        INSERT INTO invoice VALUES (1, 1, '2010-03-01', 5), (2, 1, '2011-04-01', 7), (3, 2, '2010-05-01', 4);";
    rusqlite::Connection::open(&file).unwrap().execute_batch(tables).unwrap();
    file
}

#[test]
fn questions_in_the_words_of_the_schema_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = shop(folder.path());
    let before = std::fs::read(&file).unwrap();
    let said = json(run("ask --json", &[&file, Path::new("How many customers per country?")]));
    assert_eq!(said["columns"], serde_json::json!(["country", "count"]));
    assert_eq!(said["rows"], serde_json::json!([["Chile", 1], ["Norway", 2]]));
    assert_eq!(said["translator"], "grammar");
    let said = json(run("ask --json", &[&file, Path::new("how many invoices in 2010")]));
    assert_eq!(
        (&said["sentence"], &said["assumptions"][0]),
        (&"The answer is 2 (count).".into(), &"2010 is the year of invoice.day".into())
    );
    let said = json(run("ask --json", &[&file, Path::new("top 1 country by amount")]));
    assert_eq!(said["rows"], serde_json::json!([["Norway", 12.0]]));
    let said = json(run(
        "ask --json --sql",
        &[Path::new("select name from customer order by name desc limit 1"), &file],
    ));
    assert_eq!(said["rows"], serde_json::json!([["Eva"]]));
    assert!(std::fs::read(&file).unwrap() == before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_not_understood_or_not_allowed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = shop(folder.path());
    let refused = |line: &str, rest: &[&Path]| {
        let output = run(line, rest);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused("ask", &[&file, Path::new("Which custoner bought most in 2010?")]);
    assert!(said.contains("`custoner` (did you mean `customer`?), `bought`"), "{said}");
    let said = refused("ask --sql", &[Path::new("delete from customer"), &file]);
    assert!(said.contains("DELETE is not a query; only SELECT is allowed"), "{said}");
    let said = refused("ask --private customer.phone --sql", &[Path::new("select * from customer"), &file]);
    assert!(said.contains("private column customer.phone"), "{said}");
    let text = folder.path().join("notes.sqlite");
    std::fs::write(&text, "not a database, but long enough to look like a page of one".repeat(40)).unwrap();
    let said = refused("ask", &[&text, Path::new("how many")]);
    assert!(said.contains("file is not a database"), "{said}");
    let said = refused("ask", &[&folder.path().join("absent.sqlite"), Path::new("how many")]);
    assert!(said.contains("no such file"), "{said}");
}
