//! Every family against `transformers`, on small weights from a formula; see `golden/decoders.py`.

use crate::common;
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::formula::{config, decoder_checkpoint as checkpoint, numbers};
use gyrus_formats::{Checkpoint, Format, Tensor};
use gyrus_language::{Cache, Decoder, DecoderConfig, Parts, Sequence, gguf, write_folder};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/decoders.json");

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

/// The largest difference in the given rows.
fn difference(case: &Value, what: &str, logits: &[f32], vocabulary: usize, shown: &[usize]) -> f32 {
    let rows = case[what].as_array().unwrap();
    assert_eq!(rows.len(), shown.len());
    let mut largest = 0.0f32;
    for (row, &place) in rows.iter().zip(shown) {
        for (expected, got) in row.as_array().unwrap().iter().zip(&logits[place * vocabulary..][..vocabulary])
        {
            let difference = (expected.as_f64().unwrap() as f32 - got).abs();
            largest = if difference.is_nan() { f32::INFINITY } else { largest.max(difference) };
        }
    }
    largest
}

#[test]
fn every_family_has_the_logits_of_transformers_in_one_pass_and_step_by_step() {
    let golden = golden();
    let (parts, shown) = (numbers(&golden["parts"]), numbers(&golden["shown"]));
    let tokens: Vec<u32> = numbers(&golden["tokens"]).into_iter().map(|token| token as u32).collect();
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let decoder = Decoder::new(config(&case["config"]), checkpoint(case)).unwrap();
        let vocabulary = decoder.config().vocabulary;
        let mut cache = Cache::new(decoder.config());
        let whole = Sequence { tokens: &tokens, cache: &mut cache, all_logits: true };
        let logits = decoder.forward(&mut [whole]).unwrap();
        let prefill = difference(case, "prefill", &logits, vocabulary, &shown);
        let mut cache = Cache::new(decoder.config());
        let (mut logits, mut start) = (Vec::new(), 0);
        for part in &parts {
            let tokens = &tokens[start..start + part];
            let sequence = Sequence { tokens, cache: &mut cache, all_logits: true };
            logits.extend(decoder.forward(&mut [sequence]).unwrap());
            start += part;
        }
        let steps = difference(case, "steps", &logits, vocabulary, &shown);
        println!("{name}: {prefill:e} in one pass, {steps:e} step by step");
        if prefill > 1e-4 || steps > 1e-4 {
            wrong.push(format!("{name}: {prefill:e} in one pass, {steps:e} step by step"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn both_styles_of_a_configuration_mean_the_same() {
    for case in golden()["cases"].as_array().unwrap() {
        let (mut given, mut saved) = (config(&case["config"]), config(&case["saved"]));
        // Omitted fields are saved with their defaults.
        for config in [&mut given, &mut saved] {
            config.beginning_of_text = None;
            config.end_of_text.clear();
        }
        assert_eq!(given, saved, "{}", case["name"]);
    }
}

#[test]
fn the_parameters_are_those_that_transformers_has() {
    for case in golden()["cases"].as_array().unwrap() {
        let expected: BTreeMap<String, Vec<usize>> = case["tensors"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, shape)| (name.clone(), numbers(shape)))
            .collect();
        let got: BTreeMap<String, Vec<usize>> =
            config(&case["config"]).parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        assert_eq!(got, expected, "{}", case["name"]);
    }
}

#[test]
fn unknown_fields_and_tensors_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = golden()["cases"][0]["config"].clone();
        change(&mut value);
        let json = value.to_string();
        DecoderConfig::from_hugging_face(Path::new("config.json"), json.as_bytes()).unwrap_err().to_string()
    };
    let said = refused(&|config| config["model_type"] = "mamba".into());
    assert!(said.contains("'mamba'") && said.contains("qwen3"), "{said}");
    let said = refused(&|config| config["attention_sink"] = true.into());
    assert!(said.contains("attention_sink"), "{said}");
    let said = refused(&|config| config["rope_parameters"]["rope_type"] = "axial".into());
    assert!(said.contains("'axial'"), "{said}");
    let said = refused(&|config| config["rope_parameters"]["mrope_section"] = 3.into());
    assert!(said.contains("rope_parameters.mrope_section"), "{said}");
    let said = refused(&|config| config["hidden_act"] = "relu2".into());
    assert!(said.contains("'relu2'"), "{said}");
    let said = refused(&|config| config["num_key_value_heads"] = 3.into());
    assert!(said.contains("num_key_value_heads") && said.contains("divisor"), "{said}");
    let said = refused(&|config| config["hidden_size"] = (-4).into());
    assert!(said.contains("hidden_size") && said.contains("-4"), "{said}");
    let said = refused(&|config| config["num_hidden_layers"] = 1_000_000.into());
    assert!(said.contains("num_hidden_layers"), "{said}");

    // Tensors too.
    let golden = golden();
    let case = &golden["cases"][0];
    let mut tensors = checkpoint(case).tensors().clone();
    tensors.insert("model.layers.0.self_attn.q_norm.weight".into(), Tensor::of_floats(vec![8], vec![1.0; 8]));
    let said = Decoder::new(config(&case["config"]), Checkpoint::new(Path::new("x"), tensors.clone()))
        .unwrap_err()
        .to_string();
    assert!(said.contains("q_norm") && said.contains("unused"), "{said}");
    tensors.remove("model.norm.weight");
    let said = Decoder::new(config(&case["config"]), Checkpoint::new(Path::new("x"), tensors))
        .unwrap_err()
        .to_string();
    assert!(said.contains("model.norm.weight"), "{said}");
}

#[test]
fn what_gguf_and_hugging_face_can_express_comes_back_from_them() {
    let golden = golden();
    let shown = numbers(&golden["shown"]);
    let tokens: Vec<u32> = numbers(&golden["tokens"]).into_iter().map(|token| token as u32).collect();
    let (mut as_gguf, mut as_folder) = (Vec::new(), Vec::new());
    let place = tempfile::tempdir().unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let parts =
            Parts { config: config(&case["config"]), checkpoint: checkpoint(case), ..common::parts() };
        let check = |parts: Parts, how: &str| {
            let decoder = Decoder::new(parts.config, parts.checkpoint).unwrap();
            let mut cache = Cache::new(decoder.config());
            let whole = Sequence { tokens: &tokens, cache: &mut cache, all_logits: true };
            let logits = decoder.forward(&mut [whole]).unwrap();
            let difference = difference(case, "prefill", &logits, decoder.config().vocabulary, &shown);
            assert!(difference < 1e-4, "{name} from {how}: {difference:e}");
        };
        let path = place.path().join("model.gguf");
        if gguf::write(&parts, &path, Format::F32).is_ok() {
            check(Parts::open(&path).unwrap(), "GGUF");
            as_gguf.push(name);
            // For other programs to read; see CONTRIBUTING.md.
            if let Some(out) = std::env::var_os("GYRUS_LANGUAGE_OUT") {
                std::fs::copy(&path, Path::new(&out).join(format!("{name}.gguf"))).unwrap();
            }
        }
        if write_folder(&parts, place.path()).is_ok() {
            check(Parts::open(place.path()).unwrap(), "its folder");
            as_folder.push(name);
        }
    }
    // Its frequencies depend on the length of the text, which GGUF cannot say.
    let names = golden["cases"].as_array().unwrap().iter().map(|case| case["name"].as_str().unwrap());
    let all: Vec<&str> = names.filter(|name| *name != "llama, dynamic").collect();
    assert_eq!(as_gguf, all);
    let llama = ["llama", "llama, old dialect, biases, tied", "llama, linear"];
    assert_eq!(as_folder, [&llama[..], &["llama, llama3", "qwen3"]].concat());
}

