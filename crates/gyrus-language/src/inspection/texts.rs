//! How tokens are written for people.

use std::collections::BTreeMap;

use crate::Tokenizer;

/// The text of tokens as it stands within a text, computed once each.
pub(super) struct TokenTexts<'a> {
    tokenizer: &'a Tokenizer,
    /// A token of a text: after text, a blank is text.
    before: Vec<u32>,
    known: BTreeMap<u32, String>,
}

impl<'a> TokenTexts<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        let before = tokenizer.encode("a", false).unwrap_or_default();
        Self { tokenizer, before, known: BTreeMap::new() }
    }

    /// The text of a token; its name in the vocabulary where it is a mark or a part of a character.
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

    /// The text of a token that stands for whole characters.
    pub(super) fn plain(&self, token: u32) -> Option<String> {
        let mut stream = self.tokenizer.stream(&self.before);
        stream.push(token).ok().filter(|text| !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER))
    }

    /// All texts that were asked for.
    pub(super) fn known(&self) -> &BTreeMap<u32, String> {
        &self.known
    }
}
