//! Models in GGUF files, the format of llama.cpp: the decoder's shape and vocabulary from the metadata, and back.
//!
//! Names of tensors are translated to Hugging Face's. Queries and keys of a Llama stay interleaved, as in the file. The
//! container itself is in `gyrus-formats`.

mod byte_fallback;
mod characters;
mod config;
mod vocabulary;
mod write;

use std::path::Path;

use gyrus_formats::gguf::Gguf;
use gyrus_formats::{Bytes, Checkpoint};

use super::Parts;
use crate::{DecoderConfig, Error, Family, Result, Role, Sampling, Tokenizer};

pub use write::write;

/// The supported architectures and their families.
const ARCHITECTURES: &[(&str, Family)] =
    &[("llama", Family::Llama), ("qwen2", Family::Qwen2), ("qwen3", Family::Qwen3)];

/// Opens a model.
pub(crate) fn open(path: &Path) -> Result<Parts> {
    parse(path, &Bytes::map(path)?)
}

/// Reads a model from a file's bytes; `path` is for messages.
///
/// # Errors
/// [`gyrus_formats::Error::Format`] for damaged files, [`gyrus_formats::Error::Field`] for an architecture,
/// an entry or a vocabulary that is not supported.
pub fn parse(path: &Path, bytes: &Bytes) -> Result<Parts> {
    let mut file = Gguf::parse(path, bytes)?;
    let mut config = config::read(&file)?;
    let tokenizer = vocabulary::read(&file, &config)?;
    vocabulary::only_real_ends(&file, &tokenizer, &mut config)?;
    let chat_template = file.text("tokenizer.chat_template")?.map(str::to_owned);
    let mut tensors = std::mem::take(&mut file.tensors);
    let mut named: std::collections::BTreeMap<_, _> = config
        .parameters()
        .into_iter()
        .filter_map(|parameter| {
            let tensor = tensors.remove(&tensor_name(parameter.role, parameter.layer, parameter.bias))?;
            Some((parameter.name, tensor))
        })
        .collect();
    // Already part of the configuration.
    tensors.remove("rope_freqs.weight");
    // Unknown tensors keep their names, and building the decoder refuses them.
    named.extend(tensors);
    let checkpoint = Checkpoint::new(path, named);
    Ok(Parts { config, checkpoint, tokenizer, recommended: Sampling::default(), chat_template })
}

/// Opens the tokenizer of a file, which may hold the vocabulary alone.
pub(crate) fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let file = Gguf::parse(path, &Bytes::map(path)?)?;
    let begin = file.count("tokenizer.ggml.bos_token_id")?.and_then(|token| u32::try_from(token).ok());
    // Of the decoder, only the size of its vocabulary and this token matter here.
    let config = DecoderConfig {
        beginning_of_text: begin,
        ..DecoderConfig::llama(usize::MAX, 2, 0, (1, 1), 1, 10_000.0)
    };
    vocabulary::read(&file, &config)
}

/// The name of a tensor in GGUF files.
fn tensor_name(role: Role, layer: Option<usize>, bias: bool) -> String {
    let stem = match role {
        Role::Embedding => "token_embd",
        Role::PositionEmbedding => "position_embd",
        Role::FinalNormalization => "output_norm",
        Role::Head => "output",
        Role::BeforeAttention => "attn_norm",
        Role::Query => "attn_q",
        Role::Key => "attn_k",
        Role::Value => "attn_v",
        Role::QueryKeyValue => "attn_qkv",
        Role::QueryNormalization => "attn_q_norm",
        Role::KeyNormalization => "attn_k_norm",
        Role::AttentionOutput => "attn_output",
        Role::AfterAttention => "post_attention_norm",
        Role::BeforeFeedForward => "ffn_norm",
        Role::Gate => "ffn_gate",
        Role::Up | Role::GateUp => "ffn_up",
        Role::Down => "ffn_down",
        Role::AfterFeedForward => "post_ffw_norm",
    };
    let suffix = if bias { "bias" } else { "weight" };
    match layer {
        Some(layer) => format!("blk.{layer}.{stem}.{suffix}"),
        None => format!("{stem}.{suffix}"),
    }
}

/// An error that names an entry of a file.
fn refused(file: &Gguf, key: &str, got: impl Into<String>, expected: impl Into<String>) -> Error {
    file.error(key, got, expected).into()
}

/// Whether queries and keys are interleaved in GGUF files.
fn interleaved(config: &DecoderConfig) -> bool {
    config.family == Family::Llama
}
