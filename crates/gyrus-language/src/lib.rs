//! Language models: decoders of the published families, read from the formats in which people have them, and what
//! they write.
//!
//! [`DecoderConfig`] is the shape of a model as plain data, [`DecoderConfig::parameters`] its tensors under Hugging
//! Face's names, [`Decoder`] the network, [`generate`] writes with it. The work is done by
//! `gyrus-kernels` on plain slices, over weights that stay in the mapped file.

mod adapter;
mod cache;
mod chat;
mod config;
mod constraint;
mod decoder;
mod encoder;
pub mod engine;
mod error;
mod export;
mod generate;
pub mod gguf;
pub mod llama2c;
mod model;
mod observation;
mod parameters;
mod rope;
mod sampling;
pub mod see;
mod sentence;
mod sentencepiece;
mod small;
mod tokenizer;
mod weights;
mod writing;

pub use adapter::{ADAPTER_PREFIX, Adapter, AdapterConfig, AdapterPart, DEFAULT_TARGETS};
pub use cache::Cache;
pub use chat::{ChatTemplate, Message};
pub use config::{
    Activation, Biases, DecoderConfig, Family, Layer, Normalization, NormalizationPlace,
    QueryKeyNormalization,
};
pub use constraint::{Constraint, Constraints};
pub use decoder::{Decoder, Sequence};
pub use encoder::{Encoder, EncoderConfig, EncoderMemory};
pub use error::{Error, Result};
pub use export::{write_folder, write_model_folder};
pub use generate::{Ending, Request, Written, generate};
pub use model::{Model, Parts};
pub use observation::{LONGEST_OBSERVED, Observation};
pub use parameters::{Parameter, Role};
pub use rope::{Rope, Stretch};
pub use sampling::Sampling;
pub use sentence::{SentenceEncoder, SentencePooling};
pub use sentencepiece::{Piece, PieceKind, SentencePiece};
pub use tokenizer::{TextStream, Tokenizer};
pub use writing::Choice;
