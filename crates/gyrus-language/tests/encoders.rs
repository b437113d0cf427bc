//! Encoders against `transformers`, on small weights from a formula; see `golden/encoders.py`.

use std::fs;
use std::path::Path;

use crate::common::formula::{encoder_checkpoint, numbers};
use gyrus_formats::Checkpoint;
use gyrus_language::{Encoder, EncoderConfig, EncoderMemory};
use serde_json::{Value, json};

const GOLDEN: &str = include_str!("golden/encoders.json");

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

fn config(value: &Value) -> Result<EncoderConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, value.to_string()).unwrap();
    EncoderConfig::from_hugging_face(&path).map_err(|error| error.to_string())
}

/// The tensors of a case with changed names.
fn checkpoint(case: &Value, rename: impl Fn(&str) -> String) -> Checkpoint {
    let tensors = encoder_checkpoint(case).tensors().clone();
    let renamed = tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor));
    Checkpoint::new(Path::new("golden"), renamed.collect())
}

#[test]
fn every_family_has_the_vectors_of_transformers_alone_and_together() {
    let golden = golden();
    let texts: Vec<Vec<u32>> = golden["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| numbers(text).into_iter().map(|token| token as u32).collect())
        .collect();
    for case in golden["cases"].as_array().unwrap() {
        let encoder =
            Encoder::new(config(&case["config"]).unwrap(), checkpoint(case, str::to_owned)).unwrap();
        let width = encoder.config().width;
        let mut memory = EncoderMemory::default();
        let all: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let together = encoder.run(&all, &mut memory).unwrap();
        let mut first = 0;
        for (index, text) in texts.iter().enumerate() {
            let alone = encoder.run(&[text], &mut memory).unwrap();
            for (shown, place) in [0, text.len() / 2, text.len() - 1].into_iter().enumerate() {
                for (i, expected) in case["vectors"][index][shown].as_array().unwrap().iter().enumerate() {
                    let expected = expected.as_f64().unwrap() as f32;
                    for got in [alone[place * width + i], together[(first + place) * width + i]] {
                        assert!(
                            (got - expected).abs() < 2e-5,
                            "{}, text {index}, token {place}: {got} is not {expected}",
                            case["name"]
                        );
                    }
                }
            }
            first += text.len();
        }
    }
}

#[test]
fn names_of_older_files_are_known() {
    let golden = golden();
    let case = &golden["cases"][0];
    let config = config(&case["config"]).unwrap();
    let run = |rename: &dyn Fn(&str) -> String| {
        let encoder = Encoder::new(config.clone(), checkpoint(case, rename)).unwrap();
        encoder.run(&[&[3, 4, 5]], &mut EncoderMemory::default()).unwrap()
    };
    let old = |name: &str| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
        format!("bert.{}", name.replace("LayerNorm.bias", "LayerNorm.beta"))
    };
    assert!(run(&str::to_owned) == run(&old));
}

#[test]
fn unsupported_fields_are_refused_by_name() {
    let golden = golden();
    let case = &golden["cases"][0];
    let with = |field: &str, value: Value| {
        let mut changed = case["config"].clone();
        changed[field] = value;
        config(&changed).unwrap_err()
    };
    assert!(with("model_type", json!("mpnet")).contains("'model_type': got \"mpnet\""));
    assert!(with("hidden_act", json!("silu")).contains("'hidden_act'"));
    assert!(with("position_embedding_type", json!("relative_key")).contains("'position_embedding_type'"));
    assert!(with("num_attention_heads", json!(5)).contains("a divisor of hidden_size, which is 24"));
    assert!(with("num_hidden_layers", json!(0)).contains("'num_hidden_layers': got 0"));
    assert!(with("vocab_size", json!(1u64 << 60)).contains("'vocab_size'"));
    assert!(with("max_position_embeddings", json!(0)).contains("'max_position_embeddings'"));

    let encoder = Encoder::new(config(&case["config"]).unwrap(), checkpoint(case, str::to_owned)).unwrap();
    let run = |text: &[u32]| encoder.run(&[text], &mut EncoderMemory::default()).unwrap_err().to_string();
    assert_eq!(run(&[61]), "token: got 61, expected less than 61");
    assert_eq!(run(&[1; 49]), "tokens of a text: got 49, expected at most 48");
    let missing = Encoder::new(config(&case["config"]).unwrap(), {
        checkpoint(case, |name| name.replace("layer.1.output.dense.bias", "x"))
    });
    assert!(
        missing.unwrap_err().to_string().contains("'encoder.layer.1.output.dense.bias': got no such tensor")
    );
}
