//! Bad input, line by line: each is one clear sentence, or a bounded reduction that is said.

use std::fs;
use std::path::Path;
use std::time::Instant;

use gyrus_agents::ask::brief;
use gyrus_agents::retrieval::{Index, Updater};
use gyrus_agents::{Database, Error, Grammar, Rules, Semantics, Sqlite, answer, open};

/// One sentence: a line that is not endless.
fn is_a_sentence(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains('\n') && text.len() < 600
}

fn sqlite(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// The same numbers each time.
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn damaged_databases_are_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.sqlite");
    let rows: Vec<String> = (0..2000).map(|at| format!("({at}, 'name {at}')")).collect();
    sqlite(
        &whole,
        &format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES {};
        CREATE INDEX i ON t (name); CREATE VIEW v AS SELECT name FROM t;",
            rows.join(", ")
        ),
    );
    let bytes = fs::read(&whole).unwrap();
    let path = folder.path().join("damaged.sqlite");
    let (mut refused, mut answered) = (0, 0);
    for seed in 0..300 {
        let mut next = noise(seed + 1);
        let mut damaged = bytes.clone();
        match seed % 3 {
            0 => damaged.truncate(next() as usize % bytes.len()),
            1 => (0..40).for_each(|_| {
                let at = next() as usize % damaged.len();
                damaged[at] = next() as u8;
            }),
            // The first page holds the schema.
            _ => (0..20).for_each(|_| {
                let at = 16 + next() as usize % 4000;
                damaged[at] = next() as u8;
            }),
        }
        fs::write(&path, &damaged).unwrap();
        let asked = Sqlite::open(&path, Rules::default())
            .and_then(|database| database.query("SELECT count(*), max(name) FROM t WHERE name LIKE '%9%'"));
        match asked {
            Ok(_) => answered += 1,
            Err(error) => {
                refused += 1;
                assert!(is_a_sentence(&error.to_string()), "{error}");
            }
        }
        // Nothing is repaired in place.
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
    assert!(refused > 100 && answered > 0, "{refused} refused, {answered} answered");
    fs::write(&path, "this is a letter to nobody").unwrap();
    let error = Sqlite::open(&path, Rules::default()).unwrap_err().to_string();
    assert!(error.contains("not a database"), "{error}");
}

#[test]
fn a_schema_of_5000_columns_is_cut_and_the_cut_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.sqlite");
    let tables: Vec<String> = (0..5)
        .map(|table| {
            let columns: Vec<String> = (0..1000).map(|at| format!("measurement_{table}_{at} REAL")).collect();
            format!(
                "CREATE TABLE series_{table} ({}); INSERT INTO series_{table} DEFAULT VALUES;",
                columns.join(", ")
            )
        })
        .collect();
    sqlite(&path, &tables.concat());
    let database = Sqlite::open(&path, Rules::default()).unwrap();
    let count: usize = database.schema().tables.iter().map(|table| table.columns.len()).sum();
    assert_eq!(count, 5000);
    let start = Instant::now();
    let told = brief(&database, &Semantics::default(), "average of measurement 3 17", 8000);
    assert!(told.text.len() <= 8000 && told.notes.iter().any(|note| is_a_sentence(note)), "{:?}", told.notes);
    assert!(told.text.contains("series_3") && told.text.contains("measurement_3_17"), "{}", told.text);
    let mut grammar = Grammar::new(&database);
    let rows = answer(&database, &mut grammar, "How many series_3 are there?").unwrap();
    assert_eq!(rows.sentence, "The answer is 1 (count).".replace("count", &rows.rows.columns[0]));
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn a_question_in_another_language_is_refused_by_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    sqlite(
        &path,
        "CREATE TABLE customer (id INTEGER, name TEXT, country TEXT); INSERT INTO customer VALUES (1, 'Ada', 'Norway');",
    );
    let database = Sqlite::open(&path, Rules::default()).unwrap();
    let mut grammar = Grammar::new(&database);
    for question in [
        "Wie viele Kunden wohnen in Norwegen?",
        "¿Cuántos clientes viven en Noruega?",
        "ノルウェーの顧客は何人ですか？",
        "كم عدد العملاء في النرويج؟",
        "Сколько клиентов живёт в Норвегии?",
    ] {
        let error = answer(&database, &mut grammar, question).unwrap_err();
        assert!(matches!(error, Error::NotUnderstood(_)), "{question}: {error}");
        assert!(is_a_sentence(&error.to_string()), "{error}");
    }
}

