//! Adapters in PEFT's files: read, written, applied and merged; see `golden/decoder_training.py`.

use crate::common;
use std::path::Path;

use crate::common::formula::{config, decoder_checkpoint as checkpoint, numbers};
use gyrus_formats::Checkpoint;
use gyrus_language::{
    Adapter, AdapterConfig, Cache, Decoder, DecoderConfig, Sequence, write_folder, write_model_folder,
};
use gyrus_language_train::{Lora, TextBatch, TrainableDecoder};
use gyrus_tensor::cpu;
use serde_json::{Value, json};

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/peft")
}

fn logits(decoder: &Decoder, tokens: &[u32]) -> Vec<f32> {
    let mut cache = Cache::new(decoder.config());
    decoder.forward(&mut [Sequence { tokens, cache: &mut cache, all_logits: true }]).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(
        0.0,
        |largest, (a, b)| if (a - b).is_nan() { f32::INFINITY } else { largest.max((a - b).abs()) },
    )
}

fn llama() -> (DecoderConfig, Checkpoint, Vec<u32>) {
    let decoders = golden(include_str!("../../gyrus-language/tests/golden/decoders.json"));
    let tokens = numbers(&decoders["tokens"]).into_iter().map(|token| token as u32).collect();
    let case = &decoders["cases"][0];
    (config(&case["config"]), checkpoint(case), tokens)
}

#[test]
fn an_adapter_of_peft_gives_its_logits_applied_and_merged() {
    let (config, mut checkpoint, tokens) = llama();
    let adapter = Adapter::open(&folder()).unwrap();
    let decoder = Decoder::with_adapter(config.clone(), checkpoint.clone(), &adapter).unwrap();
    let applied = logits(&decoder, &tokens);
    let expected = golden(include_str!("golden/decoder_training.json"))["saved"].clone();
    for (row, place) in expected.as_array().unwrap().iter().zip([0usize, 16, 39]) {
        let row: Vec<f32> =
            row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect();
        let difference = largest_difference(&applied[place * row.len()..][..row.len()], &row);
        assert!(difference < 1e-4, "{difference} at {place}");
    }
    let plain = logits(&Decoder::new(config.clone(), checkpoint.clone()).unwrap(), &tokens);
    assert!(largest_difference(&applied, &plain) > 0.1, "an adapter that changes nothing");
    adapter.merge(&config, &mut checkpoint).unwrap();
    let merged = logits(&Decoder::new(config, checkpoint).unwrap(), &tokens);
    assert!(largest_difference(&applied, &merged) < 1e-4);
}

#[test]
fn what_is_written_is_what_was_read_and_what_was_trained() {
    let written = tempfile::tempdir().unwrap();
    let adapter = Adapter::open(&folder()).unwrap();
    adapter.write(written.path()).unwrap();
    let again = Adapter::open(written.path()).unwrap();
    assert_eq!(again.parts, adapter.parts);
    assert_eq!(again.config, adapter.config);

    // A trained adapter of a model with interleaved heads: its rows are ordered as in `transformers`.
    let (config, checkpoint, tokens) = llama();
    let lora = Lora { rank: 4, alpha: 8.0, targets: vec!["q_proj".into(), "k_proj".into()], dropout: 0.0 };
    let tuned = |config: &DecoderConfig, checkpoint: Checkpoint| {
        let mut decoder =
            TrainableDecoder::with_adapters(config.clone(), checkpoint, lora.clone(), 3, 64, &cpu()).unwrap();
        let mut state = decoder.state();
        for tensor in state.values_mut() {
            tensor
                .values
                .iter_mut()
                .enumerate()
                .for_each(|(i, value)| *value += ((i * 7 % 13) as f32 - 6.0) * 0.05);
        }
        decoder.load_state(&state).unwrap();
        decoder.adapter(&state, None).unwrap()
    };
    let mut neighbors = config.clone();
    neighbors.ropes[0].interleaved = true;
    let adapter = tuned(&neighbors, checkpoint.clone());
    let own = Decoder::with_adapter(neighbors.clone(), checkpoint.clone(), &adapter).unwrap();
    let merged = |config: &DecoderConfig| {
        let mut checkpoint = checkpoint.clone();
        adapter.merge(config, &mut checkpoint).unwrap();
        logits(&Decoder::new(config.clone(), checkpoint).unwrap(), &tokens)
    };
    assert!(largest_difference(&logits(&own, &tokens), &merged(&neighbors)) < 1e-4);
    assert_ne!(merged(&config), merged(&neighbors));
    let halves = tuned(&config, checkpoint.clone());
    let name = "model.layers.0.self_attn.q_proj";
    assert_ne!(halves.parts[name].up, adapter.parts[name].up);
    assert_eq!(halves.parts[name].down, adapter.parts[name].down);
}

