//! Encoders of the BERT family (Devlin et al. 2019; RoBERTa, Liu et al. 2019; MiniLM, Wang et al. 2020): every token attends
//! to every other, and each becomes a vector.
//!
//! ```text
//! x = normalize(word(token) + position(place) + type(0))
//! each layer:  x = normalize(x + output(attention(x)))
//!              x = normalize(x + down(gelu(up(x))))
//! ```
//!
//! Batches are packed, not padded, so only real tokens are computed. Cost: `2 * parameters` operations per token without the
//! embeddings, plus `4 * width` for each pair of tokens of a sequence in each layer. The weights are 32-bit floats in the
//! order that the kernels use.

mod sentence;

use std::path::Path;

use gyrus_formats::{Checkpoint, Tensor};
use gyrus_kernels::attention::encoder::{EncoderAttention, encoder_attention};
use gyrus_kernels::attention::maps::encoder_attention_maps;
use gyrus_kernels::dense::elementwise::{self, add};
use gyrus_kernels::dense::linear::{linear_packed, pack, packed_len};
use gyrus_kernels::normalization::layer::layer_norm;
pub use sentence::{SentenceEncoder, SentencePooling};
use serde::Deserialize;

use crate::{Error, Observation, Result};

/// The shape of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Size of the vocabulary.
    pub vocabulary: usize,
    /// Width of a token's vector.
    pub width: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of heads, a divisor of the width.
    pub heads: usize,
    /// Inner width of the feed-forward block.
    pub feed_forward: usize,
    /// The nonlinearity of the feed-forward block.
    pub activation: elementwise::Activation,
    /// Added to variances in normalizations.
    pub epsilon: f32,
    /// Rows of the position embedding.
    pub positions: usize,
    /// The row of the first token; RoBERTa counts from after its padding token.
    pub first_position: usize,
    /// Rows of the token type embedding, of which the first is used.
    pub types: usize,
}

/// The relevant fields of Hugging Face's `config.json`.
#[derive(Deserialize)]
struct Fields {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "epsilon")]
    layer_norm_eps: f32,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn epsilon() -> f32 {
    1e-12
}

impl EncoderConfig {
    /// Reads Hugging Face's `config.json`.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Io`]; [`gyrus_formats::Error::Field`] for another kind of model or an unsupported value.
    pub fn from_hugging_face(path: &Path) -> Result<Self> {
        let text = crate::small::read_small(path)?;
        let fields: Fields = serde_json::from_slice(&text)
            .map_err(|error| Error::mismatch(path, error.to_string(), "the config.json of an encoder"))?;
        let wrong = |field: &str, got: String, expected: &str| Err(Error::field(path, field, got, expected));
        let first_position = match (fields.model_type.as_str(), fields.pad_token_id) {
            ("bert", _) => 0,
            (kind, pad) if LIKE_ROBERTA.contains(&kind) => pad.unwrap_or(1).saturating_add(1),
            (other, _) => {
                return wrong(
                    "model_type",
                    format!("\"{other}\""),
                    "\"bert\", \"roberta\" or \"xlm-roberta\"",
                );
            }
        };
        let activation = match fields.hidden_act.as_str() {
            "gelu" => elementwise::Activation::Gelu,
            "relu" => elementwise::Activation::Relu,
            other => return wrong("hidden_act", format!("\"{other}\""), "\"gelu\" or \"relu\""),
        };
        if let Some(other) = fields.position_embedding_type.filter(|kind| kind != "absolute") {
            return wrong("position_embedding_type", format!("\"{other}\""), "\"absolute\"");
        }
        if fields.is_decoder {
            return wrong("is_decoder", "true".to_owned(), "false");
        }
        let sizes = [
            ("vocab_size", fields.vocab_size),
            ("hidden_size", fields.hidden_size),
            ("num_hidden_layers", fields.num_hidden_layers),
            ("num_attention_heads", fields.num_attention_heads),
            ("intermediate_size", fields.intermediate_size),
            ("type_vocab_size", fields.type_vocab_size),
        ];
        if let Some((field, size)) = sizes.iter().find(|(_, size)| !(1..=MOST).contains(size)) {
            return wrong(field, size.to_string(), "an integer from 1 to 16,777,216");
        }
        if !fields.hidden_size.is_multiple_of(fields.num_attention_heads) {
            let expected = format!("a divisor of hidden_size, which is {}", fields.hidden_size);
            return wrong("num_attention_heads", fields.num_attention_heads.to_string(), &expected);
        }
        if fields.max_position_embeddings <= first_position || fields.max_position_embeddings > MOST {
            let expected = format!("more than {first_position}, at most 16,777,216");
            return wrong("max_position_embeddings", fields.max_position_embeddings.to_string(), &expected);
        }
        if !(fields.layer_norm_eps >= 0.0 && fields.layer_norm_eps.is_finite()) {
            return wrong("layer_norm_eps", fields.layer_norm_eps.to_string(), "a number of at least 0");
        }
        Ok(Self {
            vocabulary: fields.vocab_size,
            width: fields.hidden_size,
            layers: fields.num_hidden_layers,
            heads: fields.num_attention_heads,
            feed_forward: fields.intermediate_size,
            activation,
            epsilon: fields.layer_norm_eps,
            positions: fields.max_position_embeddings,
            first_position,
            types: fields.type_vocab_size,
        })
    }

