//! Language models: decoders of the published families, read from the formats in which people have them, and what
//! they write.
//!
//! [`DecoderConfig`] is the shape of a model as plain data, [`DecoderConfig::parameters`] its tensors under Hugging
//! Face's names. Nothing here knows a tensor library: the work is done by `gyrus-kernels` on plain slices.

mod config;
mod error;
mod parameters;
mod rope;

pub use config::{
    Activation, Biases, DecoderConfig, Family, Layer, Normalization, NormalizationPlace,
    QueryKeyNormalization,
};
pub use error::{Error, Result};
pub use parameters::{Parameter, Role};
pub use rope::{Rope, Stretch};
