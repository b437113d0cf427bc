//! GGUF files, as llama.cpp has them: metadata, vocabulary and tensors in one file, mapped.
//!
//! ```text
//! "GGUF", u32 version, u64 tensors, u64 entries
//! entries: key, u32 type, value          tensors: name, u32 extents, u64 each (fastest first), u32 type, u64 offset
//! padding to the alignment, then the tensors' bytes
//! ```
//!
//! All numbers are little-endian; texts are a u64 length and bytes. Nothing is reserved for a count that the rest of the
//! file could not hold. Names are translated to Hugging Face's; queries and keys of a Llama stay in the neighbouring
//! pairs in which the format has them.

mod config;
mod read;
mod vocabulary;
mod write;

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::model::Parts;
use crate::tensor::Bytes;
use crate::{DecoderConfig, Family, Format, Result, Role, Sampling};

pub use read::{Gguf, Value};
pub use write::write;
pub(crate) use write::{to_halves, to_neighbours};

/// The architectures that are read and written, and their families.
const ARCHITECTURES: &[(&str, Family)] =
    &[("llama", Family::Llama), ("qwen2", Family::Qwen2), ("qwen3", Family::Qwen3)];

/// Opens a model.
pub(crate) fn open(path: &Path) -> Result<Parts> {
    parse(path, &Bytes::map(path)?)
}

/// Reads a model from a file's bytes; `path` is for messages.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) for damaged files, [`Error::Field`](crate::Error::Field) for an architecture,
/// an entry or a vocabulary that is not supported.
pub fn parse(path: &Path, bytes: &Bytes) -> Result<Parts> {
    let mut file = Gguf::parse(path, bytes)?;
    let config = config::read(&file)?;
    let tokenizer = vocabulary::read(&file, &config)?;
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
    // Its numbers are in the configuration already.
    tensors.remove("rope_freqs.weight");
    // What is left keeps its name, and is refused by it when the decoder is made.
    named.extend(tensors);
    let checkpoint = Checkpoint::new(path, named);
    Ok(Parts { config, checkpoint, tokenizer, recommended: Sampling::default(), chat_template })
}

/// A tensor's name in these files.
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

/// The number of a format in these files.
fn format_number(format: Format) -> u32 {
    match format {
        Format::F32 => 0,
        Format::F16 => 1,
        Format::Q4_0 => 2,
        Format::Q8_0 => 8,
        Format::Q4_K => 12,
        Format::Q6_K => 14,
        Format::BF16 => 30,
    }
}

/// Whether queries and keys are rotated in neighbouring pairs in these files.
fn interleaved(config: &DecoderConfig) -> bool {
    config.family == Family::Llama
}
