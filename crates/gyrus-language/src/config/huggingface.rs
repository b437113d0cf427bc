//! Hugging Face's `config.json`, in the style of `transformers` 5 (`rope_parameters`, `dtype`) and the older one
//! (`rope_theta`, `rope_scaling`, `torch_dtype`). Defaults are those of `transformers`' configuration classes.
//!
//! An unknown field is refused unless it is off, because it might change the result.

use std::path::Path;

use serde_json::Value;

use super::fields::Fields;
use super::rope_fields::{ropes, without_rope};
use super::{
    Activation, Biases, DecoderConfig, Family, Layer, Normalization, NormalizationPlace,
    QueryKeyNormalization,
};
use crate::{Error, Result};

/// Fields about training, files or other programs, which do not change the logits.
const INERT: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "_sliding_window_pattern",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "cache_implementation",
    "chunk_size_feed_forward",
    "class_num",
    "classifier_dropout",
    "dtype",
    "embd_pdrop",
    "eod_token_id",
    "full_attn_mod",
    "gradient_checkpointing",
    "id2label",
    "im_end_id",
    "im_newline_id",
    "im_start_id",
    "initializer_range",
    "interpolate_factor",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "mask_init_id",
    "mlp_dropout",
    "model_type",
    "n_ctx",
    "num_labels",
    "org_vocab_size",
    "pad_id",
    "pad_token_id",
    "pool_type",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "reorder_and_upcast_attn",
    "resid_pdrop",
    "return_dict",
    "sep_token_id",
    "sliding_window_size",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "text_end_id",
    "text_start_id",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
];

/// More layers than any published model has.
const MAXIMUM_LAYERS: usize = 1 << 10;

/// The values of `model_type` that are supported.
const FAMILIES: &[(&str, Family)] = &[
    ("llama", Family::Llama),
    ("mistral", Family::Mistral),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    ("hunyuan_v1_dense", Family::HunYuanDense),
    ("smollm3", Family::SmolLm3),
    ("olmo2", Family::Olmo2),
    ("gemma", Family::Gemma),
    ("gemma2", Family::Gemma2),
    ("gemma3_text", Family::Gemma3),
    ("phi3", Family::Phi3),
    ("granite", Family::Granite),
    ("glm4", Family::Glm4),
    ("gpt2", Family::Gpt2),
];

impl Family {
    /// Its name in Hugging Face's `config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        FAMILIES.iter().find(|(_, family)| *family == self).map_or("", |(name, _)| name)
    }
}

impl DecoderConfig {
    /// Parses a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Mismatch`] if it is not a JSON object, [`gyrus_formats::Error::Field`] for an unsupported
    /// model type, an invalid value or an unknown field.
    pub fn from_hugging_face(path: &Path, json: &[u8]) -> Result<Self> {
        let value: Value =
            serde_json::from_slice(json).map_err(|error| Error::mismatch(path, error.to_string(), "JSON"))?;
        let map =
            value.as_object().ok_or_else(|| Error::mismatch(path, "something else", "a JSON object"))?;
        let fields = Fields::new(path, "", map);
        let family = family(&fields)?;
        if family == Family::Gpt2 { gpt2(&fields) } else { rotary(&fields, family) }
    }
}

fn family(fields: &Fields<'_>) -> Result<Family> {
    let name = fields.text("model_type")?.unwrap_or_default();
    FAMILIES.iter().find(|(known, _)| *known == name).map(|(_, family)| *family).ok_or_else(|| {
        let names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
        fields.error("model_type", format!("'{name}'"), format!("one of {}", names.join(", ")))
    })
}

fn activation(fields: &Fields<'_>, field: &str, default: &str) -> Result<Activation> {
    match fields.text(field)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        other => Err(fields.error(field, format!("'{other}'"), "silu, gelu, gelu_new or gelu_pytorch_tanh")),
    }
}

