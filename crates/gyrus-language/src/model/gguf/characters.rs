//! Vocabularies of single characters in GGUF files, which know none: each character is one token, and what is no character of
//! the vocabulary is left out.
//!
//! With an end of text (and beyond ASCII) they are written as byte-level pairs (`gpt2`), whose only pairs join the bytes of a
//! character: no two characters are ever joined, and llama.cpp leaves out what forms no token, too. Such a vocabulary always
//! has an end of text in llama.cpp, so that one without, in ASCII, is written as `rwkv`, which takes the longest token that
//! fits: always one character. Reading recognizes both.

use std::collections::{BTreeMap, HashSet};

use gyrus_formats::gguf::{Gguf, Value};
use serde_json::{Map, Value as Json, json};

use super::vocabulary::CONTROL;
use crate::{Error, Result};

/// The characters for the 256 bytes in byte-level vocabularies (GPT-2's): printable ones for themselves.
fn byte_letters() -> [char; 256] {
    let mut letters = ['\0'; 256];
    let mut beyond = 256;
    for (byte, letter) in (0..=u8::MAX).zip(&mut letters) {
        *letter = match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => {
                beyond += 1;
                char::from_u32(beyond - 1).unwrap_or_default()
            }
        };
    }
    letters
}

/// The characters and special tokens of a `tokenizer.json`, by number; none if it is no vocabulary of characters.
fn characters(json: &Json) -> Option<(BTreeMap<u64, char>, BTreeMap<u64, String>)> {
    let model = &json["model"];
    let plain = model["type"] == "BPE"
        && model["byte_fallback"] != true
        && model["merges"].as_array().is_some_and(Vec::is_empty)
        && json["pre_tokenizer"].is_null()
        && json["normalizer"].is_null();
    let mut special = BTreeMap::new();
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        special.insert(token["id"].as_u64()?, token["content"].as_str()?.to_owned());
    }
    let mut letters = BTreeMap::new();
    for (text, number) in model["vocab"].as_object()? {
        let number = number.as_u64()?;
        if !special.contains_key(&number) {
            let mut all = text.chars();
            letters.insert(number, all.next().filter(|_| all.next().is_none())?);
        }
    }
    (plain && !letters.is_empty()).then_some((letters, special))
}

/// The entries for a vocabulary of characters; none if it is another one.
pub(super) fn entries(json: &Json, tokens: usize, end: Option<u32>) -> Option<Vec<(&'static str, Value)>> {
    let (letters, special) = characters(json)?;
    let ascii = letters.values().all(char::is_ascii);
    let (mut texts, mut kinds, mut merges) = (Vec::new(), Vec::new(), Vec::new());
    let bytes = byte_letters();
    let plain = end.is_none() && ascii;
    let mut known = HashSet::new();
    for token in 0..tokens as u64 {
        let text = match (special.get(&token), letters.get(&token)) {
            (Some(text), _) => text.clone(),
            (None, Some(letter)) if plain => escaped(*letter),
            (None, Some(letter)) => {
                let mut buffer = [0; 4];
                let mut text = String::new();
                for byte in letter.encode_utf8(&mut buffer).bytes() {
                    let next = bytes[usize::from(byte)];
                    let pair = format!("{text} {next}");
                    if !text.is_empty() && known.insert(pair.clone()) {
                        merges.push(pair);
                    }
                    text.push(next);
                }
                text
            }
            (None, None) => return None,
        };
        kinds.push(f64::from(if special.contains_key(&token) { CONTROL } else { 1 }));
        texts.push(text);
    }
    let mut entries = vec![("tokens", Value::Texts(texts)), ("token_type", Value::Numbers(kinds))];
    if plain {
        let blank = letters.iter().find(|(_, letter)| **letter == ' ');
        let unknown = blank.map_or(0, |(&token, _)| token);
        entries.extend([
            ("model", Value::Text("rwkv".to_owned())),
            // What the vocabulary cannot express; llama.cpp must have a token for it.
            ("unknown_token_id", Value::Integer(unknown.into())),
        ]);
        return Some(entries);
    }
    if end.is_none() {
        // llama.cpp stops at some token in any case: at the character that is the rarest by its number.
        let rarest = letters.iter().max_by_key(|(_, letter)| **letter).map_or(0, |(&token, _)| token);
        entries.push(("eos_token_id", Value::Integer(rarest.into())));
    }
    entries.extend([
        ("model", Value::Text("gpt2".to_owned())),
        ("pre", Value::Text("gpt-2".to_owned())),
        ("merges", Value::Texts(merges)),
    ]);
    Some(entries)
}

/// A character as the `rwkv` vocabulary writes it.
fn escaped(letter: char) -> String {
    match letter {
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        _ if letter.is_ascii_control() => format!("\\x{:02x}", u32::from(letter)),
        _ => letter.to_string(),
    }
}