    /// Whether this `model_type` of a `config.json` is an encoder's.
    #[must_use]
    pub fn knows(model_type: &str) -> bool {
        model_type == "bert" || LIKE_ROBERTA.contains(&model_type)
    }

    /// The most tokens that a sequence may have.
    #[must_use]
    pub fn longest_text(&self) -> usize {
        self.positions - self.first_position
    }
}

/// Kinds of encoders whose positions begin after their padding token.
const LIKE_ROBERTA: [&str; 3] = ["roberta", "xlm-roberta", "camembert"];
/// The largest size that a field may have.
const MOST: usize = 1 << 24;

/// A linear layer: weights `[outputs, inputs]`, packed for the kernels, and a bias.
#[derive(Debug)]
struct PackedLinear {
    packed: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl PackedLinear {
    /// `y = x wᵀ + b`
    fn run(&self, x: &[f32], y: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.bias.len());
        linear_packed(x, &self.packed, Some(&self.bias), false, (x.len() / inputs, inputs, outputs), y);
    }
}

#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    query_key_value: PackedLinear,
    attention_output: PackedLinear,
    attention_norm: Norm,
    up: PackedLinear,
    down: PackedLinear,
    norm: Norm,
}

/// An encoder with its weights.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    words: Tensor,
    /// Positions with the first token type added, `[positions, width]`.
    places: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

/// Buffers of a pass, to be reused.
#[derive(Debug, Default)]
pub struct EncoderMemory {
    wide: Vec<f32>,
    blended: Vec<f32>,
    sum: Vec<f32>,
}

impl Encoder {
    /// Builds an encoder from tensors under Hugging Face's names, with or without the name of the outermost module.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] for a tensor that is missing or has another shape.
    pub fn new(config: EncoderConfig, mut checkpoint: Checkpoint) -> Result<Self> {
        let prefix = ["", "bert.", "roberta."]
            .into_iter()
            .find(|prefix| checkpoint.tensors().contains_key(&format!("{prefix}{WORDS}")))
            .unwrap_or("");
        let (width, ff) = (config.width, config.feed_forward);
        let mut reader = Reader { checkpoint: &mut checkpoint, prefix };
        let words = reader.take(WORDS, &[config.vocabulary, width])?;
        let mut places =
            reader.floats("embeddings.position_embeddings.weight", &[config.positions, width])?;
        let types = reader.floats("embeddings.token_type_embeddings.weight", &[config.types, width])?;
        for place in places.chunks_exact_mut(width) {
            place.iter_mut().zip(&types).for_each(|(place, kind)| *place += kind);
        }
        let norm = reader.norm("embeddings.LayerNorm", width)?;
        let layer = |index| {
            let of = |part: &str| format!("encoder.layer.{index}.{part}");
            let parts = ["query", "key", "value"].map(|part| of(&format!("attention.self.{part}")));
            Ok(Layer {
                query_key_value: reader.linear(&parts, width, width)?,
                attention_output: reader.linear(&[of("attention.output.dense")], width, width)?,
                attention_norm: reader.norm(&of("attention.output.LayerNorm"), width)?,
                up: reader.linear(&[of("intermediate.dense")], width, ff)?,
                down: reader.linear(&[of("output.dense")], ff, width)?,
                norm: reader.norm(&of("output.LayerNorm"), width)?,
            })
        };
        let layers = (0..config.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { config, words, places, norm, layers })
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Its number of parameters.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let EncoderConfig { vocabulary, width, layers, feed_forward, positions, types, .. } = self.config;
        let linear = |inputs: usize, outputs: usize| (inputs + 1) * outputs;
        let layer =
            4 * linear(width, width) + linear(width, feed_forward) + linear(feed_forward, width) + 4 * width;
        (vocabulary + positions + types + 2) * width + layers * layer
    }

    /// The output vectors of all tokens of some sequences, `[tokens, width]`, one sequence after another.
    ///
    /// # Errors
    /// [`Error::Request`] for a token outside the vocabulary, or a sequence that is too long.
    pub fn run(&self, texts: &[&[u32]], memory: &mut EncoderMemory) -> Result<Vec<f32>> {
        self.pass(texts, memory, None)
    }

