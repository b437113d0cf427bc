//! `adapter_config.json`: the supported part, and refusing the rest.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::{Error, Result};

/// The linear layers that are adapted by default, by the last part of their names: all inside decoder layers.
pub const DEFAULT_TARGETS: [&str; 12] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "qkv_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "gate_up_proj",
    "down_proj",
    "c_attn",
    "c_proj",
    "c_fc",
];

/// How an adapter was made.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// The name of the model that it was made for.
    pub base: Option<String>,
    /// Rank: rows of `A` and columns of `B`.
    pub rank: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Different alphas for some modules, by the end of their names.
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Whether the scale is `alpha / sqrt(rank)`.
    pub root_scaled: bool,
    /// Dropout of the adapter's inputs in training.
    pub dropout: f64,
    /// The adapted linear layers, by the end of their names; empty if the file uses a pattern.
    pub targets: Vec<String>,
    /// Whether weights are stored transposed in the model (GPT-2).
    pub transposed: bool,
}

/// Fields that change the result unless they are absent, null, false, empty or equal to the given value.
const REFUSED: [(&str, &str); 15] = [
    ("use_dora", ""),
    ("lora_bias", ""),
    ("bias", "none"),
    ("modules_to_save", ""),
    ("trainable_token_indices", ""),
    ("target_parameters", ""),
    ("layer_replication", ""),
    ("alora_invocation_tokens", ""),
    ("use_qalora", ""),
    ("megatron_config", ""),
    ("arrow_config", ""),
    ("use_bdlora", ""),
    ("velora_config", ""),
    ("kasa_config", ""),
    ("monteclora_config", ""),
];

/// Initializations that leave the model unchanged; others change its weights.
const HARMLESS_INITIALIZATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

impl AdapterConfig {
    /// Parses an `adapter_config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Mismatch`] if it is not a JSON object, [`gyrus_formats::Error::Field`] for a field that is
    /// invalid or unsupported.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| Error::mismatch(path, error.to_string(), "JSON"))?;
        let Some(fields) = value.as_object() else {
            return Err(Error::mismatch(path, "something else", "a JSON object"));
        };
        let get = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let kind = get("peft_type").and_then(Value::as_str).unwrap_or("nothing");
        if kind != "LORA" {
            return Err(Error::field(path, "peft_type", kind, "LORA"));
        }
        for (name, harmless) in REFUSED {
            let Some(value) = get(name) else { continue };
            let empty = match value {
                Value::Bool(value) => !value,
                Value::String(text) => text == harmless,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !empty {
                let expected = "nothing: Gyrus supports plain LoRA only";
                return Err(Error::field(path, name, value.to_string(), expected));
            }
        }
        match get("init_lora_weights") {
            None | Some(Value::Bool(_)) => {}
            Some(Value::String(name)) if HARMLESS_INITIALIZATIONS.contains(&name.as_str()) => {}
            Some(other) => {
                let expected =
                    "an initialization that leaves the model's weights unchanged: true, gaussian, eva";
                return Err(Error::field(path, "init_lora_weights", other.to_string(), expected));
            }
        }
        let number = |name: &str, default: f64| match get(name) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|number| (*number as f32).is_finite())
                .ok_or_else(|| Error::field(path, name, value.to_string(), "a number")),
        };
        let rank = get("r").map_or(Some(8), Value::as_u64).and_then(|rank| usize::try_from(rank).ok());
        let rank = rank.filter(|rank| (1..=super::MAXIMUM_RANK).contains(rank)).ok_or_else(|| {
            let got = fields.get("r").map(Value::to_string).unwrap_or_default();
            Error::field(path, "r", got, format!("a rank from 1 to {}", super::MAXIMUM_RANK))
        })?;
        let flag = |name: &str| match get(name) {
            None => Ok(false),
            Some(value) => {
                value.as_bool().ok_or_else(|| Error::field(path, name, value.to_string(), "true or false"))
            }
        };
        let mut alpha_pattern = BTreeMap::new();
        for (name, value) in get("alpha_pattern").and_then(Value::as_object).into_iter().flatten() {
            let field = format!("alpha_pattern.{name}");
            let alpha = value.as_f64().filter(|alpha| (*alpha as f32).is_finite());
            let alpha = alpha.ok_or_else(|| Error::field(path, &field, value.to_string(), "a number"))?;
            if name.contains(['*', '+', '?', '^', '$', '[', '(', '|', '\\', '{']) {
                return Err(Error::field(
                    path,
                    &field,
                    name,
                    "the end of a module's name, not a regular expression",
                ));
            }
            alpha_pattern.insert(name.clone(), alpha);
        }
        let targets = match get("target_modules") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            base: get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned),
            rank,
            alpha: number("lora_alpha", 8.0)?,
            alpha_pattern,
            root_scaled: flag("use_rslora")?,
            dropout: number("lora_dropout", 0.0)?,
            targets,
            transposed: flag("fan_in_fan_out")?,
        })
    }

    /// The content of the file, as PEFT reads it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base,
            "inference_mode": true,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "target_modules": self.targets,
            "use_rslora": self.root_scaled,
            "use_dora": false,
            "bias": "none",
            "fan_in_fan_out": self.transposed,
            "init_lora_weights": true,
            "modules_to_save": null,
            "layers_to_transform": null,
            "layers_pattern": null,
            "rank_pattern": {},
            "alpha_pattern": self.alpha_pattern,
        })
    }

    /// Factor of `B A` of a module.
    #[must_use]
    pub fn scale(&self, module: &str, rank: usize) -> f32 {
        let ends = |end: &str| module == end || module.ends_with(&format!(".{end}"));
        let alpha = self.alpha_pattern.iter().find(|(end, _)| ends(end)).map_or(self.alpha, |(_, a)| *a);
        let rank = rank as f64;
        (alpha / if self.root_scaled { rank.sqrt() } else { rank }) as f32
    }
}
