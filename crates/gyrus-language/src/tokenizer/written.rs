//! Writes a SentencePiece vocabulary as a `tokenizer.json`.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::sentencepiece::{PieceKind, SentencePiece};

/// A `tokenizer.json` equivalent to SentencePiece's byte pairs, in the form that `transformers` uses for Llama: every way of
/// merging two tokens into a third is a pair, in descending order of scores.
pub(crate) fn tokenizer_json(vocabulary: &SentencePiece, begin: Option<u32>, leading_space: bool) -> Value {
    let with_symbol = |text: &[u8]| String::from_utf8_lossy(text).replace(' ', "\u{2581}");
    let (mut texts, mut added, mut known) = (Map::new(), Vec::new(), HashSet::new());
    for (token, piece) in vocabulary.pieces().iter().enumerate() {
        let text = match piece.kind {
            PieceKind::Byte(byte) => format!("<0x{byte:02X}>"),
            PieceKind::Control => String::from_utf8_lossy(&piece.text).trim().to_owned(),
            PieceKind::Text => with_symbol(&piece.text),
            PieceKind::Whole | PieceKind::Unused => String::from_utf8_lossy(&piece.text).into_owned(),
        };
        if matches!(piece.kind, PieceKind::Control | PieceKind::Whole) {
            added.push(json!({"id": token, "content": text, "single_word": false, "lstrip": false,
                "rstrip": vocabulary.strips(token as u32), "normalized": false, "special": piece.kind == PieceKind::Control}));
        }
        if piece.kind == PieceKind::Text {
            known.insert(text.clone());
        }
        texts.entry(text).or_insert(json!(token));
    }
    let mut merges: Vec<(f32, String, String)> = Vec::new();
    for piece in vocabulary.pieces().iter().filter(|piece| piece.kind == PieceKind::Text) {
        let text = with_symbol(&piece.text);
        for (cut, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(cut);
            if known.contains(left) && known.contains(right) {
                merges.push((piece.score, left.to_owned(), right.to_owned()));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let merges: Vec<Value> = merges.into_iter().map(|(_, left, right)| json!([left, right])).collect();
    let replace =
        |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let mut normalizers = vec![replace(" ", "\u{2581}")];
    let mut decoders =
        vec![replace("\u{2581}", " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if leading_space {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "\u{2581}"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown =
        vocabulary.pieces().first().map(|piece| String::from_utf8_lossy(&piece.text).trim().to_owned());
    let begin = begin.and_then(|token| {
        let text = String::from_utf8_lossy(&vocabulary.pieces().get(token as usize)?.text).trim().to_owned();
        Some(json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {(text.clone()): {"id": text, "ids": [token], "tokens": [text]}},
        }))
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": begin,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": texts, "merges": merges},
    })
}
