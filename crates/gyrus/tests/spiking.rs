//! Spiking networks from data to answers, as a person would go.

use std::fs;

use crate::common::*;

#[test]
fn digits_learn_to_spike_and_predict() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let said = json(run("learn digits --spiking --epochs 5 --seed 2 --json --out", &[&run_folder]));
    let accuracy = said["test_accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.95, "{said}");
    assert_eq!(record(&run_folder)["settings"]["spiking"]["steps"], 4);
    let blueprint = fs::read_to_string(run_folder.join("blueprint.toml")).unwrap();
    assert!(blueprint.contains("kind = \"LIF\"") && !blueprint.contains("ReLU"), "{blueprint}");

    let picture = folder.path().join("stroke.png");
    let stroke = |x, y| if (3..5).contains(&x) && (1..7).contains(&y) { 255 } else { 0 };
    image::GrayImage::from_fn(8, 8, |x, y| image::Luma([stroke(x, y)])).save(&picture).unwrap();
    let predict = || json(gyrus(["predict", "--json"]).args([&run_folder, &picture]).output().unwrap());
    let said = predict();
    let all = said["predictions"][0]["probabilities"].as_object().unwrap();
    let sum: f64 = all.values().map(|p| p.as_f64().unwrap()).sum();
    assert!(all.len() == 10 && (sum - 1.0).abs() < 1e-4, "{said}");
    assert_eq!(said, predict(), "the same answer again");
}

/// Each code and each readout learns: far better than the one in ten of guessing.
#[test]
fn every_code_and_readout_learns() {
    let folder = tempfile::tempdir().unwrap();
    for (options, least) in [
        ("--encoder rate --steps 8", 0.75),
        ("--encoder latency --steps 8", 0.75),
        ("--encoder population --population 6", 0.75),
        ("--readout counts", 0.75),
        ("--readout first-spike --steps 8 --attach-reset --surrogate fast-sigmoid", 0.5),
        ("--truncate 2 --integration euler --surrogate triangular", 0.75),
        ("--surrogate gaussian", 0.75),
        ("--surrogate multi-gaussian", 0.75),
        ("--surrogate boxcar:1", 0.75),
    ] {
        let run_folder = folder.path().join("run");
        let line =
            format!("learn digits --spiking --blueprint mlp --epochs 3 {options} --overwrite --json --out");
        let said = json(run(&line, &[&run_folder]));
        let accuracy = said["test_accuracy"].as_f64().unwrap();
        println!("{options}: {accuracy:.3}");
        assert!(accuracy >= least, "{options}: {said}");
    }
}

/// A population of neurons stands for each number of a row, so that the network takes more numbers than a row has.
#[test]
fn a_table_is_learned_from_populations() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 400);
    let run_folder = folder.path().join("run");
    let line = "learn --target kind --spiking --encoder population --epochs 20 --seed 1 --json --out";
    let said = json(run(line, &[&run_folder, &table]));
    assert!(said["test_accuracy"].as_f64().unwrap() > 0.8, "{said}");
    let encoder = &record(&run_folder)["settings"]["spiking"]["encoder"];
    assert_eq!((encoder["code"].as_str(), encoder["neurons"].as_u64()), (Some("population"), Some(8)));

    let rows = folder.path().join("rows.csv");
    fs::write(&rows, "width,height,color,price\n95,90,red,\n3,4,,\n").unwrap();
    let said = json(gyrus(["predict", "--json"]).args([&run_folder, &rows]).output().unwrap());
    let classes: Vec<_> = said["predictions"].as_array().unwrap().iter().map(|row| &row["class"]).collect();
    assert_eq!(classes, ["large", "small"]);

    // A blueprint for the plain columns does not take what stands for them.
    let plain = folder.path().join("plain.toml");
    let blueprint = fs::read_to_string(run_folder.join("blueprint.toml")).unwrap();
    let shape = blueprint.lines().find(|line| line.starts_with("shape = ")).unwrap();
    fs::write(&plain, blueprint.replacen(shape, "shape = [9]", 1)).unwrap();
    let line = "learn --target kind --spiking --encoder population --blueprint";
    let sentence = refused(&run(line, &[&plain, &table]));
    assert!(
        sentence.contains("the blueprint takes [9], but") && sentence.contains("needs [72]"),
        "{sentence}"
    );
}

/// Regression has one output and no classes.
#[test]
fn a_number_is_learned_by_spikes() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 400);
    let run_folder = folder.path().join("run");
    let line = "learn --target price --spiking --encoder population --epochs 30 --seed 1 --json --out";
    let said = json(run(line, &[&run_folder, &table]));
    // The mean alone is 80 off.
    assert!(said["test"]["mean_absolute_error"].as_f64().unwrap() < 50.0, "{said}");
}

#[test]
fn a_potential_that_is_not_finite_stops_the_run_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let line = "learn digits --spiking --blueprint mlp --optimizer sgd --learning-rate 1e36 --json --out";
    let sentence = failed(&run(line, &[&run_folder]), 1);
    assert!(sentence.contains("node `relu1`") && sentence.contains("at step 0"), "{sentence}");
}

#[test]
fn senseless_settings_of_time_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (options, expected) in [
        ("--encoder nope", "expected direct, rate, latency or population"),
        // No data set of the program is a sequence.
        ("--encoder delta", "expected direct, rate, latency or population"),
        ("--readout nope", "expected membrane, counts or first-spike"),
        ("--integration nope", "expected exact or euler"),
        ("--surrogate atan:-1", "expected atan, fast-sigmoid"),
        ("--dt 0", "expected a number above 0"),
        ("--tau 0", "expected a finite number above 0"),
    ] {
        let line = format!("learn digits --spiking {options} --out");
        let sentence = refused(&run(&line, &[&folder.path().join("run")]));
        assert!(sentence.contains(expected), "{options}: {sentence}");
    }
    for options in ["--population 2", "--population 1025", "--steps 0", "--truncate 0"] {
        let said =
            usage(&run(&format!("learn digits --spiking {options} --out"), &[&folder.path().join("run")]));
        assert!(said.contains("is not in"), "{options}: {said}");
    }
    let said = usage(&run("learn digits --encoder rate --out", &[&folder.path().join("run")]));
    assert!(said.contains("--spiking"), "{said}");
    assert!(!folder.path().join("run").exists());
}
