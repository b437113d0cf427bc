//! The Hugging Face files in a run folder: `config.json`, `generation_config.json`,
//! `tokenizer.json`, `tokenizer_config.json`, and `model.safetensors` with what `transformers` expects in its header.

use std::collections::BTreeMap;

use gyrus_files::{State, to_safetensors};
use gyrus_language::DecoderConfig;
use gyrus_train::RunFolder;
use serde_json::json;

use crate::{END_OF_TEXT, Error, Result, TokenizerKind, Vocabulary};

/// The largest `tokenizer.json` that is read back.
const MAXIMUM_TOKENIZER_BYTES: u64 = 256 << 20;
const TOKENIZER: &str = "tokenizer.json";

/// Writes all files but the model.
pub(crate) fn write_description(
    folder: &RunFolder,
    config: &DecoderConfig,
    vocabulary: &Vocabulary,
) -> Result<()> {
    let end = vocabulary.end_of_text().map(|_| END_OF_TEXT);
    let generation = json!({
        "do_sample": true,
        "temperature": 0.8,
        "max_length": config.maximum_positions,
        "bos_token_id": config.beginning_of_text,
        "eos_token_id": config.end_of_text.first(),
        "pad_token_id": config.beginning_of_text,
    });
    let tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
        "model_max_length": config.maximum_positions,
        "bos_token": end,
        "eos_token": end,
        "pad_token": end,
    });
    folder.write_file(TOKENIZER, vocabulary.to_json()?.as_bytes())?;
    let texts = [
        ("config.json", config.to_hugging_face()?),
        ("generation_config.json", generation),
        ("tokenizer_config.json", tokenizer),
    ];
    for (name, value) in texts {
        folder.write_file(name, format!("{value:#}\n").as_bytes())?;
    }
    Ok(())
}

/// Reads the vocabulary of a run.
pub(crate) fn read_vocabulary(folder: &RunFolder, kind: TokenizerKind) -> Result<Vocabulary> {
    let bytes = folder.read_file(TOKENIZER, MAXIMUM_TOKENIZER_BYTES)?;
    Vocabulary::from_json(&bytes, kind)
}

/// Writes `model.safetensors`.
pub(crate) fn write_model(folder: &RunFolder, state: &State) -> Result<()> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = to_safetensors(state, &metadata).map_err(|error| refused(&error))?;
    Ok(folder.write_model(&bytes)?)
}

/// The error for an invalid checkpoint.
pub(crate) fn refused(error: &impl std::fmt::Display) -> Error {
    Error::request("the checkpoint", error.to_string(), "one that this run has written")
}
