//! Every gold query of four public sets passes the guard, and gives what it gives without it.

use std::path::Path;

use crate::common::data;

use gyrus_agents::{Cell, Database, Rules, Sqlite};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

/// What a plain connection answers; `None` where the query does not run, as a few of the sets' do not.
fn plain(connection: &Connection, sql: &str) -> Option<Vec<Vec<Cell>>> {
    let mut statement = connection.prepare(sql).ok()?;
    let columns = statement.column_count();
    let mut found = statement.query([]).ok()?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().ok()? {
        let cell = |index| match row.get_ref(index).unwrap() {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(blob) => Cell::Bytes { bytes: blob.len() },
        };
        rows.push((0..columns).map(cell).collect());
    }
    Some(rows)
}

/// How many of the queries run, of which every one must pass and give the same rows.
fn check(file: &Path, queries: impl IntoIterator<Item = String>) -> usize {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let rules = Rules { most_rows: 1 << 20, most_bytes: 1 << 30, seconds: 300.0, ..Rules::default() };
    let database = Sqlite::open(file, rules).unwrap();
    let mut passed = 0;
    for sql in queries {
        let Some(expected) = plain(&connection, &sql) else { continue };
        match database.query(&sql) {
            Ok(rows) => assert!(rows.rows == expected, "other rows:\n{sql}\n{}", rows.sql),
            Err(error) => panic!("{error}\n{sql}"),
        }
        passed += 1;
    }
    passed
}

fn lines(file: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(value: &serde_json::Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

#[test]
fn spider_queries_pass_unchanged() {
    let Some(folder) = data() else { return };
    let rows = lines(&folder.join("spider_dev/dev.jsonl"));
    let mut names: Vec<String> = rows.iter().map(|row| text(row, "db_id")).collect();
    names.sort();
    names.dedup();
    let of = |name: &str| {
        let queries = rows.iter().filter(|row| row["db_id"] == name).map(|row| text(row, "query"));
        check(&folder.join(format!("spider_dev/db/{name}.sqlite")), queries)
    };
    assert_eq!(names.iter().map(|name| of(name)).sum::<usize>(), 1034);
}

#[test]
fn geography_queries_pass_unchanged() {
    let Some(folder) = data() else { return };
    let rows = lines(&folder.join("geoquery/questions.jsonl"));
    let queries = rows.iter().map(|row| text(row, "sql"));
    assert_eq!(check(&folder.join("geoquery/geography.sqlite"), queries), 872);
}

#[test]
fn insurance_queries_pass_unchanged() {
    let Some(folder) = data() else { return };
    let of = |file: &str| {
        let rows = lines(&folder.join("acme").join(file));
        check(&folder.join("acme/acme.sqlite"), rows.iter().map(|row| text(row, "sql")))
    };
    assert_eq!((of("questions.jsonl"), of("questions_all.jsonl")), (10, 42));
}

#[test]
fn defog_queries_pass_unchanged() {
    let Some(folder) = data() else { return };
    let mut queries: Vec<(String, String)> = Vec::new();
    for (file, database, query) in [("questions_gen_sqlite.csv", 0, 3), ("idk.csv", 3, 2)] {
        let mut reader = csv::Reader::from_path(folder.join("defog").join(file)).unwrap();
        for row in reader.records().map(Result::unwrap) {
            // Accepted queries stand one after the other.
            let accepted = row[query].split(';').filter(|sql| !sql.trim().is_empty());
            queries.extend(accepted.map(|sql| (row[database].to_owned(), sql.to_owned())));
        }
    }
    let of = |name: &str| {
        let of_this = queries.iter().filter(|(database, _)| database == name).map(|(_, sql)| sql.clone());
        check(&folder.join(format!("defog/db/{name}.sqlite")), of_this)
    };
    let passed: usize = ["academic", "atis", "geography", "restaurants", "scholar"].map(of).iter().sum();
    println!("{passed} accepted queries pass");
    assert!(passed >= 200, "{passed} queries ran");
}
