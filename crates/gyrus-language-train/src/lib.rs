//! Training of language models: decoders learned from a corpus, and models tuned on examples, whole or through low-rank
//! adapters.
//!
//! [`learn_text`] trains a decoder on a [`Corpus`], [`tune`] tunes a model on [`Samples`]; both write a run folder with Hugging
//! Face's files, which `gyrus-language` and Python's `transformers` open. [`TrainableDecoder`] is the network with its
//! gradients, [`TokenStream`] and [`Windows`] make its batches.
//!
//! ```
//! use gyrus_language::DecoderConfig;
//! use gyrus_language_train::{TokenStream, TrainableDecoder};
//!
//! // 8 tokens, width 16, one layer of 2 heads, inner width 32.
//! let config = DecoderConfig::llama(8, 16, 1, (2, 2), 32, 10_000.0);
//! let decoder = TrainableDecoder::new(config, 0, &gyrus_tensor::cpu())?;
//! let stream = TokenStream::new((0..100).map(|place| place % 8).collect(), None);
//! let batch = stream.random_batch(4, 10, 0, 0);
//! let (loss, gradients) = decoder.named_gradients(&batch);
//! // Fresh weights predict all 8 tokens about equally well.
//! assert!((loss - 8f32.ln()).abs() < 0.1, "{loss}");
//! assert_eq!(gradients["model.embed_tokens.weight"].shape, [8, 16]);
//! # Ok::<(), gyrus_language_train::Error>(())
//! ```

mod accumulate;
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
mod packing;
mod random;
mod record;
mod records;
mod sample;
mod tune;
mod vocabulary;

pub use batches::{TextBatch, TokenStream};
pub use corpus::Corpus;
pub use decoder::TrainableDecoder;
pub use error::{Error, Result};
pub use examples::{Example, Samples};
pub use learn::learn_text;
pub use lora::Lora;
pub use packing::Windows;
pub use record::{TEXT_RUN_KIND, TextData, TextRecord, TextResults, TextSettings};
pub use records::Place;
pub use sample::{Conversation, Instruction, Sample};
pub use tune::{AdapterSettings, TUNING_KIND, TuneData, TuneRecord, TuneResults, TuneSettings, tune};
pub use vocabulary::{END_OF_TEXT, TokenizerKind, Vocabulary};

/// Tokens that an evaluation during a training looks at, at most.
const EVALUATED_TOKENS: usize = 1 << 15;
