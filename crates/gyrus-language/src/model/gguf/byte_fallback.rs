//! A `tokenizer.json` with byte fallback, as Llama 2, Gemma and Phi-3 have it, as the SentencePiece vocabulary that it was made
//! from: the pairs of `tokenizer.json` are those of SentencePiece in the order of their scores.

use std::collections::HashMap;

use gyrus_formats::gguf::Value;
use serde_json::Value as Json;

use super::vocabulary::{BYTE, CONTROL, UNKNOWN, UNUSED, USER_DEFINED, unused};
use crate::tokenizer::sentencepiece::byte_of;

/// Below the scores of all merged tokens.
const NEVER_MERGED: f64 = -1e9;

/// The entries of a vocabulary with byte fallback for an embedding of `tokens` rows.
///
/// # Errors
/// A description of what SentencePiece cannot express.
pub(super) fn entries(json: &Json, tokens: usize) -> Result<Vec<(&'static str, Value)>, String> {
    let leading_space = leading_space(json)?;
    let model = &json["model"];
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, merge) in model["merges"].as_array().into_iter().flatten().enumerate() {
        let joined = match merge {
            Json::String(pair) => pair.replacen(' ', "", 1),
            Json::Array(pair) => pair.iter().filter_map(Json::as_str).collect(),
            _ => return Err("pairs of an unknown form".to_owned()),
        };
        ranks.entry(joined).or_insert(rank);
    }
    let mut texts: Vec<String> = (0..tokens).map(unused).collect();
    let mut kinds = vec![f64::from(UNUSED); tokens];
    let mut scores = vec![NEVER_MERGED; tokens];
    let place = |number: &Json| match number.as_u64() {
        Some(token) if token < tokens as u64 => Ok(token as usize),
        _ => Err(format!("the token {number} beyond the embedding's {tokens}")),
    };
    for (text, number) in model["vocab"].as_object().into_iter().flatten() {
        let place = place(number)?;
        kinds[place] = match byte_of(text.as_bytes()) {
            Some(_) => f64::from(BYTE),
            None if model["unk_token"] == text.as_str() => f64::from(UNKNOWN),
            None => 1.0,
        };
        scores[place] = ranks.get(text).map_or(NEVER_MERGED, |&rank| -(rank as f64));
        texts[place] = text.clone();
    }
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let (place, text) = (place(&token["id"])?, token["content"].as_str().unwrap_or_default());
        if kinds[place] == f64::from(UNKNOWN) {
            continue;
        }
        let special = token["special"] == true;
        kinds[place] = f64::from(if special { CONTROL } else { USER_DEFINED });
        // Found in the text itself, where spaces are spaces.
        texts[place] = if special { text.to_owned() } else { text.replace('\u{2581}', " ") };
    }
    Ok(vec![
        ("model", Value::Text("llama".to_owned())),
        ("pre", Value::Text("default".to_owned())),
        ("tokens", Value::Texts(texts)),
        ("scores", Value::Numbers(scores)),
        ("token_type", Value::Numbers(kinds)),
        ("add_space_prefix", Value::Flag(leading_space)),
    ])
}

/// Whether any of its tokens takes the white space behind it with it, as Phi-3's do.
pub(super) fn strips(json: &Json) -> bool {
    json["added_tokens"].as_array().into_iter().flatten().any(|token| token["rstrip"] == true)
}

/// Whether a space is added before each text; an error for other changes of the text.
fn leading_space(json: &Json) -> Result<bool, String> {
    let parts = |value: &Json, list: &str| match value {
        Json::Null => Vec::new(),
        other if other["type"] == "Sequence" => other[list].as_array().cloned().unwrap_or_default(),
        other => vec![other.clone()],
    };
    let mut space = false;
    for part in parts(&json["normalizer"], "normalizers") {
        match part["type"].as_str() {
            Some("Prepend") if part["prepend"] == "\u{2581}" => space = true,
            Some("Replace") if part["pattern"]["String"] == " " && part["content"] == "\u{2581}" => {}
            other => return Err(format!("a vocabulary with the normalizer {}", other.unwrap_or_default())),
        }
    }
    for part in parts(&json["pre_tokenizer"], "pretokenizers") {
        match part["type"].as_str() {
            Some("Metaspace") => {
                space |= part["prepend_scheme"]
                    .as_str()
                    .map_or(part["add_prefix_space"] == true, |own| own != "never");
            }
            // There is no space left to split at.
            Some("Split") if part["pattern"]["String"] == " " => {}
            other => {
                return Err(format!("a vocabulary with the pre-tokenizer {}", other.unwrap_or_default()));
            }
        }
    }
    Ok(space)
}
