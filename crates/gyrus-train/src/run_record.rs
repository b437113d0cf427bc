//! `run.json` of a network that learns from examples: the data, the settings, the results.

use std::path::Path;

use gyrus_blueprint::MAX_ELEMENTS;
use gyrus_data::{Augment, ColumnKind, Dataset, Preprocessing, Skipped, Task};
use gyrus_nn::SpikingSettings;
use serde::{Deserialize, Serialize};

use crate::metrics::number_or_nan;
use crate::record::now;
use crate::{Conversion, Error, RUN_FORMAT_VERSION, Result, RunStatus, SavedRecord, Timings};

/// The most skipped files that are named; the others are only counted.
const SKIPPED_NAMED: usize = 1000;

/// Everything about a run but its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`RUN_FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The version of Gyrus that wrote it.
    pub gyrus_version: String,
    /// When the run began: RFC 3339, UTC.
    pub created: String,
    /// How far the run is.
    pub status: RunStatus,
    /// The data set.
    pub data: DataRecord,
    /// Classification or regression.
    pub task: Task,
    /// How a file becomes network input.
    pub preprocessing: Preprocessing,
    /// How the network is trained.
    pub settings: Settings,
    /// The results; absent until the run is finished.
    pub results: Option<Results>,
    /// The dense run it was converted from, for runs made by `gyrus spike`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
    /// The network that it went on from, if it did not begin with random parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Where the time went.
    pub timings: Timings,
    /// Files of the data set that could not be used.
    pub skipped: SkippedFiles,
    /// What a person should know about the data, one sentence each.
    pub notes: Vec<String>,
    /// The test parts of a cross-validation that went before the training; they become [`Results::folds`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<PartMetrics>,
}

/// The network that a run went on from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The run folder, file or folder; characters that are not Unicode are replaced.
    pub from: String,
    /// What it is: a run, or the name of a family of networks.
    pub family: String,
    /// The node up to which nothing changed; absent where all layers learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// The rank of low-rank adapters, beside which only the last layer learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_rank: Option<usize>,
    /// Number of parameters that changed.
    pub trained_parameters: u64,
}

/// Where the examples came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The name of the data set: `digits`, or that of a folder or file.
    pub name: String,
    /// The folder or file, where there is one; characters that are not Unicode are replaced.
    pub path: Option<String>,
    /// The column to predict, for tables.
    pub target: Option<String>,
    /// The file with the test rows, for tables that came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_path: Option<String>,
    /// SHA-256 over the examples, in hexadecimal.
    pub fingerprint: String,
    /// Number of training examples.
    pub train_examples: u64,
    /// Number of validation examples, which choose the epoch.
    pub validation_examples: u64,
    /// Number of test examples, which measure the result.
    pub test_examples: u64,
}

/// How a network is trained. Together with the data and the blueprint, these settings determine its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Random seed.
    pub seed: u64,
    /// Passes over the training examples.
    pub epochs: u32,
    /// Examples per step.
    pub batch_size: usize,
    /// The highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Name of the optimizer, as on the command line.
    pub optimizer: String,
    /// Name of the learning-rate schedule, as on the command line.
    pub schedule: String,
    /// Random changes of the training examples.
    pub augment: Augment,
    /// Decoupled weight decay, per unit of learning rate.
    pub weight_decay: f64,
    /// Share of the target probability that is spread over all classes, 0 to 1.
    pub label_smoothing: f64,
    /// Worker threads; they change the speed, never the result.
    pub threads: usize,
    /// The device: `cpu`, `cuda`, ...
    pub device: String,
    /// Settings of a spiking network; absent for dense networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spiking: Option<SpikingSettings>,
}

/// The results of a run, with the weights of its chosen epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The epoch whose weights were kept, counted from 1.
    pub chosen_epoch: u32,
    /// On the training examples, without augmentation.
    pub train: Option<PartMetrics>,
    /// On the validation examples.
    pub validation: Option<PartMetrics>,
    /// On the test examples, evaluated once.
    pub test: Option<PartMetrics>,
    /// What simple rules reach on the test examples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Baseline>,
    /// Of a cross-validation: the test part of each fold, by a network that was trained on the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<PartMetrics>,
}

/// A simple rule beside which a network should be seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// What it does.
    pub name: String,
    /// Share of the test examples that it classifies correctly, 0 to 1; classification only.
    pub accuracy: Option<f64>,
    /// In the unit of the target; regression only.
    pub mean_absolute_error: Option<f64>,
    /// In the unit of the target; regression only.
    pub root_mean_squared_error: Option<f64>,
}

/// How good a network is on one part of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartMetrics {
    /// Number of examples.
    pub examples: u64,
    /// Mean loss; `null` in the file and NaN here where it is not a finite number.
    #[serde(deserialize_with = "number_or_nan")]
    pub loss: f64,
    /// Share that was classified correctly, 0 to 1; classification only.
    pub accuracy: Option<f64>,
    /// Mean absolute error in the unit of the target; regression only.
    pub mean_absolute_error: Option<f64>,
    /// Root of the mean squared error in the unit of the target; regression only.
    #[serde(default)]
    pub root_mean_squared_error: Option<f64>,
}

/// Files that could not be used: all are counted, the first 1000 are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFiles {
    /// How many there were.
    pub count: u64,
    /// The first of them.
    pub files: Vec<SkippedFile>,
}

/// One file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// The file; characters that are not Unicode are replaced.
    pub path: String,
    /// Why it could not be used.
    pub reason: String,
}

