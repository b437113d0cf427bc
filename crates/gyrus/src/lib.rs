//! Gyrus, brain-inspired deep learning: one library and one program, from a single neuron to networks that see.
//!
//! The [`verbs`] are what one mostly wants: a struct says what shall be done, `run` does it and returns a report. They are the
//! program's commands as library calls, with the same defaults.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! let run = gyrus::Learn::new("digits").epochs(2).run(&mut gyrus::Quiet)?;
//! println!("{:.1} % of the test digits are read", 100.0 * run.test_accuracy.unwrap_or(0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Below them lie the crates that do the work, gathered here under one name; see each for what it holds.

mod error;
mod observer;
pub mod verbs;

pub use error::{Error, Fault, Result};
pub use gyrus_blueprint as blueprint;
pub use gyrus_data as data;
pub use gyrus_events as events;
pub use gyrus_files as files;
pub use gyrus_formats as formats;
pub use gyrus_kernels as kernels;
pub use gyrus_language as language;
pub use gyrus_language_train as language_train;
pub use gyrus_nn as nn;
pub use gyrus_report as report;
pub use gyrus_serve as serve;
pub use gyrus_tensor as tensor;
pub use gyrus_train as train;
pub use observer::{Note, Observer, Plan, Quiet, Step};
pub use verbs::{
    Chat, Embed, EmbedReport, ExportNir, ExportNirReport, Generation, Inspect, InspectReport, Learn,
    LearnLanguage, LearnLanguageReport, LearnReport, LowRank, Merge, MergeReport, NirOptions, Predict,
    PredictReport, Quantize, QuantizeReport, Resume, ResumeReport, See, SeeReport, Serve, Spike, SpikeReport,
    SpikingOptions, Tune, TuneReport, Write, WriteReport,
};

/// The example of the README, as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
