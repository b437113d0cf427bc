//! `run.json` of a network that learns shapes.

use gyrus_train::{Record, RunData};
use serde::{Deserialize, Serialize};

use crate::Judgment;

/// The value of `kind` in the `run.json` of such a run.
pub const SHAPES_RUN_KIND: &str = "shapes";

/// Everything about such a run but its weights.
pub type ShapesRecord = Record<ShapesData, ShapesSettings, ShapesResults>;

/// What is learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShapesData {
    /// `procedural`.
    pub name: String,
    /// The version of the objects.
    pub fingerprint: String,
}

impl ShapesData {
    /// Procedural objects.
    #[must_use]
    pub fn procedural() -> Self {
        Self { name: "procedural".to_owned(), fingerprint: "procedural-1".to_owned() }
    }
}

/// How the network is trained. These settings determine its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShapesSettings {
    /// Random seed.
    pub seed: u64,
    /// Steps of the whole training.
    pub steps: u64,
    /// Objects per step.
    pub batch_size: usize,
    /// Every so many steps learn from captions instead of pictures; 0 for none.
    pub captions_every: u64,
    /// Steps from one evaluation to the next.
    pub evaluate_every: u64,
    /// The highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Name of the learning-rate schedule.
    pub schedule: String,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Objects of each part of the final measurement; 0 for none.
    pub judged_objects: usize,
    /// Worker threads; they change the speed, never the result.
    pub threads: usize,
}

/// The results of a run, with the weights of its best evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShapesResults {
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// Mean loss over held-back objects.
    pub validation_loss: f64,
    /// Number of trained parameters.
    pub parameters: u64,
    /// The measurement beside the baselines.
    pub judgment: Judgment,
}

impl RunData for ShapesData {
    const KIND: &'static str = SHAPES_RUN_KIND;
    const EXPECTED: &'static str = "a network that learns shapes";
    const FILES: &'static [&'static str] = &["config.yaml"];
}
