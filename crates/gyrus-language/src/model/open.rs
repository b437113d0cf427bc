//! Opening a model from a file or folder, with its tokenizer.

use std::path::{Path, PathBuf};

use gyrus_formats::{pytorch, safetensors};
use serde_json::Value;

use super::{Model, Parts, gguf, llama2c, templates};
use crate::small::{read_json, read_small};
use crate::{DecoderConfig, Error, Result, Sampling, Tokenizer};

impl Model {
    /// Opens a model; see [`Parts::open`].
    ///
    /// # Errors
    /// As [`Parts::open`], and as [`Decoder::new`](crate::Decoder::new).
    pub fn open(path: &Path) -> Result<Self> {
        Parts::open(path)?.build()
    }
}

impl Parts {
    /// Opens a model: a Hugging Face folder, a GGUF file (`.gguf`), or a llama2.c file (`.bin`) with its vocabulary
    /// (`tokenizer.bin` or `tok*.bin`) beside it.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Mismatch`] for anything else; otherwise as the readers of the formats.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
        if metadata.is_dir() {
            return Self::open_folder(path);
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gguf") => gguf::open(path),
            Some("bin") => Self::open_llama2c(path),
            _ => {
                let expected = "a folder with a config.json, a .gguf file, or a llama2.c .bin file";
                Err(Error::mismatch(path, "a file of another kind", expected))
            }
        }
    }

    fn open_llama2c(path: &Path) -> Result<Self> {
        let (config, checkpoint) = llama2c::read(path)?;
        let vocabulary = llama2c_vocabulary(path)?;
        let pieces = llama2c::tokenizer(&vocabulary, config.vocabulary)?;
        let prefix = config.beginning_of_text.into_iter().collect();
        let tokenizer = Tokenizer::of_sentencepiece(pieces, prefix, true);
        Ok(Self {
            config,
            checkpoint,
            tokenizer,
            recommended: Sampling::default(),
            chat_template: None,
            notes: Vec::new(),
        })
    }

    fn open_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let mut config = DecoderConfig::from_hugging_face(&path, &read_small(&path)?)?;
        let recommended = generation_config(&folder.join("generation_config.json"), &mut config)?;
        let tokenizer = Tokenizer::open(folder)?;
        let chat_template = templates::of_folder(folder)?;
        let pickled = folder.join("pytorch_model.bin");
        let has = |name: &str| folder.join(name).is_file();
        let safe = has("model.safetensors") || has("model.safetensors.index.json");
        let checkpoint = if !safe && pickled.is_file() {
            pytorch::read(&pickled)?
        } else {
            safetensors::read_folder(folder)?
        };
        Ok(Self { config, checkpoint, tokenizer, recommended, chat_template, notes: Vec::new() })
    }
}

/// The sampling recommended by `generation_config.json`; its end-of-text tokens are added to the configuration's.
fn generation_config(path: &Path, config: &mut DecoderConfig) -> Result<Sampling> {
    let mut sampling = Sampling::default();
    let Some(value) = read_json(path)? else { return Ok(sampling) };
    if let Some(ends) = value.get("eos_token_id").filter(|ends| !ends.is_null()) {
        let list = ends.as_array().map_or(std::slice::from_ref(ends), Vec::as_slice);
        for end in list {
            let token = end.as_u64().and_then(|token| u32::try_from(token).ok());
            let token = token.ok_or_else(|| {
                Error::field(path, "eos_token_id", ends.to_string(), "a token or a list of tokens")
            })?;
            if !config.end_of_text.contains(&token) {
                config.end_of_text.push(token);
            }
        }
    }
    let number = |field: &str, default: f32| match value.get(field).filter(|value| !value.is_null()) {
        None => Ok(default),
        Some(given) => given
            .as_f64()
            .map(|number| number as f32)
            .ok_or_else(|| Error::field(path, field, given.to_string(), "a number")),
    };
    sampling.repetition_penalty = number("repetition_penalty", 1.0)?;
    if value.get("do_sample") == Some(&Value::Bool(true)) {
        sampling.temperature = number("temperature", 1.0)?;
        sampling.top_p = number("top_p", 1.0)?;
        sampling.min_p = number("min_p", 0.0)?;
        // The default of `transformers`.
        sampling.top_k = number("top_k", 50.0)? as usize;
    }
    Ok(sampling)
}

/// The vocabulary beside a llama2.c model.
fn llama2c_vocabulary(model: &Path) -> Result<PathBuf> {
    let folder = model.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("tok") && name.ends_with(".bin"))
        .collect();
    names.sort();
    match &names[..] {
        [name] => Ok(folder.join(name)),
        [] => {
            let got = format!("no vocabulary beside {}", model.display());
            Err(Error::mismatch(folder, got, "a tokenizer.bin or tok*.bin"))
        }
        several => {
            let exact = several.iter().find(|name| *name == "tokenizer.bin");
            exact.map(|name| folder.join(name)).ok_or_else(|| {
                Error::mismatch(folder, several.join(" and "), "one vocabulary, or one named tokenizer.bin")
            })
        }
    }
}
