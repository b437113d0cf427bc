//! What is on this machine: models in the hub's cache, and runs.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::serialized;
use crate::Result;

/// More than any `run.json` takes.
const MAXIMUM_RECORD: u64 = 1 << 26;

/// Lists the models in the hub's cache and the run folders in a folder.
#[derive(Clone, Debug)]
pub struct List {
    /// Folder with run folders.
    pub runs: PathBuf,
}

/// What is there.
#[derive(Clone, Debug, Serialize)]
pub struct ListReport {
    /// The hub's cache.
    #[serde(serialize_with = "serialized::path")]
    pub cache: PathBuf,
    /// Its models, by name.
    pub models: Vec<ListedModel>,
    /// The runs, by path.
    pub runs: Vec<ListedRun>,
}

/// A model in the cache.
#[derive(Clone, Debug, Serialize)]
pub struct ListedModel {
    /// `OWNER/NAME`, as other verbs take it.
    pub name: String,
    /// Its folder.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// What it holds: "safetensors", names of GGUF files, or "no weights".
    pub holds: String,
}

/// A run folder.
#[derive(Clone, Debug, Serialize)]
pub struct ListedRun {
    /// The folder.
    #[serde(rename = "run", serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// How far it is: `running`, `interrupted` or `finished`.
    pub status: String,
    /// The name of its data.
    pub data: String,
    /// When it began: RFC 3339, UTC.
    pub created: String,
    /// Test accuracy, 0 to 1; classification only.
    pub test_accuracy: Option<f64>,
}

impl Default for List {
    fn default() -> Self {
        Self { runs: Self::RUNS.into() }
    }
}

impl List {
    /// The default of [`Self::runs`].
    pub const RUNS: &'static str = "runs";

    /// Lists.
    ///
    /// # Errors
    /// If the environment names an address of the hub that is none.
    pub fn run(&self) -> Result<ListReport> {
        let (cache, models) = models()?;
        let folders = std::fs::read_dir(&self.runs).into_iter().flatten().flatten();
        let mut runs: Vec<ListedRun> = folders.filter_map(|folder| run(&folder.path())).collect();
        runs.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(ListReport { cache, models, runs })
    }
}

/// A run, if the folder is one; folders that are none are passed over.
fn run(folder: &Path) -> Option<ListedRun> {
    let record = gyrus_files::read_bounded(folder.join("run.json"), MAXIMUM_RECORD).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(ListedRun {
        path: folder.to_owned(),
        status: text(record.get("status")?),
        data: text(&record["data"]["name"]),
        created: text(&record["created"]),
        test_accuracy: record["results"]["test"]["accuracy"].as_f64(),
    })
}

#[cfg(feature = "hub")]
fn models() -> Result<(PathBuf, Vec<ListedModel>)> {
    let hub = gyrus_formats::hub::Hub::from_environment()?;
    let listed = |model: gyrus_formats::hub::CachedModel| {
        let of =
            |end: &str| model.files.iter().filter(|file| file.ends_with(end)).cloned().collect::<Vec<_>>();
        let (gguf, safetensors) = (of(".gguf"), of(".safetensors"));
        let holds = match (gguf.is_empty(), safetensors.is_empty()) {
            (true, true) => "no weights".to_owned(),
            (true, false) => "safetensors".to_owned(),
            (false, _) => gguf.join(", "),
        };
        ListedModel { name: model.name, path: model.path, bytes: model.bytes, holds }
    };
    Ok((hub.cache().to_owned(), hub.cached_models().into_iter().map(listed).collect()))
}

#[cfg(not(feature = "hub"))]
fn models() -> Result<(PathBuf, Vec<ListedModel>)> {
    Ok((PathBuf::new(), Vec::new()))
}
