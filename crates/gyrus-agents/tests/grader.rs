//! The grader agrees with labels that others recorded, and sets of questions are graded as they should be by translators that are
//! known in advance.

use std::collections::HashMap;
use std::path::Path;

use crate::common::data;
use gyrus_agents::evaluate::{Asked, evaluate, gold_is_ordered, read_questions, same, scores};
use gyrus_agents::{Cell, Database, Question, Rows, Rules, Sqlite, Strategy, Translation, Translator, open};

fn opened(file: &Path) -> Sqlite {
    let rules = Rules { most_rows: 100_000, ..Rules::default() };
    Sqlite::open(file, rules).unwrap()
}

#[test]
fn recorded_labels_of_insurance_questions_are_reproduced() {
    let Some(folder) = data() else { return };
    let database = opened(&folder.join("acme/acme.sqlite"));
    let (mut agree, mut comparable, mut right) = (0, 0, 0);
    for part in 1..=4 {
        let file =
            std::fs::File::open(folder.join(format!("acme/recorded_results_pt{part}.csv.gz"))).unwrap();
        let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
        let header = reader.headers().unwrap().clone();
        let place = |name: &str| header.iter().position(|column| column == name).unwrap();
        let (gold, own, label) =
            (place("gold_query_text"), place("generated_sql_query_text"), place("is_sql_result_equivalent"));
        for row in reader.records().map(Result::unwrap) {
            // One gold query needs a function that SQLite does not have.
            let Ok(expected) = database.query(&row[gold]) else { continue };
            comparable += 1;
            let found = database.query(&row[own]);
            let is_same = found.is_ok_and(|found| same(&found, &expected, gold_is_ordered(&row[gold])));
            right += usize::from(is_same);
            match is_same == row[label].eq_ignore_ascii_case("true") {
                true => agree += 1,
                false => println!("label {}, not so here:\n{}\n{}", &row[label], &row[own], &row[gold]),
            }
        }
    }
    println!("{agree} of {comparable} labels agree; {right} queries are right");
    assert_eq!((agree, comparable), (200, 200));
}

#[test]
fn a_folder_of_tables_answers_the_gold_queries_as_the_database_does() {
    let Some(folder) = data() else { return };
    let typed = opened(&folder.join("acme/acme.sqlite"));
    let raw = open(&folder.join("acme/csv"), Rules::default()).unwrap();
    assert_eq!(raw.schema().tables.len(), 29);
    // The header of one file names another column twice, where the database has the identifier.
    let repaired = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.join("acme/csv")).unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let text = match entry.file_name() == "Agreement.csv" {
            true => text.replacen("Agreement_Type_Code", "Agreement_Identifier", 1),
            false => text,
        };
        std::fs::write(repaired.path().join(entry.file_name()), text).unwrap();
    }
    let repaired = open(repaired.path(), Rules::default()).unwrap();
    // The database keeps numbers of policies and claims as texts, as its DDL says; in the files they look like numbers.
    let plain = |mut rows: Rows| {
        for cell in rows.rows.iter_mut().flatten() {
            if let Cell::Text(text) = cell
                && let Ok(number) = text.parse()
            {
                *cell = Cell::Integer(number);
            }
        }
        rows
    };
    let (mut as_they_are, mut equal, mut all) = (0, 0, 0);
    for file in ["questions.jsonl", "questions_all.jsonl"] {
        for asked in read_questions(&folder.join("acme").join(file)).unwrap() {
            let Ok(gold) = typed.query(&asked.gold[0]).map(plain) else { continue };
            all += 1;
            as_they_are +=
                usize::from(raw.query(&asked.gold[0]).is_ok_and(|found| same(&found, &gold, false)));
            match repaired.query(&asked.gold[0]) {
                Ok(found) if same(&found, &gold, false) => equal += 1,
                other => println!("{}\n{other:?}\n{gold:?}", asked.gold[0]),
            }
        }
    }
    println!("{all} gold queries: {as_they_are} as the files are, {equal} with one header put right");
    assert_eq!((equal, all), (52, 52));
}

/// Answers with what it was told to, whatever the question.
struct Scripted<F>(F);

impl<F: FnMut(Question<'_>) -> Result<String, String>> Translator for Scripted<F> {
    fn translate(&mut self, question: Question<'_>) -> Result<Translation, String> {
        Ok(Translation { sql: (self.0)(question)?, assumptions: Vec::new() })
    }
}