/// Tiny models of every family beside what llama.cpp's converter makes of them; see `golden/gguf_architectures.py`.
#[test]
fn folders_and_their_conversions_have_the_logits_of_transformers() {
    let Some(out) = std::env::var_os("GYRUS_ARCHITECTURES") else {
        println!("skipped: GYRUS_ARCHITECTURES is not set (see golden/gguf_architectures.py)");
        return;
    };
    let mut wrong = Vec::new();
    let mut names: Vec<_> = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.is_dir());
    names.sort();
    assert!(!names.is_empty());
    for folder in names {
        let expected: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let tokens: Vec<u32> = numbers(&expected["tokens"]).into_iter().map(|token| token as u32).collect();
        let last: Vec<f32> =
            expected["last"].as_array().unwrap().iter().map(|logit| logit.as_f64().unwrap() as f32).collect();
        let written = folder.with_extension("again.gguf");
        let logits = |path: &Path| -> Result<Vec<f32>, gyrus_language::Error> {
            let parts = Parts::open(path)?;
            if path == folder {
                gguf::write(&parts, &written, Format::F32)?;
            }
            let decoder = parts.build()?.decoder;
            let mut cache = Cache::new(decoder.config());
            decoder.forward(&mut [Sequence { tokens: &tokens, cache: &mut cache, all_logits: false }])
        };
        for path in [folder.clone(), folder.with_extension("gguf"), written.clone()] {
            let said = match logits(&path) {
                Err(error) => error.to_string(),
                Ok(logits) => {
                    let pairs = logits.iter().zip(&last).map(|(a, b)| (a - b).abs());
                    let largest = pairs.fold(0.0, f32::max);
                    println!("{}: {largest:e}", path.display());
                    if largest < 1e-4 && logits.len() >= last.len() {
                        continue;
                    } else {
                        format!("{largest:e}")
                    }
                }
            };
            wrong.push(format!("{}: {said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
