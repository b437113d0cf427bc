//! Attention maps and hidden states of every family against `transformers`; see `golden/attention.py`.

use crate::common;
use std::path::Path;

use crate::common::formula::{decoder_checkpoint, encoder_checkpoint, numbers};
use gyrus_language::{
    Cache, Decoder, DecoderConfig, Encoder, EncoderConfig, EncoderMemory, Observation, Sequence,
};
use serde_json::Value;

const INSIDE: &str = include_str!("golden/attention.json");
const DECODERS: &str = include_str!("golden/decoders.json");
const ENCODERS: &str = include_str!("golden/encoders.json");

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn tokens(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|token| token as u32).collect()
}

/// The case of this name.
fn case<'a>(golden: &'a Value, name: &Value) -> &'a Value {
    golden["cases"].as_array().unwrap().iter().find(|case| case["name"] == *name).unwrap()
}

fn decoder(case: &Value) -> Decoder {
    let json = case["config"].to_string();
    let config = DecoderConfig::from_hugging_face(Path::new("config.json"), json.as_bytes()).unwrap();
    Decoder::new(config, decoder_checkpoint(case)).unwrap()
}

fn encoder(case: &Value) -> Encoder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, case["config"].to_string()).unwrap();
    Encoder::new(EncoderConfig::from_hugging_face(&path).unwrap(), encoder_checkpoint(case)).unwrap()
}

/// The largest difference in a row, relative to the larger of 1 and the row's largest value: rounding errors scale with the
/// summed values.
fn difference(expected: &Value, got: &[f32]) -> f32 {
    let expected: Vec<f32> =
        expected.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect();
    assert_eq!(expected.len(), got.len());
    let size = expected.iter().fold(1.0f32, |largest, number| largest.max(number.abs()));
    expected.iter().zip(got).fold(0.0, |largest: f32, (expected, got)| {
        let difference = (expected - got).abs() / size;
        if difference.is_nan() { f32::INFINITY } else { largest.max(difference) }
    })
}

/// The largest differences of the attention maps and of the residual stream.
fn differences(expected: &Value, shown: &[usize], seen: &Observation) -> (f32, f32) {
    let (mut attention, mut stream) = (0.0f32, 0.0f32);
    let length = seen.tokens();
    assert_eq!(expected["attention"].as_array().unwrap().len(), seen.layers());
    for (layer, heads) in expected["attention"].as_array().unwrap().iter().enumerate() {
        assert_eq!(heads.as_array().unwrap().len(), seen.heads());
        for (head, rows) in heads.as_array().unwrap().iter().enumerate() {
            for (row, &token) in rows.as_array().unwrap().iter().zip(shown) {
                let got = &seen.map(layer, head)[token * length..][..row.as_array().unwrap().len()];
                attention = attention.max(difference(row, got));
            }
        }
    }
    for (layer, rows) in expected["stream"].as_array().unwrap().iter().enumerate() {
        for (row, &token) in rows.as_array().unwrap().iter().zip(shown) {
            let width = row.as_array().unwrap().len();
            stream = stream.max(difference(row, &seen.stream(layer)[token * width..][..width]));
        }
    }
    (attention, stream)
}

#[track_caller]
fn assert_rows_sum_to_one(seen: &Observation) {
    for layer in 0..seen.layers() {
        for head in 0..seen.heads() {
            for row in seen.map(layer, head).chunks_exact(seen.tokens()) {
                let sum: f64 = row.iter().map(|&probability| f64::from(probability)).sum();
                assert!((sum - 1.0).abs() < 1e-6, "layer {layer}, head {head}: {sum}");
                assert!(row.iter().all(|probability| (0.0..=1.0).contains(probability)));
            }
        }
    }
}

