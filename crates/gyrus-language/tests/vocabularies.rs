//! Byte-level vocabularies in `tokenizer.json` and in GGUF.

use crate::common;
use gyrus_formats::{Format, Tensor};
use gyrus_language::{DecoderConfig, Parts, Tokenizer, gguf};
use serde_json::{Value, json};

const QWEN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The letters that stand for bytes, in order (Radford et al. 2019).
fn letters() -> Vec<char> {
    let plain = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    (0..256)
        .map(|byte| if plain(&byte) { byte } else { others.next().unwrap() })
        .map(|n| char::from_u32(n).unwrap())
        .collect()
}

/// A vocabulary of all bytes and a few pairs, as a `tokenizer.json`.
fn tokenizer(before: Value) -> Value {
    let merges = [["Ġ", "t"], ["h", "e"], ["Ġt", "he"], ["1", "2"], ["12", "3"], ["Ã", "©"]];
    let mut texts: Vec<String> = letters().into_iter().map(String::from).collect();
    texts.extend(merges.iter().map(|[left, right]| format!("{left}{right}")));
    let end = texts.len();
    let vocabulary: serde_json::Map<String, Value> =
        texts.into_iter().enumerate().map(|(token, text)| (text, json!(token))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [{"id": end, "content": "<|end|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": before,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges},
    })
}

fn byte_level(regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex})
}

fn split(pattern: &str) -> Value {
    json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
        byte_level(false)]})
}

fn parts(before: Value) -> Parts {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, tokenizer(before).to_string()).unwrap();
    let mut config = DecoderConfig::llama(300, 32, 1, (2, 2), 32, 10_000.0);
    config.end_of_text = vec![262];
    let tensors = config.parameters().into_iter().map(|parameter| {
        let count = parameter.shape.iter().product();
        (parameter.name, Tensor::of_floats(parameter.shape, vec![0.5; count]))
    });
    let checkpoint = gyrus_formats::Checkpoint::new(&path, tensors.collect());
    let tokenizer = Tokenizer::of_hugging_face(&path).unwrap();
    Parts { config, checkpoint, tokenizer, chat_template: None, ..common::parts() }
}

#[test]
fn byte_level_vocabularies_come_back_from_gguf_as_they_were() {
    let digits = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": true}, byte_level(true)]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (before, of_digits) in [(byte_level(true), 1), (split(QWEN), 3), (digits, 3)] {
        let parts = parts(before);
        gguf::write(&parts, &path, Format::F32).unwrap();
        let read = Parts::open(&path).unwrap();
        assert_eq!(read.config.end_of_text, [262]);
        assert_eq!(parts.tokenizer.encode("123", false).unwrap().len(), of_digits);
        for text in ["the theé 1234", "Zoë's  😀\n\n then<|end|>the", "", " \t x"] {
            let tokens = parts.tokenizer.encode(text, true).unwrap();
            assert_eq!(read.tokenizer.encode(text, true).unwrap(), tokens, "{text:?}");
            assert_eq!(read.tokenizer.decode(&tokens).unwrap(), text.replace("<|end|>", ""));
        }
        read.build().unwrap();
    }
    let said = gguf::write(&parts(split(r"\w+")), &path, Format::F32).unwrap_err().to_string();
    assert!(said.contains("unknown pre-tokenizer"), "{said}");
}

#[test]
fn streamed_text_equals_text_decoded_in_one_pass() {
    let tokenizer = parts(byte_level(true)).tokenizer;
    let text = "the 😀 é🙂thé\u{FFFD}.";
    let tokens = tokenizer.encode(text, false).unwrap();
    let mut stream = tokenizer.stream(&[]);
    let pieces: Vec<String> = tokens.iter().map(|&token| stream.push(token).unwrap()).collect();
    assert_eq!(pieces.concat() + &stream.finish(), text);
    // No part of a character is shown alone.
    assert!(
        pieces
            .iter()
            .all(|piece| !piece.contains('\u{FFFD}') || piece.contains("thé") || piece == "\u{FFFD}.")
    );
    // After other text, a token decodes as in the middle of it.
    let mut stream = tokenizer.stream(&tokens[..2]);
    let rest: String = tokens[2..].iter().map(|&token| stream.push(token).unwrap()).collect();
    let before = tokenizer.decode(&tokens[..2]).unwrap();
    assert_eq!(before + &rest + &stream.finish(), text);
}
