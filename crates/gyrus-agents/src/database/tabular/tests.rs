//! Tables in files answer as a database does, and cannot be written to either.

#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::super::{Cell, Database};
use super::*;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("customers.csv"),
        "customer_id;name;country;zip;since\n1;Ada;Norway;0150;31/12/2019\n2;Ben;Chile;0001;1/2/2020\n3;Eva;Norway;;NA\n",
    )
    .unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed
        .write_all(
            b"order_id,customer_id,amount,day\n10,1,2.5,2020-01-01\n11,1,3,2020-01-02\n12,2,NA,2021-01-01\n",
        )
        .unwrap();
    std::fs::write(folder.path().join("orders.csv.gz"), packed.finish().unwrap()).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a table").unwrap();
    folder
}

#[test]
fn a_folder_of_tables_is_a_database() {
    let folder = folder();
    let database = open(folder.path(), Rules::default()).unwrap();
    let kinds: Vec<Vec<&str>> = database
        .schema()
        .tables
        .iter()
        .map(|table| table.columns.iter().map(|column| column.kind.as_str()).collect())
        .collect();
    assert_eq!(
        kinds,
        [vec!["INTEGER", "TEXT", "TEXT", "TEXT", "DATE"], vec!["INTEGER", "INTEGER", "REAL", "DATE"]]
    );
    let orders = database.schema().table("orders").unwrap();
    assert_eq!(orders.columns[1].references, Some(("customers".to_owned(), "customer_id".to_owned())));
    let rows = database
        .query("select name, sum(amount), min(since) from customers join orders using (customer_id) group by 1 order by 1")
        .unwrap();
    let text = |text: &str| Cell::Text(text.to_owned());
    assert_eq!(
        rows.rows,
        [
            vec![text("Ada"), Cell::Real(5.5), text("2019-12-31")],
            vec![text("Ben"), Cell::Null, text("2020-02-01")]
        ]
    );
    let notes = database.notes().join("\n");
    for part in ["day/month/year", "1 cell such as NA", "orders.customer_id -> customers.customer_id"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn tables_in_memory_cannot_be_written_by_either_guard() {
    let folder = folder();
    let database = open(folder.path(), Rules::default()).unwrap();
    for sql in [
        "DELETE FROM orders",
        "CREATE TABLE x (y)",
        "ATTACH '/tmp/gyrus-x.db' AS x",
        "PRAGMA writable_schema = 1",
    ] {
        assert!(database.query(sql).is_err());
        assert!(database.connection().execute_batch(sql).is_err(), "{sql}");
    }
    // Without the authorizer the image itself refuses.
    let mut plain = Connection::open_in_memory_with_flags(flags()).unwrap();
    plain.execute_batch("CREATE TABLE a (b); INSERT INTO a VALUES (1)").unwrap();
    let image = plain.serialize("main").unwrap();
    let mut frozen = Connection::open_in_memory_with_flags(flags()).unwrap();
    frozen.deserialize_read_exact("main", &image[..], image.len(), true).unwrap();
    let refused = frozen.execute_batch("INSERT INTO a VALUES (2)").unwrap_err().to_string();
    assert!(refused.contains("readonly"), "{refused}");
}

#[test]
fn odd_files_are_read_or_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let read = |path: &Path| open(path, Rules::default());
    let refused = |path: &Path, part: &str| {
        let error = read(path).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&file("empty.csv", b""), "an empty file");
    refused(&file("short.csv", b"a,b\n1\n"), "line 2 has 1 fields; the header has 2");
    refused(&file("binary.csv", b"a,b\n\0\x01\x02\0\x03"), "not a table of text");
    refused(&file("not.parquet", b"not a table at all"), "arquet");
    refused(&folder.path().join("absent.csv"), "no such file");
    let wide: Vec<String> = (0..5000).map(|at| format!("c{at}")).collect();
    refused(
        &file("wide.csv", format!("{}\n", wide.join(",")).as_bytes()),
        "5000 columns; expected 1 to 2000",
    );
    let latin = read(&file("latin.csv", b"city,n\nM\xfcnchen,1\n")).unwrap();
    assert_eq!(latin.query("select city from latin").unwrap().rows, [[Cell::Text("München".to_owned())]]);
    assert!(latin.notes()[0].contains("Windows-1252"));
    let mut utf16 = vec![0xff, 0xfe];
    "a\tb\nä\t2\n".encode_utf16().for_each(|unit| utf16.extend(unit.to_le_bytes()));
    assert_eq!(
        read(&file("wide.tsv", &utf16)).unwrap().query("select sum(b) from wide").unwrap().rows,
        [[Cell::Integer(2)]]
    );
    let twice = read(&file("twice.csv", b"a,A,,a\n1,2,3,4\n")).unwrap();
    let names: Vec<_> = twice.schema().tables[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "A_2", "column 3", "a_3"]);
    let empty = tempfile::tempdir().unwrap();
    refused(empty.path(), "no tables in this folder");
    file("same.csv", b"a\n1\n");
    file("same.tsv", b"a\n1\n");
    refused(folder.path(), "would both be the table");
}