#[test]
fn decoders_have_the_activations_of_transformers() {
    let (inside, golden) = (parsed(INSIDE), parsed(DECODERS));
    let (shown, text) = (numbers(&inside["shown"]), tokens(&golden["tokens"]));
    let after = inside["lens_after"].as_u64().unwrap() as usize;
    for expected in inside["decoders"].as_array().unwrap() {
        let name = &expected["name"];
        let decoder = decoder(case(&golden, name));
        let seen = decoder.observe(&text).unwrap();
        let (attention, stream) = differences(expected, &shown, &seen);
        let vocabulary = decoder.config().vocabulary;
        let logits = decoder.lens(seen.stream(after));
        assert_eq!(logits.len(), text.len() * vocabulary);
        let rows = shown.iter().zip(expected["lens"].as_array().unwrap());
        let lens = rows.fold(0.0f32, |largest, (token, row)| {
            largest.max(difference(row, &logits[token * vocabulary..][..vocabulary]))
        });
        println!("{name}: attention {attention:e}, stream {stream:e}, lens {lens:e}");
        assert!(attention < 1e-5 && stream < 1e-5 && lens < 1e-5, "{name}");
        assert_rows_sum_to_one(&seen);
        // Nothing attends to later tokens or beyond its window.
        for (index, layer) in decoder.config().layers.iter().enumerate() {
            for head in 0..seen.heads() {
                for (token, row) in seen.map(index, head).chunks_exact(text.len()).enumerate() {
                    let first = layer.window.map_or(0, |window| (token + 1).saturating_sub(window));
                    let hidden = row[..first].iter().chain(&row[token + 1..]);
                    assert!(hidden.copied().all(|probability| probability == 0.0), "{name}, layer {index}");
                }
            }
        }
    }
}

#[test]
fn observing_changes_no_bit_and_the_last_lens_is_the_models_prediction() {
    let golden = parsed(DECODERS);
    let text = tokens(&golden["tokens"]);
    for case in golden["cases"].as_array().unwrap() {
        let decoder = decoder(case);
        let mut cache = Cache::new(decoder.config());
        let logits =
            decoder.forward(&mut [Sequence { tokens: &text, cache: &mut cache, all_logits: true }]).unwrap();
        let seen = decoder.observe(&text).unwrap();
        assert!(decoder.lens(seen.stream(seen.layers())) == logits, "{}", case["name"]);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| decoder.observe(&text).unwrap());
            for layer in 0..seen.layers() {
                assert!(again.stream(layer + 1) == seen.stream(layer + 1));
                assert!((0..seen.heads()).all(|head| again.map(layer, head) == seen.map(layer, head)));
            }
        }
    }
}

#[test]
fn encoders_have_the_activations_of_transformers() {
    let (inside, golden) = (parsed(INSIDE), parsed(ENCODERS));
    let text = tokens(golden["texts"].as_array().unwrap().last().unwrap());
    for expected in inside["encoders"].as_array().unwrap() {
        let name = &expected["name"];
        let encoder = encoder(case(&golden, name));
        let seen = encoder.observe(&text).unwrap();
        let (attention, stream) = differences(expected, &numbers(&inside["shown"]), &seen);
        println!("{name}: attention {attention:e}, stream {stream:e}");
        assert!(attention < 1e-5 && stream < 1e-5, "{name}");
        assert_rows_sum_to_one(&seen);
        let ordinary = encoder.run(&[&text], &mut EncoderMemory::default()).unwrap();
        assert!(seen.stream(seen.layers()) == ordinary, "the bits of the ordinary pass");
    }
}

#[test]
fn what_cannot_be_observed_is_refused_before_allocating() {
    let golden = parsed(DECODERS);
    let decoder = decoder(&golden["cases"][0]);
    let said = |tokens: &[u32]| decoder.observe(tokens).unwrap_err().to_string();
    assert!(said(&[3; 513]).contains("got 513, expected at most 512 for the maps of 12 heads"));
    assert!(said(&[]).contains("at least one"));
    assert!(said(&[61]).contains("less than the vocabulary's 61"));
    assert_eq!(decoder.observe(&[3; 512]).unwrap().tokens(), 512);
    // A large model allows fewer tokens.
    let parts = common::parts();
    let mut config = parts.config.clone();
    (config.heads, config.key_value_heads, config.head_width) = (4096, 1, 8);
    config.attention_scale = 1.0;
    let mut random = common::Random(3);
    let tensors = config.parameters().into_iter().map(|parameter| {
        let count = parameter.shape.iter().product();
        let values = (0..count).map(|_| (random.next() % 1000) as f32 / 5000.0 - 0.1).collect();
        (parameter.name, gyrus_formats::Tensor::of_floats(parameter.shape, values))
    });
    let checkpoint = gyrus_formats::Checkpoint::new(Path::new("memory"), tensors.collect());
    let large = Decoder::new(config, checkpoint).unwrap();
    let said = large.observe(&[3; 65]).unwrap_err().to_string();
    assert!(said.contains("got 65, expected at most 64 for the maps of 8192 heads"), "{said}");
}
