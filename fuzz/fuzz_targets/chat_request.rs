//! No body of a request, and no answer of a model, makes their readers panic.

#![no_main]

use gyrus_serve::{ChatRequest, CompletionRequest, EmbeddingRequest, ResponseRequest, ToolForm, ToolReader};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ChatRequest::parse(bytes);
    let _ = ResponseRequest::parse(bytes);
    let _ = CompletionRequest::parse(bytes);
    let _ = EmbeddingRequest::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for form in [ToolForm::Hermes, ToolForm::Llama, ToolForm::Mistral] {
        for forced in [false, true] {
            let whole = {
                let mut reader = ToolReader::new(Some(form), forced);
                let mut parts = reader.push(text);
                parts.extend(reader.finish());
                parts
            };
            let mut reader = ToolReader::new(Some(form), forced);
            let mut parts = Vec::new();
            for letter in text.chars() {
                parts.extend(reader.push(letter.encode_utf8(&mut [0; 4])));
            }
            parts.extend(reader.finish());
            // Calls do not depend on how the text comes.
            let calls = |parts: &[gyrus_serve::Part]| {
                parts.iter().filter(|part| matches!(part, gyrus_serve::Part::Call { .. })).count()
            };
            assert_eq!(calls(&whole), calls(&parts));
        }
    }
});
