//! What `learn` returns.

use std::path::PathBuf;

use gyrus_blueprint::Blueprint;
use gyrus_train::{PartMetrics, RunFolder, RunRecord};
use serde::Serialize;

use crate::Result;
use crate::verbs::serialized;

/// How well a network learned.
#[derive(Clone, Debug, Serialize)]
pub struct LearnReport {
    /// The run folder.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// The data as it was asked for.
    pub data: String,
    /// The blueprint's name.
    pub blueprint: String,
    /// Trained parameters.
    pub parameters: u64,
    /// The random seed.
    pub seed: u64,
    /// Epochs of training.
    pub epochs: u32,
    /// The epoch whose weights were kept, from 1.
    pub chosen_epoch: Option<u32>,
    /// Share of the test examples that are classified correctly; `None` where a number is predicted.
    pub test_accuracy: Option<f64>,
    /// On the test examples.
    pub test: Option<PartReport>,
    /// On the validation examples, by which the epoch was chosen.
    pub validation: Option<PartReport>,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Seconds of everything.
    pub total_seconds: f64,
    /// Files of the data that could not be used.
    pub skipped: u64,
    /// The report page.
    #[serde(serialize_with = "serialized::path")]
    pub page: PathBuf,
    /// Everything that `run.json` says.
    #[serde(skip)]
    pub record: RunRecord,
}

/// How well a network does on a part of the examples.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartReport {
    /// Examples of the part.
    pub examples: u64,
    /// Mean loss.
    pub loss: f64,
    /// Share that is classified correctly.
    pub accuracy: Option<f64>,
    /// In the target's unit.
    pub mean_absolute_error: Option<f64>,
}

impl From<&PartMetrics> for PartReport {
    fn from(part: &PartMetrics) -> Self {
        let PartMetrics { examples, loss, accuracy, mean_absolute_error } = *part;
        Self { examples, loss, accuracy, mean_absolute_error }
    }
}

impl LearnReport {
    pub(super) fn new(record: RunRecord, folder: &RunFolder, blueprint: &Blueprint) -> Result<Self> {
        let results = record.results.as_ref();
        let test = results.and_then(|results| results.test.as_ref());
        let validation = results.and_then(|results| results.validation.as_ref());
        Ok(Self {
            run: folder.path().to_owned(),
            data: record.data.name.clone(),
            blueprint: blueprint.name.clone(),
            parameters: blueprint.shapes()?.trainable_parameters(),
            seed: record.settings.seed,
            epochs: record.settings.epochs,
            chosen_epoch: results.map(|results| results.chosen_epoch),
            test_accuracy: test.and_then(|test| test.accuracy),
            test: test.map(PartReport::from),
            validation: validation.map(PartReport::from),
            train_seconds: record.timings.train_seconds,
            total_seconds: record.timings.total_seconds,
            skipped: record.skipped.count,
            page: folder.report_path(),
            record,
        })
    }
}
