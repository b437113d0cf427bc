//! Language models from the hub: configuration, tokenizer and safetensors of a repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cache::Kind;
use super::{Hub, Transfer};
use crate::{Error, Result};

/// More than any file of weights: large models are split into files of about 50 GB.
const MAXIMUM_BYTES: u64 = 1 << 38;

/// More than any index of weights.
const MAXIMUM_INDEX_BYTES: u64 = 1 << 28;

const CONFIG: &str = "config.json";

/// Optional files beside the weights.
const OPTIONAL: [&str; 11] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    // Of networks of images: what they want to see, and what Gyrus publishes.
    "preprocessor_config.json",
    "blueprint.toml",
    // Of sentence encoders.
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

impl Hub {
    /// The folder in the cache of a language model: configuration, tokenizer and safetensors, downloaded where they are
    /// not there yet.
    ///
    /// # Errors
    /// As for [`Self::fetch`]; [`Error::Mismatch`] for an invalid index of weights.
    pub fn model(&self, owner: &str, name: &str) -> Result<PathBuf> {
        // Without the hub, a file that is not in the cache may be one that the repository does not have.
        let unreachable =
            if self.offline { None } else { self.model_transfer(owner, name, CONFIG).announced().err() };
        let cached_only = self.offline || unreachable.is_some();
        let get = |file: &str| {
            let transfer = self.model_transfer(owner, name, file);
            if cached_only { Ok(transfer.cached()) } else { transfer.run() }
        };
        let need = |file: &str| get(file)?.ok_or_else(|| self.model_transfer(owner, name, file).absent());
        let Some(config) = get(CONFIG)? else {
            return Err(unreachable.unwrap_or_else(|| self.model_transfer(owner, name, CONFIG).absent()));
        };
        // Where the hub says what it has, it need not be asked for the rest.
        let listed = if cached_only { None } else { self.listed(owner, name).ok() };
        let is_there =
            |file: &str| listed.as_ref().is_none_or(|files| files.iter().any(|other| other == file));
        for file in OPTIONAL.into_iter().filter(|file| is_there(file)) {
            get(file)?;
        }
        match get("model.safetensors.index.json")? {
            Some(index) => {
                for shard in shards(&index)? {
                    need(&shard)?;
                }
            }
            None if get("model.safetensors")?.is_some() => {}
            None => {
                let pickled = get("pytorch_model.bin")?;
                pickled.ok_or_else(|| self.model_transfer(owner, name, "model.safetensors").absent())?;
            }
        }
        Ok(config.parent().unwrap_or(&config).to_owned())
    }

    pub(super) fn model_transfer<'a>(&'a self, owner: &str, name: &str, file: &'a str) -> Transfer<'a> {
        self.transfer(Kind::Model, owner, name, file, MAXIMUM_BYTES)
    }
}

/// The files that an index of weights names.
fn shards(path: &Path) -> Result<BTreeSet<String>> {
    let wrong =
        |got: String| Error::mismatch(path, got, "an index with a `weight_map` from tensors to files");
    let index = gyrus_files::read_bounded(path, MAXIMUM_INDEX_BYTES)?;
    let index: Value = serde_json::from_slice(&index).map_err(|error| wrong(error.to_string()))?;
    let map = index["weight_map"].as_object().ok_or_else(|| wrong("no map of that name".to_owned()))?;
    let files = map.values().map(|file| file.as_str().map(str::to_owned));
    let files: BTreeSet<String> =
        files.collect::<Option<_>>().ok_or_else(|| wrong("a file name that is not a string".to_owned()))?;
    // Untrusted names must not lead out of the repository.
    match files.iter().find(|file| !file.ends_with(".safetensors") || file.contains(['/', '\\', ':'])) {
        Some(file) => Err(wrong(format!("the file '{file}'"))),
        None => Ok(files),
    }
}
