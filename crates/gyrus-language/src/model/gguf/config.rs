//! The shape of a decoder from GGUF metadata, and back.

use gyrus_formats::gguf::{Gguf, Value};

use super::{ARCHITECTURES, interleaved, refused};
use crate::{DecoderConfig, Error, Family, Layer, QueryKeyNormalization, Result, Rope, RopeScaling};

/// Entries of an architecture without new information.
const INERT: &[&str] = &["vocab_size", "rope.scaling.finetuned", "rope.scale_linear", "attention.causal"];

/// Reads the entries, and refuses unknown ones of the architecture.
pub(super) fn read(file: &Gguf) -> Result<DecoderConfig> {
    let name = file.text("general.architecture")?.unwrap_or_default();
    let Some(&(name, family)) = ARCHITECTURES.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
        return Err(refused(
            file,
            "general.architecture",
            format!("'{name}'"),
            format!("one of {}", names.join(", ")),
        ));
    };
    if file.count("split.count")?.is_some_and(|count| count > 1) {
        return Err(refused(file, "split.count", "part of a model", "a whole model: merge the parts first"));
    }
    let prefix = format!("{name}.");
    let key = |key: &str| format!("{prefix}{key}");
    let mut known: Vec<&str> = INERT.to_vec();
    let mut extent = |name: &'static str| {
        known.push(name);
        let key = key(name);
        file.count(&key)?
            .filter(|&count| count > 0)
            .ok_or_else(|| refused(file, &key, "nothing", "an integer above 0"))
    };
    let width = extent("embedding_length")?;
    let layers = extent("block_count")?;
    let feed_forward = extent("feed_forward_length")?;
    let heads = extent("attention.head_count")?;
    let positions = extent("context_length")?;
    if layers > 1 << 10 || heads > 1 << 14 {
        let got = format!("{layers} layers of {heads} heads");
        return Err(refused(file, &key("block_count"), got, "at most 1024 layers of 16384 heads"));
    }
    let embedding = file.tensors.get("token_embd.weight");
    let embedding = embedding.ok_or_else(|| {
        Error::tensor(&file.path, "token_embd.weight", "no such tensor", "the embedding of the tokens")
    })?;
    let optional = |name: &str| file.count(&key(name));
    known.extend(["attention.head_count_kv", "attention.key_length", "attention.value_length"]);
    known.extend([
        "rope.dimension_count",
        "rope.freq_base",
        "attention.layer_norm_rms_epsilon",
        "expert_count",
    ]);
    known.extend(["rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length"]);
    let key_value_heads = optional("attention.head_count_kv")?.unwrap_or(heads);
    if key_value_heads == 0 || !heads.is_multiple_of(key_value_heads) {
        let expected = format!("a divisor of the {heads} query heads");
        return Err(refused(file, &key("attention.head_count_kv"), key_value_heads.to_string(), expected));
    }
    let head_width = optional("attention.key_length")?.unwrap_or(width / heads);
    if head_width == 0 || optional("attention.value_length")?.is_some_and(|value| value != head_width) {
        let expected = "keys and values of the same length above 0";
        return Err(refused(file, &key("attention.value_length"), "another length than keys", expected));
    }
    if optional("expert_count")?.is_some_and(|experts| experts > 0) {
        return Err(refused(file, &key("expert_count"), "a mixture of experts", "a dense model"));
    }
    let theta = file.number(&key("rope.freq_base"))?.unwrap_or(10_000.0);
    let mut config =
        DecoderConfig::llama(embedding.rows(), width, layers, (heads, key_value_heads), feed_forward, theta);
    config.family = family;
    config.head_width = head_width;
    config.attention_scale = 1.0 / (head_width as f32).sqrt();
    config.maximum_positions = positions;
    let epsilon = key("attention.layer_norm_rms_epsilon");
    config.normalization_epsilon = file.number(&epsilon)?.unwrap_or(1e-5) as f32;
    let dimensions = optional("rope.dimension_count")?.unwrap_or(head_width);
    if theta <= 0.0 || dimensions == 0 || !dimensions.is_multiple_of(2) || dimensions > head_width {
        let got = format!("{dimensions} of {head_width} elements, base {theta}");
        return Err(refused(
            file,
            &key("rope.dimension_count"),
            got,
            "an even part of a head, and a base above 0",
        ));
    }
    let scaling = scaling(file, &prefix, dimensions, positions)?;
    config.ropes = vec![Rope { theta, dimensions, interleaved: interleaved(&config), scaling }];
    config.layers = vec![Layer { window: None, rope: Some(0) }; layers];
    if family == Family::Qwen3 {
        config.query_key_normalization = Some(QueryKeyNormalization::HeadBeforeRotation);
    }
    let has = |name: &str| file.tensors.contains_key(name);
    config.tied = !has("output.weight");
    config.biases.query_key_value = has("blk.0.attn_q.bias");
    config.biases.attention_output = has("blk.0.attn_output.bias");
    config.biases.feed_forward = has("blk.0.ffn_up.bias");
    let token = |key: &str| -> Result<Option<u32>> {
        let token = file.count(key)?.map(|token| token as u32);
        Ok(token.filter(|&token| (token as usize) < embedding.rows()))
    };
    config.beginning_of_text = token("tokenizer.ggml.bos_token_id")?;
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        config.end_of_text.extend(token(&format!("tokenizer.ggml.{key}"))?);
    }
    config.end_of_text.dedup();
    let unknown = file
        .entries
        .keys()
        .find(|entry| entry.strip_prefix(&prefix).is_some_and(|rest| !known.contains(&rest)));
    match unknown {
        Some(entry) => Err(refused(file, entry, "an entry", "only entries that Gyrus knows")),
        None => Ok(config),
    }
}

