//! Opening the tokenizer of a model, without its weights.

use std::path::Path;

use super::{Tokenizer, model_file};
use crate::model::gguf;
use crate::small::read_json;
use crate::{Error, Parts, Result};

impl Tokenizer {
    /// Opens the tokenizer of a model: of a folder with a `tokenizer.json` or else SentencePiece's `tokenizer.model`, of a GGUF
    /// file (which may hold the vocabulary alone), of a llama2c file with its vocabulary beside it, or one of those two files
    /// itself.
    ///
    /// # Errors
    /// As the readers of the formats; [`gyrus_formats::Error::Mismatch`] for anything else.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let file = path.join("tokenizer.json");
            if file.is_file() {
                return Self::of_hugging_face(&file);
            }
            let file = path.join("tokenizer.model");
            if file.is_file() {
                let config = read_json(&path.join("tokenizer_config.json"))?.unwrap_or_default();
                return Self::of_model_file(&file, config["add_bos_token"] != false);
            }
            let got = "a folder with neither tokenizer.json nor tokenizer.model";
            return Err(Error::mismatch(path, got, "one of them"));
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Self::of_hugging_face(path),
            Some("model") => Self::of_model_file(path, true),
            Some("gguf") => gguf::tokenizer(path),
            _ => Ok(Parts::open(path)?.tokenizer),
        }
    }

    /// Reads SentencePiece's file; `begins` says whether its beginning of text precedes each text.
    fn of_model_file(path: &Path, begins: bool) -> Result<Self> {
        let file = model_file::read(path)?;
        let prefix = file.begin.filter(|_| begins).into_iter().collect();
        Ok(Self::of_sentencepiece(file.vocabulary, prefix, file.leading_space))
    }

    /// What each token of the vocabulary adds to a text, for a person: the bytes of incomplete characters as `<0xE4>`, special
    /// tokens by their names.
    #[must_use]
    pub fn pieces(&self) -> Vec<String> {
        let bytes = self.token_bytes().unwrap_or_default();
        let known = (0..).zip(0..self.tokens()).map(|(token, place)| match bytes.get(place) {
            Some(own) if !own.is_empty() => readable(own),
            _ => self.text(token).unwrap_or_default(),
        });
        known.collect()
    }
}

/// Bytes as text, where they are.
fn readable(bytes: &[u8]) -> String {
    bytes
        .utf8_chunks()
        .map(|chunk| {
            let rest: String = chunk.invalid().iter().map(|byte| format!("<0x{byte:02X}>")).collect();
            chunk.valid().to_owned() + &rest
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_truncation_of_a_file_do_not_cut_texts() {
        let folder = tempfile::tempdir().unwrap();
        let file = serde_json::json!({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": null,
            "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "a"},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}});
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        assert_eq!(tokenizer.encode("abba", false).unwrap(), [0, 1, 1, 0]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(readable(b"a\xe4\xbd"), "a<0xE4><0xBD>");
        assert_eq!(readable("ä b".as_bytes()), "ä b");
    }
}
