//! Public ways around guards like this one, each stopped by every dialect's parser, and on SQLite by two layers at least; and
//! what random statements do that the guard accepts.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator;

use super::{Checked, Dialect, check};
use crate::database::{Database, Guards, Sqlite};
use crate::{Column, Error, Refusal, Rules, Schema, Table};

const TABLES: &str = "CREATE TABLE sale (country TEXT, total REAL, year INTEGER, phone TEXT);
    CREATE INDEX by_country ON sale (country);
    CREATE VIEW big AS SELECT country, total FROM sale WHERE total > 2;
    INSERT INTO sale VALUES ('Norway', 3.5, 2010, '555-1'), ('Chile', 2, 2010, '555-2'), ('Norway', 1, 2011, '555-3');";

fn database(folder: &Path) -> PathBuf {
    let file = folder.join("shop.sqlite");
    if !file.exists() {
        Connection::open(&file).unwrap().execute_batch(TABLES).unwrap();
    }
    file
}

fn schema() -> Schema {
    let columns = ["country", "total", "year", "phone"];
    let column = |name: &str| Column { name: name.to_owned(), ..Column::default() };
    let table = Table { name: "sale".to_owned(), columns: columns.map(column).to_vec(), is_view: false };
    let view =
        Table { name: "big".to_owned(), columns: vec![column("country"), column("total")], is_view: true };
    Schema { tables: vec![view, table] }
}

fn rules() -> Rules {
    Rules { private: vec![("sale".to_owned(), "phone".to_owned())], seconds: 2.0, ..Rules::default() }
}

/// Every statement of a text, one after the other, as a careless program would run them; whether one of them failed.
fn fails(connection: &Connection, sql: &str) -> bool {
    let mut batch = rusqlite::Batch::new(connection, sql);
    loop {
        let mut statement = match batch.next() {
            Ok(Some(statement)) => statement,
            Ok(None) => return false,
            Err(_) => return true,
        };
        let Ok(mut rows) = statement.query([]) else { return true };
        loop {
            match rows.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return true,
            }
        }
    }
}

#[test]
fn public_bypasses_are_stopped_twice() {
    let mut counts = BTreeMap::new();
    for line in include_str!("bypasses.tsv").lines().skip(1) {
        let [engine, source, query] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let query = query.replace("\\n", "\n").replace("\\t", "\t");
        let dialect = match engine {
            "sqlite" => Dialect::Sqlite,
            "postgres" => Dialect::Postgres,
            "mysql" => Dialect::MySql,
            "duckdb" => Dialect::DuckDb,
            other => panic!("{other}"),
        };
        *counts.entry(engine).or_insert(0) += 1;
        let refused = check(&query, dialect, &schema(), &rules());
        assert!(refused.is_err(), "accepted: {query}\nas {refused:?}\nsee {source}");
        if dialect != Dialect::Sqlite {
            continue;
        }
        let mut stops = vec!["parser"];
        for (name, guards) in [
            ("authorizer", Guards { engine: false, authorizer: true }),
            ("engine", Guards { engine: true, authorizer: false }),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = database(folder.path());
            let before = std::fs::read(&file).unwrap();
            let opened = Sqlite::guarded(&file, rules(), guards).unwrap();
            if fails(opened.connection(), &query) {
                stops.push(name);
            }
            drop(opened);
            assert!(
                std::fs::read(&file).unwrap() == before || !stops.contains(&name),
                "{name} wrote: {query}"
            );
        }
        // SQLite does not ask its authorizer about columns that a join compares without naming them; no value of theirs
        // leaves the database by it.
        let alone = query.contains("USING (phone)") || query.contains("NATURAL JOIN");
        assert!(stops.len() >= if alone { 1 } else { 2 }, "only {stops:?} stops {query}\nsee {source}");
    }
    println!("{counts:?}");
    assert!(counts.values().sum::<i32>() >= 120);
    assert!(!Path::new("/tmp/gyrus-bypass.db").exists());
}

