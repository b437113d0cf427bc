//! The vocabulary of a GGUF file: SentencePiece's (`llama`), or byte-level pairs (`gpt2`).

use gyrus_formats::gguf::{Gguf, Value};
use serde_json::{Map, Value as Json, json};

use super::{byte_fallback, characters, pretokenizers, refused};
use crate::tokenizer::sentencepiece::{Piece, PieceKind, SentencePiece, byte_of};
use crate::{DecoderConfig, Error, Result, Tokenizer};

/// Token types in GGUF files.
pub(super) const UNKNOWN: u8 = 2;
pub(super) const CONTROL: u8 = 3;
pub(super) const USER_DEFINED: u8 = 4;
pub(super) const UNUSED: u8 = 5;
pub(super) const BYTE: u8 = 6;

/// Reads the vocabulary; `notes` receives what a person should know.
pub(super) fn read(file: &Gguf, config: &DecoderConfig, notes: &mut Vec<String>) -> Result<Tokenizer> {
    let key = "tokenizer.ggml.tokens";
    let tokens = file.texts(key)?.ok_or_else(|| refused(file, key, "nothing", "the texts of the tokens"))?;
    if tokens.len() > config.vocabulary {
        let expected = format!("at most the embedding's {}", config.vocabulary);
        return Err(refused(file, key, format!("{} tokens", tokens.len()), expected));
    }
    let key = "tokenizer.ggml.token_type";
    let kinds = match file.numbers(key)? {
        None => vec![1; tokens.len()],
        Some(kinds) if kinds.len() == tokens.len() => kinds.iter().map(|&kind| kind as u8).collect(),
        Some(kinds) => {
            let expected = format!("one for each of the {} tokens", tokens.len());
            return Err(refused(file, key, format!("{} kinds", kinds.len()), expected));
        }
    };
    if let Some(tokenizer) = characters::read(file, tokens, &kinds)? {
        return Ok(Tokenizer::of_tokenizers(tokenizer, prefix(file, config, false)?));
    }
    match file.text("tokenizer.ggml.model")? {
        Some("llama") => sentencepiece(file, config, tokens, &kinds),
        Some("gpt2") => byte_pairs(file, config, (tokens, &kinds), notes),
        other => {
            let got = format!("'{}'", other.unwrap_or_default());
            Err(refused(file, "tokenizer.ggml.model", got, "llama or gpt2"))
        }
    }
}

/// Removes an end of text that is a character of a vocabulary of characters: such files are written for llama.cpp, which has
/// no vocabulary without an end.
pub(super) fn only_real_ends(file: &Gguf, tokenizer: &Tokenizer, config: &mut DecoderConfig) -> Result<()> {
    let whole = tokenizer.as_hugging_face().is_some_and(|own| own.get_pre_tokenizer().is_none());
    if let (true, Some(kinds)) = (whole, file.numbers("tokenizer.ggml.token_type")?) {
        config.end_of_text.retain(|&end| kinds.get(end as usize) == Some(&f64::from(CONTROL)));
    }
    Ok(())
}

/// The token before each text, if the file asks for it.
fn prefix(file: &Gguf, config: &DecoderConfig, default: bool) -> Result<Vec<u32>> {
    let asked = file.flag("tokenizer.ggml.add_bos_token", default)?;
    Ok(config.beginning_of_text.into_iter().filter(|_| asked).collect())
}

