//! Learning: what a training leaves behind, and how it is shown.
//!
//! A [`RunFolder`] holds everything that the other verbs need: the blueprint, the trained model, the
//! [`RunRecord`] with settings and results, one [`MetricsRow`] per epoch and a report for the eye. Every file is replaced atomically ([`write_atomically`]), so that a crash at any instant
//! leaves the last good state.

mod activity;
mod agreement;
mod calibrate;
mod conversion;
pub mod energy;
mod error;
mod evaluate;
mod examples_task;
mod loss;
mod metrics;
mod observer;
mod optimizer;
mod over_time;
mod record;
mod run_folder;
mod run_record;
mod schedule;
mod trainable;
mod trainer;

pub use activity::{LayerActivity, activity};
pub use agreement::{Agreement, agreement};
pub use calibrate::calibrate;
pub use conversion::{AfterSteps, Conversion, ExactRecord, accounts};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use examples_task::{Learned, check, learn, split_validation};
pub use gyrus_files::{fill_atomically, write_atomically};
pub use loss::{loss_operation, outputs};
pub use metrics::MetricsRow;
pub use observer::{Begin, Observer, Outcome, Progress};
pub use optimizer::{OPTIMIZER_NAMES, Optimizer};
pub use over_time::{NeuronWork, OverTime, WeightWork, evaluate_over_time};
pub use record::{RUN_FORMAT_VERSION, Record, RunData, RunHeader, RunStatus, SavedRecord, Timings};
pub use run_folder::{Existing, RunFolder};
pub use run_record::{DataRecord, PartMetrics, Results, RunRecord, Settings, SkippedFile, SkippedFiles};
pub use schedule::{SCHEDULE_NAMES, Schedule};
pub use trainable::{ParameterInfo, Trainable};
pub use trainer::{Gradients, Plan, Score, Trained, Trainer, TrainingTask};
