//! `gyrus simulate` of circuits that learn without labels.

use std::fs;

use crate::common::*;
use gyrus::verbs::{LearningTask, SimulateLearning};

#[test]
fn digits_are_learned_without_labels_the_same_for_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str, threads: &str| {
        let line = format!(
            "simulate digits --examples 600 --scale 0.1 --seed 2 --json --out {out} --threads {threads}"
        );
        json(gyrus(words(&line)).current_dir(folder.path()).output().unwrap())
    };
    let (one, two) = (run("one", "1"), run("two", "2"));
    assert_eq!((one["kind"].as_str(), one["status"].as_str()), (Some("simulate"), Some("finished")));
    assert_eq!((one["neurons"].as_u64(), one["inputs"].as_u64()), (Some(40), Some(64)));
    // Ten classes: a tenth by chance.
    assert!(one["accuracy"].as_f64().unwrap() > 0.4, "{one}");
    assert_eq!((&one["accuracy"], &one["spikes"]), (&two["accuracy"], &two["spikes"]));
    let weights = |out: &str| fs::read(folder.path().join(out).join("learned.safetensors")).unwrap();
    assert!(weights("one") == weights("two"));
    let page = fs::read_to_string(folder.path().join("one/report.html")).unwrap();
    for part in ["Receptive fields", "Confusion", "Recognized before", "stands for"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_stopped_learning_goes_on_to_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let verb = |out: &str| SimulateLearning {
        examples: Some(100),
        scale: 0.05,
        out: Some(folder.path().join(out)),
        ..SimulateLearning::new(LearningTask::Digits)
    };
    let whole = verb("whole").run(&mut gyrus::Quiet).unwrap();
    let stopped = verb("part").run(&mut Impatient(3)).unwrap_err();
    assert!(matches!(stopped, gyrus::Error::Interrupted { step: 60, steps: 100, .. }), "{stopped}");
    let part = folder.path().join("part");
    let resumed = SimulateLearning::resumed(&part).unwrap().unwrap().run(&mut gyrus::Quiet).unwrap();
    assert_eq!((resumed.accuracy, resumed.spikes), (whole.accuracy, whole.spikes));
    assert!(fs::read(whole.weights).unwrap() == fs::read(resumed.weights).unwrap());
    assert!(SimulateLearning::resumed(&part).unwrap().is_none());
}

#[test]
fn photographs_grow_edge_detectors() {
    let Some(photographs) = real_data("photos_skimage") else { return };
    let folder = tempfile::tempdir().unwrap();
    let verb = SimulateLearning {
        data: Some(photographs),
        examples: Some(600),
        scale: 0.1,
        out: Some(folder.path().join("edges")),
        ..SimulateLearning::new(LearningTask::Edges)
    };
    let report = verb.run(&mut gyrus::Quiet).unwrap();
    assert_eq!((report.neurons, report.inputs, report.accuracy), (14, 392, None));
    assert!(report.edge_detectors.is_some() && report.by_chance.unwrap() < 0.2, "{report:?}");
    let page = fs::read_to_string(&report.page).unwrap();
    assert!(page.contains("Edge detectors by orientation") && page.contains("Gabor fit"));
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |line: &str| {
        let output = gyrus(words(line)).current_dir(folder.path()).output().unwrap();
        let sentence = refused(&output);
        assert!(!folder.path().join("runs").exists(), "{sentence}");
        sentence
    };
    assert!(refuse("simulate edges").contains("--data DIR"));
    assert!(refuse("simulate edges --data nowhere").contains("nowhere is not there"));
    assert!(refuse("simulate mnist --data nowhere").contains("nowhere is not there"));
    assert!(refuse("simulate digits --seconds 3").contains("--examples"));
    assert!(refuse("simulate digits --scale 0.001").contains("2 to 65,536"));
    assert!(refuse("simulate brunel --examples 5").contains("circuits that learn"));
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(refuse("simulate edges --data empty").contains("no photographs"));
}
