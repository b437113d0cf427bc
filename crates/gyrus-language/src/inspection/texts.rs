//! Readable texts of tokens.

use std::collections::BTreeMap;

use crate::Tokenizer;

/// The texts of tokens in the middle of a text, each computed once.
pub(super) struct TokenTexts<'a> {
    tokenizer: &'a Tokenizer,
    /// A text token: after text, a leading space is kept.
    before: Vec<u32>,
    known: BTreeMap<u32, String>,
}

impl<'a> TokenTexts<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        let before = tokenizer.encode("a", false).unwrap_or_default();
        Self { tokenizer, before, known: BTreeMap::new() }
    }

    /// The text of a token; its name in the vocabulary if it is special or part of a character.
    pub(super) fn text(&mut self, token: u32) -> String {
        if let Some(text) = self.known.get(&token) {
            return text.clone();
        }
        let plain = self.plain(token);
        let text = plain.unwrap_or_else(|| {
            let name = self.tokenizer.text(token).filter(|name| !name.is_empty());
            name.unwrap_or_else(|| format!("<{token}>"))
        });
        self.known.insert(token, text.clone());
        text
    }

    /// The text of a token that consists of whole characters.
    pub(super) fn plain(&self, token: u32) -> Option<String> {
        let mut stream = self.tokenizer.stream(&self.before);
        stream.push(token).ok().filter(|text| !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER))
    }

    /// All texts computed so far.
    pub(super) fn known(&self) -> &BTreeMap<u32, String> {
        &self.known
    }
}