#[test]
fn tables_in_odd_encodings_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("towns.csv");
    let text = "town,people\nZürich,5\nŁódź,7\n";
    let marked = |mark: &[u8], units: Vec<u8>| [mark, &units].concat();
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let database = open(&path, Rules::default())?;
        let rows = database.query("SELECT town FROM towns ORDER BY people")?;
        Ok::<_, Error>(rows.rows.concat().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    for bytes in [
        text.as_bytes().to_vec(),
        marked(&[0xef, 0xbb, 0xbf], text.as_bytes().to_vec()),
        marked(&[0xff, 0xfe], little.clone()),
        marked(&[0xfe, 0xff], big.clone()),
        little.clone(),
        big,
    ] {
        assert_eq!(read(&bytes).unwrap(), "Zürich Łódź");
    }
    // A code page cannot be known for sure: it is said.
    fs::write(&path, b"town,people\nZ\xfcrich,5\n").unwrap();
    let database = open(&path, Rules::default()).unwrap();
    assert!(database.notes().iter().any(|note| note.contains("Windows-1252")), "{:?}", database.notes());
    let wide: Vec<u8> = text.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect();
    for bytes in
        [marked(&[0xff, 0xfe, 0, 0], wide.clone()), wide, b"\x1f\x8b\x08 no gzip".to_vec(), Vec::new()]
    {
        let error = read(&bytes).unwrap_err().to_string();
        assert!(is_a_sentence(&error), "{error}");
    }
}

#[test]
fn names_and_links_do_not_lead_out_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let inside = folder.path().join("papers");
    fs::create_dir(&inside).unwrap();
    fs::write(folder.path().join("secret.txt"), "The password is heron.").unwrap();
    fs::write(outside.path().join("secret.csv"), "a,b\nheron,1\n").unwrap();
    fs::write(inside.join("..secret.md"), "A heron in a hidden file.").unwrap();
    fs::write(inside.join("a..b.md"), "Storks stand on one leg.").unwrap();
    fs::write(inside.join("t.csv"), "a,b\nstork,1\n").unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.path().join("secret.csv"), inside.join("secret.csv")).unwrap();
        std::os::unix::fs::symlink(folder.path(), inside.join("up")).unwrap();
    }
    let updater = Updater::new(&inside);
    updater.run(&mut |_, _| true).unwrap();
    let index = Index::open(&updater.index).unwrap();
    assert_eq!(index.sources().collect::<Vec<_>>(), ["a..b.md", "t.csv"]);
    assert!(index.search("heron password", &Default::default(), None).unwrap().is_empty());
    for name in ["../secret.txt", "..secret.md", "/etc/passwd", "up/secret.txt", "papers/../secret.txt", ""] {
        let error = index.text_of(name).unwrap_err().to_string();
        assert!(error.starts_with("there is no source"), "{error}");
    }
    let database = open(&inside, Rules::default()).unwrap();
    assert_eq!(database.schema().tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["t"]);
}

#[test]
fn dates_that_are_not_there_are_answered_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    sqlite(
        &path,
        "CREATE TABLE invoice (id INTEGER PRIMARY KEY, day DATE, total REAL);
        INSERT INTO invoice VALUES (1, '2021-01-01', 5), (2, '2025-12-22', 7);",
    );
    let database = Sqlite::open(&path, Rules::default()).unwrap();
    let mut grammar = Grammar::new(&database);
    let mut said = |question: &str| answer(&database, &mut grammar, question).unwrap().sentence;
    assert!(said("How many invoices in 2010?").ends_with(" day runs from 2021-01-01 to 2025-12-22."));
    assert_eq!(
        said("list invoices in 2010"),
        "There are no such rows. day runs from 2021-01-01 to 2025-12-22."
    );
    assert!(!said("How many invoices in 2021?").contains("runs from"));
}
