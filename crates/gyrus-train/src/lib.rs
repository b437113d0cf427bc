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
mod learn;
mod metrics;
mod optimizer;
mod over_time;
mod record;
mod run_folder;
mod schedule;

pub use activity::{LayerActivity, activity};
pub use agreement::{Agreement, agreement};
pub use calibrate::calibrate;
pub use conversion::{AfterSteps, Conversion, ExactRecord, accounts};
pub use error::TrainError;
pub use evaluate::{Evaluation, evaluate};
pub use gyrus_files::{fill_atomically, write_atomically};
pub use learn::{
    Begin, Observer, Outcome, Progress, check, learn, loss_operation, outputs, split_validation,
};
pub use metrics::MetricsRow;
pub use optimizer::{OPTIMIZER_NAMES, Optimizer};
pub use over_time::{NeuronWork, OverTime, WeightWork, evaluate_over_time};
pub use record::{
    DataRecord, PartMetrics, RUN_FORMAT_VERSION, Results, RunHeader, RunRecord, RunStatus, Settings,
    SkippedFile, SkippedFiles, Timings,
};
pub use run_folder::{Existing, RunFolder};
pub use schedule::{SCHEDULE_NAMES, Schedule};
