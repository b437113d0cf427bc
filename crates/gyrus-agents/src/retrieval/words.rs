//! Texts as the words that an index knows.
//!
//! Words are found much as Unicode's word breaks (UAX #29) do it: letters and digits, with a dot, comma or apostrophe between two
//! letters or two digits (`3.14`, `e.g`). They become lower case, lose a possessive `'s`, the stop words of Lucene's English
//! analyzer are left out, and the rest is stemmed (Porter's English stemmer, by Snowball). Runs of Han, Kana and Hangul, which
//! have no spaces, become pairs of neighboring letters.

use std::collections::HashMap;

use rust_stemmers::{Algorithm, Stemmer};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Lucene's default English stop words.
const STOP: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
    "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to",
    "was", "will", "with",
];
/// Longer words, in bytes, are no words: they are cut.
const LONGEST: usize = 128;
/// Stems that are remembered; then the memory starts afresh.
const REMEMBERED: usize = 1 << 16;

/// Finds the words of texts. It remembers stems, so it is worth keeping.
pub struct Words {
    stemmer: Stemmer,
    stems: HashMap<Box<str>, Option<Box<str>>>,
    lower: String,
    token: Token,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
            stems: HashMap::new(),
            lower: String::new(),
            token: Token::default(),
        }
    }
}

impl Clone for Words {
    /// With a memory of its own.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Whether this is a stop word.
#[must_use]
pub fn is_stop_word(word: &str) -> bool {
    STOP.binary_search(&word).is_ok()
}

/// Letters of scripts that are written without spaces.
fn is_unspaced(letter: char) -> bool {
    matches!(letter as u32, 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3134f)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The bytes of the next word at or after `from`.
#[must_use]
pub fn next_word(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        let (letter, length) = letter_at(text, at)?;
        if is_word(letter) {
            break;
        }
        at += length;
    }
    let start = at;
    let mut previous = None;
    while at < bytes.len() {
        let (letter, length) = letter_at(text, at)?;
        if is_unspaced(letter) {
            if at > start {
                break;
            }
            // A pair, of which the second letter begins the next one; alone only at the end of a run.
            let next = letter_at(text, at + length).filter(|(next, _)| is_unspaced(*next));
            return Some((start, at + length + next.map_or(0, |(_, length)| length)));
        }
        let joins = match letter {
            '.' | '\'' | '’' | ',' => {
                let next = letter_at(text, at + length).map(|(next, _)| next);
                match (previous, next) {
                    (Some(before), Some(after)) => {
                        let letters = |c: char| c.is_alphabetic() && !is_unspaced(c);
                        (letter != ',' && letters(before) && letters(after))
                            || (letter != '’' && char::is_numeric(before) && after.is_numeric())
                    }
                    _ => false,
                }
            }
            _ => is_word(letter),
        };
        if !joins {
            break;
        }
        previous = Some(letter);
        at += length;
    }
    (at > start).then_some((start, at))
}

/// The letter at a byte, and its length.
fn letter_at(text: &str, at: usize) -> Option<(char, usize)> {
    let byte = *text.as_bytes().get(at)?;
    if byte < 128 {
        return Some((byte as char, 1));
    }
    let letter = text.get(at..)?.chars().next()?;
    Some((letter, letter.len_utf8()))
}

/// Where a search for the word after this one begins: pairs of unspaced letters overlap.
fn after(text: &str, start: usize, end: usize) -> usize {
    match letter_at(text, start) {
        Some((letter, length)) if is_unspaced(letter) && start + length < end => {
            // The last letter of a run stands in a pair already.
            let next = letter_at(text, end).is_some_and(|(next, _)| is_unspaced(next));
            if next { start + length } else { end }
        }
        _ => end,
    }
}

impl Words {
    /// What the index has for a word, none if it leaves it out.
    pub fn term(&mut self, word: &str) -> Option<&str> {
        self.lower.clear();
        let mut end = word.len().min(LONGEST);
        while !word.is_char_boundary(end) {
            end -= 1;
        }
        if word.is_ascii() {
            self.lower.push_str(&word[..end]);
            self.lower.make_ascii_lowercase();
        } else {
            self.lower.extend(
                word[..end].chars().flat_map(char::to_lowercase).map(|c| if c == '’' { '\'' } else { c }),
            );
        }
        if self.lower.ends_with("'s") {
            self.lower.truncate(self.lower.len() - 2);
        }
        if self.stems.len() >= REMEMBERED {
            self.stems.clear();
        }
        if !self.stems.contains_key(self.lower.as_str()) {
            let stem = match self.lower.as_str() {
                "" => None,
                word if is_stop_word(word) => None,
                word if word.bytes().any(|byte| byte.is_ascii_digit()) => Some(word.into()),
                word => Some(self.stemmer.stem(word).into()),
            };
            self.stems.insert(self.lower.as_str().into(), stem);
        }
        self.stems.get(self.lower.as_str())?.as_deref()
    }

    /// The terms of a text, each with the bytes of its word.
    pub fn each(&mut self, text: &str, mut take: impl FnMut(&str, usize, usize)) {
        let mut from = 0;
        while let Some((start, end)) = next_word(text, from) {
            if let Some(term) = self.term(&text[start..end]) {
                take(term, start, end);
            }
            from = after(text, start, end);
        }
    }

    /// The terms of a text.
    #[must_use]
    pub fn terms(&mut self, text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        self.each(text, |term, _, _| terms.push(term.to_owned()));
        terms
    }
}

/// The words of one text.
pub struct WordStream<'a> {
    words: &'a mut Words,
    text: &'a str,
    from: usize,
    position: usize,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { words: self, text, from: 0, position: 0 }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        while let Some((start, end)) = next_word(self.text, self.from) {
            self.from = after(self.text, start, end);
            let mut token = std::mem::take(&mut self.words.token);
            let found = match self.words.term(&self.text[start..end]) {
                Some(term) => {
                    token.text.clear();
                    token.text.push_str(term);
                    true
                }
                None => false,
            };
            self.words.token = token;
            if found {
                self.words.token.offset_from = start;
                self.words.token.offset_to = end;
                self.words.token.position = self.position;
                self.position += 1;
                return true;
            }
            self.position += 1;
        }
        false
    }

    fn token(&self) -> &Token {
        &self.words.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.words.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_lowered_and_stemmed() {
        let mut words = Words::default();
        assert!(STOP.is_sorted());
        assert_eq!(
            words.terms("The cats' bodies weren't running; O'Neil's e.g. 3.14, 1,000 x_1!"),
            ["cat", "bodi", "weren't", "run", "o'neil", "e.g", "3.14", "1,000", "x_1"]
        );
        assert_eq!(words.terms("Müller’s Größe"), ["müller", "größe"]);
        assert_eq!(words.terms("東京都 a"), ["東京", "京都"]);
        assert_eq!(words.terms("東"), ["東"]);
        assert_eq!(words.terms("a, , . …"), Vec::<String>::new());
    }

    #[test]
    fn a_term_has_the_place_of_its_word() {
        let text = "Ein Haus, zwei Häuser.";
        let mut places = Vec::new();
        Words::default().each(text, |_, start, end| places.push(&text[start..end]));
        assert_eq!(places, ["Ein", "Haus", "zwei", "Häuser"]);
    }
}
