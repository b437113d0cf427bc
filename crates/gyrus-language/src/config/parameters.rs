//! The tensors of a decoder: the role of each, its shape, and its name in Hugging Face's files.
//!
//! Every reader uses these names, so that the decoder, training and writers share one list.

/// The role of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `[vocabulary, width]`
    Embedding,
    /// `[maximum_positions, width]`
    PositionEmbedding,
    /// Normalizes the input of attention: `[width]`.
    BeforeAttention,
    /// `[heads * head_width, width]`
    Query,
    /// `[key_value_heads * head_width, width]`
    Key,
    /// `[key_value_heads * head_width, width]`
    Value,
    /// Query, key and value stacked in one tensor.
    QueryKeyValue,
    /// Normalizes queries.
    QueryNormalization,
    /// Normalizes keys.
    KeyNormalization,
    /// `[width, heads * head_width]`
    AttentionOutput,
    /// Normalizes the output of attention: `[width]`.
    AfterAttention,
    /// Normalizes the input of the feed-forward block: `[width]`.
    BeforeFeedForward,
    /// `[feed_forward, width]`
    Gate,
    /// `[feed_forward, width]`
    Up,
    /// Gate and up stacked in one tensor.
    GateUp,
    /// `[width, feed_forward]`
    Down,
    /// Normalizes the output of the feed-forward block: `[width]`.
    AfterFeedForward,
    /// Normalizes the residual stream after the last layer: `[width]`.
    FinalNormalization,
    /// `[vocabulary, width]`
    Head,
}

use Role::{
    AfterAttention, AfterFeedForward, AttentionOutput, BeforeAttention, BeforeFeedForward, Down, Embedding,
    FinalNormalization, Gate, GateUp, Head, Key, KeyNormalization, PositionEmbedding, Query, QueryKeyValue,
    QueryNormalization, Up, Value,
};

use crate::config::{DecoderConfig, Family, Normalization, NormalizationPlace, QueryKeyNormalization};

/// The roles within a layer, in order of use.
const LAYER: [Role; 15] = [
    BeforeAttention,
    Query,
    Key,
    Value,
    QueryKeyValue,
    QueryNormalization,
    KeyNormalization,
    AttentionOutput,
    AfterAttention,
    BeforeFeedForward,
    Gate,
    Up,
    GateUp,
    Down,
    AfterFeedForward,
];

/// One tensor of a decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its role.
    pub role: Role,
    /// Its layer; `None` for tensors outside the layers.
    pub layer: Option<usize>,
    /// Whether it is the bias rather than the weight of its role.
    pub bias: bool,
    /// Its name in Hugging Face's files.
    pub name: String,
    /// Its shape in Hugging Face's files: `[outputs, inputs]`, but `[inputs, outputs]` where `transposed`.
    pub shape: Vec<usize>,
    /// Whether it is stored transposed (GPT-2's linear layers).
    pub transposed: bool,
}

