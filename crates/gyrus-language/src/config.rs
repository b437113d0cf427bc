//! The shape of a decoder as plain data: everything in which the families of language models differ.
//!
//! A decoder is a chain of layers that update a residual stream `x`, `[tokens, width]`:
//!
//! ```text
//! x = embedding(tokens) * embedding_scale (+ position embedding)
//! each layer:  x = x + residual_scale * after(attention(before(x)))
//!              x = x + residual_scale * after(feed_forward(before(x)))
//! logits = softcap(head(normalization(x)) / logits_divisor)
//! ```
//!
//! where `before` and `after` are normalizations or the identity ([`NormalizationPlace`]).
//! [`DecoderConfig::from_hugging_face`] reads Hugging Face's `config.json` and refuses what it does not know instead of
//! computing something else; [`DecoderConfig::parameters`] lists the tensors of such a model under Hugging Face's names.

mod fields;
mod huggingface;
mod parameters;
pub(crate) mod rope;
mod rope_fields;
mod weights;
mod written;

use gyrus_kernels::token::activation::FeedForwardActivation;
pub use parameters::{Parameter, Role};
pub use rope::{Rope, RopeScaling};

/// A family of published models; it determines the names of the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 2 and 3, SmolLM 1 and 2, TinyLlama, Yi, llama2.c.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3 (dense).
    Qwen3,
    /// Tencent's HunYuan, dense.
    HunYuanDense,
    /// SmolLM3.
    SmolLm3,
    /// OLMo 2.
    Olmo2,
    /// Gemma 1.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3 (text only).
    Gemma3,
    /// Phi-3, Phi-3.5 and Phi-4 (mini).
    Phi3,
    /// Granite (dense).
    Granite,
    /// GLM-4 (0414).
    Glm4,
    /// GPT-2.
    Gpt2,
}

/// The kind of normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// `w * x / sqrt(mean(x²) + epsilon)` (Zhang and Sennrich 2019).
    Rms,
    /// `(1 + w) * x / sqrt(mean(x²) + epsilon)`, as in Gemma.
    RmsPlusOne,
    /// `w * (x - mean) / sqrt(variance + epsilon) + b`.
    Layer,
}

/// Where attention and feed-forward blocks are normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalizationPlace {
    /// Their input.
    Before,
    /// Their output, before it is added to the residual stream.
    After,
    /// Both.
    Both,
}

/// Root-mean-square normalization of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKeyNormalization {
    /// Each head, before the rotation.
    HeadBeforeRotation,
    /// Each head, after the rotation.
    HeadAfterRotation,
    /// All heads together, before the rotation.
    WholeBeforeRotation,
}

/// The nonlinearity of the feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`
    Silu,
    /// Exact GELU.
    Gelu,
    /// GELU, tanh approximation.
    GeluTanh,
}

impl From<Activation> for FeedForwardActivation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::GeluTanh => Self::GeluTanh,
        }
    }
}

/// Which linear layers have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub query_key_value: bool,
    /// The attention output.
    pub attention_output: bool,
    /// All linear layers of the feed-forward block.
    pub feed_forward: bool,
}

/// What differs between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// How many positions a token attends to, itself included; `None` means all.
    pub window: Option<usize>,
    /// The index in [`DecoderConfig::ropes`] of the rotary embedding; `None` means no rotation.
    pub rope: Option<usize>,
}

/// The shape of a decoder. The module's documentation has the equations.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// The family, which determines the names of the tensors.
    pub family: Family,
    /// Size of the vocabulary.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / key_value_heads` query heads.
    pub key_value_heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Inner width of the feed-forward block.
    pub feed_forward: usize,
    /// Whether the feed-forward block is `down(f(gate(x)) * up(x))` rather than `down(f(up(x)))`.
    pub gated: bool,
    /// `f` in the feed-forward block.
    pub activation: Activation,
    /// The kind of normalization.
    pub normalization: Normalization,
    /// The epsilon under the square root of every normalization.
    pub normalization_epsilon: f32,
    /// Where the blocks are normalized.
    pub normalization_place: NormalizationPlace,
    /// Whether and how queries and keys are normalized, by root mean square.
    pub query_key_normalization: Option<QueryKeyNormalization>,
    /// Which linear layers have a bias.
    pub biases: Biases,
    /// The rotary embeddings that layers choose from.
    pub ropes: Vec<Rope>,
    /// Whether a learned position embedding is added to the token embedding (GPT-2).
    pub learned_positions: bool,
    /// Positions that the model was built for; learned positions end there.
    pub maximum_positions: usize,
    /// Factor of the attention scores `query · key`.
    pub attention_scale: f32,
    /// `c` in `c * tanh(score / c)`.
    pub attention_softcap: Option<f32>,
    /// `c` in `c * tanh(logit / c)`.
    pub logits_softcap: Option<f32>,
    /// Factor of the embedding.
    pub embedding_scale: f32,
    /// Factor of what attention and feed-forward blocks add to the residual stream.
    pub residual_scale: f32,
    /// Divisor of the logits.
    pub logits_divisor: f32,
    /// Whether the head shares the embedding's weights.
    pub tied: bool,
    /// Whether linear layers inside the layers are stored as `[inputs, outputs]` (GPT-2's Hugging Face files).
    pub transposed: bool,
    /// The token that a text begins with.
    pub beginning_of_text: Option<u32>,
    /// The tokens that end a text.
    pub end_of_text: Vec<u32>,
}

impl DecoderConfig {
    /// A Llama of this shape with full attention, plain rotary embedding with base `theta` and no end-of-text token; change
    /// fields as needed.
    #[must_use]
    pub fn llama(
        vocabulary: usize,
        width: usize,
        layers: usize,
        (heads, key_value_heads): (usize, usize),
        feed_forward: usize,
        theta: f64,
    ) -> Self {
        let head_width = width / heads.max(1);
        Self {
            family: Family::Llama,
            vocabulary,
            width,
            layers: vec![Layer { window: None, rope: Some(0) }; layers],
            heads,
            key_value_heads,
            head_width,
            feed_forward,
            gated: true,
            activation: Activation::Silu,
            normalization: Normalization::Rms,
            normalization_epsilon: 1e-5,
            normalization_place: NormalizationPlace::Before,
            query_key_normalization: None,
            biases: Biases::default(),
            ropes: vec![Rope::plain(theta, head_width)],
            learned_positions: false,
            maximum_positions: 2048,
            attention_scale: 1.0 / (head_width as f32).sqrt(),
            attention_softcap: None,
            logits_softcap: None,
            embedding_scale: 1.0,
            residual_scale: 1.0,
            logits_divisor: 1.0,
            tied: false,
            transposed: false,
            beginning_of_text: None,
            end_of_text: Vec::new(),
        }
    }

    /// Width of all query heads together.
    #[must_use]
    pub fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Width of all key heads together; the value heads have the same.
    #[must_use]
    pub fn key_value_width(&self) -> usize {
        self.key_value_heads * self.head_width
    }
}
