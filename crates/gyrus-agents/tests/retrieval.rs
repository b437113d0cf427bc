//! Retrieval on public collections: BM25 beside Anserini's published figure, and indexes that follow their folder.

use crate::common;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use gyrus_agents::retrieval::{
    Bm25, Index, Judgments, SearchOptions, Updater, average_precision, precision_at, recall_at,
};
use serde_json::Value;

fn retrieval() -> Option<PathBuf> {
    Some(common::data()?.parent()?.join("retrieval")).filter(|folder| folder.is_dir())
}

fn unzipped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Writes the files of a tar archive into a folder.
fn untar(bytes: &[u8], folder: &Path) {
    let mut at = 0;
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let field = |from: usize, to: usize| {
            let part = &bytes[at + from..at + to];
            String::from_utf8_lossy(part.split(|byte| *byte == 0).next().unwrap()).trim().to_owned()
        };
        let size = usize::from_str_radix(&field(124, 136), 8).unwrap();
        let name = field(0, 100);
        let name = Path::new(&name).file_name().unwrap();
        if size > 0 {
            fs::write(folder.join(name), &bytes[at + 512..at + 512 + size]).unwrap();
        }
        at += 512 + size.div_ceil(512) * 512;
    }
}

/// An index of a folder whose files are one passage each.
fn indexed(folder: &Path) -> Index {
    let updater = Updater { passage_bytes: 1 << 30, ..Updater::new(folder) };
    let report = updater.run(&mut |_, _| true).unwrap();
    // Two documents of Cranfield are empty.
    assert!(
        report.skipped.iter().all(|skipped| skipped.reason == "it holds no text"),
        "{:?}",
        report.skipped
    );
    Index::open(&updater.index).unwrap()
}

fn ranking(index: &Index, query: &str, bm25: Bm25) -> Vec<String> {
    let options = SearchOptions { top: 1000, bm25, ..SearchOptions::default() };
    let hits = index.search(query, &options, None).unwrap();
    hits.into_iter().map(|hit| hit.passage.source.rsplit_once('.').unwrap().0.to_owned()).collect()
}

/// Topics of TREC: the number and the text of each.
fn topics(text: &str, begin: &str, number: (&str, &str), rest: &str) -> Vec<(String, String)> {
    let parts = text.split(begin).skip(1);
    let read = parts.map(|part| {
        let (_, part) = part.split_once(number.0).unwrap();
        let (id, part) = part.split_once(number.1).unwrap();
        (id.trim().to_owned(), part.split(rest).next().unwrap().trim().to_owned())
    });
    read.collect()
}

#[test]
fn cacm_gives_the_published_precision() {
    let Some(data) = retrieval().map(|folder| folder.join("cacm")) else { return };
    let folder = tempfile::tempdir().unwrap();
    untar(&unzipped(&data.join("cacm.tar.gz")), folder.path());
    let index = indexed(folder.path());
    assert_eq!(index.passages(), 3204);
    let text = fs::read_to_string(data.join("topics.cacm.txt")).unwrap();
    let topics = topics(&text, "<DOC>", ("<DOCNO>", "</DOCNO>"), "</DOC>");
    let judgments = Judgments::parse(&fs::read_to_string(data.join("qrels.cacm.txt")).unwrap());
    let measured = |bm25: Bm25| {
        let judged: Vec<_> = topics.iter().filter(|(id, _)| !judgments.of(id).is_empty()).collect();
        assert_eq!(judged.len(), 52);
        let rankings = judged.iter().map(|(id, query)| (judgments.of(id), ranking(&index, query, bm25)));
        let (mut precision, mut at_30) = (0.0, 0.0);
        for (relevant, ranking) in rankings {
            precision += average_precision(&ranking, relevant);
            at_30 += precision_at(&ranking, relevant, 30);
        }
        (precision / 52.0, at_30 / 52.0)
    };
    let (precision, at_30) = measured(Bm25::default());
    let (tantivy, _) = measured(Bm25 { k1: 1.2, b: 0.75 });
    println!(
        "CACM: MAP {precision:.4} (Anserini 0.3123), P30 {at_30:.4} (0.1942); with tantivy's parameters {tantivy:.4}"
    );
    assert!((precision - 0.3123).abs() <= 0.005, "{precision}");
    assert!((at_30 - 0.1942).abs() <= 0.01, "{at_30}");
}

