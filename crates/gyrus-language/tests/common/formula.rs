//! The weights of the golden files, computed from a formula.

use std::path::Path;

use gyrus_formats::{Checkpoint, Tensor};
use gyrus_language::DecoderConfig;
use serde_json::Value;

/// CRC-32, as in zip files.
fn checksum(text: &str) -> u64 {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    u64::from(!crc)
}

/// The script's values in -1 ... 1.
pub(crate) fn fill(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = checksum(name).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (1..=count as u64).map(move |index| {
        let mut z = seed.wrapping_add(index.wrapping_mul(0xBF58_476D_1CE4_E5B9));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    })
}

pub(crate) fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

/// The tensors of a decoder's case in `decoders.json`.
pub(crate) fn decoder_checkpoint(case: &Value) -> Checkpoint {
    checkpoint(case, |name| name.contains("norm") || name.contains(".ln_") && name.ends_with("weight"))
}

/// The tensors of an encoder's case in `encoders.json`.
pub(crate) fn encoder_checkpoint(case: &Value) -> Checkpoint {
    checkpoint(case, |name| name.ends_with("LayerNorm.weight"))
}

/// Values of the formula, around 1 for the scale of a normalization.
fn checkpoint(case: &Value, is_scale: impl Fn(&str) -> bool) -> Checkpoint {
    let tensors = case["tensors"].as_object().unwrap().iter().map(|(name, shape)| {
        let shape = numbers(shape);
        let scale = if shape.len() == 1 { 0.2 } else { 1.5 / (*shape.last().unwrap() as f32).sqrt() };
        let center = if is_scale(name) { 1.0 } else { 0.0 };
        let values = fill(name, shape.iter().product()).map(|value| center + scale * value).collect();
        (name.clone(), Tensor::of_floats(shape, values))
    });
    Checkpoint::new(Path::new("golden"), tensors.collect())
}

pub(crate) fn config(value: &Value) -> DecoderConfig {
    DecoderConfig::from_hugging_face(Path::new("config.json"), value.to_string().as_bytes()).unwrap()
}