impl DecoderConfig {
    /// All tensors, in order of use, without a tied head.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let before = [Embedding, PositionEmbedding].map(|role| (role, None));
        let layers = (0..self.layers.len()).flat_map(|layer| LAYER.map(|role| (role, Some(layer))));
        let after = [FinalNormalization, Head].map(|role| (role, None));
        before
            .into_iter()
            .chain(layers)
            .chain(after)
            .flat_map(|(role, layer)| [self.parameter(role, layer, false), self.parameter(role, layer, true)])
            .flatten()
            .collect()
    }

    /// The weight or bias of a role, if this decoder has it.
    #[must_use]
    pub fn parameter(&self, role: Role, layer: Option<usize>, bias: bool) -> Option<Parameter> {
        if !self.has(role) || bias && !self.has_bias(role) {
            return None;
        }
        let (outputs, inputs) = self.extent(role);
        let matrix = inputs > 0;
        let transposed = self.transposed && matrix && !matches!(role, Embedding | PositionEmbedding | Head);
        let shape = match (matrix && !bias, transposed) {
            (false, _) => vec![outputs],
            (true, false) => vec![outputs, inputs],
            (true, true) => vec![inputs, outputs],
        };
        let suffix = if bias { "bias" } else { "weight" };
        let name = format!("{}.{suffix}", self.module(role, layer));
        Some(Parameter { role, layer, bias, name, shape, transposed: transposed && !bias })
    }

    fn has(&self, role: Role) -> bool {
        use NormalizationPlace::{After, Before};
        let fused_attention = matches!(self.family, Family::Phi3 | Family::Gpt2);
        let fused_gate = matches!(self.family, Family::Phi3 | Family::Glm4);
        match role {
            Embedding | AttentionOutput | Down | FinalNormalization => true,
            PositionEmbedding => self.learned_positions,
            BeforeAttention | BeforeFeedForward => self.normalization_place != After,
            AfterAttention | AfterFeedForward => self.normalization_place != Before,
            Query | Key | Value => !fused_attention,
            QueryKeyValue => fused_attention,
            QueryNormalization | KeyNormalization => self.query_key_normalization.is_some(),
            Gate => self.gated && !fused_gate,
            Up => !(self.gated && fused_gate),
            GateUp => self.gated && fused_gate,
            Head => !self.tied,
        }
    }

    fn has_bias(&self, role: Role) -> bool {
        match role {
            Embedding | PositionEmbedding | Head | QueryNormalization | KeyNormalization => false,
            BeforeAttention | AfterAttention | BeforeFeedForward | AfterFeedForward | FinalNormalization => {
                self.normalization == Normalization::Layer
            }
            Query | Key | Value | QueryKeyValue => self.biases.query_key_value,
            AttentionOutput => self.biases.attention_output,
            Gate | Up | GateUp | Down => self.biases.feed_forward,
        }
    }

    /// Outputs and inputs of a weight matrix; no inputs for a normalization.
    fn extent(&self, role: Role) -> (usize, usize) {
        let (queries, keys) = (self.query_width(), self.key_value_width());
        let whole = self.query_key_normalization == Some(QueryKeyNormalization::WholeBeforeRotation);
        match role {
            Embedding | Head => (self.vocabulary, self.width),
            PositionEmbedding => (self.maximum_positions, self.width),
            Query => (queries, self.width),
            Key | Value => (keys, self.width),
            QueryKeyValue => (queries + 2 * keys, self.width),
            QueryNormalization => (if whole { queries } else { self.head_width }, 0),
            KeyNormalization => (if whole { keys } else { self.head_width }, 0),
            AttentionOutput => (self.width, queries),
            Gate | Up => (self.feed_forward, self.width),
            GateUp => (2 * self.feed_forward, self.width),
            Down => (self.width, self.feed_forward),
            BeforeAttention | AfterAttention | BeforeFeedForward | AfterFeedForward | FinalNormalization => {
                (self.width, 0)
            }
        }
    }

    /// The module that holds the tensor, in Hugging Face's names.
    fn module(&self, role: Role, layer: Option<usize>) -> String {
        let gpt2 = self.family == Family::Gpt2;
        let whole = match role {
            Embedding if gpt2 => "transformer.wte",
            PositionEmbedding => "transformer.wpe",
            FinalNormalization if gpt2 => "transformer.ln_f",
            Embedding => "model.embed_tokens",
            FinalNormalization => "model.norm",
            Head => "lm_head",
            _ => {
                let stem = if gpt2 { "transformer.h" } else { "model.layers" };
                return format!("{stem}.{}.{}", layer.unwrap_or_default(), self.within_layer(role));
            }
        };
        whole.to_owned()
    }

    fn within_layer(&self, role: Role) -> &'static str {
        use Family::{Gemma2, Gemma3, Glm4, Gpt2, HunYuanDense};
        match (role, self.family) {
            (BeforeAttention, Gpt2) => "ln_1",
            (QueryKeyValue, Gpt2) => "attn.c_attn",
            (AttentionOutput, Gpt2) => "attn.c_proj",
            (BeforeFeedForward, Gpt2) => "ln_2",
            (Up, Gpt2) => "mlp.c_fc",
            (Down, Gpt2) => "mlp.c_proj",
            (QueryNormalization, HunYuanDense) => "self_attn.query_layernorm",
            (KeyNormalization, HunYuanDense) => "self_attn.key_layernorm",
            (AfterAttention, Glm4) => "post_self_attn_layernorm",
            (AfterFeedForward, Glm4) => "post_mlp_layernorm",
            (BeforeFeedForward, Gemma2 | Gemma3) => "pre_feedforward_layernorm",
            (BeforeAttention, _) => "input_layernorm",
            (Query, _) => "self_attn.q_proj",
            (Key, _) => "self_attn.k_proj",
            (Value, _) => "self_attn.v_proj",
            (QueryKeyValue, _) => "self_attn.qkv_proj",
            (QueryNormalization, _) => "self_attn.q_norm",
            (KeyNormalization, _) => "self_attn.k_norm",
            (AttentionOutput, _) => "self_attn.o_proj",
            // If the output of attention is normalized, this is its name; otherwise the same name means the input of the
            // feed-forward block.
            (AfterAttention | BeforeFeedForward, _) => "post_attention_layernorm",
            (Gate, _) => "mlp.gate_proj",
            (Up, _) => "mlp.up_proj",
            (GateUp, _) => "mlp.gate_up_proj",
            (Down, _) => "mlp.down_proj",
            (AfterFeedForward, _) => "post_feedforward_layernorm",
            (Embedding | PositionEmbedding | FinalNormalization | Head, _) => "",
        }
    }
}

impl Parameter {
    /// Its module: the name without `.weight`.
    #[must_use]
    pub fn module(&self) -> &str {
        self.name.strip_suffix(".weight").unwrap_or(&self.name)
    }

    /// Whether it is the weight of a linear layer inside a decoder layer, which adapters may change.
    #[must_use]
    pub fn can_be_adapted(&self) -> bool {
        !self.bias
            && matches!(
                self.role,
                Query | Key | Value | QueryKeyValue | AttentionOutput | Gate | Up | GateUp | Down
            )
    }

    /// Outputs and inputs of a weight matrix.
    #[must_use]
    pub fn outputs_and_inputs(&self) -> (usize, usize) {
        match (&self.shape[..], self.transposed) {
            (&[outputs, inputs], false) | (&[inputs, outputs], true) => (outputs, inputs),
            _ => (self.shape.iter().product(), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_llama_has_the_tensors_that_hugging_face_names() {
        let config = DecoderConfig::llama(32, 8, 1, (4, 2), 16, 10_000.0);
        let list: Vec<String> =
            config.parameters().iter().map(|p| format!("{} {:?}", p.name, p.shape)).collect();
        assert_eq!(
            list,
            [
                "model.embed_tokens.weight [32, 8]",
                "model.layers.0.input_layernorm.weight [8]",
                "model.layers.0.self_attn.q_proj.weight [8, 8]",
                "model.layers.0.self_attn.k_proj.weight [4, 8]",
                "model.layers.0.self_attn.v_proj.weight [4, 8]",
                "model.layers.0.self_attn.o_proj.weight [8, 8]",
                "model.layers.0.post_attention_layernorm.weight [8]",
                "model.layers.0.mlp.gate_proj.weight [16, 8]",
                "model.layers.0.mlp.up_proj.weight [16, 8]",
                "model.layers.0.mlp.down_proj.weight [8, 16]",
                "model.norm.weight [8]",
                "lm_head.weight [32, 8]",
            ]
        );
    }
}
