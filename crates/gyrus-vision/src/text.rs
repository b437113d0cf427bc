//! The text towers of CLIP (Radford et al. 2021, arXiv:2103.00020) and SigLIP (Zhai et al. 2023, arXiv:2303.15343), with the
//! names of transformers: a text becomes a vector beside that of a picture, so that names of classes can be compared with
//! pictures that no one labeled.
//!
//! Both are transformers that normalize before attention and before the hidden layer. In CLIP a token sees those before it, and
//! the end token speaks for the text; in SigLIP every token sees every other, the text is filled up to its full length, and the
//! last place speaks.

use std::path::Path;

use gyrus_formats::Tensor;
use gyrus_kernels::attention::causal::{CausalAttention, causal_attention};
use gyrus_kernels::attention::encoder::{EncoderAttention, encoder_attention};
use gyrus_kernels::dense::elementwise::{Activation, activation_in_place, add};
use gyrus_kernels::dense::linear::linear;
use gyrus_kernels::normalization::layer::layer_norm;
use gyrus_kernels::token::activation::{FeedForwardActivation, activate};
use serde_json::Value;

use crate::checkpoint::Tensors;
use crate::{Error, Result, config};

/// Which of the two a tower is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Causal attention; probabilities by a softmax over the labels.
    Clip,
    /// Attention to all; each label has a probability of its own.
    Siglip,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "CLIP",
            Self::Siglip => "SigLIP",
        }
    }
}

/// A layer's matrix and bias.
struct Linear {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    outputs: usize,
}

/// Factors and summands of a normalization.
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

struct Block {
    norms: [Norm; 2],
    query_key_value: Linear,
    out: Linear,
    hidden: [Linear; 2],
}

/// A text tower.
pub struct TextTower {
    kind: Kind,
    width: usize,
    heads: usize,
    epsilon: f32,
    activation: TextActivation,
    /// The token that ends a text; 2 stands for the largest of each text, as CLIP's first configurations had it.
    end: u32,
    words: Tensor,
    /// `[context, width]`
    positions: Vec<f32>,
    blocks: Vec<Block>,
    last: Norm,
    projection: Linear,
    scale: f32,
    bias: f32,
}

#[derive(Clone, Copy, Debug)]
enum TextActivation {
    Plain(Activation),
    Tanh,
}

/// SigLIP's filling token, unless a configuration says.
const FILLING: u32 = 1;
const LEGACY_END: u64 = 2;
/// Names of a tower's tensors begin with this.
const PREFIX: &str = "text_model.";
/// Heads of published towers are this wide.
const HEAD_WIDTH: usize = 64;

