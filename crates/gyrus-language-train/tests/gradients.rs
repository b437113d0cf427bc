//! Loss and all gradients of a training step against those that `transformers` computes
//! (`golden/decoder_gradients.py`).

use std::collections::BTreeMap;

use gyrus_files::{State, StateTensor};
use gyrus_language::DecoderConfig;
use gyrus_language_train::{TextBatch, TrainableDecoder};
use gyrus_tensor::cpu;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: Shape,
    windows: Vec<Vec<u32>>,
    weights: BTreeMap<String, Numbers>,
    loss: Numbers,
    gradients: BTreeMap<String, Numbers>,
}

#[derive(Deserialize)]
struct Shape {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    tie_word_embeddings: bool,
}

#[derive(Deserialize)]
struct Numbers {
    shape: Vec<usize>,
    values: Vec<f32>,
}

#[test]
fn loss_and_gradients_are_those_of_transformers() {
    let golden: Golden = serde_json::from_str(include_str!("golden/decoder_gradients.json")).unwrap();
    for case in golden.cases {
        let shape = &case.shape;
        let config = DecoderConfig {
            tied: shape.tie_word_embeddings,
            maximum_positions: 16,
            ..DecoderConfig::llama(
                shape.vocab_size,
                shape.hidden_size,
                shape.num_hidden_layers,
                (shape.num_attention_heads, shape.num_key_value_heads),
                shape.intermediate_size,
                10_000.0,
            )
        };
        let state: State = case
            .weights
            .into_iter()
            .map(|(name, numbers)| (name, StateTensor { shape: numbers.shape, values: numbers.values }))
            .collect();
        let decoder = TrainableDecoder::with_state(config, &state, &cpu()).unwrap();
        assert_eq!(decoder.state(), state, "{}: what goes in comes out", case.name);
        let window = case.windows[0].len() - 1;
        let batch = TextBatch {
            tokens: case.windows.iter().flat_map(|w| w[..window].to_vec()).collect(),
            targets: case.windows.iter().flat_map(|w| w[1..].to_vec()).collect(),
            ends: (1..=case.windows.len()).map(|end| end * window).collect(),
        };
        let (loss, gradients) = decoder.named_gradients(&batch);
        assert!((loss - case.loss.values[0]).abs() < 1e-5, "{}: loss {loss}", case.name);
        assert!((decoder.loss(&batch) - loss).abs() < 1e-6);
        assert_eq!(gradients.len(), case.gradients.len());
        for (name, expected) in &case.gradients {
            let got = &gradients[name];
            assert_eq!(got.shape, expected.shape, "{name}");
            let scale = expected.values.iter().fold(1e-6f32, |most, g| most.max(g.abs()));
            for (i, (got, expected)) in got.values.iter().zip(&expected.values).enumerate() {
                assert!(
                    (got - expected).abs() <= 2e-5 * scale,
                    "{}: gradient of {name} at {i} is {got}, not {expected}",
                    case.name
                );
            }
        }
    }
}
