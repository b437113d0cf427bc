//! Networks that were trained before: run folders, and the files of other programs.

use std::path::Path;

use gyrus_blueprint::Blueprint;
use gyrus_data::{Preprocessing, Task};
use gyrus_files::State;
use gyrus_nn::from_safetensors;
use gyrus_train::{RunFolder, RunRecord};
use gyrus_vision::{Model, checkpoint};

use super::quoted::quoted;
use crate::{Error, Result};

/// A dense network of pictures with everything that is needed to go on from it.
pub(crate) struct Pretrained {
    /// What it is: a run, or the name of a family.
    pub(crate) family: String,
    pub(crate) blueprint: Blueprint,
    pub(crate) parameters: State,
    pub(crate) preprocessing: Preprocessing,
}

impl Pretrained {
    /// Opens a run folder, or a model file or folder of another program.
    ///
    /// # Errors
    /// If there is no such network, or it does not take pictures.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if !path.join("run.json").exists() {
            let path = super::resolve_model(path)?;
            let Model { family, blueprint, parameters, preprocessing, .. } = Model::open(&path, None)?;
            return Ok(Self { family: family.to_owned(), blueprint, parameters, preprocessing });
        }
        let folder = RunFolder::open(path)?;
        let record: RunRecord = folder.read_record()?;
        let refuse = |what: &str| {
            let run = quoted(path);
            Err(Error::Request(format!(
                "the run in {run} {what}; expected a dense network that learned from images"
            )))
        };
        if record.settings.spiking.is_some() {
            return refuse("is a spiking network");
        }
        if !matches!(record.preprocessing, Preprocessing::Image { .. }) {
            return refuse("did not learn from images");
        }
        if !matches!(record.task, Task::Classification { .. }) {
            return refuse("does not classify");
        }
        let (parameters, _) = from_safetensors(&folder.read_model()?)?;
        let blueprint = folder.read_blueprint()?;
        Ok(Self { family: "run".to_owned(), blueprint, parameters, preprocessing: record.preprocessing })
    }
}

/// Whether a path is a model of another program, rather than a run.
pub(crate) fn is_foreign(path: &Path) -> bool {
    checkpoint::is_checkpoint(path)
}
