//! No bytes make the reader of Hugging Face's `config.json` panic; what it reads has finite rotations and named tensors.

#![no_main]

use std::path::Path;

use gyrus_language::DecoderConfig;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = DecoderConfig::from_hugging_face(Path::new("config.json"), bytes) else { return };
    for rope in &config.ropes {
        assert_eq!(rope.inverse_frequencies(100).len(), rope.dimensions / 2);
    }
    assert!(!config.parameters().is_empty());
});
