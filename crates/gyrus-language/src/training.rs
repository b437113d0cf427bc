//! Training decoders from texts: the corpus and its vocabulary, the network with its gradients, the loop and the run
//! folder that it leaves.
//!
//! This is the only part of the crate that knows a tensor library. What it writes are Hugging Face's files, which the
//! rest of the crate and Python's `transformers` open.

mod batches;
mod corpus;
mod decoder;
mod folder;
mod learn;
mod optimizer;
mod record;
mod vocabulary;

pub use batches::{TextBatch, TokenStream};
pub use corpus::Corpus;
pub use decoder::TrainableDecoder;
pub use learn::{TextBegin, TextObserver, TextOutcome, TextProgress, learn_text};
pub use optimizer::DecoderOptimizer;
pub use record::{TEXT_RUN_KIND, TextData, TextRecord, TextResults, TextSettings, TextTimings};
pub use vocabulary::{END_OF_TEXT, TokenizerKind, Vocabulary};
