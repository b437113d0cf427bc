//! Shared by the tests of this crate.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code)] // Each test file uses a part.

pub(crate) mod formula;
#[path = "../../../gyrus-formats/tests/common/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_formats::{Checkpoint, Tensor};
use gyrus_language::{
    Cache, DecoderConfig, Model, Parts, Piece, PieceKind, Request, Sampling, SentencePiece, Tokenizer,
    generate,
};
pub(crate) use random::Random;

/// A folder of real data, or a message that the test is skipped.
pub(crate) fn real_data(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("GYRUS_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let path = root.join(part);
    if !path.is_dir() {
        println!("skipped: no {} (set GYRUS_DATA to the folder with the real data)", path.display());
        return None;
    }
    Some(path)
}

/// Greedy generation.
pub(crate) fn greedy(model: &Model, prompt: &str, maximum_tokens: usize) -> (String, Vec<u32>) {
    let request = Request {
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        maximum_tokens,
        ..Request::default()
    };
    let prompt = model.tokenizer.encode(prompt, true).unwrap();
    let mut cache = Cache::new(model.decoder.config());
    let mut shown = String::new();
    let show = |text: &str| {
        shown += text;
        true
    };
    let written = generate(&model.decoder, &model.tokenizer, &mut cache, &prompt, &request, show).unwrap();
    assert_eq!(shown, written.text, "the streamed text is the text");
    (written.text, written.tokens)
}

/// A tiny model with random weights.
pub(crate) fn parts() -> Parts {
    let mut config = DecoderConfig::llama(40, 32, 2, (4, 2), 64, 10_000.0);
    config.tied = true;
    config.beginning_of_text = Some(1);
    config.end_of_text = vec![2];
    let mut random = Random(3);
    let mut tensor = |shape: Vec<usize>| {
        let values = (0..shape.iter().product()).map(|_| (random.next() % 1000) as f32 / 5000.0 - 0.1);
        Tensor::of_floats(shape.clone(), values.collect())
    };
    let tensors: BTreeMap<String, Tensor> =
        config.parameters().into_iter().map(|parameter| (parameter.name, tensor(parameter.shape))).collect();
    let piece = |token: usize| match token {
        0..=2 => Piece { text: format!("<{token}>").into(), score: 0.0, kind: PieceKind::Control },
        _ => Piece { text: vec![b'a' + token as u8], score: -(token as f32), kind: PieceKind::Text },
    };
    let pieces = SentencePiece::new((0..20).map(piece).collect(), 0);
    Parts {
        config,
        checkpoint: Checkpoint::new(Path::new("memory"), tensors),
        tokenizer: Tokenizer::of_sentencepiece(pieces, vec![1], true),
        recommended: Sampling::default(),
        chat_template: Some("{{ messages }}".to_owned().into()),
        notes: Vec::new(),
    }
}
