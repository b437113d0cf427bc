//! The check of claims on SciFact's labels, and on sentences in which one thing was changed.

use crate::common;
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use gyrus_agents::claims::{TokenKind, tokens, verify};
use serde_json::Value;

fn scifact() -> Option<PathBuf> {
    Some(common::data()?.parent()?.join("retrieval/scifact")).filter(|folder| folder.is_dir())
}

fn abstracts(folder: &std::path::Path) -> HashMap<String, Vec<String>> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(folder.join("corpus.jsonl.gz")).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let read = records.map(|record| {
        let sentences =
            record["abstract"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        (record["doc_id"].to_string(), sentences.collect())
    });
    read.collect()
}

fn claims(folder: &std::path::Path) -> Vec<Value> {
    let files =
        ["claims_train.jsonl", "claims_dev.jsonl"].map(|name| fs::read_to_string(folder.join(name)).unwrap());
    files.iter().flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap())).collect()
}

#[test]
fn labeled_rationales_are_told_apart() {
    let Some(folder) = scifact() else { return };
    let abstracts = abstracts(&folder);
    // Passed and seen, of: supported, contradicted, neither.
    let mut counts = [[0u32; 2]; 3];
    for claim in claims(&folder) {
        let text = claim["claim"].as_str().unwrap();
        let evidence = claim["evidence"].as_object().unwrap();
        for (document, sets) in evidence {
            for set in sets.as_array().unwrap() {
                let sentences =
                    set["sentences"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() as usize);
                let cited: Vec<&str> = sentences.map(|at| abstracts[document][at].as_str()).collect();
                let row = &mut counts[usize::from(set["label"] != "SUPPORT")];
                row[0] += u32::from(verify(text, &[&cited.join(" ")]).is_supported());
                row[1] += 1;
            }
        }
        if evidence.is_empty() {
            for document in claim["cited_doc_ids"].as_array().unwrap() {
                let cited = abstracts[&document.to_string()].join(" ");
                counts[2][0] += u32::from(verify(text, &[&cited]).is_supported());
                counts[2][1] += 1;
            }
        }
    }
    let [supported, contradicted, neither] = counts;
    let precision = f64::from(supported[0]) / f64::from(supported[0] + contradicted[0] + neither[0]).max(1.0);
    let recall = f64::from(supported[0]) / f64::from(supported[1]);
    println!(
        "SciFact: passed {} of {} supported, {} of {} contradicted, {} of {} with neither: precision {precision:.3}, recall {recall:.3}",
        supported[0], supported[1], contradicted[0], contradicted[1], neither[0], neither[1]
    );
    assert!(precision > 0.6, "{precision}");
    let share = |row: [u32; 2]| f64::from(row[0]) / f64::from(row[1]);
    assert!(share(contradicted) < 0.7 * share(supported));
}

/// Sentences with one thing changed: what was changed, and the sentence.
fn changed(sentence: &str, other_name: &str) -> Vec<(&'static str, String)> {
    let found = tokens(sentence);
    let mut all = Vec::new();
    let replaced =
        |start: usize, end: usize, with: &str| format!("{}{with}{}", &sentence[..start], &sentence[end..]);
    let numbers: Vec<_> = found
        .iter()
        .filter(|token| {
            token.kind == TokenKind::Number && sentence[token.start..token.end].parse::<f64>().is_ok()
        })
        .collect();
    for number in &numbers {
        let value: f64 = sentence[number.start..number.end].parse().unwrap();
        all.push(("number", replaced(number.start, number.end, &format!("{}", value + 7.0))));
    }
    if let [first, .., last] = numbers[..]
        && first.form != last.form
    {
        let (a, b) = (&sentence[first.start..first.end], &sentence[last.start..last.end]);
        let text = format!(
            "{}{b}{}{a}{}",
            &sentence[..first.start],
            &sentence[first.end..last.start],
            &sentence[last.end..]
        );
        all.push(("two numbers", text));
    }
    for name in found.iter().filter(|token| token.kind == TokenKind::Name).take(3) {
        all.push(("name", replaced(name.start, name.end, other_name)));
    }
    for verb in [" is ", " are ", " was ", " were ", " can ", " may "] {
        if let Some(at) = sentence.find(verb) {
            all.push(("negation", replaced(at + verb.len(), at + verb.len(), "not ")));
            break;
        }
    }
    if let Some(at) = sentence.find(" not ") {
        all.push(("negation", replaced(at, at + 4, "")));
    }
    all
}

#[test]
fn nothing_that_was_changed_passes() {
    let Some(folder) = scifact() else { return };
    let abstracts = abstracts(&folder);
    let mut counts: HashMap<&str, u32> = HashMap::new();
    let (mut kept, mut whole) = (0, 0);
    let mut passed = Vec::new();
    for claim in claims(&folder) {
        for (document, sets) in claim["evidence"].as_object().unwrap() {
            let text = abstracts[document].join(" ");
            for set in sets.as_array().unwrap() {
                for at in set["sentences"].as_array().unwrap() {
                    let sentence = &abstracts[document][at.as_u64().unwrap() as usize];
                    whole += 1;
                    kept += u32::from(verify(sentence, &[&text]).is_supported());
                    let really = |(_, claim): &(&str, String)| claim != sentence;
                    for (what, claim) in changed(sentence, "Zyzzyva9").into_iter().filter(really) {
                        *counts.entry(what).or_default() += 1;
                        if verify(&claim, &[&text]).is_supported() {
                            passed.push((what, claim));
                        }
                    }
                }
            }
        }
    }
    println!(
        "Constructed from SciFact: {kept} of {whole} unchanged sentences pass; changed {counts:?}, of which {} pass",
        passed.len()
    );
    for (what, claim) in passed.iter().take(10) {
        println!("{what}: {claim}");
    }
    assert_eq!(passed.len(), 0);
    assert!(kept * 100 >= whole * 95, "{kept} of {whole}");
}
