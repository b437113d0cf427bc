//! Models in GGUF files, the format of llama.cpp: the decoder's shape and vocabulary from the metadata, and back.
//!
//! Names of tensors are translated to Hugging Face's. Queries and keys of a Llama stay interleaved, as in the file, and
//! Gemma's normalizations keep the 1 that was added. The container itself is in `gyrus-formats`.

mod byte_fallback;
mod characters;
mod config;
mod entries;
mod pretokenizers;
mod ropes;
mod split;
mod vocabulary;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_formats::gguf::Gguf;
use gyrus_formats::{Bytes, Checkpoint, Tensor};

use super::{Parts, templates};
use crate::{DecoderConfig, Error, Family, Result, Role, Sampling, Tokenizer};

pub use write::{write, write_watched};

/// The supported architectures and their families; a family is written under its first name.
const ARCHITECTURES: &[(&str, Family)] = &[
    ("llama", Family::Llama),
    ("llama", Family::Mistral),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    ("gemma", Family::Gemma),
    ("gemma2", Family::Gemma2),
    ("gemma3", Family::Gemma3),
    ("phi3", Family::Phi3),
    ("granite", Family::Granite),
    ("glm4", Family::Glm4),
    ("olmo2", Family::Olmo2),
    ("smollm3", Family::SmolLm3),
    ("hunyuan-dense", Family::HunYuanDense),
    ("gpt2", Family::Gpt2),
];

/// Opens a model; the other parts of a split one are found beside it.
pub(crate) fn open(path: &Path) -> Result<Parts> {
    model(container(path)?)
}

/// The metadata and tensors of a file, under its own names; of a split model, those of all its parts.
///
/// # Errors
/// [`gyrus_formats::Error::Format`] for damaged files, and as for a part that is missing.
pub fn container(path: &Path) -> Result<Gguf> {
    split::whole(path, Gguf::parse(path, &Bytes::map(path)?)?)
}

/// Reads a model from a file's bytes; `path` is for messages.
///
/// # Errors
/// [`gyrus_formats::Error::Format`] for damaged files, [`gyrus_formats::Error::Field`] for an architecture,
/// an entry or a vocabulary that is not supported, or for a part of a split model.
pub fn parse(path: &Path, bytes: &Bytes) -> Result<Parts> {
    let file = Gguf::parse(path, bytes)?;
    if split::parts_of(&file)? > 1 {
        return Err(refused(
            &file,
            split::COUNT,
            "part of a model",
            "all of its parts, side by side in files",
        ));
    }
    model(file)
}

fn model(mut file: Gguf) -> Result<Parts> {
    let mut config = config::read(&file)?;
    let mut notes = Vec::new();
    let tokenizer = vocabulary::read(&file, &config, &mut notes)?;
    vocabulary::only_real_ends(&file, &tokenizer, &mut config)?;
    let chat_template = templates::of_gguf(&file, &tokenizer)?;
    let mut tensors = std::mem::take(&mut file.tensors);
    split_fused(&config, &mut tensors);
    let mut named: BTreeMap<_, _> = config
        .parameters()
        .into_iter()
        .filter_map(|parameter| {
            let tensor = tensors.remove(&tensor_name(parameter.role, parameter.layer, parameter.bias))?;
            Some((parameter.name, tensor))
        })
        .collect();
    // Already part of the configuration.
    for name in [ropes::DIVISORS, ropes::LONG, ropes::SHORT] {
        tensors.remove(name);
    }
    // Unknown tensors keep their names, and building the decoder refuses them.
    named.extend(tensors);
    let checkpoint = Checkpoint::new(&file.path, named);
    Ok(Parts { config, checkpoint, tokenizer, recommended: Sampling::default(), chat_template, notes })
}

/// Splits queries, keys and values that the file has stacked where the family has them apart.
fn split_fused(config: &DecoderConfig, tensors: &mut BTreeMap<String, Tensor>) {
    let widths = [config.query_width(), config.key_value_width(), config.key_value_width()];
    for layer in 0..config.layers.len() {
        for bias in [false, true] {
            let name = |role| tensor_name(role, Some(layer), bias);
            let fused = name(Role::QueryKeyValue);
            if config.parameter(Role::Query, Some(layer), bias).is_none() {
                continue;
            }
            let rows = |tensor: &Tensor| if bias { tensor.columns() } else { tensor.rows() };
            let Some(tensor) = tensors.remove(&fused) else { continue };
            if rows(&tensor) != widths.iter().sum::<usize>() {
                // Its shape is reported when it is found to be unused.
                tensors.insert(fused, tensor);
                continue;
            }
            let mut start = 0;
            for (role, width) in [Role::Query, Role::Key, Role::Value].into_iter().zip(widths) {
                let range = start..start + width;
                start += width;
                let part = if bias {
                    Tensor::of_floats(vec![width], tensor.floats()[range].to_vec())
                } else {
                    tensor.row_range(range)
                };
                tensors.insert(name(role), part);
            }
        }
    }
}

/// Opens the tokenizer of a file, which may hold the vocabulary alone.
pub(crate) fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let file = container(path)?;
    let begin = file.count("tokenizer.ggml.bos_token_id")?.and_then(|token| u32::try_from(token).ok());
    // Of the decoder, only the size of its vocabulary and this token matter here.
    let config = DecoderConfig {
        beginning_of_text: begin,
        ..DecoderConfig::llama(usize::MAX, 2, 0, (1, 1), 1, 10_000.0)
    };
    vocabulary::read(&file, &config, &mut Vec::new())
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

/// Whether queries and keys of a family are interleaved in GGUF files.
fn are_interleaved(family: Family) -> bool {
    matches!(family, Family::Llama | Family::Mistral | Family::Granite | Family::SmolLm3 | Family::Glm4)
}