/// The number of layers, bounded because memory is allocated for each.
fn layers(fields: &Fields<'_>, field: &str) -> Result<usize> {
    let layers = fields.count(field)?;
    if layers > MAXIMUM_LAYERS {
        return Err(fields.error(field, layers.to_string(), format!("at most {MAXIMUM_LAYERS}")));
    }
    Ok(layers)
}

fn token(fields: &Fields<'_>, field: &str, vocabulary: usize) -> Result<Option<u32>> {
    // Some files use a token beyond the vocabulary to mean "none".
    Ok(fields.tokens(field)?.first().copied().filter(|&token| (token as usize) < vocabulary))
}

/// Every family but GPT-2.
fn rotary(fields: &Fields<'_>, family: Family) -> Result<DecoderConfig> {
    use Family::{
        Gemma, Gemma2, Gemma3, Glm4, Granite, HunYuanDense, Mistral, Olmo2, Phi3, Qwen2, Qwen3, SmolLm3,
    };
    let gemma = matches!(family, Gemma | Gemma2 | Gemma3);
    let (width, heads) = (fields.count("hidden_size")?, fields.count("num_attention_heads")?);
    let vocabulary = fields.count("vocab_size")?;
    let layers = layers(fields, "num_hidden_layers")?;
    let key_value_heads = fields.count_or("num_key_value_heads", heads)?;
    let default_head = match family {
        Gemma | Gemma2 | Gemma3 => 256,
        Qwen3 | Glm4 => 128,
        _ => width / heads,
    };
    let head_width = match family {
        HunYuanDense => fields.optional_count("attention_head_dim")?.unwrap_or(default_head),
        _ => default_head,
    };
    let head_width = fields.count_or("head_dim", head_width)?;
    let epsilon = match family {
        Olmo2 | HunYuanDense | Phi3 => 1e-5,
        Glm4 => 1.5625e-7,
        _ => 1e-6,
    };
    let maximum_positions = fields.count_or("max_position_embeddings", 2048)?;
    let attention_bias = match family {
        Qwen2 | Phi3 | Mistral => false,
        Glm4 => fields.flag("attention_bias", true)?,
        _ => fields.flag("attention_bias", false)?,
    };
    let mlp_bias = match family {
        Family::Llama | Granite | SmolLm3 => fields.flag("mlp_bias", false)?,
        _ => false,
    };
    let activation = match family {
        // Gemma was published with "gelu" but uses the approximation.
        Gemma => {
            let field =
                if fields.value("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
            match activation(fields, field, "gelu_pytorch_tanh")? {
                Activation::Gelu => Activation::GeluTanh,
                other => other,
            }
        }
        Gemma2 | Gemma3 => {
            fields.value("hidden_act");
            activation(fields, "hidden_activation", "gelu_pytorch_tanh")?
        }
        _ => activation(fields, "hidden_act", "silu")?,
    };
    let (ropes, rope_of_layer) = ropes(fields, family, (head_width, layers, maximum_positions))?;
    let windows = windows(fields, family, layers)?;
    let layers: Vec<Layer> = windows
        .into_iter()
        .zip(rope_of_layer)
        .map(|((window, sliding), rope)| Layer { window, rope: rope.map(|rope| rope.of(sliding)) })
        .collect();
    fields.refuse(&[
        "use_bidirectional_attention",
        "add_cross_attention",
        "quantization_config",
        "use_cla",
    ])?;
    if family == HunYuanDense && !fields.flag("use_qk_norm", true)? {
        return Err(fields.error("use_qk_norm", "false", "true, as in every published HunYuan"));
    }
    let softcap = |field: &str, default: f64| -> Result<Option<f32>> {
        let absent = (!fields.has(field)).then_some(default).filter(|_| family == Gemma2);
        Ok(fields.optional_number(field)?.or(absent).map(|cap| cap as f32))
    };
    let (attention_softcap, logits_softcap) = match family {
        Gemma2 => (softcap("attn_logit_softcapping", 50.0)?, softcap("final_logit_softcapping", 30.0)?),
        // `transformers` ignores the first for Gemma 3.
        Gemma3 => {
            fields.refuse(&["attn_logit_softcapping"])?;
            (None, softcap("final_logit_softcapping", 0.0)?)
        }
        _ => (None, None),
    };
    let attention_scale = match family {
        Gemma2 | Gemma3 => fields.positive("query_pre_attn_scalar", Some(256.0))?.powf(-0.5),
        Granite => fields.number_or("attention_multiplier", 1.0)?,
        _ => (head_width as f64).powf(-0.5),
    };
    let granite = |field: &str| if family == Granite { fields.positive(field, Some(1.0)) } else { Ok(1.0) };
    let config = DecoderConfig {
        family,
        vocabulary,
        width,
        layers,
        heads,
        key_value_heads,
        head_width,
        feed_forward: fields.count("intermediate_size")?,
        gated: true,
        activation,
        normalization: if gemma { Normalization::RmsPlusOne } else { Normalization::Rms },
        normalization_epsilon: fields.positive("rms_norm_eps", Some(epsilon))? as f32,
        normalization_place: match family {
            Olmo2 => NormalizationPlace::After,
            Gemma2 | Gemma3 | Glm4 => NormalizationPlace::Both,
            _ => NormalizationPlace::Before,
        },
        query_key_normalization: match family {
            Qwen3 | Gemma3 => Some(QueryKeyNormalization::HeadBeforeRotation),
            HunYuanDense => Some(QueryKeyNormalization::HeadAfterRotation),
            Olmo2 => Some(QueryKeyNormalization::WholeBeforeRotation),
            _ => None,
        },
        biases: Biases {
            query_key_value: attention_bias || family == Qwen2,
            attention_output: attention_bias && family != Glm4,
            feed_forward: mlp_bias,
        },
        ropes,
        learned_positions: false,
        maximum_positions,
        attention_scale: attention_scale as f32,
        attention_softcap,
        logits_softcap,
        embedding_scale: if gemma {
            (width as f64).sqrt() as f32
        } else {
            granite("embedding_multiplier")? as f32
        },
        residual_scale: granite("residual_multiplier")? as f32,
        logits_divisor: granite("logits_scaling")? as f32,
        tied: fields.flag("tie_word_embeddings", gemma || family == SmolLm3)?,
        transposed: false,
        beginning_of_text: token(fields, "bos_token_id", vocabulary)?,
        end_of_text: fields.tokens("eos_token_id")?,
    };
    fields.finish(INERT)?;
    check(fields, &config)?;
    Ok(config)
}

/// The attention window of each layer, and whether the layer is of the sliding kind.
fn windows(fields: &Fields<'_>, family: Family, layers: usize) -> Result<Vec<(Option<usize>, bool)>> {
    use Family::{Gemma2, Gemma3, Mistral, Phi3, Qwen2, Qwen3, SmolLm3};
    let all = |window: Option<usize>| vec![(window, false); layers];
    let window = match family {
        Mistral | Gemma2 | Gemma3 | Qwen2 | Qwen3 if !fields.has("sliding_window") => Some(4096),
        Mistral | Gemma2 | Gemma3 | Qwen2 | Qwen3 | Phi3 | SmolLm3 => {
            fields.optional_count("sliding_window")?
        }
        _ => return Ok(all(None)),
    };
    // Which layers slide if the file does not list them.
    let slides: Box<dyn Fn(usize) -> bool> = match family {
        Mistral | Phi3 => return Ok(all(window)),
        Gemma2 => Box::new(|layer| (layer + 1) % 2 != 0),
        Gemma3 => {
            let pattern = fields.count_or("sliding_window_pattern", 6)?;
            Box::new(move |layer| !(layer + 1).is_multiple_of(pattern))
        }
        SmolLm3 => {
            // Present in its files but unused by `transformers`.
            fields.value("max_window_layers");
            let used = fields.flag("use_sliding_window", false)? && window.is_some();
            let without = without_rope(fields, layers)?;
            Box::new(move |layer| used && without[layer])
        }
        _ => {
            let used = fields.flag("use_sliding_window", false)?;
            let first = fields.value("max_window_layers").and_then(Value::as_u64).unwrap_or(28);
            Box::new(move |layer| used && layer as u64 >= first)
        }
    };
    let used = match family {
        Qwen2 | Qwen3 | SmolLm3 => fields.flag("use_sliding_window", false)?,
        _ => true,
    };
    let Some(kinds) = fields.array("layer_types")? else {
        return Ok((0..layers).map(|layer| (window.filter(|_| slides(layer)), slides(layer))).collect());
    };
    if kinds.len() != layers {
        let got = format!("{} kinds", kinds.len());
        return Err(fields.error("layer_types", got, format!("one for each of the {layers} layers")));
    }
    kinds
        .iter()
        .map(|kind| match kind.as_str() {
            Some("full_attention") => Ok((None, false)),
            Some("sliding_attention") => Ok((window.filter(|_| used), true)),
            _ => Err(fields.error("layer_types", kind.to_string(), "full_attention or sliding_attention")),
        })
        .collect()
}

fn gpt2(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let (width, heads, layers) =
        (fields.count("n_embd")?, fields.count("n_head")?, layers(fields, "n_layer")?);
    let vocabulary = fields.count("vocab_size")?;
    let positions = fields.count_or("n_positions", 1024)?;
    fields.refuse(&["scale_attn_by_inverse_layer_idx", "add_cross_attention"])?;
    let mut config = DecoderConfig::llama(
        vocabulary,
        width,
        0,
        (heads, heads),
        fields.count_or("n_inner", width.saturating_mul(4))?,
        10_000.0,
    );
    config.family = Family::Gpt2;
    config.transposed = true;
    config.layers = vec![Layer { window: None, rope: None }; layers];
    config.ropes = Vec::new();
    config.gated = false;
    config.activation = activation(fields, "activation_function", "gelu_new")?;
    config.normalization = Normalization::Layer;
    config.normalization_epsilon = fields.positive("layer_norm_epsilon", Some(1e-5))? as f32;
    config.biases = Biases { query_key_value: true, attention_output: true, feed_forward: true };
    config.learned_positions = true;
    config.maximum_positions = positions;
    if !fields.flag("scale_attn_weights", true)? {
        config.attention_scale = 1.0;
    }
    config.tied = fields.flag("tie_word_embeddings", true)?;
    config.beginning_of_text = token(fields, "bos_token_id", vocabulary)?;
    config.end_of_text = fields.tokens("eos_token_id")?;
    fields.finish(INERT)?;
    check(fields, &config)?;
    Ok(config)
}

/// Fails for sizes that do not fit together, or that would not fit in memory.
fn check(fields: &Fields<'_>, config: &DecoderConfig) -> Result<()> {
    let DecoderConfig { width, heads, key_value_heads, head_width, .. } = *config;
    let limits = [
        ("hidden_size", width, 1 << 18),
        ("intermediate_size", config.feed_forward, 1 << 22),
        ("num_attention_heads", heads, 1 << 14),
        ("head_dim", head_width, 1 << 14),
    ];
    for (field, value, limit) in limits {
        if !(1..=limit).contains(&value) {
            return Err(fields.error(field, value.to_string(), format!("1 to {limit}")));
        }
    }
    if !heads.is_multiple_of(key_value_heads) {
        let expected = format!("a divisor of the {heads} query heads");
        return Err(fields.error("num_key_value_heads", key_value_heads.to_string(), expected));
    }
    if config.family == Family::Gpt2 && heads * head_width != width {
        return Err(fields.error("n_head", heads.to_string(), format!("a divisor of the width {width}")));
    }
    for rope in &config.ropes {
        if rope.dimensions == 0 || !rope.dimensions.is_multiple_of(2) || rope.dimensions > head_width {
            let got = format!("{} of {head_width} elements", rope.dimensions);
            return Err(fields.error("partial_rotary_factor", got, "an even number of elements of a head"));
        }
    }
    Ok(())
}
