//! No bytes make the readers of an adapter's files or of the examples to tune with panic. The input is an
//! `adapter_config.json`, the lines of examples and an `adapter_model.safetensors`, with a zero byte after the first two.

#![no_main]

use std::path::Path;

use gyrus_formats::{Bytes};
use gyrus_language::{Adapter, AdapterConfig, ChatTemplate, DecoderConfig, Piece, PieceKind, SentencePiece, Tokenizer};
use gyrus_language_train::{Samples, Windows};

const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";

/// A vocabulary of single letters.
fn tokenizer() -> Tokenizer {
    let control = |text: &str| Piece { text: text.into(), score: 0.0, kind: PieceKind::Control };
    let mut pieces = vec![control("<unk>"), control("<s>"), control("</s>")];
    let letters =
        (b' '..=b'~').map(|letter| Piece { text: vec![letter], score: -1.0, kind: PieceKind::Text });
    pieces.extend(letters);
    Tokenizer::of_sentencepiece(SentencePiece::new(pieces, 0), vec![1], false)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (config, lines, tensors) = (part(), part(), part());
    if let Ok(config) = AdapterConfig::parse(Path::new("adapter_config.json"), config) {
        let bytes = Bytes::from(tensors.to_vec());
        if let Ok(adapter) = Adapter::parse(config, Path::new("adapter_model.safetensors"), &bytes) {
            assert!(adapter.parts.values().all(|part| part.rank > 0 && part.down.len() >= part.rank));
        }
    }
    let path = Path::new("examples.jsonl");
    let Ok(samples) = Samples::parse(path, &String::from_utf8_lossy(lines)) else { return };
    let config =
        DecoderConfig { end_of_text: vec![2], ..DecoderConfig::llama(98, 8, 1, (1, 1), 8, 10_000.0) };
    let template = ChatTemplate::new(TEMPLATE, "<s>", "</s>").ok();
    let Ok(examples) = samples.encode(path, &tokenizer(), template.as_ref(), &config) else { return };
    let windows = Windows::pack(examples, 16);
    for batch in windows.all_batches(2, usize::MAX) {
        assert!(batch.longest() <= 16 && batch.counted() > 0);
        assert_eq!(batch.tokens.len(), batch.targets.len());
    }
});
