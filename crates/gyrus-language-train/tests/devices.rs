//! Steps of a language model on the device that `GYRUS_TEST_DEVICE` names, beside the same on the CPU.

use crate::common::formula::{config, decoder_checkpoint as checkpoint};
use gyrus_language_train::{TextBatch, TrainableDecoder};
use gyrus_tensor::device;
use serde_json::Value;

/// The loss before and after 20 steps of plain gradient descent of a decoder with two layers.
fn losses(name: &str) -> [f32; 2] {
    let decoders: Value =
        serde_json::from_str(include_str!("../../gyrus-language/tests/golden/decoders.json")).unwrap();
    let case = &decoders["cases"][0];
    let device = device(name).unwrap_or_else(|error| panic!("{error}"));
    let config = config(&case["config"]);
    assert!(config.layers.len() >= 2);
    let words = config.vocabulary as u32;
    let mut decoder = TrainableDecoder::with_checkpoint(config, checkpoint(case), 64, &device).unwrap();
    let tokens: Vec<u32> = (0..49u32).map(|i| (i * i + 3 * i) % words).collect();
    let batch = TextBatch {
        tokens: tokens[..48].into(),
        targets: tokens[1..].to_vec().into(),
        ends: vec![20, 48].into(),
    };
    let first = decoder.named_gradients(&batch).0;
    for _ in 0..20 {
        let (_, gradients) = decoder.named_gradients(&batch);
        let mut state = decoder.state();
        for (name, tensor) in &mut state {
            for (value, gradient) in tensor.values.iter_mut().zip(&gradients[name].values) {
                *value -= 0.05 * gradient;
            }
        }
        decoder.load_state(&state).unwrap();
    }
    [first, decoder.named_gradients(&batch).0]
}

#[test]
fn twenty_steps_end_where_they_end_on_the_cpu() {
    let Ok(name) = std::env::var("GYRUS_TEST_DEVICE") else {
        println!("skipped: GYRUS_TEST_DEVICE names no device");
        return;
    };
    let [own, cpu] = [name.as_str(), "cpu"].map(losses);
    println!("{name} {own:?}, cpu {cpu:?}");
    assert!(cpu[1] < cpu[0] - 0.1, "the CPU learns nothing: {cpu:?}");
    assert!((own[1] - cpu[1]).abs() <= 1e-3, "{name} has {own:?}, the CPU {cpu:?}");
}
