//! Training decoders from texts, and tuning them on examples: what is learned from, the network with its gradients, the
//! loop and the run folder that it leaves.
//!
//! What it writes are Hugging Face's files, which `gyrus-language` and Python's `transformers` open.

mod batches;
mod build;
mod corpus;
mod decoder;
mod error;
mod examples;
mod folder;
mod fused;
mod learn;
mod lora;
mod network;
mod optimizer;
mod packing;
mod random;
mod record;
mod steps;
mod tune;
mod vocabulary;

pub use batches::{TextBatch, TokenStream};
pub use corpus::Corpus;
pub use decoder::TrainableDecoder;
pub use error::{Error, Result};
pub use examples::{Example, Sample, Samples};
pub use learn::{TextBegin, TextObserver, TextOutcome, TextProgress, learn_text};
pub use lora::Lora;
pub use optimizer::DecoderOptimizer;
pub use packing::Windows;
pub use record::{TEXT_RUN_KIND, TextData, TextRecord, TextResults, TextSettings, TextTimings};
pub use tune::{
    AdapterSettings, TUNING_KIND, TuneData, TuneOutcome, TuneRecord, TuneResults, TuneSettings, tune,
};
pub use vocabulary::{END_OF_TEXT, TokenizerKind, Vocabulary};
