//! A model with an adapter's changes in its weights.

use std::path::PathBuf;

use gyrus_language::{Adapter, Parts, write_model_folder};
use gyrus_tensor::with_threads;
use serde::Serialize;

use crate::verbs::model::resolve_model;
use crate::verbs::serialized;
use crate::{Error, Result};

/// Writes a model with an adapter's changes in its weights.
#[derive(Clone, Debug)]
pub struct Merge {
    /// The folder with the adapter.
    pub adapter: PathBuf,
    /// The model. Default: the one that the adapter names.
    pub model: Option<PathBuf>,
    /// The folder that is written.
    pub out: PathBuf,
    /// Replace what the folder already holds.
    pub overwrite: bool,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was merged.
#[derive(Clone, Debug, Serialize)]
pub struct MergeReport {
    /// The model.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// The adapter.
    #[serde(serialize_with = "serialized::path")]
    pub adapter: PathBuf,
    /// The folder that was written.
    #[serde(rename = "output", serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// Weight matrices that were changed.
    #[serde(rename = "products")]
    pub matrices: usize,
}

impl Merge {
    /// This adapter, into the model that it names; writes this folder.
    pub fn new(adapter: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self { adapter: adapter.into(), model: None, out: out.into(), overwrite: false, threads: 0 }
    }

    /// Merges.
    ///
    /// # Errors
    /// If adapter and model do not fit together, or the folder is not empty.
    pub fn run(&self) -> Result<MergeReport> {
        with_threads(self.threads, || self.merge())?
    }

    fn merge(&self) -> Result<MergeReport> {
        let adapter = Adapter::open(&self.adapter)?;
        let model = match (&self.model, &adapter.config.base) {
            (Some(model), _) => model.clone(),
            (None, Some(base)) => PathBuf::from(base),
            (None, None) => {
                return Err(Error::Request(format!(
                    "{} does not name its base model: give MODEL",
                    self.adapter.display()
                )));
            }
        };
        let exists = std::fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_some());
        if exists && !self.overwrite {
            return Err(Error::Request(format!("{} exists; --overwrite replaces it", self.out.display())));
        }
        let source = resolve_model(&model)?;
        let mut parts = Parts::open(&source)?;
        adapter.merge(&parts.config, &mut parts.checkpoint)?;
        std::fs::create_dir_all(&self.out).map_err(Error::io("create", &self.out))?;
        write_model_folder(&parts, &source, &self.out)?;
        let (out, adapter_folder) = (self.out.clone(), self.adapter.clone());
        Ok(MergeReport { model, adapter: adapter_folder, out, matrices: adapter.parts.len() })
    }
}
