//! Text to tokens and back, for every kind of vocabulary.

pub(crate) mod bytes;
mod chat;
mod model_file;
mod open;
pub(crate) mod sentencepiece;
mod written;

use std::path::Path;

pub use chat::{ChatInput, ChatTemplate, ChatTemplates, Message};
pub use sentencepiece::{Piece, PieceKind, SentencePiece};
pub(crate) use written::tokenizer_json;

use crate::{Error, Result};

/// A vocabulary and its rules.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    kind: Kind,
    /// Tokens that precede each text.
    prefix: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Hugging Face's `tokenizer.json`.
    HuggingFace(Box<tokenizers::Tokenizer>),
    /// SentencePiece's byte pairs; whether a space is added before each text.
    SentencePiece(Box<SentencePiece>, bool),
}

impl Tokenizer {
    /// Reads Hugging Face's `tokenizer.json`.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Io`], or [`gyrus_formats::Error::Mismatch`] for a file that the `tokenizers` library refuses.
    pub fn of_hugging_face(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        let tokenizer = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| Error::mismatch(path, error.to_string(), "a tokenizer.json"))?;
        Ok(Self::of_tokenizers(tokenizer, Vec::new()))
    }

    /// A tokenizer that was built in memory.
    #[must_use]
    pub fn of_tokenizers(mut tokenizer: tokenizers::Tokenizer, prefix: Vec<u32>) -> Self {
        // Files keep these from their training; `transformers` ignores them unless a caller asks.
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        Self { kind: Kind::HuggingFace(Box::new(tokenizer)), prefix }
    }

    /// SentencePiece's byte pairs. `prefix` precedes each text, and so does a space if `leading_space`.
    #[must_use]
    pub fn of_sentencepiece(vocabulary: SentencePiece, prefix: Vec<u32>, leading_space: bool) -> Self {
        Self { kind: Kind::SentencePiece(Box::new(vocabulary), leading_space), prefix }
    }

    /// The tokens of a text; `special` adds the beginning-of-text tokens. Names of special tokens in the text become these
    /// tokens, as in `transformers` and in llama.cpp's programs.
    ///
    /// # Errors
    /// [`Error::Request`] if the vocabulary cannot express the text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let mut tokens = if special { self.prefix.clone() } else { Vec::new() };
        match &self.kind {
            Kind::HuggingFace(tokenizer) => {
                let encoding = tokenizer.encode(text, special).map_err(|error| {
                    Error::request("text", error.to_string(), "a text of this vocabulary")
                })?;
                tokens.extend(encoding.get_ids());
            }
            Kind::SentencePiece(vocabulary, space) => tokens.extend(vocabulary.encode(text, *space, true)),
        }
        Ok(tokens)
    }

    /// The tokens of a text made by a chat template, in which special tokens appear by name.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_chat(&self, text: &str) -> Result<Vec<u32>> {
        self.encode(text, false)
    }

    /// The text of tokens, without special tokens.
    ///
    /// # Errors
    /// [`Error::Request`] for tokens outside the vocabulary.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let mut stream = self.stream(&[]);
        let mut text = String::new();
        for &token in tokens {
            text += &stream.push(token)?;
        }
        Ok(text + &stream.finish())
    }

    /// Decodes tokens one by one after the tokens `before`, which determine whether a leading space is kept.
    #[must_use]
    pub fn stream(&self, before: &[u32]) -> TextStream<'_> {
        let mut stream =
            TextStream { tokenizer: self, tokens: Vec::new(), shown: 0, pending: Vec::new(), begun: false };
        match &self.kind {
            Kind::HuggingFace(_) => {
                let last = before.len().saturating_sub(LONGEST_CHARACTER);
                stream.tokens = before[last..].to_vec();
                stream.shown = stream.tokens.len();
            }
            Kind::SentencePiece(vocabulary, _) => {
                stream.begun = before.iter().any(|&token| !vocabulary.bytes(token).is_empty());
            }
        }
        stream
    }

    /// The exact text of a token, including special tokens.
    #[must_use]
    pub fn text(&self, token: u32) -> Option<String> {
        match &self.kind {
            Kind::HuggingFace(tokenizer) => tokenizer.id_to_token(token),
            Kind::SentencePiece(vocabulary, _) => {
                let piece = vocabulary.pieces().get(token as usize)?;
                Some(String::from_utf8_lossy(piece.name()).into_owned())
            }
        }
    }

    /// Whether a space is added before each text.
    #[must_use]
    pub fn leading_space(&self) -> bool {
        matches!(self.kind, Kind::SentencePiece(_, true))
    }

    /// Whether each encoded text begins with this token.
    #[must_use]
    pub fn begins(&self, token: Option<u32>) -> bool {
        match &self.kind {
            Kind::SentencePiece(..) => token.is_some() && self.prefix.first().copied() == token,
            Kind::HuggingFace(_) => {
                token.is_some() && self.encode("", true).is_ok_and(|tokens| tokens.first().copied() == token)
            }
        }
    }

    /// The token with this exact text, including special tokens.
    #[must_use]
    pub fn token(&self, text: &str) -> Option<u32> {
        match &self.kind {
            Kind::HuggingFace(tokenizer) => tokenizer.token_to_id(text),
            Kind::SentencePiece(vocabulary, _) => {
                let found = vocabulary.pieces().iter().position(|piece| piece.name() == text.as_bytes());
                found.and_then(|token| u32::try_from(token).ok())
            }
        }
    }

    /// The number of tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        match &self.kind {
            Kind::HuggingFace(tokenizer) => tokenizer.get_vocab_size(true),
            Kind::SentencePiece(vocabulary, _) => vocabulary.pieces().len(),
        }
    }

    /// Hugging Face's tokenizer, if this is one.
    #[must_use]
    pub fn as_hugging_face(&self) -> Option<&tokenizers::Tokenizer> {
        match &self.kind {
            Kind::HuggingFace(tokenizer) => Some(tokenizer),
            Kind::SentencePiece(..) => None,
        }
    }

    /// SentencePiece's vocabulary, if this is one.
    #[must_use]
    pub fn as_sentencepiece(&self) -> Option<&SentencePiece> {
        match &self.kind {
            Kind::SentencePiece(vocabulary, _) => Some(vocabulary),
            Kind::HuggingFace(_) => None,
        }
    }
}

