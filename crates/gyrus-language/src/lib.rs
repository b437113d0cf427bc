//! Language models: decoders and encoders of the published families, opened from their usual files, and what can be done with
//! them without training.
//!
//! [`Model::open`] opens a model with its tokenizer, [`generate`] continues a prompt, [`engine`] serves many sequences together,
//! [`SentenceEncoder`] embeds texts, [`inspection`] looks inside a model. [`DecoderConfig`] is the shape of a decoder as plain
//! data, [`DecoderConfig::parameters`] lists its tensors under Hugging Face's names, and [`Decoder`] is the network. The work
//! is done by `gyrus-kernels` on plain slices, over weights that stay in the mapped file; there is no tensor library here.
//!
//! ```no_run
//! use gyrus_language::{Cache, Model, Request, generate};
//!
//! let model = Model::open("stories260K.bin".as_ref())?;
//! let prompt = model.tokenizer.encode("Once upon a time", true)?;
//! let mut cache = Cache::new(model.decoder.config());
//! let request = Request { sampling: model.recommended, maximum_tokens: 100, ..Request::default() };
//! let written = generate(&model.decoder, &model.tokenizer, &mut cache, &prompt, &request, |text| {
//!     print!("{text}");
//!     true
//! })?;
//! println!("\n{:.0} tokens/s", written.tokens_per_second());
//! # Ok::<(), gyrus_language::Error>(())
//! ```
//!
//! A decoder can be built from any tensors of the right names and shapes:
//!
//! ```
//! use gyrus_formats::{Checkpoint, Tensor};
//! use gyrus_language::{Cache, Decoder, DecoderConfig, Sequence};
//!
//! // 32 tokens, width 16, one layer of 2 heads, inner width 32.
//! let config = DecoderConfig::llama(32, 16, 1, (2, 2), 32, 10_000.0);
//! let tensors = config.parameters().into_iter().map(|parameter| {
//!     let elements = parameter.shape.iter().product();
//!     (parameter.name, Tensor::of_floats(parameter.shape, vec![0.1; elements]))
//! });
//! let decoder = Decoder::new(config.clone(), Checkpoint::new("memory".as_ref(), tensors.collect()))?;
//! let mut cache = Cache::new(&config);
//! let sequence = Sequence { tokens: &[1, 2, 3], cache: &mut cache, all_logits: true };
//! let logits = decoder.forward(&mut [sequence])?;
//! assert_eq!(logits.len(), 3 * 32);
//! # Ok::<(), gyrus_language::Error>(())
//! ```

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
pub use model::{DESCRIBING_FILES, Model, Parts, gguf, llama2c, write_folder, write_model_folder};
pub use observation::{LONGEST_OBSERVED, Observation};
pub use tokenizer::{
    ChatInput, ChatTemplate, ChatTemplates, Message, Piece, PieceKind, SentencePiece, TextStream, Tokenizer,
};