/// The character that a text of the `rwkv` vocabulary stands for, if it is one in ASCII.
fn unescaped(text: &str) -> Option<char> {
    let letter = match text.strip_prefix('\\') {
        None => text.parse().ok()?,
        Some("n") => '\n',
        Some("t") => '\t',
        Some("r") => '\r',
        Some(rest) => match rest.strip_prefix('x') {
            Some(digits) if digits.len() == 2 => char::from(u8::from_str_radix(digits, 16).ok()?),
            _ => rest.parse().ok()?,
        },
    };
    letter.is_ascii().then_some(letter)
}

/// The character that a text of a byte-level vocabulary stands for, if it is one.
fn of_bytes(text: &str, letters: &[char; 256]) -> Option<char> {
    let byte =
        |letter: char| letters.iter().position(|own| *own == letter).and_then(|byte| u8::try_from(byte).ok());
    let bytes: Vec<u8> = text.chars().take(5).map(byte).collect::<Option<_>>()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let mut all = text.chars();
    all.next().filter(|_| all.next().is_none())
}

/// The `tokenizer.json` of a file with a vocabulary of characters; none if it is another one.
///
/// # Errors
/// [`Error::Formats`] if the `tokenizers` library refuses it.
pub(super) fn read(file: &Gguf, texts: &[String], kinds: &[u8]) -> Result<Option<tokenizers::Tokenizer>> {
    let plain = match file.text("tokenizer.ggml.model")? {
        Some("rwkv") => true,
        Some("gpt2") => false,
        _ => return Ok(None),
    };
    let bytes = byte_letters();
    let (mut vocabulary, mut added) = (Map::new(), Vec::new());
    for (token, (text, &kind)) in texts.iter().zip(kinds).enumerate() {
        if kind == CONTROL {
            vocabulary.insert(text.clone(), json!(token));
            added.push(json!({"id": token, "content": text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true}));
            continue;
        }
        let letter = if plain { unescaped(text) } else { of_bytes(text, &bytes) };
        match letter {
            Some(letter) if kind == 1 => vocabulary.insert(letter.to_string(), json!(token)),
            _ => return Ok(None),
        };
    }
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []},
    });
    let tokenizer = tokenizers::Tokenizer::from_bytes(json.to_string())
        .map_err(|error| Error::mismatch(&file.path, error.to_string(), "a vocabulary of characters"))?;
    Ok(Some(tokenizer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_written_and_recognized() {
        let letters = byte_letters();
        assert_eq!((letters[usize::from(b' ')], letters[usize::from(b'\n')], letters[0xAD]), ('Ġ', 'Ċ', 'Ń'));
        for letter in ['a', '\\', '\n', '\t', '\r', '\u{1}', '\u{7f}', ' '] {
            assert_eq!(unescaped(&escaped(letter)), Some(letter));
        }
        assert_eq!(
            (unescaped("ab"), unescaped("\\xzz"), unescaped("é"), unescaped("")),
            (None, None, None, None)
        );
        assert_eq!(
            (of_bytes("Ã©", &letters), of_bytes("Ã", &letters), of_bytes("Ġa", &letters)),
            (Some('é'), None, None)
        );
    }

    #[test]
    fn pairs_join_the_bytes_of_a_character_alone() {
        let json = json!({"model": {"type": "BPE", "byte_fallback": false, "merges": [],
            "vocab": {"a": 0, "é": 1, "世": 2, "<|endoftext|>": 3}}, "pre_tokenizer": null, "normalizer": null,
            "added_tokens": [{"id": 3, "content": "<|endoftext|>"}]});
        let found: BTreeMap<_, _> = entries(&json, 4, Some(3)).unwrap().into_iter().collect();
        let text = |text: &str| Value::Text(text.to_owned());
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(found["tokens"], texts(&["a", "Ã©", "ä¸ĸ", "<|endoftext|>"]));
        assert_eq!(found["merges"], texts(&["Ã ©", "ä ¸", "ä¸ ĸ"]));
        assert_eq!((&found["model"], found.get("eos_token_id")), (&text("gpt2"), None));
        let alone = json!({"model": {"type": "BPE", "merges": [], "vocab": {"a": 0, "\n": 1, " ": 2}}});
        let found: BTreeMap<_, _> = entries(&alone, 3, None).unwrap().into_iter().collect();
        assert_eq!((&found["model"], &found["unknown_token_id"]), (&text("rwkv"), &Value::Integer(2)));
        assert_eq!(found["tokens"], texts(&["a", "\\n", " "]));
        assert!(
            entries(&json!({"model": {"type": "BPE", "merges": [], "vocab": {"ab": 0}}}), 1, None).is_none()
        );
    }
}
