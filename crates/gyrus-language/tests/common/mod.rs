//! What the tests of this crate share.
#![allow(dead_code)] // Each test file uses a part.

use std::path::{Path, PathBuf};

use gyrus_language::{Cache, Model, Request, Sampling, generate};

/// The repository's real data, or a loud skip.
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

/// What a model writes when it always takes the most probable token.
pub(crate) fn greedy(model: &Model, prompt: &str, maximum_tokens: usize) -> (String, Vec<u32>) {
    let request = Request {
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        maximum_tokens,
        stop: Vec::new(),
    };
    let prompt = model.tokenizer.encode(prompt, true).unwrap();
    let mut cache = Cache::new(model.decoder.config());
    let mut shown = String::new();
    let show = |text: &str| {
        shown += text;
        true
    };
    let written = generate(&model.decoder, &model.tokenizer, &mut cache, &prompt, &request, show).unwrap();
    assert_eq!(shown, written.text, "what was shown on the way is the text");
    (written.text, written.tokens)
}