fn sentencepiece(file: &Gguf, config: &DecoderConfig, tokens: &[String], kinds: &[u8]) -> Result<Tokenizer> {
    let key = "tokenizer.ggml.scores";
    let scores = file.numbers(key)?.filter(|scores| scores.len() == tokens.len());
    let scores = scores.ok_or_else(|| {
        refused(file, key, "another number of scores", format!("one for each of the {} tokens", tokens.len()))
    })?;
    let pieces = tokens.iter().zip(kinds).zip(scores).map(|((text, &kind), &score)| {
        let kind = match (kind, byte_of(text.as_bytes())) {
            (BYTE, Some(byte)) => PieceKind::Byte(byte),
            (UNKNOWN | CONTROL, _) => PieceKind::Control,
            (UNUSED, _) => PieceKind::Unused,
            // As llama.cpp: user-defined tokens are found in the text itself, which has no symbols for spaces. Those with
            // such symbols, in files of older converters, are merged like the others.
            (USER_DEFINED, _) if !text.contains('\u{2581}') => PieceKind::Whole,
            _ => PieceKind::Text,
        };
        // Special tokens keep their text, which chat templates use.
        let text = if kind == PieceKind::Text { text.replace('\u{2581}', " ") } else { text.clone() };
        Piece { text: text.into_bytes(), score: score as f32, kind }
    });
    let unknown = kinds.iter().position(|&kind| kind == UNKNOWN).unwrap_or(0) as u32;
    let mut vocabulary = SentencePiece::new(pieces.collect(), unknown);
    // GGUF cannot say it; llama.cpp knows this family by its name as well.
    let name = file.text("general.name")?.unwrap_or_default().to_lowercase();
    if name.contains("phi-3") || name.contains("phi3") {
        let strips = |text: &str, kind: u8| {
            matches!(kind, UNKNOWN | CONTROL | USER_DEFINED)
                && !["<unk>", "<s>", "<|endoftext|>"].contains(&text)
        };
        let all = (0..).zip(tokens.iter().zip(kinds));
        vocabulary = vocabulary
            .stripping(all.filter(|(_, (text, kind))| strips(text, **kind)).map(|(token, _)| token));
    }
    let leading_space = file.flag("tokenizer.ggml.add_space_prefix", true)?;
    Ok(Tokenizer::of_sentencepiece(vocabulary, prefix(file, config, true)?, leading_space))
}

fn byte_pairs(
    file: &Gguf,
    config: &DecoderConfig,
    (tokens, kinds): (&[String], &[u8]),
    notes: &mut Vec<String>,
) -> Result<Tokenizer> {
    let key = "tokenizer.ggml.merges";
    let merges = file.texts(key)?.ok_or_else(|| refused(file, key, "nothing", "pairs to merge"))?;
    let cut = match file.text("tokenizer.ggml.pre")? {
        Some(name) => pretokenizers::named(name).ok_or_else(|| {
            let expected = format!("one of {}", pretokenizers::names().join(", "));
            refused(file, "tokenizer.ggml.pre", format!("'{name}'"), expected)
        })?,
        None => {
            notes.push(
                "the file does not name a pre-tokenizer; llama.cpp's default is used, and tokens may differ \
                 from those that the model was trained with"
                    .to_owned(),
            );
            pretokenizers::DEFAULT
        }
    };
    let mut texts = Map::new();
    let mut added = Vec::new();
    for (token, (text, &kind)) in tokens.iter().zip(kinds).enumerate() {
        texts.insert(text.clone(), json!(token));
        if matches!(kind, CONTROL | USER_DEFINED) {
            added.push(json!({"id": token, "content": text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": kind == CONTROL}));
        }
    }
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": if cut.composes { json!({"type": "NFC"}) } else { Json::Null },
        "pre_tokenizer": cut.json(), "post_processor": null, "decoder": pretokenizers::byte_level(true),
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": cut.whole_words,
            "vocab": texts, "merges": merges},
    });
    let tokenizer = tokenizers::Tokenizer::from_bytes(json.to_string())
        .map_err(|error| Error::mismatch(&file.path, error.to_string(), "a vocabulary of byte pairs"))?;
    Ok(Tokenizer::of_tokenizers(tokenizer, prefix(file, config, cut.begins)?))
}

/// The metadata of a tokenizer.
///
/// # Errors
/// A description of what the format cannot express.
pub(super) fn entries(
    tokenizer: &Tokenizer,
    config: &DecoderConfig,
) -> std::result::Result<Vec<(String, Value)>, String> {
    let mut strips = false;
    let mut entries = match (tokenizer.as_sentencepiece(), tokenizer.as_hugging_face()) {
        (Some(vocabulary), _) => {
            sentencepiece_entries(vocabulary, tokenizer.leading_space(), config.vocabulary)
        }
        (_, Some(own)) => {
            let json = serde_json::to_value(own).map_err(|error| error.to_string())?;
            let end = config.end_of_text.first().copied();
            match characters::entries(&json, config.vocabulary, end) {
                Some(entries) => entries,
                None if json["model"]["byte_fallback"] == true => {
                    strips = byte_fallback::strips(&json);
                    byte_fallback::entries(&json, config.vocabulary)?
                }
                None => byte_pair_entries(own, config.vocabulary)?,
            }
        }
        (None, None) => return Err("a model without a vocabulary".to_owned()),
    };
    let token = |token: u32| Value::Integer(token.into());
    entries.extend(config.beginning_of_text.map(|begin| ("bos_token_id", token(begin))));
    // The last of llama2.c's two is the end of text; Hugging Face's first is the main one.
    // A run of `gyrus learn` has one token for both.
    let end = config.end_of_text.iter().find(|&&end| Some(end) != config.beginning_of_text);
    let end = end.or(config.end_of_text.first());
    entries.extend(end.map(|&end| ("eos_token_id", token(end))));
    entries.push(("add_bos_token", Value::Flag(tokenizer.begins(config.beginning_of_text))));
    let mut entries: Vec<(String, Value)> =
        entries.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect();
    if strips {
        // GGUF cannot say it; llama.cpp knows by this name.
        entries.push(("general.name".to_owned(), Value::Text("phi-3".to_owned())));
    }
    Ok(entries)
}

