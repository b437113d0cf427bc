//! CLIP and SigLIP beside transformers: `golden/two_towers.py` made the models, their vectors and scores.

use std::path::{Path, PathBuf};

use gyrus_tensor::cpu;
use gyrus_vision::Model;
use gyrus_vision::text::TextTower;
use gyrus_vision::zero_shot::ZeroShot;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/two_towers")
}

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("two_towers.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn texts(case: &Value) -> Vec<Vec<u32>> {
    let texts = case["texts"].as_array().unwrap().iter();
    texts.map(|text| numbers(text).into_iter().map(|token| token as u32).collect()).collect()
}

/// The two pictures of the script, channels last.
fn pictures() -> Vec<f32> {
    const SIDE: usize = 24;
    let first = |index: usize| ((index * 37 % 101) as f32 - 50.0) / 32.0;
    let pixel =
        |image: usize, pixel: usize, channel: usize| first((image * 3 + channel) * SIDE * SIDE + pixel);
    (0..2 * SIDE * SIDE * 3).map(|at| pixel(at / (SIDE * SIDE * 3), at / 3 % (SIDE * SIDE), at % 3)).collect()
}

#[track_caller]
fn close(what: &str, got: &[f32], expected: &[f32], limit: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: off by {worst:e}");
    assert!(worst < limit, "{what}: off by {worst}");
}

#[test]
fn vectors_scores_and_probabilities_are_those_of_transformers() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let folder = folder().join(name);
        let tower = TextTower::open(&folder).unwrap();
        let model = Model::open(&folder, None).unwrap();
        let texts = texts(&case);
        let vectors: Vec<f32> = texts.iter().flat_map(|text| tower.embed(text).unwrap()).collect();
        close(&format!("{name}, texts"), &vectors, &numbers(&case["text_vectors"]), 1e-4);
        let towers = ZeroShot::new(&model, &tower, &texts, &cpu()).unwrap();
        let pictures = pictures();
        close(
            &format!("{name}, pictures"),
            &towers.vectors(&pictures, 2),
            &numbers(&case["image_vectors"]),
            1e-4,
        );
        let fit = towers.fit(&pictures, 2);
        close(&format!("{name}, scores"), &fit.scores, &numbers(&case["scores"]), 5e-4);
        close(&format!("{name}, probabilities"), &fit.probabilities, &numbers(&case["probabilities"]), 1e-4);
    }
}

#[test]
fn clips_first_configurations_mean_the_largest_token() {
    let (clip, temporary) = (folder().join("clip"), tempfile::tempdir().unwrap());
    std::fs::copy(clip.join("model.safetensors"), temporary.path().join("model.safetensors")).unwrap();
    let config = std::fs::read_to_string(clip.join("config.json")).unwrap();
    let old = config.replace("\"eos_token_id\": 49", "\"eos_token_id\": 2");
    assert_ne!(config, old);
    std::fs::write(temporary.path().join("config.json"), old).unwrap();
    let (now, then) = (TextTower::open(&clip).unwrap(), TextTower::open(temporary.path()).unwrap());
    let text = [40, 3, 2, 5, 49, 49];
    assert_eq!(now.embed(&text).unwrap(), then.embed(&text).unwrap());
}

#[test]
fn what_does_not_fit_is_named() {
    let tower = TextTower::open(&folder().join("clip")).unwrap();
    let said = tower.embed(&[40, 50]).unwrap_err().to_string();
    assert!(said.contains("the token is 50"), "{said}");
    assert!(tower.embed(&[]).unwrap_err().to_string().contains("at least one token"));
    let said = match TextTower::open(&folder().join("../clip_transformers")) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert!(said.contains("text_model.embeddings.token_embedding.weight"), "{said}");
    // The image tower of one model beside the text tower of another.
    let model = Model::open(&folder().join("siglip"), None).unwrap();
    let said = ZeroShot::new(&model, &tower, &[vec![40, 49]], &cpu()).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("the length of a picture's vector is 24"), "{said}");
}
