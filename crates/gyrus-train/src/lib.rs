//! Training: one loop for every kind of model, and the run folder that it writes.
//!
//! * [`learn`] trains a network on a data set: blueprint in, run folder out.
//! * [`Trainer`] is the loop under it and under the training of language models. A new kind of training implements
//!   [`TrainingTask`]: gradients of a step, an evaluation, the files of the model.
//! * [`Optimizer`] steps against gradients, for any [`Trainable`] model; [`Schedule`] sets the learning rate.
//! * [`RunFolder`] holds everything that other verbs need: blueprint, model, record, metrics, checkpoint. Every file is
//!   replaced atomically, so that a crash at any time leaves the last good state, and a resumed run is bit-identical to one
//!   that was never interrupted.
//! * [`evaluate`], [`evaluate_over_time`] and [`energy`] measure trained networks.
//!
//! ```
//! use gyrus_blueprint::preset;
//! use gyrus_train::{
//!     Begin, Existing, MetricsRow, Observer, Outcome, Progress, RunFolder, RunRecord, Settings, learn, split_validation,
//! };
//!
//! struct Print;
//! impl Observer for Print {
//!     fn step(&mut self, _: &Progress) {}
//!     fn evaluated(&mut self, row: &MetricsRow, _sample: &str) {
//!         println!("epoch {}: validation accuracy {:?}", row.epoch, row.validation_accuracy);
//!     }
//! }
//!
//! let digits = gyrus_data::digits();
//! let blueprint = preset("mlp", [1, 8, 8], 10)?;
//! let settings = Settings {
//!     seed: 0,
//!     epochs: 2,
//!     batch_size: 64,
//!     learning_rate: 3e-3,
//!     optimizer: "adamw".into(),
//!     schedule: "one-cycle".into(),
//!     augment: "none".parse()?,
//!     weight_decay: 0.01,
//!     label_smoothing: 0.0,
//!     threads: 0,
//!     device: "cpu".into(),
//!     spiking: None,
//! };
//! let validation = split_validation(&digits).1.len();
//! let record = RunRecord::new(&digits, None, validation, settings);
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("run");
//! let folder = RunFolder::create(path, Existing::Refuse)?;
//! folder.write_record(&record)?;
//! folder.write_blueprint(&blueprint)?;
//! let outcome = learn(&digits, &blueprint, record, &folder, &gyrus_tensor::cpu(), Begin::Fresh, &mut Print)?;
//! let Outcome::Finished(learned) = outcome else { panic!("nothing stops it") };
//! assert!(learned.test.metrics.accuracy.is_some_and(|accuracy| accuracy > 0.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod baseline;
mod error;
mod evaluate;
mod examples_task;
mod loss;
mod metrics;
mod observer;
mod optimizer;
mod record;
mod run_folder;
mod run_record;
mod schedule;
mod spiking;
mod trainable;
mod trainer;

pub use baseline::baselines;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate, evaluate_watched};
pub use examples_task::{Learned, check, learn, learn_further, split_validation};
pub use loss::{loss_operation, outputs};
pub use metrics::MetricsRow;
pub use observer::{Begin, Observer, Outcome, Progress, Tick};
pub use optimizer::{OPTIMIZER_NAMES, Optimizer};
pub use record::{RUN_FORMAT_VERSION, Record, RunData, RunHeader, RunStatus, SavedRecord, Timings};
pub use run_folder::{Existing, RunFolder};
pub use run_record::{
    Baseline, DataRecord, PartMetrics, Results, RunRecord, Settings, SkippedFile, SkippedFiles, Transfer,
};
pub use schedule::{SCHEDULE_NAMES, Schedule};
pub use spiking::activity::{LayerActivity, activity};
pub use spiking::agreement::{Agreement, agreement};
pub use spiking::calibrate::calibrate;
pub use spiking::conversion::{AfterSteps, Conversion, ExactRecord, accounts};
pub use spiking::energy;
pub use spiking::over_time::{NeuronWork, OverTime, WeightWork, evaluate_over_time};
pub use trainable::{ParameterInfo, Trainable};
pub use trainer::{Gradients, Plan, Score, Trained, Trainer, TrainingTask};
