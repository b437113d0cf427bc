//! Language models: decoders of the published families, read from the formats in which people have them, and what
//! they write.
//!
//! [`DecoderConfig`] is the shape of a model as plain data, [`DecoderConfig::parameters`] its tensors under Hugging
//! Face's names, [`Decoder`] the network, [`generate`] writes with it. The work is done by
//! `gyrus-kernels` on plain slices, over weights that stay in the mapped file; only [`training`] knows a tensor library.

mod adapter;
mod cache;
mod chat;
mod checkpoint;
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
pub mod pytorch;
mod rope;
pub mod safetensors_file;
mod sampling;
pub mod see;
mod sentence;
mod sentencepiece;
mod tensor;
mod tokenizer;
pub mod training;
mod writing;

pub use adapter::{Adapter, AdapterConfig, AdapterPart, DEFAULT_TARGETS};
pub use cache::Cache;
pub use chat::{ChatTemplate, Message};
pub use checkpoint::Checkpoint;
pub use config::{
    Activation, Biases, DecoderConfig, Family, Layer, Normalization, NormalizationPlace,
    QueryKeyNormalization,
};
pub use constraint::{Constraint, Constraints};
pub use decoder::{Decoder, Sequence};
pub use encoder::{Encoder, EncoderConfig, EncoderMemory};
pub use error::{Error, Result};
pub use export::write_folder;
pub use generate::{Ending, Request, Written, generate};
pub use gyrus_kernels::stored::Format;
pub use model::{Model, Parts};
pub use observation::{LONGEST_OBSERVED, Observation};
pub use parameters::{Parameter, Role};
pub use rope::{Rope, Stretch};
pub use sampling::Sampling;
pub use sentence::{SentenceEncoder, SentencePooling};
pub use sentencepiece::{Piece, PieceKind, SentencePiece};
pub use tensor::{Bytes, Tensor};
pub use tokenizer::{TextStream, Tokenizer};
pub use writing::Choice;