fn geography() -> Option<(Sqlite, Vec<Asked>)> {
    let folder = data()?;
    let all = read_questions(&folder.join("geoquery/questions.jsonl")).unwrap();
    Some((opened(&folder.join("geoquery/geography.sqlite")), all))
}

#[test]
fn an_oracle_is_always_right_and_nobody_never() {
    let Some((database, all)) = geography() else { return };
    let gold: HashMap<String, String> =
        all.iter().map(|asked| (asked.question.clone(), asked.gold[0].clone())).collect();
    let mut oracle = Scripted(|question: Question<'_>| Ok(gold[question.text].clone()));
    let (graded, fails) = evaluate(&database, &mut oracle, &all, Strategy::default(), |_| {}).unwrap();
    let found = scores(&graded, fails);
    // The questions of a template can have the same words and other variables; then the last one's query stands for all.
    println!("oracle {:?}", found.right);
    assert_eq!((found.right.count, found.gold_fails), (found.right.of, 5));
    let mut nobody = Scripted(|_: Question<'_>| Err("nothing".to_owned()));
    let (graded, fails) = evaluate(&database, &mut nobody, &all, Strategy::default(), |_| {}).unwrap();
    assert_eq!(scores(&graded, fails).right.count, 0);
    let mut empty = Scripted(|_: Question<'_>| Ok("SELECT 1 WHERE 1 = 0".to_owned()));
    let (graded, fails) = evaluate(&database, &mut empty, &all, Strategy::default(), |_| {}).unwrap();
    let found = scores(&graded, fails).right;
    println!("no rows {found:?}");
    assert!(found.count <= 28, "only questions whose gold answer is empty too");
}

#[test]
fn every_invented_name_is_caught_and_named() {
    let Some((database, all)) = geography() else { return };
    let mut asked = 0;
    let mut liar = Scripted(|question: Question<'_>| {
        asked += 1;
        let table = &question.schema.tables[asked % question.schema.tables.len()];
        Ok(match asked % 3 {
            0 => format!("SELECT {}_total FROM {}", table.columns[0].name, table.name),
            1 => format!("SELECT count(*) FROM {}_archive", table.name),
            _ => format!("SELECT median_wealth FROM {} WHERE mood = 'good'", table.name),
        })
    });
    let (graded, fails) =
        evaluate(&database, &mut liar, &all, Strategy { repairs: 0, ..Strategy::default() }, |_| {}).unwrap();
    let found = scores(&graded, fails);
    assert_eq!((found.invents_names.count, found.answered.count), (graded.len(), 0));
    assert!(
        graded.iter().all(|one| one.reason.as_ref().is_some_and(|reason| reason.contains("there is no")))
    );
}

#[test]
fn a_flaky_translator_ends_within_its_tries() {
    let Some((database, all)) = geography() else { return };
    let mut calls = 0;
    let mut flaky = Scripted(|_: Question<'_>| {
        calls += 1;
        match calls % 5 {
            0 => Err("429 too many requests".to_owned()),
            1 => Ok(String::new()),
            2 => Ok("SELECT".to_owned()),
            3 => Ok("```sql\nSELECT 1\n```".to_owned()),
            _ => Ok("SELECT count(*) FROM state".to_owned()),
        }
    });
    let some = &all[..100];
    let (graded, _) = evaluate(&database, &mut flaky, some, Strategy::default(), |_| {}).unwrap();
    assert!(!graded.is_empty() && calls <= 3 * some.len(), "{calls} calls for {} questions", some.len());
}

#[test]
fn questions_without_an_answer_are_known_as_such() {
    let Some(folder) = data() else { return };
    let idk = read_questions(&folder.join("defog/idk.csv")).unwrap();
    assert_eq!((idk.len(), idk.iter().filter(|asked| asked.is_answerable).count()), (105, 0));
    let defog = read_questions(&folder.join("defog/questions_gen_sqlite.csv")).unwrap();
    assert_eq!((defog.len(), defog.iter().filter(|asked| asked.is_answerable).count()), (210, 210));
    let spider = read_questions(&folder.join("spider_dev/dev.jsonl")).unwrap();
    assert_eq!((spider.len(), spider[0].database.as_deref()), (1034, Some("concert_singer")));
}
