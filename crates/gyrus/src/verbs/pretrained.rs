//! Networks that were trained before: run folders, and the files of other programs.

use std::path::Path;

use gyrus_data::{Preprocessing, Task};
use gyrus_nn::from_safetensors;
use gyrus_train::{RunFolder, RunRecord};
use gyrus_vision::{Model, adapters, checkpoint};

use super::quoted::quoted;
use crate::{Error, Result};

/// Opens a run folder whose dense network classifies pictures, or a model file or folder of another program; `classes` is a file
/// with the names of its outputs.
///
/// # Errors
/// If there is no such network, or it does not take pictures.
pub(crate) fn open(path: &Path, classes: Option<&Path>) -> Result<Model> {
    if !path.join("run.json").exists() {
        return Ok(Model::open(&super::resolve_model(path)?, classes)?);
    }
    if classes.is_some() {
        let run = quoted(path);
        return Err(Error::Request(format!(
            "--classes is for networks of other programs, and the run in {run} knows its classes"
        )));
    }
    let folder = RunFolder::open(path)?;
    of_run(&folder, &folder.read_record()?)
}

/// The network of a run.
///
/// # Errors
/// If it is no dense network that classifies pictures.
pub(crate) fn of_run(folder: &RunFolder, record: &RunRecord) -> Result<Model> {
    let refuse = |what: &str| {
        let run = quoted(folder.path());
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
    let Task::Classification { classes } = &record.task else { return refuse("does not classify") };
    let (parameters, _) = from_safetensors(&folder.read_model()?)?;
    // What low-rank adapters learned is part of the matrices from here on.
    let (blueprint, parameters) = adapters::merged(&folder.read_blueprint()?, &parameters)?;
    Ok(Model {
        family: "run",
        blueprint,
        parameters,
        preprocessing: record.preprocessing.clone(),
        classes: classes.clone(),
        named: true,
    })
}

/// Whether a path is a model of another program, rather than a run.
pub(crate) fn is_foreign(path: &Path) -> bool {
    checkpoint::is_checkpoint(path)
}
