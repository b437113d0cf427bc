//! `gyrus spike`: from a dense run to a spiking one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::*;
use serde_json::Value;

/// A dense run on the digits, and the folder that it lies in.
fn dense(line: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("dense");
    json(run(&format!("learn digits --seed 3 --json {line} --out"), &[&run_folder]));
    (folder, run_folder)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_dense_run_becomes_a_spiking_one() {
    let (folder, run_folder) = dense("--epochs 8");
    let said = json(run("spike --epochs 3 --json", &[&run_folder]));
    let spiking = folder.path().join("dense-spiking");
    assert_eq!(said["run"], spiking.to_str().unwrap());
    assert_eq!((&said["levels"], &said["exact"]), (&8.into(), &Value::Null));
    let after = said["after"].as_array().unwrap();
    let steps: Vec<u64> = after.iter().map(|row| row["steps"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2, 4, 8, 16, 32]);
    let dense_accuracy = number(&said["dense_accuracy"]);
    assert!(dense_accuracy > 0.95 && number(&said["quantized_accuracy"]) > 0.95, "{said}");
    // Within two of the 359 examples.
    assert!((number(&after[5]["accuracy"]) - dense_accuracy).abs() < 0.006, "{said}");
    assert!(number(&after[0]["accuracy"]) <= number(&after[5]["accuracy"]));
    for pair in after.windows(2) {
        for growing in ["spikes_per_neuron", "accumulates", "synaptic_operations"] {
            assert!(number(&pair[1][growing]) > number(&pair[0][growing]), "{growing}: {said}");
        }
        for accounting in ["operations_pj", "with_memory_pj"] {
            let of = |row: &Value, which: &str| number(&row["energy"][which][accounting]);
            assert!(of(&pair[1], "spiking") > of(&pair[0], "spiking"));
            assert!(of(&pair[1], "quantized") >= of(&pair[0], "quantized"));
            assert_eq!(of(&pair[1], "dense"), of(&pair[0], "dense"));
        }
    }
    // A neuron cannot fire more than once a step.
    assert!(after.iter().all(|row| number(&row["spikes_per_neuron"]) < number(&row["steps"])));
    // The first layer multiplies its constant input once, and once only.
    assert_eq!(after[0]["multiply_accumulates"], after[5]["multiply_accumulates"]);

    assert_eq!(
        names(&spiking),
        ["blueprint.toml", "metrics.jsonl", "model.safetensors", "report.html", "run.json"]
    );
    let record = record(&spiking);
    assert_eq!(record["status"], "finished");
    assert_eq!(record["conversion"]["after"].as_array().unwrap().len(), 6);
    // The number of steps that is best on the validation examples is kept, and its accuracy is the result.
    let kept = said["steps"].as_u64().unwrap();
    assert_eq!(record["settings"]["spiking"]["steps"], kept);
    let row = after.iter().find(|row| row["steps"] == kept).unwrap();
    assert_eq!(record["results"]["test"]["accuracy"], row["accuracy"]);
    assert!(number(&row["accuracy"]) > 0.95, "{said}");
    // Three with quantized activations, and two through time.
    let epochs: Vec<u64> = metrics(&spiking).iter().map(|row| row["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5]);
    let blueprint = fs::read_to_string(spiking.join("blueprint.toml")).unwrap();
    assert!(blueprint.contains("\"IF\"") && blueprint.contains("CountMaxPool2d"), "{blueprint}");
    assert!(
        !blueprint.contains("ReLU") && !blueprint.contains("BatchNorm") && !blueprint.contains("Dropout")
    );
    let report = fs::read_to_string(spiking.join("report.html")).unwrap();
    for part in ["id=\"spiking\"", "id=\"activity\"", "relu3", "class=\"spike\"", "relative to quantized"] {
        assert!(report.contains(part), "no {part} in the report");
    }

    let picture = folder.path().join("picture.png");
    image::GrayImage::from_fn(8, 8, |x, y| image::Luma([if x / 2 == 2 && y > 0 { 240 } else { 0 }]))
        .save(&picture)
        .unwrap();
    let answer = json(run("predict --json", &[&spiking, &picture]));
    let probability = number(&answer["predictions"][0]["probability"]);
    assert!((0.1..=1.0).contains(&probability), "{answer}");
}

#[test]
fn signed_spikes_answer_exactly_as_the_quantized_network_on_every_test_example() {
    let (folder, run_folder) = dense("--epochs 3");
    for (levels, threads) in [(8, 2), (3, 1)] {
        let line =
            format!("spike --exact --levels {levels} --threads {threads} --epochs 1 --overwrite --json");
        let said = json(run(&line, &[&run_folder]));
        let exact = &said["exact"];
        assert_eq!(exact["examples"], said["test_examples"]);
        assert_eq!(exact["examples"], 359);
        assert_eq!((&exact["differing_answers"], &exact["differing_classes"]), (&0.into(), &0.into()));
        // Three layers on the path.
        assert_eq!(exact["enough_steps"], 3 * levels);
        let settled = exact["settled_after"].as_u64().unwrap();
        assert!(settled > 1 && settled <= 3 * levels, "{said}");
        let last = said["after"].as_array().unwrap().last().unwrap();
        assert_eq!(last["accuracy"], said["quantized_accuracy"]);
        assert_eq!(last["steps"].as_u64().unwrap(), (3 * levels).next_power_of_two());
    }
    let picture = folder.path().join("picture.png");
    image::GrayImage::new(8, 8).save(&picture).unwrap();
    json(run("predict --json", &[&folder.path().join("dense-exact"), &picture]));
    // Each form has a folder of its own, so the forms do not stand in each other's way.
    assert!(!folder.path().join("dense-spiking").exists());
    let sentence = refused(&run("spike --exact", &[&run_folder]));
    assert!(sentence.contains("dense-exact") && sentence.contains("--overwrite"), "{sentence}");
}

/// A conversion that was stopped goes on to the same network, from whichever part it was in.
#[cfg(unix)]
#[test]
fn a_stopped_conversion_goes_on_to_the_same_network() {
    let (folder, run_folder) = dense("--epochs 4");
    let spiking = folder.path().join("dense-spiking");
    let whole = json(run("spike --epochs 2 --time-epochs 3 --json", &[&run_folder]));
    let expected = model(&spiking);
    // From the middle of the fine-tuning, and of the measurement after it.
    let request = spiking.join("conversion.json");
    for part in ["many_steps", "measuring"] {
        // A part may be over before the signal arrives.
        let stopped = (0..5).map(|_| stopped_in(part, &run_folder, &request));
        let output = stopped.into_iter().find(|output| !output.status.success()).expect("it can be stopped");
        let sentence = failed(&output, 130);
        assert!(
            sentence.contains("gyrus spike --resume") && sentence.contains("dense-spiking"),
            "{sentence}"
        );
        let wrong = refused(&run("learn --resume", &[&spiking]));
        assert!(wrong.contains("gyrus spike --resume"), "{wrong}");
        let refusal = refused(&run("spike --epochs 2", &[&run_folder]));
        assert!(refusal.contains("--resume"), "{refusal}");
        let resumed = json(run("spike --json --resume", &[&spiking]));
        assert!(model(&spiking) == expected, "the models differ");
        for same in ["after", "steps", "dense_accuracy", "quantized_accuracy", "through_time_epochs"] {
            assert_eq!(resumed[same], whole[same], "{same}");
        }
        assert!(!request.exists() && !spiking.join("quantized.safetensors").exists());
    }
    let sentence = refused(&run("spike --resume", &[&run_folder]));
    assert!(sentence.contains("not a conversion that was stopped"), "{sentence}");
}

/// What a conversion says that got Ctrl-C when this part began.
#[cfg(unix)]
fn stopped_in(part: &str, run_folder: &Path, request: &Path) -> std::process::Output {
    let _ = fs::remove_file(request);
    let mut child = gyrus(words("spike --overwrite --epochs 2 --time-epochs 3"))
        .arg(run_folder)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let is_there = || {
        let text = fs::read_to_string(request).unwrap_or_default();
        text.contains(&format!("\"part\": \"{part}\""))
    };
    while !is_there() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    child.wait_with_output().unwrap()
}

#[test]
fn a_run_with_quantized_activations_is_not_tuned_again() {
    let folder = tempfile::tempdir().unwrap();
    let blueprint = folder.path().join("quantized.toml");
    let text = "name = \"quantized\"\n\
        [[node]]\nname = \"input\"\nkind = \"Input\"\nshape = [1, 8, 8]\n\
        [[node]]\nname = \"flatten\"\nkind = \"Flatten\"\n\
        [[node]]\nname = \"hidden\"\nkind = \"Affine\"\nout_features = 40\n\
        [[node]]\nname = \"steps\"\nkind = \"QuantizedReLU\"\nlevels = 4\n\
        [[node]]\nname = \"classifier\"\nkind = \"Affine\"\nout_features = 10\n\
        [[node]]\nname = \"output\"\nkind = \"Output\"\n";
    fs::write(&blueprint, text).unwrap();
    let run_folder = folder.path().join("run");
    let line = "learn digits --epochs 4 --json --blueprint";
    json(gyrus(words(line)).arg(&blueprint).arg("--out").arg(&run_folder).output().unwrap());
    let out = folder.path().join("other");
    let line = "spike --steps 16 4 --levels 7 --time-epochs 0 --json --out";
    let said = json(run(line, &[&out, &run_folder]));
    assert_eq!((&said["fine_tuning_epochs"], &said["levels"]), (&0.into(), &4.into()));
    assert_eq!(said["dense_accuracy"], said["quantized_accuracy"]);
    assert_eq!((&said["after"][0]["steps"], &said["after"][1]["steps"]), (&4.into(), &16.into()));
    assert!(!out.join("metrics.jsonl").exists());
}

#[test]
fn a_table_run_converts_and_threads_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 300);
    let run_folder = folder.path().join("run");
    json(run("learn --target kind --epochs 6 --json --out", &[&run_folder, &table]));
    for form in ["", "--exact"] {
        let [one, two] = [1, 2].map(|threads| {
            let out = folder.path().join(format!("spiking{form}-{threads}"));
            let line = format!("spike --epochs 2 {form} --threads {threads} --json --out");
            let mut said = json(run(&line, &[&out, &run_folder]));
            for differs in ["run", "fine_tuning_seconds", "through_time_seconds", "total_seconds"] {
                said.as_object_mut().unwrap().remove(differs).unwrap();
            }
            // Names that every verb gives the same things.
            for differs in ["seconds", "out", "output", "page", "report"] {
                said.as_object_mut().unwrap().remove(differs);
            }
            (said, model(&out))
        });
        assert_eq!(one.0, two.0);
        assert!(one.1 == two.1, "the models differ");
        if form == "--exact" {
            assert_eq!(one.0["exact"]["differing_answers"], 0);
        }
    }
}

#[test]
fn a_spiking_network_leaves_as_a_nir_file_that_answers_alike() {
    let (folder, run_folder) = dense("--epochs 2");
    let file = folder.path().join("net.nir");
    let said = json(run("spike --epochs 1 --steps 12 --neurobench --json --nir", &[&file, &run_folder]));
    assert_eq!(said["nir"], file.to_str().unwrap());
    // What fires and what is added are told twice, by two counts.
    let (metrics, after) = (&said["neurobench"], &said["after"][0]);
    let silent = 1.0 - number(&after["spikes_per_neuron"]) / 12.0;
    assert!((number(&metrics["activation_sparsity"]) - silent).abs() < 1e-9, "{said}");
    assert!((number(&metrics["effective_acs"]) - number(&after["accumulates"])).abs() < 1e-6, "{said}");
    let warnings = said["nir_warnings"].to_string();
    assert!(warnings.contains("reset by subtraction"), "{warnings}");
    let spiking = folder.path().join("dense-nir");
    assert!(number(&said["after"][0]["accuracy"]) > 0.8, "{said}");
    let text = stdout(&succeeded(run("inspect", &[&file])));
    assert!(text.contains("SumPool2d") && text.contains("IF") && !text.contains("Max"), "{text}");

    let learned = folder.path().join("learned");
    json(run("learn digits --epochs 1 --blueprint mlp --spiking --json --out", &[&learned]));
    let other = folder.path().join("learned.nir");
    let output = succeeded(run("spike --nir", &[&other, &learned]));
    assert!(stdout(&output).starts_with(&format!("wrote {}", other.display())), "{}", stdout(&output));

    let picture = folder.path().join("picture.png");
    for column in [1, 3, 5] {
        let ink = |x: u32, y: u32| image::Luma([if x / 2 == column / 2 && y > 0 { 240 } else { 7 }]);
        image::GrayImage::from_fn(8, 8, ink).save(&picture).unwrap();
        for (steps, run_folder, file) in [("12", &spiking, &file), ("4", &learned, &other)] {
            let of_run = json(run("predict --json", &[run_folder, &picture]));
            let of_file = json(run(&format!("predict --json --steps {steps}"), &[file, &picture]));
            let class = of_file["predictions"][0]["class"].to_string();
            assert_eq!(of_run["predictions"][0]["class"], class.as_str(), "{of_run} {of_file}");
        }
    }

    // A network with batch norms and maxima over spikes, as each program reads it: the answers stay.
    let pooled = folder.path().join("pooled");
    json(run("learn digits --epochs 1 --spiking --reset zero --json --out", &[&pooled]));
    for program in ["any", "norse", "snntorch"] {
        let file = folder.path().join(format!("{program}.nir"));
        succeeded(run(&format!("spike --nir-for {program} --nir"), &[&file, &pooled]));
        let text = stdout(&succeeded(run("inspect", &[&file])));
        assert!(!text.contains("BatchNorm") && !text.contains("MaxPool"), "{text}");
        let pools = if program == "snntorch" { "AvgPool2d" } else { "SumPool2d" };
        assert!(text.contains(pools), "{text}");
        let of_run = json(run("predict --json", &[&pooled, &picture]));
        let of_file = json(run("predict --json --steps 4", &[&file, &picture]));
        let class = of_file["predictions"][0]["class"].to_string();
        assert_eq!(of_run["predictions"][0]["class"], class.as_str(), "{program}: {of_run} {of_file}");
    }
    let file = folder.path().join("sinabs.nir");
    let sentence = refused(&run("spike --nir-for sinabs --nir", &[&file, &pooled]));
    assert!(sentence.contains("`pool`") && sentence.contains("sinabs"), "{sentence}");

    // Nothing is trained for a file that cannot be written.
    let nowhere = folder.path().join("none").join("net.nir");
    let sentence = refused(&run("spike --overwrite --nir", &[&nowhere, &run_folder]));
    assert!(sentence.contains("none is not a folder") && sentence.contains("net.nir"), "{sentence}");
    let line = "spike --exact --nir";
    assert!(usage(&run(line, &[&file, &run_folder])).contains("--exact"));
}

#[test]
fn what_cannot_be_converted_is_refused_and_leaves_nothing() {
    let (folder, run_folder) = dense("--epochs 1 --blueprint mlp");
    let refuse = |line: &str, run_folder: &Path| {
        let output = gyrus(words(line)).arg(run_folder).output().unwrap();
        assert!(output.stdout.is_empty(), "{}", stdout(&output));
        let sentence = refused(&output);
        let left = run_folder
            .with_file_name(format!("{}-spiking", run_folder.file_name().unwrap().to_str().unwrap()));
        assert!(!left.exists(), "{} was left", left.display());
        sentence
    };
    let says = |sentence: &str, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(sentence.contains(part), "no {part:?} in: {sentence}"));
    };
    says(&refuse("spike", &folder.path().join("nowhere")), &["nowhere", "does not exist"]);
    says(&refuse("spike", folder.path()), &["not a run folder"]);

    // A run that is not finished.
    let path = run_folder.join("run.json");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("\"finished\"", "\"interrupted\"")).unwrap();
    says(&refuse("spike", &run_folder), &["not finished", "interrupted", "--resume"]);
    // Other data than it learned from.
    let fingerprint = record_of(&whole)["data"]["fingerprint"].as_str().unwrap().to_owned();
    fs::write(&path, whole.replace(&fingerprint, &fingerprint.replace('a', "b"))).unwrap();
    says(&refuse("spike", &run_folder), &["the data has changed"]);
    fs::write(&path, &whole).unwrap();

    // An activation that no spikes can say, and none at all.
    let blueprint = run_folder.join("blueprint.toml");
    let text = fs::read_to_string(&blueprint).unwrap();
    fs::write(&blueprint, text.replacen("\"ReLU\"", "\"GELU\"", 1)).unwrap();
    says(&refuse("spike", &run_folder), &["`relu1`", "GELU", "cannot be converted"]);
    fs::write(&blueprint, text.replace("\"ReLU\"", "\"Tanh\"")).unwrap();
    says(&refuse("spike --exact", &run_folder), &["`relu1`", "Tanh"]);
    fs::write(&blueprint, &text).unwrap();
    let linear = folder.path().join("linear");
    json(run("learn digits --epochs 1 --blueprint perceptron --json --out", &[&linear]));
    says(&refuse("spike", &linear), &["no ReLU"]);

    // What spikes already, and what predicts numbers.
    let spiking = folder.path().join("learned");
    json(run("learn digits --epochs 1 --blueprint mlp --spiking --steps 2 --json --out", &[&spiking]));
    says(&refuse("spike", &spiking), &["spikes already", "dense run"]);
    let table = folder.path().join("things.csv");
    write_table(&table, 60);
    let prices = folder.path().join("prices");
    json(run("learn --target price --epochs 1 --json --out", &[&prices, &table]));
    says(&refuse("spike", &prices), &["predicts a number", "price"]);

    // Folders that have something to lose.
    let before = model(&run_folder);
    let output = gyrus(["spike", "--overwrite", "--out"]).args([&run_folder, &run_folder]).output().unwrap();
    says(&refused(&output), &["would replace the dense one"]);
    assert!(model(&run_folder) == before);
    let output = gyrus(["spike", "--out"]).args([&linear, &run_folder]).output().unwrap();
    says(&refused(&output), &["already contains a finished run", "--overwrite"]);

    for (line, parts) in [
        ("spike --levels 0", ["--levels", "0"]),
        ("spike --steps 0", ["--steps", "0"]),
        ("spike --exact --steps 4 --levels 4", ["--exact", "--steps"]),
    ] {
        let output = gyrus(words(line)).arg("--threads").arg("1").arg(&run_folder).output().unwrap();
        says(&usage(&output), &parts);
    }
}

/// Takes minutes: `cargo test --release --workspace --test all -- spike:: --ignored`.
#[test]
#[ignore = "trains on all of MNIST"]
fn mnist_is_as_good_after_a_few_steps_and_exact_on_all_its_test_examples() {
    let Some(data) = real_data("mnist") else { return };
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("mnist");
    json(run("learn mnist --epochs 4 --json --data", &[&data, Path::new("--out"), &run_folder]));
    let [_, exact] = ["--time-epochs 3", "--exact"].map(|form| {
        let said = json(run(&format!("spike --overwrite --json {form}"), &[&run_folder]));
        let dense = number(&said["dense_accuracy"]);
        for (steps, points) in [(4, 0.3), (8, 0.1)] {
            let row = said["after"].as_array().unwrap().iter().find(|row| row["steps"] == steps).unwrap();
            let behind = 100.0 * (dense - number(&row["accuracy"]));
            assert!(behind <= points + 1e-9, "{form}: after {steps} steps {behind:.2} points behind: {said}");
        }
        said
    });
    assert_eq!(exact["exact"]["examples"], 10_000);
    assert_eq!(exact["exact"]["differing_answers"], 0);
}

fn record_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
