//! `gyrus predict --body events`: the event-driven body answers as the clocked one, and reports its work.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{json, refused, run, stdout, succeeded};
use serde_json::Value;

/// Images of handwritten digits that no training has seen.
fn digits(folder: &Path, count: usize) -> Vec<PathBuf> {
    let gyrus::data::Features::Images(images) = gyrus::data::digits().test.features else { unreachable!() };
    let file = |index| {
        let path = folder.join(format!("digit{index}.png"));
        let image = image::GrayImage::from_raw(8, 8, images.get(index).unwrap().to_vec()).unwrap();
        image.save(&path).unwrap();
        path
    };
    (0..count).map(file).collect()
}

/// Asks both bodies about all files; their answers agree, and only the events count their work.
fn both_bodies(network: &Path, files: &[PathBuf]) -> Vec<Value> {
    let paths: Vec<&Path> = std::iter::once(network).chain(files.iter().map(PathBuf::as_path)).collect();
    let ask = |body: &str| json(run(&format!("predict --json --body {body}"), &paths))["predictions"].clone();
    let (clocked, events) = (ask("clocked"), ask("events"));
    let (clocked, events) = (clocked.as_array().unwrap(), events.as_array().unwrap());
    assert_eq!(clocked.len(), events.len());
    for (clocked, events) in clocked.iter().zip(events) {
        assert_eq!(clocked["class"], events["class"], "{clocked} {events}");
        assert!(clocked.get("work").is_none(), "{clocked}");
        for key in ["probabilities", "outputs"] {
            let numbers = |answer: &Value| -> Vec<f64> {
                let of_map = |map: &serde_json::Map<String, Value>| map.values().cloned().collect();
                let list = answer[key].as_array().cloned().or(answer[key].as_object().map(of_map));
                list.unwrap_or_default().iter().map(|number| number.as_f64().unwrap()).collect()
            };
            for (a, b) in numbers(clocked).iter().zip(numbers(events)) {
                assert!((a - b).abs() < 1e-6, "{key}: {clocked} {events}");
            }
        }
    }
    events.to_vec()
}

#[test]
fn both_bodies_of_a_run_give_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let files = digits(folder.path(), 10);
    let [trained, dense, converted, exact] =
        ["trained", "dense", "converted", "exact"].map(|name| folder.path().join(name));
    json(run("learn digits --spiking --epochs 2 --json --out", &[&trained]));
    json(run("learn digits --epochs 2 --json --out", &[&dense]));
    json(run("spike --epochs 0 --steps 8 --json --out", &[&converted, &dense]));
    json(run("spike --epochs 0 --exact --json --out", &[&exact, &dense]));
    for run_folder in [&trained, &converted, &exact] {
        for answer in both_bodies(run_folder, &files) {
            let work = &answer["work"];
            let number = |key: &str| work[key].as_u64().unwrap();
            assert!(number("spikes") > 0 && number("membrane_updates") > 0, "{work}");
            assert_eq!(
                number("synaptic_operations"),
                number("accumulates") + number("multiply_accumulates"),
                "{work}"
            );
        }
    }

    let text = stdout(&succeeded(run("predict --body events", &[&converted, &files[0]])));
    assert!(text.contains("spikes") && text.contains("synaptic operations"), "{text}");

    let sentence = refused(&run("predict --body events", &[&dense, &files[0]]));
    assert!(sentence.contains("dense") && sentence.contains("gyrus spike"), "{sentence}");
}

#[test]
fn both_bodies_of_a_nir_file_give_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let files = digits(folder.path(), 3);
    let [dense, converted] = ["dense", "converted"].map(|name| folder.path().join(name));
    let nir = folder.path().join("net.nir");
    json(run("learn digits --epochs 1 --blueprint mlp --json --out", &[&dense]));
    json(run("spike --epochs 0 --steps 8 --json --out", &[&converted, Path::new("--nir"), &nir, &dense]));
    assert!(fs::metadata(&nir).unwrap().len() > 0);
    for answer in both_bodies(&nir, &files) {
        assert!(answer["work"]["spikes"].as_u64().unwrap() > 0, "{answer}");
    }
}
