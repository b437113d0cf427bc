//! Gradients of decoders of every family, whole and through adapters, against those that `transformers` and PEFT compute
//! (`golden/decoder_training.py`).

use crate::common::formula::{config, decoder_checkpoint as checkpoint, fill, numbers};
use gyrus_files::State;
use gyrus_formats::{Checkpoint, Format};
use gyrus_language::{DEFAULT_TARGETS, DecoderConfig};
use gyrus_language_train::{Lora, TextBatch, TrainableDecoder};
use gyrus_tensor::{IGNORED, cpu};
use serde_json::Value;

fn golden() -> (Value, Value) {
    let read = |text: &str| serde_json::from_str(text).unwrap();
    (
        read(include_str!("golden/decoder_training.json")),
        read(include_str!("../../gyrus-language/tests/golden/decoders.json")),
    )
}

/// One sequence, whose first tokens are not learned.
fn batch(golden: &Value, decoders: &Value) -> TextBatch {
    let tokens: Vec<u32> = numbers(&decoders["tokens"]).into_iter().map(|token| token as u32).collect();
    let read_only = golden["read_only"].as_u64().unwrap() as usize;
    let count = tokens.len() - 1;
    let target = |place: usize| if place < read_only { IGNORED } else { tokens[place + 1] };
    TextBatch {
        tokens: tokens[..count].into(),
        targets: (0..count).map(target).collect(),
        ends: vec![count].into(),
    }
}

fn adapters(golden: &Value, config: DecoderConfig, checkpoint: Checkpoint) -> TrainableDecoder {
    let lora = Lora {
        rank: golden["rank"].as_u64().unwrap() as usize,
        alpha: golden["alpha"].as_f64().unwrap(),
        targets: DEFAULT_TARGETS.map(str::to_owned).to_vec(),
        dropout: 0.0,
    };
    let mut decoder = TrainableDecoder::with_adapters(config, checkpoint, lora, 0, 64, &cpu()).unwrap();
    let mut state = decoder.state();
    for (name, tensor) in &mut state {
        tensor.values = fill(name, tensor.values.len()).map(|value| 0.5 * value).collect();
    }
    decoder.load_state(&state).unwrap();
    decoder
}

/// The differences of loss and gradients.
fn differences(expected: &Value, loss: f32, gradients: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    let exact = expected["loss"].as_f64().unwrap();
    if (f64::from(loss) - exact).abs() > 2e-5 {
        wrong.push(format!("loss {loss}, not {exact}"));
    }
    let expected = expected["gradients"].as_object().unwrap();
    let names: Vec<&String> = gradients.keys().filter(|name| !expected.contains_key(*name)).collect();
    if !names.is_empty() || gradients.len() != expected.len() {
        wrong.push(format!("{} gradients, not {}; {names:?}", gradients.len(), expected.len()));
    }
    for (name, reported) in expected {
        let Some(gradient) = gradients.get(name) else { continue };
        let norm = gradient.values.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let seed = format!("gradient/{name}");
        let vector = fill(&seed, gradient.values.len());
        let product: f64 =
            gradient.values.iter().zip(vector).map(|(g, v)| f64::from(*g) * f64::from(v)).sum();
        let (exact_norm, exact) = (reported[0].as_f64().unwrap(), reported[1].as_f64().unwrap());
        let allowed = 1e-4 * exact_norm + 1e-7;
        if (norm - exact_norm).abs() > allowed || (product - exact).abs() > allowed {
            wrong.push(format!("{name}: {norm} and {product}, not {exact_norm} and {exact}"));
        }
    }
    wrong
}

#[test]
fn gradients_of_every_family_are_those_of_transformers_and_of_its_adapters_those_of_peft() {
    let (golden, decoders) = golden();
    let batch = batch(&golden, &decoders);
    let mut wrong = Vec::new();
    let cases = golden["cases"].as_array().unwrap();
    for (case, of) in cases.iter().zip(decoders["cases"].as_array().unwrap()) {
        assert_eq!(case["name"], of["name"]);
        let (config, checkpoint) = (config(&of["config"]), checkpoint(of));
        let whole =
            TrainableDecoder::with_checkpoint(config.clone(), checkpoint.clone(), 64, &cpu()).unwrap();
        let adapted = adapters(&golden, config, checkpoint);
        for (mut decoder, kind) in [(whole, "whole"), (adapted, "adapted")] {
            let (loss, gradients) = decoder.named_gradients(&batch);
            for difference in differences(&case[kind], loss, &gradients) {
                wrong.push(format!("{}, {kind}: {difference}", case["name"]));
            }
            assert!((decoder.loss(&batch) - loss).abs() < 1e-6, "{}, {kind}", case["name"]);
            decoder.recompute_layers(true);
            let again = decoder.named_gradients(&batch);
            assert_eq!(again.0, loss, "{}, {kind}: the loss of layers computed anew", case["name"]);
            for (name, gradient) in &gradients {
                // Gradients of tied tables are sums of two, in another order.
                let same = again.1[name] == *gradient;
                let close =
                    again.1[name].values.iter().zip(&gradient.values).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(same || name.contains("embed_tokens") && close, "{}, {kind}: {name}", case["name"]);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn stored_weights_train_like_their_floats() {
    let (golden, decoders) = golden();
    let batch = batch(&golden, &decoders);
    let of = &decoders["cases"][0];
    let config = config(&of["config"]);
    for format in [Format::BF16, Format::Q8_0, Format::Q4_0] {
        let stored = config.rounded(checkpoint(of), format);
        let floats = stored.tensors().iter().map(|(name, tensor)| {
            (name.clone(), gyrus_formats::Tensor::of_floats(tensor.shape().to_vec(), tensor.floats()))
        });
        let floats = Checkpoint::new(stored.path(), floats.collect());
        assert!(stored.tensors().values().any(|tensor| tensor.format() == format));
        let (loss, gradients) = adapters(&golden, config.clone(), stored).named_gradients(&batch);
        let (exact_loss, exact) = adapters(&golden, config.clone(), floats).named_gradients(&batch);
        assert!((loss - exact_loss).abs() < 1e-6, "{format:?}: {loss}, not {exact_loss}");
        for (name, gradient) in &exact {
            for (got, expected) in gradients[name].values.iter().zip(&gradient.values) {
                assert!((got - expected).abs() < 1e-5, "{format:?}, {name}: {got}, not {expected}");
            }
        }
    }
}