impl From<&[Skipped]> for SkippedFiles {
    fn from(skipped: &[Skipped]) -> Self {
        let named = skipped.iter().take(SKIPPED_NAMED);
        let files = named.map(|file| SkippedFile {
            path: file.path.to_string_lossy().into_owned(),
            reason: file.reason.clone(),
        });
        Self { count: skipped.len() as u64, files: files.collect() }
    }
}

impl RunRecord {
    /// The record of a run that begins now. Of the data set's training examples, `validation_examples` are held
    /// back to choose the epoch by; `path` is where the data was read from.
    #[must_use]
    pub fn new(
        dataset: &Dataset,
        path: Option<&Path>,
        validation_examples: usize,
        settings: Settings,
    ) -> Self {
        let target = match &dataset.preprocessing {
            Preprocessing::Table { target, .. } => Some(target.clone()),
            Preprocessing::Image { .. } | Preprocessing::Events { .. } => None,
        };
        Self {
            format_version: RUN_FORMAT_VERSION,
            gyrus_version: env!("CARGO_PKG_VERSION").to_owned(),
            created: now(),
            status: RunStatus::Running,
            data: DataRecord {
                name: dataset.name.clone(),
                path: path.map(|path| path.to_string_lossy().into_owned()),
                target,
                test_path: None,
                fingerprint: dataset.fingerprint.clone(),
                train_examples: dataset.train.len().saturating_sub(validation_examples) as u64,
                validation_examples: validation_examples as u64,
                test_examples: dataset.test.len() as u64,
            },
            task: dataset.task.clone(),
            preprocessing: dataset.preprocessing.clone(),
            settings,
            results: None,
            conversion: None,
            transfer: None,
            timings: Timings::default(),
            skipped: SkippedFiles::from(dataset.skipped.as_slice()),
            notes: dataset.notes.clone(),
            folds: Vec::new(),
        }
    }
}

impl SavedRecord for RunRecord {
    const KIND: Option<&'static str> = None;
    const EXPECTED: &'static str = "a run that learned from examples (language models write)";
    const KEEPS_CHECKPOINT: bool = true;

    fn status(&self) -> RunStatus {
        self.status
    }

    fn set_status(&mut self, status: RunStatus) {
        self.status = status;
    }

    fn timings_mut(&mut self) -> &mut Timings {
        &mut self.timings
    }

    /// Refuses values that would make `predict` allocate without bounds or divide by zero.
    fn check(&self, path: &Path) -> Result<()> {
        let invalid = |field: &str, got: String, expected| {
            Err(Error::InvalidRecord { path: path.to_owned(), field: field.to_owned(), got, expected })
        };
        let is_scale = |deviation: f64| deviation.is_finite() && deviation > 0.0;
        match &self.preprocessing {
            Preprocessing::Image { height, width, channels, mean, deviation, .. } => {
                if !matches!(channels, 1 | 3) {
                    return invalid("preprocessing.channels", channels.to_string(), "1 or 3");
                }
                let pixels = height.checked_mul(*width).and_then(|area| area.checked_mul(*channels));
                if !pixels.is_some_and(|pixels| (1..=MAX_ELEMENTS).contains(&pixels)) {
                    let got = format!("{height} by {width}");
                    return invalid("preprocessing.height by width", got, "the size of an image");
                }
                for (field, values) in [("mean", mean), ("deviation", deviation)] {
                    if values.len() != *channels {
                        let got = format!("a list of {}", values.len());
                        return invalid(&format!("preprocessing.{field}"), got, "one number per channel");
                    }
                }
                if let Some(wrong) = deviation.iter().find(|value| !is_scale(f64::from(**value))) {
                    return invalid("preprocessing.deviation", wrong.to_string(), "numbers above 0");
                }
            }
            Preprocessing::Events {
                steps,
                height,
                width,
                sensor_height,
                sensor_width,
                binary,
                window_us,
                ..
            } => {
                let numbers =
                    self.preprocessing.shape().iter().try_fold(1_usize, |all, n| all.checked_mul(*n));
                if !numbers.is_some_and(|numbers| (1..=MAX_ELEMENTS).contains(&numbers)) {
                    let got = format!("{steps} of {height} by {width}");
                    return invalid("preprocessing.steps of height by width", got, "the size of frames");
                }
                if !(*height..=1 << 16).contains(sensor_height) || !(*width..=1 << 16).contains(sensor_width)
                {
                    let got = format!("{sensor_height} by {sensor_width}");
                    let field = "preprocessing.sensor_height by sensor_width";
                    return invalid(field, got, "a sensor at least as large as its frames");
                }
                if *window_us == Some(0) {
                    return invalid("preprocessing.window_us", "0".to_owned(), "a number above 0");
                }
                let time = self.settings.spiking.as_ref();
                let fits = time.is_some_and(|time| {
                    time.steps == *steps && time.encoder == gyrus_nn::Encoder::Frames { binary: *binary }
                });
                if !fits {
                    let got = time
                        .map_or("none".to_owned(), |time| format!("{} by {:?}", time.steps, time.encoder));
                    return invalid("settings.spiking", got, "the steps and the encoder of `preprocessing`");
                }
            }
            Preprocessing::Table { columns, .. } => {
                for column in columns {
                    if let ColumnKind::Numeric { deviation, .. } = column.kind
                        && !is_scale(deviation)
                    {
                        let field = format!("preprocessing.columns.{:?}.deviation", column.name);
                        return invalid(&field, deviation.to_string(), "a number above 0");
                    }
                }
            }
        }
        match &self.task {
            Task::Classification { classes } if classes.is_empty() => {
                invalid("task.classes", "empty".to_owned(), "at least one name")
            }
            Task::Regression { deviation, .. } if !is_scale(f64::from(*deviation)) => {
                invalid("task.deviation", deviation.to_string(), "a number above 0")
            }
            _ => Ok(()),
        }
    }
}
