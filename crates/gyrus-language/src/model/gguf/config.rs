//! The shape of a decoder from GGUF metadata, and back, as llama.cpp's converter writes it.
//!
//! What is a number in `config.json` is often fixed by the name of an architecture here: the period of sliding windows, the
//! scale of the embedding, the nonlinearity. Entries that llama.cpp does not know (such as `attention.scale` in a Gemma) are
//! written only where the value is not the fixed one.

use gyrus_formats::gguf::{Gguf, Value};

use super::entries::{Entries, periodic};
use super::{ARCHITECTURES, are_interleaved, refused, ropes};
use crate::{
    Activation, DecoderConfig, Error, Family, Layer, Normalization, NormalizationPlace,
    QueryKeyNormalization, Result, Rope, RopeScaling,
};

/// Entries of an architecture without new information.
const INERT: &[&str] = &[
    "vocab_size",
    "rope.scaling.finetuned",
    "tensor_data_layout",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
];
/// The window of Gemma 2 where the file does not say it.
const GEMMA2_WINDOW: usize = 4096;

/// Reads the entries, and refuses unknown ones of the architecture.
pub(super) fn read(file: &Gguf) -> Result<DecoderConfig> {
    let name = file.text("general.architecture")?.unwrap_or_default();
    let Some(&(name, family)) = ARCHITECTURES.iter().find(|(known, _)| *known == name) else {
        let mut names: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
        names.dedup();
        let expected = format!("one of {}", names.join(", "));
        return Err(refused(file, "general.architecture", format!("'{name}'"), expected));
    };
    let entries = Entries::new(file, name);
    let width = entries.count("embedding_length")?;
    let layers = entries.count("block_count")?;
    let feed_forward = entries.count("feed_forward_length")?;
    let heads = entries.count("attention.head_count")?;
    let positions = entries.count("context_length")?;
    if layers > 1 << 10 || heads > 1 << 14 {
        let got = format!("{layers} layers of {heads} heads");
        return Err(entries.error("block_count", got, "at most 1024 layers of 16384 heads"));
    }
    let embedding = file.tensors.get("token_embd.weight");
    let embedding = embedding.ok_or_else(|| {
        Error::tensor(&file.path, "token_embd.weight", "no such tensor", "the embedding of the tokens")
    })?;
    let key_value_heads = entries.optional_count("attention.head_count_kv")?.unwrap_or(heads);
    if key_value_heads == 0 || !heads.is_multiple_of(key_value_heads) {
        let expected = format!("a divisor of the {heads} query heads");
        return Err(entries.error("attention.head_count_kv", key_value_heads.to_string(), expected));
    }
    let head_width = entries.optional_count("attention.key_length")?.unwrap_or(width / heads);
    // Lengths that some writers repeat.
    for name in ["attention.value_length", "attention.key_length_swa", "attention.value_length_swa"] {
        if head_width == 0 || entries.optional_count(name)?.is_some_and(|length| length != head_width) {
            let expected = "keys and values of the same length above 0";
            return Err(entries.error(name, "another length than keys", expected));
        }
    }
    if entries.optional_count("expert_count")?.is_some_and(|experts| experts > 0) {
        return Err(entries.error("expert_count", "a mixture of experts", "a dense model"));
    }
    if !entries.flag("attention.causal", true)? {
        return Err(entries.error("attention.causal", "false", "a model that writes from left to right"));
    }
    let mut config = DecoderConfig::llama(
        embedding.rows(),
        width,
        layers,
        (heads, key_value_heads),
        feed_forward,
        10_000.0,
    );
    config.head_width = head_width;
    config.maximum_positions = positions;
    of_family(&mut config, family);
    let epsilon = match config.normalization {
        Normalization::Layer => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
    };
    config.normalization_epsilon = entries.number(epsilon)?.unwrap_or(1e-5) as f32;
    let has = |name: &str| file.tensors.contains_key(name);
    config.tied = !has("output.weight");
    if family != Family::Gpt2 {
        config.biases.query_key_value = has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias");
        config.biases.attention_output = has("blk.0.attn_output.bias");
        config.biases.feed_forward = has("blk.0.ffn_up.bias");
        read_layers(&entries, &mut config)?;
    } else if let Some(table) = file.tensors.get("position_embd.weight") {
        config.maximum_positions = table.rows();
    }
    let number =
        |name: &str| -> Result<Option<f32>> { Ok(entries.nonzero(name)?.map(|number| number as f32)) };
    config.attention_scale = number("attention.scale")?.unwrap_or(config.attention_scale);
    config.embedding_scale = number("embedding_scale")?.unwrap_or(config.embedding_scale);
    config.residual_scale = number("residual_scale")?.unwrap_or(1.0);
    config.logits_divisor = number("logit_scale")?.unwrap_or(1.0);
    if family == Family::Gemma2 {
        let cap = |name: &str, default: f32| -> Result<Option<f32>> {
            Ok(Some(entries.number(name)?.map_or(default, |cap| cap as f32)).filter(|&cap| cap != 0.0))
        };
        config.attention_softcap = cap("attn_logit_softcapping", 50.0)?;
        config.logits_softcap = cap("final_logit_softcapping", 30.0)?;
    } else {
        config.attention_softcap = number("attn_logit_softcapping")?;
        config.logits_softcap = number("final_logit_softcapping")?;
    }
    let token = |key: &str| -> Result<Option<u32>> {
        let token = file.count(key)?.map(|token| token as u32);
        Ok(token.filter(|&token| (token as usize) < embedding.rows()))
    };
    config.beginning_of_text = token("tokenizer.ggml.bos_token_id")?;
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        config.end_of_text.extend(token(&format!("tokenizer.ggml.{key}"))?);
    }
    config.end_of_text.dedup();
    entries.finish(INERT)?;
    Ok(config)
}