impl TextTower {
    /// Of a folder with a model of both towers.
    ///
    /// # Errors
    /// [`Error::Tensors`] for tensors that are missing or misshapen, [`Error::Field`] for a configuration that is wrong.
    pub fn open(folder: &Path) -> Result<Self> {
        let tensors = Tensors::read(folder)?;
        let path = folder.join("config.json");
        let config = if path.is_file() { config::json(&path)? } else { Value::Null };
        let kind = if tensors.has("logit_bias") { Kind::Siglip } else { Kind::Clip };
        let family = match kind {
            Kind::Clip => "CLIP text tower",
            Kind::Siglip => "SigLIP text tower",
        };
        let mut reader = Reader { tensors: &tensors, missing: Vec::new(), misshapen: Vec::new() };
        let words = format!("{PREFIX}embeddings.token_embedding.weight");
        let shape = tensors.shape(&words).map(<[usize]>::to_vec).unwrap_or_default();
        let &[_, width] = &shape[..] else {
            return Err(missing(&tensors, family, vec![words]));
        };
        let text = config.get("text_config").unwrap_or(&Value::Null);
        let whole = |name: &str| text.get(name).and_then(Value::as_u64);
        let heads = whole("num_attention_heads").map_or((width / HEAD_WIDTH).max(1), |heads| heads as usize);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::Field {
                path,
                field: "text_config.num_attention_heads".to_owned(),
                got: heads.to_string(),
                expected: format!("a divisor of the width {width}"),
            });
        }
        let usual = if kind == Kind::Clip { "quick_gelu" } else { "gelu_pytorch_tanh" };
        let activation = match text.get("hidden_act").and_then(Value::as_str).unwrap_or(usual) {
            "quick_gelu" => TextActivation::Plain(Activation::QuickGelu),
            "gelu" => TextActivation::Plain(Activation::Gelu),
            "gelu_pytorch_tanh" => TextActivation::Tanh,
            other => {
                return Err(Error::Field {
                    path,
                    field: "text_config.hidden_act".to_owned(),
                    got: other.to_owned(),
                    expected: "quick_gelu, gelu or gelu_pytorch_tanh".to_owned(),
                });
            }
        };
        let epsilon = text.get("layer_norm_eps").and_then(Value::as_f64);
        let epsilon = epsilon.unwrap_or(if kind == Kind::Clip { 1e-5 } else { 1e-6 }) as f32;
        let depth = tensors.count(&format!("{PREFIX}encoder.layers."), ".layer_norm1.weight");
        let blocks = (0..depth).map(|block| reader.block(&format!("{PREFIX}encoder.layers.{block}."), width));
        let blocks: Vec<Block> = blocks.collect();
        let last = reader.norm(&format!("{PREFIX}final_layer_norm"), width);
        let projection = match kind {
            Kind::Clip => reader.linear("text_projection", width, false),
            Kind::Siglip => reader.linear(&format!("{PREFIX}head"), width, true),
        };
        let places = format!("{PREFIX}embeddings.position_embedding.weight");
        let context = tensors.extent(&places, 0).unwrap_or(1);
        let positions = reader.floats(&places, &[context, width]);
        let scale = reader.floats("logit_scale", &[]).first().copied().unwrap_or_default().exp();
        let bias = match kind {
            Kind::Clip => 0.0,
            Kind::Siglip => reader.floats("logit_bias", &[]).first().copied().unwrap_or_default(),
        };
        let Reader { missing: absent, misshapen, .. } = reader;
        if !absent.is_empty() || !misshapen.is_empty() || depth == 0 {
            let missing = if depth == 0 {
                vec![format!("{PREFIX}encoder.layers.0.layer_norm1.weight")]
            } else {
                absent
            };
            let path = tensors.path().to_owned();
            return Err(Error::Tensors { path, family, missing, extra: Vec::new(), misshapen });
        }
        let end = whole("eos_token_id").unwrap_or(LEGACY_END) as u32;
        let words = tensors.get(&words).cloned().ok_or_else(|| missing(&tensors, family, vec![words]))?;
        Ok(Self {
            kind,
            width,
            heads,
            epsilon,
            activation,
            end,
            words,
            positions,
            blocks,
            last,
            projection,
            scale,
            bias,
        })
    }

    /// Which tower it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The most tokens of a text.
    #[must_use]
    pub fn context(&self) -> usize {
        self.positions.len() / self.width.max(1)
    }

    /// Length of a text's vector.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.projection.outputs
    }

    /// What a cosine of 1 adds to a label's score, and what every score has.
    #[must_use]
    pub fn scale_and_bias(&self) -> (f32, f32) {
        (self.scale, self.bias)
    }

    /// The vector of a text, of length 1. Tokens include those at the beginning and at the end that the vocabulary has; a text
    /// that is too long is cut, and its last token kept.
    ///
    /// # Errors
    /// [`Error::Setting`] for no token, or one beyond the vocabulary.
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let (place, tokens) = self.fitted(tokens)?;
        let (count, width) = (tokens.len(), self.width);
        let mut x = vec![0.0; count * width];
        for (row, token) in x.chunks_exact_mut(width).zip(&tokens) {
            self.words.row(*token as usize, row);
        }
        x.iter_mut().zip(&self.positions).for_each(|(x, position)| *x += position);
        for block in &self.blocks {
            let normal = self.normal(&block.norms[0], &x);
            let parts = block.query_key_value.of(&normal);
            let mut mixed = vec![0.0; count * width];
            self.attention(&parts, count, &mut mixed);
            let out = block.out.of(&mixed);
            let mut sum = vec![0.0; x.len()];
            add(&x, &out, &mut sum);
            let mut hidden = block.hidden[0].of(&self.normal(&block.norms[1], &sum));
            match self.activation {
                TextActivation::Plain(f) => activation_in_place(f, &mut hidden),
                TextActivation::Tanh => activate(FeedForwardActivation::GeluTanh, &mut hidden),
            }
            add(&sum, &block.hidden[1].of(&hidden), &mut x);
        }
        let normal = self.normal(&self.last, &x);
        let mut vector = self.projection.of(&normal[place * width..(place + 1) * width]);
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|value| *value /= length);
        Ok(vector)
    }

    /// The tokens that are read, and which of them speaks for the text.
    fn fitted(&self, tokens: &[u32]) -> Result<(usize, Vec<u32>)> {
        let vocabulary = self.words.rows();
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            let (setting, got) = ("the token", token.to_string());
            return Err(Error::Setting { setting, got, expected: "one of the tower's vocabulary" });
        }
        let Some(&last) = tokens.last() else {
            let (setting, got) = ("the text", "empty".to_owned());
            return Err(Error::Setting { setting, got, expected: "at least one token" });
        };
        let context = self.context();
        let mut tokens = tokens.to_vec();
        if tokens.len() > context {
            tokens.truncate(context.saturating_sub(1));
            tokens.push(last);
        }
        match self.kind {
            Kind::Clip => {
                let end = match u64::from(self.end) {
                    LEGACY_END => tokens.iter().copied().max().unwrap_or(last),
                    _ => self.end,
                };
                let place = tokens.iter().position(|token| *token == end).unwrap_or(0);
                // What comes after is never looked at.
                tokens.truncate(place + 1);
                Ok((place, tokens))
            }
            Kind::Siglip => {
                tokens.resize(context, FILLING);
                Ok((context - 1, tokens))
            }
        }
    }

    fn attention(&self, parts: &[f32], count: usize, out: &mut [f32]) {
        let head_width = self.width / self.heads;
        let scale = 1.0 / (head_width as f32).sqrt();
        match self.kind {
            Kind::Clip => {
                let (heads, key_value_heads, softcap, window) = (self.heads, self.heads, None, None);
                let shape = CausalAttention { heads, key_value_heads, head_width, scale, softcap, window };
                let mut logarithms = vec![0.0; self.heads * count];
                causal_attention(&shape, &[count], None, parts, out, &mut logarithms);
            }
            Kind::Siglip => {
                let shape = EncoderAttention { heads: self.heads, head_width, scale };
                encoder_attention(&shape, &[count], parts, out);
            }
        }
    }

    fn normal(&self, norm: &Norm, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        layer_norm(x, &norm.weight, &norm.bias, self.epsilon, &mut y);
        y
    }
}

