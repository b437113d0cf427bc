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

    /// The text that each of these tokens adds, for a person; the bytes of incomplete characters as `<0xE4>`, special tokens
    /// by their names.
    ///
    /// # Errors
    /// [`Error::Request`] for tokens outside the vocabulary.
    pub fn pieces(&self, tokens: &[u32]) -> Result<Vec<String>> {
        let bytes = self.token_bytes().ok();
        let shown = |&token: &u32| {
            let own = bytes.as_ref().and_then(|bytes| bytes.get(token as usize)).filter(|bytes| !bytes.is_empty());
            let piece = own.map(|bytes| readable(bytes)).or_else(|| self.text(token));
            piece.ok_or_else(|| {
                Error::request("tokens", token.to_string(), format!("less than the vocabulary's {}", self.tokens()))
            })
        };
        tokens.iter().map(shown).collect()
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
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(readable(b"a\xe4\xbd"), "a<0xE4><0xBD>");
        assert_eq!(readable("ä b".as_bytes()), "ä b");
    }
}