/// What the name of an architecture says.
fn of_family(config: &mut DecoderConfig, family: Family) {
    use Family::{Gemma, Gemma2, Gemma3, Glm4, Gpt2, HunYuanDense, Olmo2, Qwen3};
    config.family = family;
    config.attention_scale = attention_scale(config);
    config.query_key_normalization = match family {
        Qwen3 | Gemma3 => Some(QueryKeyNormalization::HeadBeforeRotation),
        HunYuanDense => Some(QueryKeyNormalization::HeadAfterRotation),
        Olmo2 => Some(QueryKeyNormalization::WholeBeforeRotation),
        _ => None,
    };
    config.normalization_place = match family {
        Olmo2 => NormalizationPlace::After,
        Gemma2 | Gemma3 | Glm4 => NormalizationPlace::Both,
        _ => NormalizationPlace::Before,
    };
    // The weights of Gemma's normalizations have had 1 added.
    config.normalization = if family == Gpt2 { Normalization::Layer } else { Normalization::Rms };
    config.activation = activation(family);
    if matches!(family, Gemma | Gemma2 | Gemma3) {
        config.embedding_scale = (config.width as f64).sqrt() as f32;
    }
    if family == Gpt2 {
        config.gated = false;
        config.biases = crate::Biases { query_key_value: true, attention_output: true, feed_forward: true };
        config.learned_positions = true;
        config.ropes = Vec::new();
        config.layers = vec![Layer { window: None, rope: None }; config.layers.len()];
    }
}

fn activation(family: Family) -> Activation {
    match family {
        Family::Gemma | Family::Gemma2 | Family::Gemma3 | Family::Gpt2 => Activation::GeluTanh,
        _ => Activation::Silu,
    }
}

/// The scale that llama.cpp takes where the file says nothing.
fn attention_scale(config: &DecoderConfig) -> f32 {
    let largest = matches!((config.family, config.layers.len()), (Family::Gemma2, 46) | (Family::Gemma3, 62));
    let width = if largest { config.width / config.heads } else { config.head_width };
    1.0 / (width as f32).sqrt()
}

/// Which layers slide where the file does not list them.
fn default_windows(family: Family, layers: usize) -> Vec<bool> {
    match family {
        Family::Gemma2 => periodic(layers, 2),
        Family::Gemma3 => periodic(layers, 6),
        Family::Olmo2 => periodic(layers, 4),
        _ => vec![true; layers],
    }
}

/// Which layers rotate where the file does not list them.
fn default_rotations(family: Family, layers: usize) -> Vec<bool> {
    if family == Family::SmolLm3 { periodic(layers, 4) } else { vec![true; layers] }
}

/// Whether sliding layers have a rotary embedding of their own.
fn has_two_ropes(family: Family) -> bool {
    matches!(family, Family::Gemma3 | Family::Olmo2)
}

/// Sliding windows and rotary embeddings.
fn read_layers(entries: &Entries<'_>, config: &mut DecoderConfig) -> Result<()> {
    let (family, layers) = (config.family, config.layers.len());
    let default = (family == Family::Gemma2).then_some(GEMMA2_WINDOW);
    let window = entries.optional_count("attention.sliding_window")?.or(default).filter(|&window| window > 0);
    let listed = entries.flags("attention.sliding_window_pattern", layers)?;
    let slides = listed.unwrap_or_else(|| default_windows(family, layers));
    let listed = entries.flags("attention.rope_pattern", layers)?;
    let mut rotates = listed.unwrap_or_else(|| default_rotations(family, layers));
    if family == Family::Granite && !entries.flag("rope.scaling.finetuned", true)? {
        // There it means that nothing rotates.
        rotates.fill(false);
    }
    let rope = ropes::read(entries, config.head_width, config.maximum_positions, are_interleaved(family))?;
    let dimensions = entries.optional_count("rope.dimension_count_swa")?;
    if dimensions.is_some_and(|dimensions| dimensions != rope.dimensions) {
        let expected = format!("the {} of the other layers", rope.dimensions);
        return Err(entries.error("rope.dimension_count_swa", "another number", expected));
    }
    let own = entries.number("rope.freq_base_swa")?;
    let own = own.unwrap_or(if family == Family::Gemma3 { 10_000.0 } else { rope.theta });
    if own <= 0.0 {
        return Err(entries.error("rope.freq_base_swa", own.to_string(), "a number above 0"));
    }
    let sliding = Rope { theta: own, scaling: RopeScaling::None, ..rope.clone() };
    let two = has_two_ropes(family) && window.is_some();
    config.ropes = if two { vec![rope, sliding] } else { vec![rope] };
    config.layers = (0..layers)
        .map(|layer| Layer {
            window: window.filter(|_| slides[layer]),
            rope: rotates[layer].then_some(usize::from(two && slides[layer])),
        })
        .collect();
    Ok(())
}

