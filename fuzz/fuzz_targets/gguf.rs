//! No bytes make the GGUF reader panic, run away or take memory that a header asks for; what it reads can be built.

#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(parts) = gyrus_language::gguf::parse(Path::new("fuzz.gguf"), &bytes.to_vec().into()) else { return };
    let _ = parts.tokenizer.encode("Once upon a time", true).map(|tokens| parts.tokenizer.decode(&tokens));
    let _ = parts.build();
});
