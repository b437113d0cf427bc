//! A model as people have it: one of the known files or folders, opened with its tokenizer.

use std::path::Path;

use crate::{Decoder, Error, Result, Sampling, Tokenizer, llama2c};

/// A decoder with its tokenizer.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub decoder: Decoder,
    /// The way from text to tokens and back.
    pub tokenizer: Tokenizer,
    /// How its makers recommend to choose tokens.
    pub recommended: Sampling,
}

impl Model {
    /// Opens a llama2.c file (`.bin`), with its vocabulary beside it: `tokenizer.bin` or `tok*.bin`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for what is none of these; otherwise as the readers of the formats.
    pub fn open(path: &Path) -> Result<Self> {
        let (config, checkpoint) = llama2c::read(path)?;
        let vocabulary = llama2c_vocabulary(path)?;
        let pieces = llama2c::tokenizer(&vocabulary, config.vocabulary)?;
        let prefix = config.beginning_of_text.into_iter().collect();
        let decoder = Decoder::new(config, checkpoint)?;
        let tokenizer = Tokenizer::of_sentencepiece(pieces, prefix, true);
        Ok(Self { decoder, tokenizer, recommended: Sampling::default() })
    }
}

/// The vocabulary beside a llama2.c model.
fn llama2c_vocabulary(model: &Path) -> Result<std::path::PathBuf> {
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