#[test]
fn what_asks_for_too_much_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules { seconds: 0.3, most_rows: 100, most_bytes: 1 << 20, ..Rules::default() };
    let database = Sqlite::open(&database(folder.path()), rules).unwrap();
    let forever = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)";
    let stopped = database.query(&format!("{forever} SELECT count(*) FROM c"));
    assert!(matches!(stopped, Err(Error::Stopped { seconds }) if seconds < 3.0), "{stopped:?}");
    let rows = database.query(&format!("{forever} SELECT x FROM c")).unwrap();
    assert!(rows.is_cut && rows.rows.len() == 100);
    let large = database.query(&format!("{forever} SELECT printf('%.*c', 1000000, 'a') FROM c")).unwrap();
    assert!(large.is_cut && large.rows.len() < 5);
    assert!(database.query("SELECT printf('%.*c', 1000000000, 'a')").is_err());
    assert!(database.query("SELECT group_concat(hex(zeroblob(100000000)))").is_err());
    // The connection goes on.
    assert_eq!(database.query("SELECT count(*) FROM sale").unwrap().rows[0][0].to_string(), "3");
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(database.query(&deep), Err(Error::Refused(Refusal::Parse(_)))));
    let long = format!("SELECT {}", "1 + ".repeat(30_000));
    assert!(matches!(database.query(&long), Err(Error::Refused(Refusal::Long { .. }))));
}

#[test]
fn wrong_names_are_told_with_the_right_ones() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&database(folder.path()), rules()).unwrap();
    let said = |sql: &str| database.query(sql).unwrap_err().to_string();
    assert_eq!(
        said("SELECT total FROM sales"),
        "the query is refused: there is no table sales; did you mean sale?"
    );
    assert_eq!(
        said("SELECT contry FROM sale"),
        "the query is refused: there is no column contry; did you mean big.country?"
    );
    assert_eq!(
        said("SELECT coutn(total) FROM sale"),
        "the query is refused: the function coutn is not allowed; did you mean count?"
    );
    assert_eq!(said("SELECT phone FROM sale"), "the query is refused: the column sale.phone is private");
    assert_eq!(said("DROP TABLE sale"), "the query is refused: DROP is not a query; only SELECT is allowed");
    assert_eq!(said("SELECT 1; SELECT 2"), "the query is refused: 2 statements; expected one");
    assert!(said("SELECT FROM WHERE").contains("cannot be parsed"));
    assert_eq!(database.query("SELECT count(*) FROM big").unwrap().rows[0][0].to_string(), "1");
}

#[test]
fn what_runs_is_what_was_checked() {
    let rules = Rules { most_rows: 10, ..Rules::default() };
    let printed = |sql: &str| check(sql, Dialect::Sqlite, &schema(), &rules).map(|checked| checked.sql);
    assert_eq!(printed("select total from sale -- all of it").unwrap(), "SELECT total FROM sale LIMIT 11");
    assert_eq!(printed("SELECT total FROM sale LIMIT 3").unwrap(), "SELECT total FROM sale LIMIT 3");
    assert_eq!(
        printed("SELECT total FROM sale LIMIT 300 OFFSET 2").unwrap(),
        "SELECT total FROM sale LIMIT 11 OFFSET 2"
    );
    assert_eq!(printed("/* ; */ SELECT ';' ;").unwrap(), "SELECT ';' LIMIT 11");
}