fn scaling(file: &Gguf, prefix: &str, dimensions: usize, positions: usize) -> Result<RopeScaling> {
    let key = |name: &str| format!("{prefix}rope.scaling.{name}");
    let factor = file.number(&key("factor"))?.filter(|&factor| factor > 0.0).unwrap_or(1.0);
    // Llama 3's scaling is a tensor of divisors here.
    if let Some(tensor) = file.tensors.get("rope_freqs.weight") {
        let divisors: Vec<f64> = if tensor.columns() == dimensions / 2 && tensor.rows() == 1 {
            tensor.floats().into_iter().map(f64::from).collect()
        } else {
            Vec::new()
        };
        if divisors.is_empty() || divisors.iter().any(|&divisor| divisor.is_nan() || divisor <= 0.0) {
            let expected = format!("{} numbers above 0", dimensions / 2);
            let got = format!("the shape {:?}", tensor.shape());
            return Err(Error::tensor(&file.path, "rope_freqs.weight", got, expected));
        }
        return Ok(RopeScaling::LongRope {
            long: divisors.clone(),
            short: divisors,
            original_positions: positions,
            attention_factor: 1.0,
        });
    }
    match file.text(&key("type"))? {
        None | Some("none") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear { factor }),
        Some("yarn") => {
            let original = file.count(&key("original_context_length"))?.filter(|&original| original > 0);
            Ok(default_yarn(factor, original.unwrap_or(positions)))
        }
        Some(other) => Err(refused(file, &key("type"), format!("'{other}'"), "none, linear or yarn")),
    }
}

/// YaRN with the parameters of its paper.
fn default_yarn(factor: f64, original_positions: usize) -> RopeScaling {
    RopeScaling::Yarn {
        factor,
        original_positions,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: true,
        attention_factor: if factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 },
    }
}

/// The metadata of a decoder.
///
/// # Errors
/// A description of what the format cannot express.
pub(super) fn entries(config: &DecoderConfig) -> std::result::Result<Vec<(String, Value)>, String> {
    let Some((name, _)) = ARCHITECTURES.iter().find(|(_, family)| *family == config.family) else {
        return Err(format!("the family {:?}", config.family));
    };
    let integer = |value: usize| Value::Integer(value as i128);
    let number = |value: f64| Value::Number(value);
    let rope = match &config.ropes[..] {
        [rope] if config.layers.iter().all(|layer| *layer == Layer { window: None, rope: Some(0) }) => rope,
        _ => return Err("layers that differ, or have a sliding window".to_owned()),
    };
    let mut entries = vec![
        ("context_length", integer(config.maximum_positions)),
        ("embedding_length", integer(config.width)),
        ("block_count", integer(config.layers.len())),
        ("feed_forward_length", integer(config.feed_forward)),
        ("attention.head_count", integer(config.heads)),
        ("attention.head_count_kv", integer(config.key_value_heads)),
        ("attention.key_length", integer(config.head_width)),
        ("attention.value_length", integer(config.head_width)),
        ("attention.layer_norm_rms_epsilon", number(config.normalization_epsilon.into())),
        ("rope.dimension_count", integer(rope.dimensions)),
        ("rope.freq_base", number(rope.theta)),
        ("vocab_size", integer(config.vocabulary)),
    ];
    match &rope.scaling {
        RopeScaling::None | RopeScaling::Llama3 { .. } => {}
        RopeScaling::LongRope { short, long, attention_factor, .. }
            if short == long && *attention_factor == 1.0 => {}
        RopeScaling::Linear { factor } => {
            entries.push(("rope.scaling.type", Value::Text("linear".to_owned())));
            entries.push(("rope.scaling.factor", number(*factor)));
        }
        yarn @ RopeScaling::Yarn { factor, original_positions, .. }
            if *yarn == default_yarn(*factor, *original_positions) =>
        {
            entries.push(("rope.scaling.type", Value::Text("yarn".to_owned())));
            entries.push(("rope.scaling.factor", number(*factor)));
            entries.push(("rope.scaling.original_context_length", integer(*original_positions)));
        }
        other => return Err(format!("RoPE scaling {other:?}")),
    }
    Ok(entries.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect())
}
