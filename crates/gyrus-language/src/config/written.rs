//! Writes a decoder's shape as the `config.json` of Python's `transformers`.

use serde_json::{Value, json};

use super::{Biases, DecoderConfig, Family, Layer, RopeScaling};
use crate::{Error, Result};

impl DecoderConfig {
    /// This decoder as a `config.json` of `transformers`, for the families Llama, Qwen2 and Qwen3. `transformers` rotates
    /// halves, whatever [`crate::Rope::interleaved`] says.
    ///
    /// # Errors
    /// [`Error::Request`] if such a file cannot express the decoder.
    pub fn to_hugging_face(&self) -> Result<Value> {
        let refuse =
            |got: String| Error::request("decoder", got, "one that Llama, Qwen2 or Qwen3 can express");
        let (kind, class) = match self.family {
            Family::Llama => ("llama", "LlamaForCausalLM"),
            Family::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Family::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            other => return Err(refuse(format!("the family {other:?}"))),
        };
        let biases = match self.family {
            Family::Qwen2 => Biases { query_key_value: true, ..Biases::default() },
            _ => Biases { query_key_value: self.biases.attention_output, ..self.biases },
        };
        let plain = Layer { window: None, rope: Some(0) };
        let expressible = biases == self.biases
            && self.layers.iter().all(|layer| *layer == plain)
            && self.ropes.len() == 1
            && self.embedding_scale == 1.0
            && self.residual_scale == 1.0
            && self.logits_divisor == 1.0
            && self.attention_softcap.is_none()
            && self.logits_softcap.is_none();
        if !expressible {
            return Err(refuse(format!("a {:?} with parts of other families", self.family)));
        }
        let rope = &self.ropes[0];
        let mut parameters = json!({"rope_theta": rope.theta, "rope_type": "default"});
        match &rope.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => {
                parameters["rope_type"] = json!("linear");
                parameters["factor"] = json!(factor);
            }
            RopeScaling::Llama3 { factor, low, high, original_positions } => {
                parameters["rope_type"] = json!("llama3");
                parameters["factor"] = json!(factor);
                parameters["low_freq_factor"] = json!(low);
                parameters["high_freq_factor"] = json!(high);
                parameters["original_max_position_embeddings"] = json!(original_positions);
            }
            other => return Err(refuse(format!("RoPE scaling {other:?}"))),
        }
        if rope.dimensions != self.head_width {
            return Err(refuse("partially rotated heads".to_owned()));
        }
        let ends = match &self.end_of_text[..] {
            [] => Value::Null,
            [end] => json!(end),
            several => json!(several),
        };
        let mut config = json!({
            "architectures": [class],
            "model_type": kind,
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.feed_forward,
            "num_hidden_layers": self.layers.len(),
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "max_position_embeddings": self.maximum_positions,
            // The shortest digits that round-trip a 32-bit float, so "1e-5" stays as it is.
            "rms_norm_eps": format!("{:e}", self.normalization_epsilon).parse::<f64>().unwrap_or_default(),
            "rope_theta": rope.theta,
            "rope_parameters": parameters,
            "tie_word_embeddings": self.tied,
            "bos_token_id": self.beginning_of_text,
            "eos_token_id": ends,
            "dtype": "float32",
        });
        if self.family != Family::Qwen2 {
            config["attention_bias"] = json!(self.biases.query_key_value);
        }
        if self.family == Family::Llama {
            config["mlp_bias"] = json!(self.biases.feed_forward);
        }
        Ok(config)
    }
}
