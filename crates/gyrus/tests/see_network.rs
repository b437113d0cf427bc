//! `gyrus see` on the run of a network: the summary, the object, the page in a browser, and what is refused.

#[path = "common/browser.rs"]
mod browser;

use crate::common;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::common::{gyrus, json, refused, run, stderr, stdout, succeeded, usage, write_table};
use browser::Browser;
use serde_json::Value;

/// A run on the built-in digits that all tests share.
fn digits() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let path = tempfile::tempdir().unwrap().keep().join("digits");
        succeeded(run("learn digits --epochs 6 --quiet --out", &[&path]));
        path
    })
}

fn see(line: &str, paths: &[&Path]) -> std::process::Output {
    let words = ["see".to_owned()].into_iter().chain(common::words(line));
    gyrus(words.map(Into::into).chain(paths.iter().map(|path| path.as_os_str().to_owned()))).output().unwrap()
}

#[test]
fn the_layers_of_digits_are_summed_up_and_shown() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("page.html");
    let output = succeeded(see("--examples 600 --synthesis-steps 12 --out", &[&out, digits()]));
    let said = stdout(&output);
    for part in ["conv1", "classifier", "linear probe", "edge detectors", "test example"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(stderr(&output).contains("page.html"), "{}", stderr(&output));

    let ask = |threads: &str| {
        let line = format!("--examples 600 --synthesis-steps 12 --json --threads {threads} --out");
        let mut answer = json(see(&line, &[&out, digits()]));
        for clock in ["seconds", "total_seconds"] {
            answer.as_object_mut().unwrap().remove(clock);
        }
        answer
    };
    let answer = ask("1");
    // The objects are too long to be shown.
    assert!(answer == ask("2"), "another answer with another number of threads");
    let layers = answer["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["conv1", "conv2", "conv3", "classifier"]);
    assert_eq!(layers[0]["receptive_field"], serde_json::json!([3, 3]));
    assert_eq!(layers[0]["units"].as_array().unwrap().len(), 32);
    let accuracy = |layer: &Value| layer["probe"]["accuracy"].as_f64().unwrap();
    assert!(accuracy(&layers[2]) > 0.9, "{}", accuracy(&layers[2]));
    let alike = |row: usize, column: usize| answer["similarity"][row][column].as_f64().unwrap();
    for layer in 0..5 {
        assert!((alike(layer, layer) - 1.0).abs() < 1e-6);
    }
    assert!((alike(1, 3) - alike(3, 1)).abs() < 1e-9 && alike(1, 2) > alike(1, 4));
    let decisions = answer["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 10);
    for decision in decisions {
        assert!(decision["completeness_error"].as_f64().unwrap() < 0.05, "{decision}");
    }
    // A unit of the answer prefers its own class.
    let answers = layers[3]["units"].as_array().unwrap();
    let own = answers.iter().enumerate().filter(|(class, unit)| unit["preferred_class"] == *class).count();
    assert!(own >= 9, "{own} of 10");
}

#[test]
fn an_image_and_another_run_are_looked_at() {
    let place = tempfile::tempdir().unwrap();
    let (out, image, other) =
        (place.path().join("page.html"), place.path().join("<b>.png"), place.path().join("other"));
    let gyrus::data::Features::Images(images) = gyrus::data::digits().test.features else { panic!("images") };
    image::GrayImage::from_raw(8, 8, images.get(3).unwrap().to_vec()).unwrap().save(&image).unwrap();
    succeeded(run("learn digits --epochs 1 --seed 3 --quiet --out", &[&other]));
    let line = format!(
        "--examples 200 --synthesis-steps 0 --units 4 --json --beside {} --out {} --image {} --",
        other.display(),
        out.display(),
        image.display()
    );
    let answer = json(see(&line, &[digits()]));
    assert_eq!(answer["decisions"].as_array().unwrap().len(), 1);
    assert!(answer["decisions"][0]["name"].as_str().unwrap().ends_with("<b>.png"));
    assert_eq!(answer["beside"]["layers"].as_array().unwrap().len(), 4);
    let beside = answer["beside"]["similarity"].as_array().unwrap();
    // The input is the same.
    assert!((beside[0][0].as_f64().unwrap() - 1.0).abs() < 1e-6, "{}", beside[0][0]);
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.contains("&lt;b&gt;.png") && !page.contains("<b>.png"));
    assert!(page.contains("4 of 32 units are shown"));
}

#[test]
fn a_person_clicks_a_unit_and_follows_it() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("page.html");
    succeeded(see("--examples 300 --synthesis-steps 4 --out", &[&out, digits()]));
    for size in [[1200, 900], [390, 800]] {
        let Some(mut browser) = Browser::open(&out, size) else { return };
        assert_eq!(browser.evaluate("document.querySelector('#unit-panel').hidden"), true);
        browser.click("#unit-1-5");
        assert_eq!(browser.evaluate("document.querySelector('#unit-panel').dataset.unit"), "conv2.5");
        assert_eq!(
            browser.evaluate("document.querySelector('#unit-1-5').getAttribute('aria-pressed')"),
            "true"
        );
        let text = browser.evaluate("document.querySelector('#unit-panel').innerText");
        let text = text.as_str().unwrap();
        for part in ["conv2, unit 5", "Listens to", "Reaches", "class selectivity"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // What it listens to is a unit of the layer below, which is opened by a click.
        let first =
            browser.evaluate("document.querySelector('#unit-panel .links button span').firstChild.data");
        let first = first.as_str().unwrap().replace(' ', ".");
        assert!(first.starts_with("conv1."), "{first}");
        browser.click("#unit-panel .links button");
        assert_eq!(browser.evaluate("document.querySelector('#unit-panel').dataset.unit"), first.as_str());
        assert_eq!(browser.evaluate("decodeURIComponent(location.hash)"), format!("#unit={first}"));
        // The keyboard moves on.
        browser.evaluate("document.querySelector('#unit-0-0').focus()");
        browser.press("ArrowRight");
        assert_eq!(browser.evaluate("document.querySelector('#unit-panel').dataset.unit"), "conv1.1");
        // Nothing is wider than the screen.
        let width = browser.evaluate("document.documentElement.scrollWidth").as_f64().unwrap();
        assert!(width <= f64::from(size[0]), "{width} of {}", size[0]);
    }
}

#[test]
fn a_spiking_run_is_looked_at_and_played() {
    let place = tempfile::tempdir().unwrap();
    let (out, spiking) = (place.path().join("page.html"), place.path().join("spiking"));
    succeeded(run("learn digits --spiking --epochs 2 --quiet --out", &[&spiking]));
    let answer = json(see("--examples 300 --json --out", &[&out, &spiking]));
    let layers = answer["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 4);
    for layer in &layers[..3] {
        // Spikes per step are between 0 and 1.
        for unit in layer["units"].as_array().unwrap() {
            let mean = unit["mean"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&mean), "{mean}");
        }
        assert!(layer["active"].as_f64().unwrap() > 0.0);
    }
    assert!(answer["decisions"][0]["completeness_error"].is_null());
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.contains("Spikes over time") && page.contains("spike-triggered average"));
    let Some(mut browser) = Browser::open(&out, [1200, 900]) else { return };
    let shown = "document.querySelector('#step-shown').textContent";
    assert!(browser.evaluate(shown).as_str().unwrap().starts_with("step 1 of "));
    browser.evaluate("document.querySelector('#step').value = 2");
    browser.evaluate("document.querySelector('#step').dispatchEvent(new Event('input'))");
    assert!(browser.evaluate(shown).as_str().unwrap().starts_with("step 2 of "));
    browser.click("#play");
    assert_eq!(browser.evaluate("document.querySelector('#play').textContent"), "pause");
}

#[test]
fn what_cannot_be_looked_at_is_refused_and_leaves_no_page() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("page.html");
    let (table, houses) = (place.path().join("t.csv"), place.path().join("houses"));
    write_table(&table, 120);
    succeeded(run("learn --target kind --epochs 1 --quiet --out", &[&houses, &table]));
    let said = refused(&see("--out", &[&out, &houses]));
    assert!(said.contains("reads no images"), "{said}");
    let said = refused(&see("--image no.png --out", &[&out, digits()]));
    assert!(said.contains("no.png"), "{said}");
    let line = format!("--beside {} --out", houses.display());
    assert!(refused(&see(&line, &[&out, digits()])).contains("reads no images"));
    let said = usage(&see("--examples 3 --out", &[&out, digits()]));
    assert!(said.contains("10..="), "{said}");
    let said = refused(&see("--out", &[&out, digits(), Path::new("some text")]));
    assert!(said.contains("knows no language"), "{said}");
    assert!(!out.exists());
}