/// The metadata of a decoder.
///
/// # Errors
/// A description of what the format cannot express.
pub(super) fn entries(config: &DecoderConfig) -> std::result::Result<Vec<(String, Value)>, String> {
    let Some((name, _)) = ARCHITECTURES.iter().find(|(_, family)| *family == config.family) else {
        return Err(format!("the family {:?}", config.family));
    };
    let family = config.family;
    if config.activation != activation(family) {
        return Err(format!("the activation {:?} in a {family:?}", config.activation));
    }
    let integer = |value: usize| Value::Integer(value as i128);
    let number = |value: f32| Value::Number(value.into());
    let epsilon = match config.normalization {
        Normalization::Layer => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
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
        (epsilon, number(config.normalization_epsilon)),
        ("vocab_size", integer(config.vocabulary)),
    ];
    if family != Family::Gpt2 {
        entries.extend(layer_entries(config)?);
    }
    let differs = |value: f32, default: f32| (value / default - 1.0).abs() > 1e-6;
    let gemma = matches!(family, Family::Gemma | Family::Gemma2 | Family::Gemma3);
    let default_embedding = if gemma { (config.width as f64).sqrt() as f32 } else { 1.0 };
    let granite = family == Family::Granite;
    if granite || differs(config.attention_scale, attention_scale(config)) {
        entries.push(("attention.scale", number(config.attention_scale)));
    }
    if granite || differs(config.embedding_scale, default_embedding) {
        entries.push(("embedding_scale", number(config.embedding_scale)));
    }
    if granite || config.residual_scale != 1.0 {
        entries.push(("residual_scale", number(config.residual_scale)));
    }
    if granite || config.logits_divisor != 1.0 {
        entries.push(("logit_scale", number(config.logits_divisor)));
    }
    for (name, cap) in [
        ("attn_logit_softcapping", config.attention_softcap),
        ("final_logit_softcapping", config.logits_softcap),
    ] {
        if family == Family::Gemma2 || cap.is_some() {
            entries.push((name, number(cap.unwrap_or(0.0))));
        }
    }
    Ok(entries.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect())
}

/// Sliding windows and rotary embeddings.
fn layer_entries(config: &DecoderConfig) -> std::result::Result<Vec<(&'static str, Value)>, String> {
    let (family, layers) = (config.family, config.layers.len());
    let Some(rope) = config.ropes.first() else { return Err("no rotary embedding".to_owned()) };
    let flags =
        |flags: &[bool]| Value::Numbers(flags.iter().map(|&flag| f64::from(u8::from(flag))).collect());
    let mut entries = ropes::entries(rope)?;
    let windows: Vec<usize> = config.layers.iter().filter_map(|layer| layer.window).collect();
    if windows.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err("sliding windows of different lengths".to_owned());
    }
    let slides: Vec<bool> = config.layers.iter().map(|layer| layer.window.is_some()).collect();
    match windows.first() {
        Some(&window) => {
            entries.push(("attention.sliding_window", Value::Integer(window as i128)));
            if slides != default_windows(family, layers) {
                entries.push(("attention.sliding_window_pattern", flags(&slides)));
            }
        }
        None if family == Family::Gemma2 => {
            entries.push(("attention.sliding_window", Value::Integer(0)));
        }
        None => {}
    }
    let rotates: Vec<bool> = config.layers.iter().map(|layer| layer.rope.is_some()).collect();
    if rotates != default_rotations(family, layers) {
        entries.push(("attention.rope_pattern", flags(&rotates)));
    }
    // Which of two rotary embeddings a layer uses follows from its window.
    let two = has_two_ropes(family) && !windows.is_empty();
    let as_expected = |layer: &Layer| {
        layer
            .rope
            .is_none_or(|rope| rope == usize::from(two && layer.window.is_some() && config.ropes.len() > 1))
    };
    if !config.layers.iter().all(as_expected) {
        return Err("rotary embeddings that do not follow from the sliding windows".to_owned());
    }
    if two {
        let sliding = config.ropes.get(1).unwrap_or(rope);
        if sliding.scaling != RopeScaling::None || sliding.dimensions != rope.dimensions {
            return Err("scaled rotary embeddings of sliding layers".to_owned());
        }
        entries.push(("rope.freq_base_swa", Value::Number(sliding.theta)));
    }
    Ok(entries)
}
