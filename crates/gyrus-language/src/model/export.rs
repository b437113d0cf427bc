//! Writing a model as a Hugging Face folder, which Python's `transformers` opens: `config.json`, `model.safetensors`,
//! `tokenizer.json`, `tokenizer_config.json` and `generation_config.json`.

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_files::write_atomically;
use gyrus_formats::{Tensor, safetensors};
use serde_json::{Value, json};

use super::{Parts, templates};
use crate::config::rope::halved_rows;
use crate::small::read_small;
use crate::tokenizer::tokenizer_json;
use crate::{Error, Result, Role};

/// Writes a model into `folder`, which must exist; its weights become 32-bit floats.
///
/// # Errors
/// [`Error::Request`] for a decoder that `transformers` has no class for, [`gyrus_formats::Error::Write`] if a file cannot
/// be written.
pub fn write_folder(parts: &Parts, folder: &Path) -> Result<()> {
    let config = parts.config.to_hugging_face()?;
    let mut tensors = BTreeMap::new();
    for parameter in parts.config.parameters() {
        let Some(tensor) = parts.checkpoint.tensors().get(&parameter.name) else {
            let expected = format!("{:?}", parameter.shape);
            return Err(Error::tensor(parts.checkpoint.path(), parameter.name, "no such tensor", expected));
        };
        let interleaved =
            parts.config.ropes[0].interleaved && matches!(parameter.role, Role::Query | Role::Key);
        let tensor = if interleaved {
            let columns = if parameter.bias { 1 } else { tensor.columns() };
            let floats = halved_rows(&tensor.floats(), parts.config.head_width, columns);
            Tensor::of_floats(tensor.shape().to_vec(), floats)
        } else {
            tensor.clone()
        };
        tensors.insert(parameter.name, tensor);
    }
    let begins = parts.tokenizer.begins(parts.config.beginning_of_text);
    let tokenizer = match (parts.tokenizer.as_sentencepiece(), parts.tokenizer.as_hugging_face()) {
        (Some(vocabulary), _) => {
            let begin = parts.config.beginning_of_text.filter(|_| begins);
            tokenizer_json(vocabulary, begin, parts.tokenizer.leading_space())
        }
        (_, Some(tokenizer)) => serde_json::to_value(tokenizer)
            .map_err(|error| Error::request("tokenizer", error.to_string(), "one that JSON can express"))?,
        (None, None) => Value::Null,
    };
    let text = |token: Option<u32>| token.and_then(|token| parts.tokenizer.text(token));
    let end =
        parts.config.end_of_text.iter().copied().find(|&end| Some(end) != parts.config.beginning_of_text);
    let end = end.or(parts.config.end_of_text.first().copied());
    let mut tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": parts.config.maximum_positions,
        "clean_up_tokenization_spaces": false,
        "bos_token": text(parts.config.beginning_of_text),
        "eos_token": text(end),
    });
    if let Some(given) = &parts.chat_template {
        tokenizer_config["chat_template"] = templates::field(given);
        for (name, text) in &given.special_tokens {
            tokenizer_config[name] = json!(text);
        }
    }
    let generation = json!({"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]});
    let files = [
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", generation),
    ];
    for (name, value) in files {
        let path = folder.join(name);
        write_atomically(&path, format!("{value:#}\n").as_bytes()).map_err(Error::write(&path))?;
    }
    Ok(safetensors::write(folder, &tensors)?)
}

/// Files that describe a model, beside `config.json` and the weights.
pub const DESCRIBING_FILES: [&str; 8] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "added_tokens.json",
];

/// Writes the weights of a model as 32-bit floats into `folder`, with the describing files from the folder `source` that it
/// was read from.
///
/// # Errors
/// [`gyrus_formats::Error::Io`] and [`gyrus_formats::Error::Mismatch`] if those files cannot be read,
/// [`gyrus_formats::Error::Write`] if one cannot be written.
fn write_beside(parts: &Parts, source: &Path, folder: &Path) -> Result<()> {
    let path = source.join("config.json");
    let mut config: Value = serde_json::from_slice(&read_small(&path)?)
        .map_err(|error| Error::mismatch(&path, error.to_string(), "JSON"))?;
    for (name, value) in [("dtype", json!("float32")), ("torch_dtype", json!("float32"))] {
        if name == "dtype" || config.get(name).is_some() {
            config[name] = value;
        }
    }
    // The weights are no longer quantized.
    if let Some(fields) = config.as_object_mut() {
        fields.remove("quantization_config");
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        write_atomically(&path, bytes).map_err(Error::write(&path))
    };
    for name in DESCRIBING_FILES {
        let from = source.join(name);
        if from.is_file() {
            write(name, &read_small(&from)?)?;
        }
    }
    write("config.json", format!("{config:#}\n").as_bytes())?;
    Ok(safetensors::write(folder, parts.checkpoint.tensors())?)
}

/// Writes a model with changed weights as a Hugging Face folder: with the other files of the folder that it came from, or with
/// new files if it came from another format.
///
/// # Errors
/// As [`write_folder`].
pub fn write_model_folder(parts: &Parts, source: &Path, folder: &Path) -> Result<()> {
    if source.is_dir() { write_beside(parts, source, folder) } else { write_folder(parts, folder) }
}