/// Writes a model, an adapter that was trained on it, both merged, and what they answer, for
/// `golden/check_adapters.py`.
#[test]
fn other_programs_open_what_is_written() {
    let Some(out) = std::env::var_os("GYRUS_LANGUAGE_OUT") else { return };
    let parts = common::parts();
    let place = |name: &str| {
        let folder = Path::new(&out).join("tuned").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let base = place("base");
    write_folder(&parts, &base).unwrap();
    let (config, checkpoint) = (parts.config.clone(), parts.checkpoint.clone());
    let targets = gyrus_language::DEFAULT_TARGETS.map(str::to_owned).to_vec();
    let lora = Lora { rank: 4, alpha: 12.0, targets, dropout: 0.0 };
    let mut decoder =
        TrainableDecoder::with_adapters(config.clone(), checkpoint.clone(), lora, 1, 64, &cpu()).unwrap();
    let tokens: Vec<u32> = (0..32).map(|i| (i * i + 3) % 40).collect();
    let batch = TextBatch { tokens: tokens[..31].into(), targets: tokens[1..].into(), ends: vec![31].into() };
    let mut optimizer = gyrus_train::Optimizer::new("adamw", 0.0, &decoder).unwrap().with_clip(1.0);
    for step in 0..30 {
        let found = decoder.mean_gradients(std::slice::from_ref(&batch), step);
        optimizer.step_scaled(&mut decoder, found.gradients, found.scale, 0.02);
    }
    let adapter = decoder.adapter(&decoder.state(), Some(base.to_string_lossy().into_owned())).unwrap();
    adapter.write(&place("adapter")).unwrap();
    let network = Decoder::with_adapter(config.clone(), checkpoint, &adapter).unwrap();
    let answers = json!({"tokens": tokens, "logits": logits(&network, &tokens)});
    std::fs::write(place("adapter").join("expected.json"), answers.to_string()).unwrap();
    let mut merged = parts.clone();
    adapter.merge(&config, &mut merged.checkpoint).unwrap();
    write_model_folder(&merged, &base, &place("merged")).unwrap();
}

#[test]
fn what_would_change_the_result_is_refused_by_name() {
    let read = |change: &dyn Fn(&mut Value)| {
        let mut value = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": "all-linear"});
        change(&mut value);
        AdapterConfig::parse(Path::new("adapter_config.json"), value.to_string().as_bytes())
    };
    let config = read(&|_| ()).unwrap();
    assert_eq!((config.rank, config.scale("x", 4)), (4, 2.0));
    let config = read(&|value| value["use_rslora"] = true.into()).unwrap();
    assert_eq!(config.scale("x", 4), 4.0);
    for (field, wrong) in [
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("modules_to_save", json!(["lm_head"])),
        ("target_parameters", json!(["experts"])),
        ("layer_replication", json!([[0, 2]])),
        ("init_lora_weights", json!("pissa")),
        ("peft_type", json!("IA3")),
        ("r", json!(0)),
        ("r", json!(1u64 << 40)),
        ("lora_alpha", json!("x")),
        ("alpha_pattern", json!({"a.*": 3})),
    ] {
        let said = read(&|value| value[field] = wrong.clone()).unwrap_err().to_string();
        assert!(said.contains(field), "{field}: {said}");
    }
    assert!(AdapterConfig::parse(Path::new("x"), b"[]").is_err());

    let (config, checkpoint, _) = llama();
    let mut adapter = Adapter::open(&folder()).unwrap();
    let part = adapter.parts.pop_first().unwrap().1;
    adapter.parts.insert("model.layers.9.mlp.up_proj".into(), part.clone());
    let said = Decoder::with_adapter(config.clone(), checkpoint.clone(), &adapter).unwrap_err().to_string();
    assert!(said.contains("model.layers.9.mlp.up_proj"), "{said}");
    adapter.parts.clear();
    adapter.parts.insert("model.layers.0.mlp.gate_proj".into(), {
        let mut part = part;
        part.up.pop();
        part.up.truncate(part.rank);
        part
    });
    let said = Decoder::with_adapter(config, checkpoint, &adapter).unwrap_err().to_string();
    assert!(said.contains("model.layers.0.mlp.gate_proj") && said.contains("outputs"), "{said}");
}
