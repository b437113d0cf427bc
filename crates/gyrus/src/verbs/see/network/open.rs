//! The network to look into, and the data that it is shown: of a run, or of another program.

use std::path::Path;

use gyrus_data::{Augment, Dataset, Preprocessing, Task};
use gyrus_nn::{Network, from_safetensors};
use gyrus_tensor::cpu;
use gyrus_train::{RunFolder, RunRecord, Settings};
use gyrus_vision::{Model, adapters};

use crate::verbs::learn::reload;
use crate::verbs::shapes_match::check_fit;
use crate::verbs::{pretrained, quoted, resolve_model};
use crate::{Error, Result};

/// A network and its data.
pub(super) struct Opened {
    /// Of a network of another program, a record that says what the data is and nothing of a training.
    pub(super) record: RunRecord,
    pub(super) network: Network,
    pub(super) dataset: Dataset,
    /// What its outputs are called; those of the data where these are as many and the network does not know.
    pub(super) answers: Vec<String>,
    /// The family of a network of another program.
    pub(super) family: Option<&'static str>,
}

/// Opens a run with its data, or a network of another program with the images in the folder `data`.
pub(super) fn open(path: &Path, data: Option<&Path>) -> Result<Opened> {
    if path.join("run.json").exists() || !pretrained::is_foreign(path) && path.exists() {
        let (record, network) = of_run(path)?;
        let (dataset, _) = reload(&record, data)?;
        let answers = match &record.task {
            Task::Classification { classes } => classes.clone(),
            Task::Regression { .. } => Vec::new(),
        };
        return Ok(Opened { record, network, dataset, answers, family: None });
    }
    let Some(data) = data else {
        return Err(Error::Request(format!(
            "{0} comes without data: for a network of images, give a folder with one sub-folder of images for each class by \
             --data DIR; for a language model, a text: gyrus see {0} \"Some text\"",
            quoted(path)
        )));
    };
    let model = Model::open(&resolve_model(path)?, None)?;
    let dataset = gyrus_data::folder_for(data, &model.preprocessing)?;
    let network = model.network(&cpu())?;
    let answers = match &dataset.task {
        Task::Classification { classes } if !model.named && classes.len() == model.classes.len() => {
            classes.clone()
        }
        _ => model.classes,
    };
    let record = RunRecord::new(&dataset, Some(data), 0, no_training());
    Ok(Opened { record, network, dataset, answers, family: Some(model.family) })
}

/// Another network to compare with, and how it sees images.
pub(super) fn other(path: &Path) -> Result<(Preprocessing, Network)> {
    if path.join("run.json").exists() || !pretrained::is_foreign(path) && path.exists() {
        let (record, network) = of_run(path)?;
        return Ok((record.preprocessing, network));
    }
    let model = Model::open(&resolve_model(path)?, None)?;
    let network = model.network(&cpu())?;
    Ok((model.preprocessing, network))
}

/// Settings that say nothing.
fn no_training() -> Settings {
    Settings {
        seed: 0,
        epochs: 0,
        batch_size: 1,
        learning_rate: 0.0,
        optimizer: String::new(),
        schedule: String::new(),
        augment: Augment::default(),
        weight_decay: 0.0,
        label_smoothing: 0.0,
        threads: 0,
        device: "cpu".to_owned(),
        spiking: None,
    }
}

pub(super) fn not_images(run: &Path) -> Error {
    Error::Request(format!(
        "the network of the run in {} reads no images; expected a run that learned from images",
        run.display()
    ))
}

/// The record and the network of a run.
fn of_run(run: &Path) -> Result<(RunRecord, Network)> {
    let folder = RunFolder::open(run)?;
    let record: RunRecord = folder.read_record()?;
    let blueprint = folder.read_blueprint()?;
    if !matches!(record.preprocessing, Preprocessing::Image { .. }) {
        return Err(not_images(run));
    }
    let file = folder.path().join("blueprint.toml").display().to_string();
    let spiking = record.settings.spiking.as_ref();
    check_fit(&blueprint, &file, (&record.preprocessing, spiking), &record.task, "run.json")?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    // What low-rank adapters learned is part of the matrices beside them.
    let (blueprint, state) = match record.transfer.as_ref().and_then(|transfer| transfer.adapter_rank) {
        Some(_) => adapters::merged(&blueprint, &state)?,
        None => (blueprint, state),
    };
    let network = Network::with_state(&blueprint, spiking, &state, &cpu())?;
    Ok((record, network))
}
