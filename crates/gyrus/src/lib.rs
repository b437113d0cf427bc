//! Gyrus, brain-inspired deep learning: one library and one program, from a single neuron to networks that see.
//!
//! Start with the [`verbs`]: a struct says what to do, `run` does it and returns a report. They are the program's commands
//! as library calls, with the same defaults.
//!
//! ```
//! fn main() -> gyrus::Result<()> {
//!     # let folder = tempfile::tempdir().unwrap();
//!     # std::env::set_current_dir(&folder).unwrap();
//!     # let gyrus::data::Features::Images(images) = gyrus::data::digits().test.features else { panic!() };
//!     # let pixels = images.get(0).unwrap().to_vec();
//!     # image::GrayImage::from_raw(8, 8, pixels).unwrap().save("digit.png").unwrap();
//!     let run = gyrus::Learn::new("digits").epochs(5).run(&mut gyrus::Quiet)?;
//!     println!("test accuracy: {:.1} %", 100.0 * run.test_accuracy.unwrap_or_default());
//!     let answers = gyrus::Predict::new(&run.run).input("digit.png").run()?;
//!     println!("{:?}", answers.predictions[0].answer);
//!     # assert!(run.test_accuracy > Some(0.9));
//!     Ok(())
//! }
//! ```
//!
//! [`Quiet`] is an [`Observer`] that shows nothing; one of your own shows progress and can stop the work. Every verb has an
//! example in `examples/`.
//!
//! The crates that do the work are gathered here under one name; see each for what it holds. Feature `program` (on by default)
//! builds the program `gyrus`; without it this crate is the library alone.

mod error;
mod observer;
pub mod verbs;

pub use error::{Error, Fault, Result};
pub use gyrus_agents as agents;
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
pub use gyrus_sculpt as sculpt;
pub use gyrus_sculpt_train as sculpt_train;
pub use gyrus_serve as serve;
pub use gyrus_simulate as simulate;
pub use gyrus_tensor as tensor;
pub use gyrus_train as train;
pub use gyrus_vision as vision;
pub use observer::{Note, Observer, Plan, Quiet, Simulated, Stage, Step};
pub use verbs::{
    Ask, AskReport, Body, Chat, CompareMeshes, CompareMeshesReport, Convert, ConvertReport, Devices,
    DevicesReport, Embed, EmbedReport, EstimateCircuit, EstimateReport, ExportNir, ExportNirReport,
    Generation, Inspect, InspectMesh, InspectMeshReport, InspectReport, Label, LabelReport, Learn,
    LearnLanguage, LearnLanguageReport, LearnReport, LearnShapes, LearnShapesReport, List, ListReport,
    ListedDevice, LowRank, Mcp, Merge, MergeReport, NirOptions, Predict, PredictReport, Publish,
    PublishReport, Pull, PullReport, Quantize, QuantizeReport, Resume, ResumeReport, Sculpt, SculptReport,
    See, SeeNetwork, SeeNetworkReport, SeeReport, Serve, Similar, SimilarReport, Simulate, SimulateReport,
    Spike, SpikeReport, SpikingOptions, Tokenize, TokenizeReport, Tune, TuneReport, Write, WriteReport,
};
#[cfg(feature = "documents")]
pub use verbs::{IndexFolder, IndexFolderReport, Research, ResearchReport, Search, SearchReport};

/// The example of the README, as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