impl Linear {
    fn of(&self, x: &[f32]) -> Vec<f32> {
        let inputs = self.weight.len() / self.outputs.max(1);
        let rows = x.len() / inputs.max(1);
        let mut y = vec![0.0; rows * self.outputs];
        linear(x, &self.weight, self.bias.as_deref(), false, (rows, inputs, self.outputs), &mut y);
        y
    }
}

fn missing(tensors: &Tensors, family: &'static str, missing: Vec<String>) -> Error {
    let path = tensors.path().to_owned();
    Error::Tensors { path, family, missing, extra: Vec::new(), misshapen: Vec::new() }
}

/// Reads parts and remembers what does not fit.
struct Reader<'a> {
    tensors: &'a Tensors,
    missing: Vec<String>,
    misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Reader<'_> {
    /// The numbers of a tensor; axes of length 1 say nothing.
    fn floats(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let Some(tensor) = self.tensors.get(name) else {
            self.missing.push(name.to_owned());
            return vec![0.0; shape.iter().product()];
        };
        let squeezed =
            |shape: &[usize]| shape.iter().copied().filter(|extent| *extent != 1).collect::<Vec<_>>();
        if squeezed(tensor.shape()) != squeezed(shape) {
            self.misshapen.push((name.to_owned(), tensor.shape().to_vec(), shape.to_vec()));
            return vec![0.0; shape.iter().product()];
        }
        tensor.floats()
    }

    fn norm(&mut self, name: &str, width: usize) -> Norm {
        let mut part = |part: &str| self.floats(&format!("{name}.{part}"), &[width]);
        Norm { weight: part("weight"), bias: part("bias") }
    }

    fn linear(&mut self, name: &str, inputs: usize, biased: bool) -> Linear {
        let stored = format!("{name}.weight");
        let outputs = self.tensors.extent(&stored, 0).unwrap_or(inputs);
        let weight = self.floats(&stored, &[outputs, inputs]);
        let bias = biased.then(|| self.floats(&format!("{name}.bias"), &[outputs]));
        Linear { weight, bias, outputs }
    }

    fn block(&mut self, prefix: &str, width: usize) -> Block {
        let name = |part: &str| format!("{prefix}{part}");
        let mut query_key_value = Linear { weight: Vec::new(), bias: Some(Vec::new()), outputs: 3 * width };
        for part in ["q_proj", "k_proj", "v_proj"] {
            let stored = name(&format!("self_attn.{part}"));
            query_key_value.weight.extend(self.floats(&format!("{stored}.weight"), &[width, width]));
            if let Some(bias) = &mut query_key_value.bias {
                bias.extend(self.floats(&format!("{stored}.bias"), &[width]));
            }
        }
        let widen = self.linear(&name("mlp.fc1"), width, true);
        let inner = widen.outputs;
        let narrow = self.linear(&name("mlp.fc2"), inner, true);
        let out = self.linear(&name("self_attn.out_proj"), width, true);
        for (part, linear) in [("mlp.fc2", &narrow), ("self_attn.out_proj", &out)] {
            if linear.outputs != width {
                let (got, needed) = (vec![linear.outputs, inner], vec![width, inner]);
                self.misshapen.push((name(&format!("{part}.weight")), got, needed));
            }
        }
        Block {
            norms: [self.norm(&name("layer_norm1"), width), self.norm(&name("layer_norm2"), width)],
            query_key_value,
            out,
            hidden: [widen, narrow],
        }
    }
}
