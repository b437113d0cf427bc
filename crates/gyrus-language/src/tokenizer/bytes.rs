//! The bytes of each token of a vocabulary.

use llguidance::toktrie::TokTrie;

use super::{PieceKind, Tokenizer};
use crate::{Error, Result};

impl Tokenizer {
    /// The bytes that each token adds to a text; for special tokens, their names.
    ///
    /// # Errors
    /// [`Error::Request`] if the bytes of the vocabulary's tokens are unknown.
    pub fn token_bytes(&self) -> Result<Vec<Vec<u8>>> {
        let mut tokens = bytes_of_tokens(self)?;
        for token in &mut tokens {
            if token.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
                token.remove(0);
            }
        }
        Ok(tokens)
    }
}

/// The bytes of each token; special tokens begin with a byte that no text contains.
pub(crate) fn bytes_of_tokens(tokenizer: &Tokenizer) -> Result<Vec<Vec<u8>>> {
    if let Some(vocabulary) = tokenizer.as_sentencepiece() {
        let bytes = (0..).zip(vocabulary.pieces()).map(|(token, piece)| match piece.kind {
            PieceKind::Control => [&[TokTrie::SPECIAL_TOKEN_MARKER], piece.text.trim_ascii()].concat(),
            _ => vocabulary.bytes(token).to_vec(),
        });
        return Ok(bytes.collect());
    }
    let unknown = |reason: String| Error::request("vocabulary", reason, "bytes for each token");
    let json =
        serde_json::to_value(tokenizer.as_hugging_face()).map_err(|error| unknown(error.to_string()))?;
    llguidance::token_bytes_from_tokenizer_json(&json)
        .map_err(|error| unknown(error.to_string().lines().next().unwrap_or_default().to_owned()))
}