fn sentencepiece_entries(
    vocabulary: &SentencePiece,
    leading_space: bool,
    tokens: usize,
) -> Vec<(&'static str, Value)> {
    let (mut texts, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (token, piece) in vocabulary.pieces().iter().enumerate() {
        let text = String::from_utf8_lossy(&piece.text);
        let (text, kind) = match piece.kind {
            PieceKind::Text => (text.replace(' ', "\u{2581}"), 1),
            PieceKind::Whole => (text.into_owned(), USER_DEFINED),
            PieceKind::Unused => (text.into_owned(), UNUSED),
            PieceKind::Byte(byte) => (format!("<0x{byte:02X}>"), BYTE),
            PieceKind::Control if token == 0 => (text.trim().to_owned(), UNKNOWN),
            PieceKind::Control => (text.trim().to_owned(), CONTROL),
        };
        texts.push(text);
        scores.push(f64::from(piece.score));
        kinds.push(f64::from(kind));
    }
    // Other readers expect a token for each row of the embedding.
    for token in texts.len()..tokens {
        texts.push(unused(token));
        scores.push(0.0);
        kinds.push(f64::from(UNUSED));
    }
    vec![
        ("model", Value::Text("llama".to_owned())),
        ("tokens", Value::Texts(texts)),
        ("scores", Value::Numbers(scores)),
        ("token_type", Value::Numbers(kinds)),
        ("add_space_prefix", Value::Flag(leading_space)),
    ]
}

fn byte_pair_entries(
    tokenizer: &tokenizers::Tokenizer,
    vocabulary: usize,
) -> std::result::Result<Vec<(&'static str, Value)>, String> {
    let json = serde_json::to_value(tokenizer).map_err(|error| error.to_string())?;
    let model = &json["model"];
    if model["type"] != "BPE" || model["byte_fallback"] == true {
        return Err(format!("a vocabulary of type {}", model["type"]));
    }
    let cut = pretokenizers::name_of(&json["pre_tokenizer"], model["ignore_merges"] == true)
        .ok_or("a vocabulary with an unknown pre-tokenizer")?;
    let mut texts: Vec<String> = (0..vocabulary).map(unused).collect();
    let mut kinds = vec![f64::from(UNUSED); vocabulary];
    let added = json["added_tokens"].as_array().into_iter().flatten();
    let added: std::collections::HashMap<u64, bool> =
        added.filter_map(|token| Some((token["id"].as_u64()?, token["special"].as_bool()?))).collect();
    for (text, token) in tokenizer.get_vocab(true) {
        let place = token as usize;
        if place >= vocabulary {
            return Err(format!("the token {token} beyond the embedding's {vocabulary}"));
        }
        kinds[place] = match added.get(&u64::from(token)) {
            Some(true) => f64::from(CONTROL),
            Some(false) => f64::from(USER_DEFINED),
            None => 1.0,
        };
        texts[place] = text;
    }
    let merges = model["merges"].as_array().into_iter().flatten().map(|merge| match merge {
        Json::String(pair) => Some(pair.clone()),
        Json::Array(pair) => Some(format!("{} {}", pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
        _ => None,
    });
    let merges = merges.collect::<Option<Vec<String>>>().ok_or("pairs of an unknown form")?;
    Ok(vec![
        ("model", Value::Text("gpt2".to_owned())),
        ("pre", Value::Text(cut.to_owned())),
        ("tokens", Value::Texts(texts)),
        ("token_type", Value::Numbers(kinds)),
        ("merges", Value::Texts(merges)),
    ])
}

/// The text of an unused token.
pub(super) fn unused(token: usize) -> String {
    format!("[PAD{token}]")
}
