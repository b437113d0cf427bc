//! `gyrus ask`: answers from a database that stays as it is.

use std::path::{Path, PathBuf};

use crate::common::*;

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
    let refused = |line: &str, rest: &[&Path]| -> String {
        let output = run(line, rest);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused("ask", &[&file, Path::new("Which custoner bought most in 2010?")]);
    assert!(said.contains("`custoner` (did you mean `customer`?) is not"), "{said}");
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

#[test]
fn a_folder_of_tables_is_asked_and_its_answer_is_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let tables = folder.path().join("tables");
    std::fs::create_dir(&tables).unwrap();
    std::fs::write(tables.join("city.csv"), "city_id,name\n1,Oslo\n2,Bergen\n").unwrap();
    std::fs::write(tables.join("sale.csv"), "sale_id,city_id,amount\n1,1,2.5\n2,1,4\n3,2,1\n").unwrap();
    let page = folder.path().join("answer.html");
    let asked = [tables.as_path(), Path::new("total amount per name"), Path::new("--out"), page.as_path()];
    let output = run("ask", &asked);
    let said = stdout(&succeeded(output));
    assert!(said.contains("Oslo") && said.contains("6.5  ██████") && said.contains("page: "), "{said}");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<rect class=\"bar") && html.contains("GROUP BY"), "{html}");
    let again = run("ask", &asked);
    assert!(refused(&again).contains("--overwrite replaces it"));
}

#[test]
fn the_semantic_file_is_drafted_edited_and_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let file = shop(folder.path());
    let draft = folder.path().join("semantic.toml");
    succeeded(run("ask --describe --out", &[&draft, &file]));
    let text = std::fs::read_to_string(&draft).unwrap();
    assert!(text.contains("\"customer.phone\"") && text.contains("\"sum(invoice.amount)\""), "{text}");
    std::fs::write(&draft, text.replace("[synonyms]\n", "[synonyms]\ntakings = \"invoice amount\"\n"))
        .unwrap();
    let said = json(run("ask --json", &[&file, Path::new("takings per country")]));
    assert_eq!(said["rows"], serde_json::json!([["Chile", 4.0], ["Norway", 12.0]]));
    assert_eq!(said["chart"]["kind"], "bars");
    let said = refused(&run("ask --sql", &[Path::new("select phone from customer"), &file]));
    assert!(said.contains("the column customer.phone is private"), "{said}");
    std::fs::write(&draft, "private = [\"customer.fhone\"]").unwrap();
    let said = refused(&run("ask", &[&file, Path::new("how many customers")]));
    assert!(said.contains("there is no column customer.fhone; did you mean customer.phone?"), "{said}");
}

#[test]
fn a_conversation_goes_on_and_answers_are_graded() {
    let folder = tempfile::tempdir().unwrap();
    let file = shop(folder.path());
    let mut child = gyrus(["ask".as_ref(), file.as_os_str(), "--json".as_ref()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut questions, b"how many invoices in 2010?\nand in 2011?\n").unwrap();
    drop(questions);
    let output = succeeded(child.wait_with_output().unwrap());
    let answers: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&answers[0]["rows"], &answers[1]["rows"]),
        (&serde_json::json!([[2]]), &serde_json::json!([[1]]))
    );
    let set = folder.path().join("set.jsonl");
    let rows = "{\"question\": \"how many customers\", \"sql\": \"SELECT count(*) FROM customer\"}\n\
        {\"question\": \"how many invoices\", \"sql\": \"SELECT 4 FROM customer LIMIT 1\"}\n\
        {\"question\": \"who is the happiest\", \"sql\": \"SELECT 'no data' AS answer\"}\n";
    std::fs::write(&set, rows).unwrap();
    let said = json(run("ask --json --evaluate", &[&set, &file]));
    let scores = &said["zero_shot"];
    assert_eq!((&scores["right"]["count"], &scores["right"]["of"]), (&1.into(), &2.into()));
    assert_eq!((&scores["abstained"]["count"], &scores["abstained"]["of"]), (&1.into(), &1.into()));
}