#[test]
fn cranfield_is_found() {
    let Some(data) = retrieval().map(|folder| folder.join("cranfield")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let documents = String::from_utf8(unzipped(&data.join("cran.all.1400.xml.gz"))).unwrap();
    for part in documents.split("<doc>").skip(1) {
        let (_, part) = part.split_once("<docno>").unwrap();
        let (id, part) = part.split_once("</docno>").unwrap();
        let (_, text) = part.split_once("<title>").unwrap_or(("", part));
        let text = text.replace("</title>", "\n").replace("<text>", "\n").replace("</text>", "");
        let text =
            text.replace("<author>", "").replace("</author>", "").replace("<bib>", "").replace("</bib>", "");
        fs::write(folder.path().join(format!("{}.txt", id.trim())), text.replace("</doc>", "")).unwrap();
    }
    let index = indexed(folder.path());
    let text = String::from_utf8(unzipped(&data.join("cran.qry.xml.gz"))).unwrap();
    let topics = topics(&text, "<top>", ("<num>", "</num>"), "</title>");
    let judgments = Judgments::parse(&fs::read_to_string(data.join("cranqrel.trec.txt")).unwrap());
    assert_eq!(topics.len(), 225);
    let mut sum = 0.0;
    // Judgments name a query by its place in the file.
    for (place, (_, query)) in topics.iter().enumerate() {
        let query = query.trim_start_matches(|letter: char| letter != '>').trim_start_matches('>');
        sum += average_precision(
            &ranking(&index, query, Bm25::default()),
            judgments.of(&(place + 1).to_string()),
        );
    }
    let precision = sum / 225.0;
    println!("Cranfield: MAP {precision:.4}");
    assert!(precision > 0.28, "{precision}");
}

#[test]
fn scifact_and_hotpotqa_are_found() {
    let Some(data) = retrieval() else { return };
    let folder = tempfile::tempdir().unwrap();
    let corpus = String::from_utf8(unzipped(&data.join("scifact/corpus.jsonl.gz"))).unwrap();
    for line in corpus.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let sentences: Vec<&str> =
            record["abstract"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let text = format!("{}\n\n{}", record["title"].as_str().unwrap(), sentences.join(" "));
        fs::write(folder.path().join(format!("{}.txt", record["doc_id"])), text).unwrap();
    }
    let index = indexed(folder.path());
    let (mut topics, mut recall, mut reciprocal, mut precision) = (0.0, 0.0, 0.0, 0.0);
    for line in fs::read_to_string(data.join("scifact/claims_dev.jsonl")).unwrap().lines() {
        let claim: Value = serde_json::from_str(line).unwrap();
        let relevant: Vec<String> =
            claim["cited_doc_ids"].as_array().unwrap().iter().map(Value::to_string).collect();
        let ranking = ranking(&index, claim["claim"].as_str().unwrap(), Bm25::default());
        topics += 1.0;
        recall += recall_at(&ranking, &relevant, 10);
        precision += average_precision(&ranking, &relevant);
        let first = ranking.iter().take(10).position(|id| relevant.contains(id));
        reciprocal += first.map_or(0.0, |rank| 1.0 / (rank + 1) as f64);
    }
    println!(
        "SciFact, {topics} claims: recall at 10 {:.4}, MAP {:.4}, MRR at 10 {:.4}",
        recall / topics,
        precision / topics,
        reciprocal / topics
    );
    assert!(recall / topics > 0.75);

    let folder = tempfile::tempdir().unwrap();
    let text = String::from_utf8(unzipped(&data.join("hotpotqa/hotpot_distractor_100.jsonl.gz"))).unwrap();
    let questions: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut titles: Vec<String> = Vec::new();
    for paragraph in questions.iter().flat_map(|question| question["context"].as_array().unwrap()) {
        let title = paragraph[0].as_str().unwrap();
        if titles.iter().any(|known| known == title) {
            continue;
        }
        let sentences: Vec<&str> =
            paragraph[1].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        fs::write(
            folder.path().join(format!("{}.txt", titles.len())),
            format!("{title}\n\n{}", sentences.concat()),
        )
        .unwrap();
        titles.push(title.to_owned());
    }
    let index = indexed(folder.path());
    let (mut at_10, mut all) = (0.0, 0);
    for question in &questions {
        let mut gold: Vec<&str> = question["supporting_facts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fact| fact[0].as_str().unwrap())
            .collect();
        gold.sort_unstable();
        gold.dedup();
        let gold: Vec<String> = gold
            .iter()
            .map(|title| titles.iter().position(|known| known == title).unwrap().to_string())
            .collect();
        let ranking = ranking(&index, question["question"].as_str().unwrap(), Bm25::default());
        let recall = recall_at(&ranking, &gold, 10);
        at_10 += recall;
        all += u32::from((recall - 1.0).abs() < 1e-9);
    }
    let count = questions.len() as f64;
    println!(
        "HotpotQA, {} paragraphs: recall at 10 {:.3}, both paragraphs for {all} of {count} questions",
        titles.len(),
        at_10 / count
    );
    assert!(at_10 / count > 0.75);
}

fn names(index: &Index, query: &str) -> Vec<String> {
    let hits = index.search(query, &SearchOptions::default(), None).unwrap();
    hits.into_iter().map(|hit| hit.passage.source).collect()
}

#[test]
fn an_index_follows_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a.md", "# Owls\n\nOwls hunt at night. They hear well.");
    write("b.txt", "Hawks hunt by day.");
    write("c.csv", "bird,weight\nowl,2.1\nhawk,1.2\n");
    write("broken.pdf", "no pdf");
    write("binary.txt", "\0\0\u{1}\0");
    let updater = Updater::new(folder.path());
    let run = || updater.run(&mut |_, _| true).unwrap();
    let report = run();
    assert_eq!((report.sources, report.added, report.skipped.len()), (3, 5, 2), "{report:?}");
    let index = Index::open(&updater.index).unwrap();
    assert_eq!(names(&index, "owls"), ["a.md", "c.csv"]);
    let hits = index.search("who hears well?", &SearchOptions::default(), None).unwrap();
    assert_eq!(hits[0].quote(), "They hear well.");
    let text = index.text_of("a.md").unwrap();
    assert_eq!(&text[hits[0].sentence.clone()], "They hear well.");
    assert_eq!(index.unknown_words("owls and penguins").unwrap(), ["penguins"]);

    let report = run();
    assert_eq!((report.added, report.changed, report.removed, report.unchanged), (0, 0, 0, 5));
    write("b.txt", "Penguins swim.");
    fs::remove_file(folder.path().join("a.md")).unwrap();
    let report = run();
    assert_eq!((report.added, report.changed, report.removed, report.unchanged), (0, 1, 1, 3));
    let index = Index::open(&updater.index).unwrap();
    assert_eq!(names(&index, "hawks"), ["c.csv"]);
    assert_eq!(names(&index, "penguin"), ["b.txt"]);
    assert!(names(&index, "night").is_empty());
    // A stopped update changes nothing.
    write("b.txt", "Hawks again.");
    assert!(updater.run(&mut |_, _| false).is_err());
    let index = Index::open(&updater.index).unwrap();
    assert_eq!(names(&index, "penguin"), ["b.txt"]);
}

#[test]
fn an_updated_index_ranks_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["owl", "hawk", "night", "day", "hunt", "sleep", "tree"];
    let write = |number: usize, shift: usize| {
        let text: Vec<&str> =
            (0..5 + number % 7).map(|at| words[(at * number + shift) % words.len()]).collect();
        fs::write(folder.path().join(format!("{number}.txt")), text.join(" ")).unwrap();
    };
    (0..60).for_each(|number| write(number, 0));
    let updater = Updater::new(folder.path());
    updater.run(&mut |_, _| true).unwrap();
    (0..60).step_by(3).for_each(|number| write(number, 2));
    let report = updater.run(&mut |_, _| true).unwrap();
    assert!(report.changed > 10);
    let updated = Index::open(&updater.index).unwrap();
    let other = folder.path().join(".other");
    for threads in [1, 3] {
        let fresh = Updater { index: other.clone(), rebuild: true, threads, ..Updater::new(folder.path()) };
        fresh.run(&mut |_, _| true).unwrap();
        let fresh = Index::open(&other).unwrap();
        for query in ["owl night", "tree", "hunt sleep day"] {
            let scores = |index: &Index| -> Vec<i64> {
                let hits = index
                    .search(query, &SearchOptions { top: 60, ..SearchOptions::default() }, None)
                    .unwrap();
                hits.iter().map(|hit| (hit.score * 1e3).round() as i64).collect()
            };
            let (ours, theirs) = (scores(&updated), scores(&fresh));
            assert_eq!(ours.len(), theirs.len(), "{query}");
            // The mean length still counts what was removed until segments merge.
            assert!(
                ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 30),
                "{query}: {ours:?} {theirs:?}"
            );
        }
    }
}