    /// Reads a sequence like [`Self::run`], and records the internal activations.
    ///
    /// # Errors
    /// As [`Self::run`], and [`Error::Request`] for more tokens than can be observed.
    pub fn observe(&self, text: &[u32]) -> Result<Observation> {
        let EncoderConfig { layers, heads, width, .. } = self.config;
        let mut observation = Observation::new(text.len(), layers, heads, width)?;
        self.pass(&[text], &mut EncoderMemory::default(), Some(&mut observation))?;
        Ok(observation)
    }

    /// Only a single sequence can be observed.
    fn pass(
        &self,
        texts: &[&[u32]],
        memory: &mut EncoderMemory,
        mut observation: Option<&mut Observation>,
    ) -> Result<Vec<f32>> {
        let config = &self.config;
        let width = config.width;
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let tokens: usize = lengths.iter().sum();
        let mut x = vec![0.0; tokens * width];
        memory.sum.resize(tokens * width, 0.0);
        memory.blended.resize(tokens * width, 0.0);
        memory.wide.resize(tokens * (3 * width).max(config.feed_forward), 0.0);
        let EncoderMemory { wide, blended, sum } = memory;
        let (sum, blended) = (&mut sum[..tokens * width], &mut blended[..tokens * width]);
        let mut rows = sum.chunks_exact_mut(width);
        for text in texts {
            if text.len() > config.longest_text() {
                let expected = format!("at most {}", config.longest_text());
                return Err(Error::request("tokens of a text", text.len().to_string(), expected));
            }
            for (place, (&token, row)) in text.iter().zip(&mut rows).enumerate() {
                if token as usize >= config.vocabulary {
                    let expected = format!("less than {}", config.vocabulary);
                    return Err(Error::request("token", token.to_string(), expected));
                }
                self.words.row(token as usize, row);
                let place = &self.places[(config.first_position + place) * width..][..width];
                row.iter_mut().zip(place).for_each(|(x, place)| *x += place);
            }
        }
        let normalize = |norm: &Norm, x: &[f32], y: &mut [f32]| {
            layer_norm(x, &norm.weight, &norm.bias, config.epsilon, y);
        };
        normalize(&self.norm, sum, &mut x);
        let head_width = width / config.heads;
        let attention =
            EncoderAttention { heads: config.heads, head_width, scale: 1.0 / (head_width as f32).sqrt() };
        if let Some(observation) = &mut observation {
            observation.add_stream(&x);
        }
        for layer in &self.layers {
            let query_key_value = &mut wide[..tokens * 3 * width];
            layer.query_key_value.run(&x, query_key_value);
            encoder_attention(&attention, &lengths, query_key_value, blended);
            if let Some(observation) = &mut observation {
                observation.add_maps(|maps| encoder_attention_maps(&attention, query_key_value, maps));
            }
            layer.attention_output.run(blended, sum);
            add(&x, sum, blended);
            normalize(&layer.attention_norm, blended, &mut x);
            let hidden = &mut wide[..tokens * config.feed_forward];
            layer.up.run(&x, hidden);
            elementwise::activation_in_place(config.activation, hidden);
            layer.down.run(hidden, sum);
            add(&x, sum, blended);
            normalize(&layer.norm, blended, &mut x);
            if let Some(observation) = &mut observation {
                observation.add_stream(&x);
            }
        }
        Ok(x)
    }
}

const WORDS: &str = "embeddings.word_embeddings.weight";

/// Takes tensors out of a checkpoint.
struct Reader<'a> {
    checkpoint: &'a mut Checkpoint,
    prefix: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        Ok(self.checkpoint.take(&name, shape)?)
    }

    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(self.take(name, shape)?.floats())
    }

    /// Linear layers with the same inputs, as one.
    fn linear(&mut self, names: &[String], inputs: usize, outputs: usize) -> Result<PackedLinear> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weight.extend(self.floats(&format!("{name}.weight"), &[outputs, inputs])?);
            bias.extend(self.floats(&format!("{name}.bias"), &[outputs])?);
        }
        let shape = (inputs, bias.len());
        let mut packed = vec![0.0; packed_len(shape)];
        pack(&weight, shape, &mut packed);
        Ok(PackedLinear { packed, bias, inputs })
    }

    /// A normalization, also under the names in the first published models.
    fn norm(&mut self, name: &str, width: usize) -> Result<Norm> {
        let old = format!("{}{name}.gamma", self.prefix);
        let names = match self.checkpoint.tensors().contains_key(&old) {
            true => ["gamma", "beta"],
            false => ["weight", "bias"],
        };
        let [weight, bias] = names.map(|part| self.floats(&format!("{name}.{part}"), &[width]));
        Ok(Norm { weight: weight?, bias: bias? })
    }
}
