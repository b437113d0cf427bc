//! Language models: decoders of the published families, read from the formats in which people have them, and what
//! they write.
//!
//! [`DecoderConfig`] is the shape of a model as plain data, [`DecoderConfig::parameters`] its tensors under Hugging
//! Face's names, [`Decoder`] the network, [`generate`] writes with it. The work is done by
//! `gyrus-kernels` on plain slices, over weights that stay in the mapped file.

mod adapter;
mod config;
mod decoder;
mod encoder;
pub mod engine;
mod error;
mod generation;
pub mod inspection;
mod model;
mod observation;
mod small;
mod tokenizer;

pub use adapter::{ADAPTER_PREFIX, Adapter, AdapterConfig, AdapterPart, DEFAULT_TARGETS};
pub use config::{
    Activation, Biases, DecoderConfig, Family, Layer, Normalization, NormalizationPlace, Parameter,
    QueryKeyNormalization, Role, Rope, RopeScaling,
};
pub use decoder::{Cache, Decoder, Sequence};
pub use encoder::{Encoder, EncoderConfig, EncoderMemory, SentenceEncoder, SentencePooling};
pub use error::{Error, Result};
pub use generation::{Choice, Constraint, Constraints, Ending, Request, Sampling, Written, generate};
pub use model::{Model, Parts, gguf, llama2c, write_folder, write_model_folder};
pub use observation::{LONGEST_OBSERVED, Observation};
pub use tokenizer::{ChatTemplate, Message, Piece, PieceKind, SentencePiece, TextStream, Tokenizer};
