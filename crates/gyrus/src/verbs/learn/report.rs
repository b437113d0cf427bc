//! What `learn` returns.

use std::path::PathBuf;

use gyrus_blueprint::Blueprint;
use gyrus_train::{Baseline, PartMetrics, RunFolder, RunRecord};
use serde::Serialize;

use super::folds::spread;
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
    /// What simple rules reach on the test examples.
    pub baselines: Vec<BaselineReport>,
    /// Of a cross-validation, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<FoldsReport>,
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
    /// In the target's unit.
    pub root_mean_squared_error: Option<f64>,
}

/// What a simple rule reaches on the test examples.
#[derive(Clone, Debug, Serialize)]
pub struct BaselineReport {
    /// What it does.
    pub name: String,
    /// Share that it classifies correctly.
    pub accuracy: Option<f64>,
    /// In the target's unit.
    pub mean_absolute_error: Option<f64>,
    /// In the target's unit.
    pub root_mean_squared_error: Option<f64>,
}

/// What a cross-validation found.
#[derive(Clone, Debug, Serialize)]
pub struct FoldsReport {
    /// The parts, each measured by a network that was trained on the others.
    pub folds: Vec<PartReport>,
    /// The mean accuracy, or the mean of the root mean squared errors.
    pub mean: f64,
    /// Its standard deviation over the folds.
    pub deviation: f64,
}

impl From<&PartMetrics> for PartReport {
    fn from(part: &PartMetrics) -> Self {
        let PartMetrics { examples, loss, accuracy, mean_absolute_error, root_mean_squared_error } = *part;
        Self { examples, loss, accuracy, mean_absolute_error, root_mean_squared_error }
    }
}

fn baseline(baseline: &Baseline) -> BaselineReport {
    let Baseline { name, accuracy, mean_absolute_error, root_mean_squared_error } = baseline.clone();
    BaselineReport { name, accuracy, mean_absolute_error, root_mean_squared_error }
}

fn cross_validation(folds: &[PartMetrics]) -> Option<FoldsReport> {
    let quality = |part: &PartMetrics| part.accuracy.or(part.root_mean_squared_error);
    let (mean, deviation) = spread(folds, quality)?;
    Some(FoldsReport { folds: folds.iter().map(PartReport::from).collect(), mean, deviation })
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
            baselines: results
                .map_or_else(Vec::new, |results| results.baselines.iter().map(baseline).collect()),
            cross_validation: results.and_then(|results| cross_validation(&results.folds)),
            train_seconds: record.timings.train_seconds,
            total_seconds: record.timings.total_seconds,
            skipped: record.skipped.count,
            page: folder.report_path(),
            record,
        })
    }
}
