//! Every family beside the program that it comes from: `golden/vision.py` made the networks and their scores.

use std::path::{Path, PathBuf};

use gyrus_blueprint::Blueprint;
use gyrus_data::Preprocessing;
use gyrus_tensor::{cpu, filled_tensor, floats};
use gyrus_vision::Model;
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(golden().join("vision.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    golden["cases"].as_array().unwrap().clone()
}

/// The picture of the script, channels last: `[2, side, side, 3]`.
fn pictures(side: usize) -> Vec<f32> {
    let first = |index: usize| ((index * 37 % 101) as f32 - 50.0) / 32.0;
    let mut pictures = Vec::new();
    for image in 0..2 {
        for pixel in 0..side * side {
            pictures.extend((0..3).map(|channel| first((image * 3 + channel) * side * side + pixel)));
        }
    }
    pictures
}

fn open(case: &Value) -> Model {
    Model::open(&golden().join(case["name"].as_str().unwrap()), None).unwrap()
}

#[test]
fn scores_are_those_of_the_programs() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let side = case["side"].as_u64().unwrap() as usize;
        let model = open(&case);
        let Preprocessing::Image { height, width, .. } = model.preprocessing else {
            panic!("{name}: no image")
        };
        assert_eq!((height, width), (side, side), "{name}");
        let network = model.network(&cpu()).unwrap();
        let pictures = pictures(side);
        let x = || filled_tensor(2, pictures.len() / 2, |x| x.copy_from_slice(&pictures));
        let expected: Vec<f32> =
            case["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap() as f32).collect();
        let scale = expected.iter().fold(1.0f32, |most, score| most.max(score.abs()));
        let got = floats(network.infer(x()));
        assert_eq!(got.len(), expected.len(), "{name}");
        let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: {} parameters, off by {worst:e} of {scale}", network.parameter_count());
        assert!(worst <= 1e-4 * scale, "{name}: off by {worst}, scores up to {scale}");
    }
}

#[test]
fn blueprints_survive_toml_and_can_be_drawn() {
    for case in cases() {
        let blueprint = open(&case).blueprint;
        assert_eq!(Blueprint::from_toml(&blueprint.to_toml().unwrap()).unwrap(), blueprint);
        assert!(gyrus_blueprint::svg(&blueprint).unwrap().len() > 1000);
    }
}