/// Turns tokens into text as they arrive. A character may need several tokens; it is held back until complete.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The tokens whose text was returned last, then those whose text was not returned yet: whether a word begins with a
    /// space depends on what precedes it.
    tokens: Vec<u32>,
    /// How many of them have been returned.
    shown: usize,
    /// The beginning of a character.
    pending: Vec<u8>,
    begun: bool,
}

impl TextStream<'_> {
    /// The text that this token adds.
    ///
    /// # Errors
    /// [`Error::Request`] for a token outside the vocabulary.
    pub fn push(&mut self, token: u32) -> Result<String> {
        match &self.tokenizer.kind {
            Kind::SentencePiece(vocabulary, space) => {
                let mut bytes = vocabulary.bytes(token);
                if *space && !self.begun && !bytes.is_empty() {
                    bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
                }
                self.begun |= !vocabulary.bytes(token).is_empty();
                self.pending.extend_from_slice(bytes);
                Ok(self.whole_characters())
            }
            Kind::HuggingFace(tokenizer) => {
                self.tokens.push(token);
                let text = decode(tokenizer, &self.tokens)?;
                let before = decode(tokenizer, &self.tokens[..self.shown])?;
                // An incomplete character decodes to this one.
                let incomplete = text.ends_with(char::REPLACEMENT_CHARACTER);
                if incomplete && self.tokens.len() - self.shown < LONGEST_CHARACTER {
                    return Ok(String::new());
                }
                self.tokens.drain(..self.shown);
                self.shown = self.tokens.len();
                Ok(text.get(before.len()..).unwrap_or_default().to_owned())
            }
        }
    }

    /// The text that was held back, if any.
    #[must_use]
    pub fn finish(&mut self) -> String {
        match &self.tokenizer.kind {
            Kind::SentencePiece(..) => {
                String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
            }
            Kind::HuggingFace(tokenizer) => {
                let before = decode(tokenizer, &self.tokens[..self.shown]).unwrap_or_default();
                let text = decode(tokenizer, &self.tokens).unwrap_or_default();
                (self.tokens, self.shown) = (Vec::new(), 0);
                text.get(before.len()..).unwrap_or_default().to_owned()
            }
        }
    }

    /// Takes complete characters out of `pending`; invalid bytes become U+FFFD.
    fn whole_characters(&mut self) -> String {
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(rest) => {
                    text += rest;
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text += &String::from_utf8_lossy(&self.pending[..valid]);
                    let Some(wrong) = error.error_len() else {
                        self.pending.drain(..valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.pending.drain(..valid + wrong);
                }
            }
        }
    }
}

/// The most tokens that a single character takes.
const LONGEST_CHARACTER: usize = 8;

fn decode(tokenizer: &tokenizers::Tokenizer, tokens: &[u32]) -> Result<String> {
    tokenizer
        .decode(tokens, true)
        .map_err(|error| Error::request("tokens", error.to_string(), "tokens of this vocabulary"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_of_several_bytes_come_out_whole() {
        let mut pieces: Vec<Piece> =
            (0..=255).map(|byte| Piece { text: vec![], score: 0.0, kind: PieceKind::Byte(byte) }).collect();
        pieces.push(Piece { text: b" a".to_vec(), score: 0.0, kind: PieceKind::Text });
        let tokenizer = Tokenizer::of_sentencepiece(SentencePiece::new(pieces, 0), vec![], true);
        let mut stream = tokenizer.stream(&[]);
        assert_eq!(stream.push(256).unwrap(), "a");
        assert_eq!(stream.push(256).unwrap(), " a");
        for byte in [0xF0, 0x9F, 0x98] {
            assert_eq!(stream.push(byte).unwrap(), "");
        }
        assert_eq!(stream.push(0x80).unwrap(), "😀");
        assert_eq!(stream.push(0xFF).unwrap(), "\u{FFFD}");
        assert_eq!(stream.push(0xC3).unwrap(), "");
        assert_eq!(stream.finish(), "\u{FFFD}");
        assert_eq!(tokenizer.stream(&[256]).push(256).unwrap(), " a");
    }
}
