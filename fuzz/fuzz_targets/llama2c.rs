//! No bytes make the readers of llama2.c's models and vocabularies panic, run away or take memory that a header asks for.

#![no_main]

use std::path::Path;

use gyrus_language::llama2c;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz.bin");
    if let Ok((config, checkpoint)) = llama2c::parse(path, &bytes.to_vec().into()) {
        let _ = gyrus_language::Decoder::new(config, checkpoint);
    }
    let Some((&tokens, rest)) = bytes.split_first() else { return };
    if let Ok(vocabulary) = llama2c::parse_tokenizer(path, rest, tokens.into()) {
        let tokens = vocabulary.encode("Once upon a time, ééé", true, true);
        for token in tokens {
            vocabulary.bytes(token);
        }
    }
});
