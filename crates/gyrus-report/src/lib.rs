//! The HTML pages of Gyrus: plain data in, one self-contained page out.
//!
//! The pages: [`NetworkReport`] for a run that trained a network on examples, [`LanguageReport`] for a run
//! that trained or tuned a language model, [`InspectionReport`] for what a language model does while it reads,
//! [`SimulationReport`] for a simulated circuit, [`QuestionReport`] for a question to a database, [`ResearchReport`] for an answer
//! from documents, [`FeaturesReport`] for what the layers of a network have learned, and [`SculptReport`] for a solid.
//! Each is a struct of numbers and texts with a method `to_html`. This crate reads no files and knows no run folders,
//! models or data sets; of ours it uses only the drawing of a blueprint.
//!
//! A page needs no network: styles and images are inside of it. Everything that comes from outside (class names, file
//! names, table cells, tokens) is escaped, and the page's content security policy forbids it to load anything. Only
//! the two pages of `see` and that of `sculpt` have a script, which their policy names by hash.
//!
//! ```
//! use gyrus_report::{CurvePoint, LanguageReport};
//!
//! let curve = vec![CurvePoint {
//!     at: 100.0,
//!     learning_rate: 1e-3,
//!     train_loss: 2.1,
//!     validation_loss: 2.2,
//!     train_accuracy: None,
//!     validation_accuracy: None,
//!     losses: vec![(50.0, 2.4), (100.0, 1.8)],
//! }];
//! let page = LanguageReport {
//!     name: "shakespeare.txt",
//!     created: "2026-01-31T12:00:00Z",
//!     status: "finished",
//!     headline: ("2.2".to_owned(), "validation loss, nats per character"),
//!     detail: String::new(),
//!     facts: vec![("parameters", "1,234,567".to_owned())],
//!     curve,
//!     sample: "Enter <ROMEO>",
//!     settings: vec![("seed", "0".to_owned())],
//! }
//! .to_html();
//! assert!(page.starts_with("<!doctype html>") && page.contains("Enter &lt;ROMEO&gt;"));
//! ```

mod chart;
mod confusion;
mod curves;
mod features;
mod html;
mod inspection;
mod language;
mod network;
mod page;
mod question;
mod research;
mod scale;
mod sculpt;
mod sections;
mod simulation;
mod spiking;
mod spiking_run;

pub use confusion::Confusion;
pub use curves::CurvePoint;
pub use features::{
    AttentionMaps, Decision, DepthPoint, Edges, FeatureLayer, FeatureUnit, FeaturesReport, HeadMap,
    LayerSpikes, Link, PositionSimilarity, SignedMap, Similarity, SpikesOverTime, TopExample,
};
pub use html::{EnergyUnit, compact, duration, energy, grouped, number};
pub use inspection::{HeadPattern, InspectedToken, InspectionReport, LensCell};
pub use language::LanguageReport;
pub use network::{Activity, Mistake, NetworkReport, Part, Picture, Quality, Skipped, Task};
pub use page::Facts;
pub use question::{QuestionChart, QuestionReport};
pub use research::{ResearchClaim, ResearchQuote, ResearchReport};
pub use sculpt::{SculptReport, Solid};
pub use simulation::learned::{LearnedField, LearnedFieldsReport};
pub use simulation::{SimulatedPopulation, SimulatedProjection, SimulationReport};
pub use spiking::{ConversionReport, Energy, ExactReport, LayerActivity, StepsRow};
pub use spiking_run::{LayerRate, SpikingReport};