/// A statement of a random grammar in which reads and writes nest.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % count as u64) as usize
    }

    fn pick(&mut self, words: &[&str]) -> String {
        words[self.below(words.len())].to_owned()
    }

    fn statement(&mut self) -> String {
        let first = match self.below(20) {
            0 => self.write(),
            1 => format!("{}; {}", self.query(2), self.write()),
            2 => format!("WITH c AS ({}) {}", self.query(1), self.write()),
            3 => format!("WITH c AS ({} RETURNING *) {}", self.write(), self.query(1)),
            4 => format!("EXPLAIN {}", self.query(1)),
            5 => self.pick(&[
                "PRAGMA user_version = 3",
                "VACUUM",
                "ATTACH ':memory:' AS o",
                "ANALYZE",
                "REINDEX",
            ]),
            _ => self.query(2),
        };
        let tail = self.pick(&["", "", "", "", "", ";", " -- x", "; SELECT 1", "/* DELETE FROM sale */"]);
        first + &tail
    }

    fn write(&mut self) -> String {
        let condition = self.expression(1);
        match self.below(5) {
            0 => format!("DELETE FROM sale WHERE {condition}"),
            1 => format!("UPDATE sale SET total = {condition}"),
            2 => format!("INSERT INTO sale (country, total) {}", self.query(1)),
            3 => "DROP TABLE sale".to_owned(),
            _ => format!("REPLACE INTO sale (total) VALUES ({condition})"),
        }
    }

    fn query(&mut self, depth: usize) -> String {
        let mut sql = String::new();
        if depth > 1 && self.below(4) == 0 {
            sql += &format!("WITH c AS ({}) ", self.query(depth - 1));
        }
        sql += &self.pick(&["SELECT ", "SELECT ", "SELECT DISTINCT ", "select "]);
        let columns = 1 + self.below(2);
        let columns: Vec<String> = (0..columns).map(|_| self.expression(depth)).collect();
        sql += &columns.join(", ");
        sql += " FROM ";
        sql += &match self.below(5) {
            0 if depth > 0 => format!("({}) AS d", self.query(depth - 1)),
            1 => "sale AS a JOIN big AS b ON a.country = b.country".to_owned(),
            2 => self.pick(&[
                "sale",
                "main.sale",
                "big",
                "sale",
                "json_each('[1]')",
                "c",
                "sqlite_master",
                "(DELETE FROM sale)",
            ]),
            _ => self.pick(&["sale", "sale AS s"]),
        };
        if self.below(2) == 0 {
            sql += &format!(" WHERE {}", self.expression(depth));
        }
        if self.below(4) == 0 {
            sql += &format!(" GROUP BY 1 HAVING {}", self.expression(0));
        }
        if depth > 0 && self.below(5) == 0 {
            let word = self.pick(&[" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT "]);
            sql += &format!("{word}{}", self.query(depth - 1));
        }
        if self.below(4) == 0 {
            sql += &self.pick(&[
                " ORDER BY 1",
                " LIMIT 2",
                " ORDER BY 1 LIMIT 1",
                " ORDER BY 1 DESC LIMIT 1 OFFSET 1",
                " FOR UPDATE",
            ]);
        }
        sql
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.pick(&[
                "1",
                "'x'",
                "NULL",
                "total",
                "country",
                "total",
                "\"total\"",
                "2.5",
                "total",
                "x'00'",
            ]);
        }
        let (a, b) = (self.expression(depth - 1), self.expression(depth - 1));
        match self.below(10) {
            0 => format!(
                "{a} {} {b}",
                self.pick(&["+", "-", "*", "/", "||", "=", "<", "AND", "OR", "LIKE", "IS"])
            ),
            1 => format!("({})", self.query(depth - 1)),
            2 => format!("{a} IN ({})", self.query(depth - 1)),
            3 => format!("CASE WHEN {a} THEN {b} END"),
            4 => {
                let name = self.pick(&[
                    "abs",
                    "count",
                    "upper",
                    "abs",
                    "lower",
                    "length",
                    "hex",
                    "typeof",
                    "round",
                    "sum",
                    "trim",
                    "load_extension",
                ]);
                format!("{name}({a})")
            }
            5 => format!("CAST({a} AS {})", self.pick(&["TEXT", "INTEGER", "REAL"])),
            6 => format!("sum(total) OVER (ORDER BY {a})"),
            7 => format!("EXISTS ({})", self.query(depth - 1)),
            _ => a,
        }
    }
}

#[test]
fn whatever_is_accepted_leaves_a_writable_database_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = database(folder.path());
    let before = std::fs::read(&file).unwrap();
    let connection = Connection::open(&file).unwrap();
    let (schema, rules) = (schema(), Rules::default());
    let mut random = Random(7);
    let (mut accepted, mut ran) = (0, 0);
    for _ in 0..100_000 {
        let Ok(Checked { sql, .. }) = check(&random.statement(), Dialect::Sqlite, &schema, &rules) else {
            continue;
        };
        accepted += 1;
        ran += usize::from(!fails(&connection, &sql));
    }
    println!("{accepted} accepted, {ran} of them ran");
    assert!(accepted > 20_000 && ran > 5_000, "{accepted} accepted, {ran} ran");
    drop(connection);
    assert!(std::fs::read(&file).unwrap() == before, "the database has changed");
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "files beside the database");
}
