//! A decoder that learns: parameters on a device, and the gradients of its loss.
//!
//! What multiplies the same input is one parameter here (`[queries; keys; values]`, `[gate; up]`), so that it is one
//! product forward and two backward; [`TrainableDecoder::state`] takes them apart under Hugging Face's names. A step
//! over `t` tokens costs about `6 t` operations for each number of the matrices, and keeps about
//! `width * 5 + queries * 2 + keys * 2 + feed_forward * 3` floats of each token and layer for the gradients.

use std::sync::Arc;

use gyrus_nn::{State, StateTensor, floats};
use gyrus_tensor::{
    CausalAttention, Device, FeedForwardActivation, Operation, RotationTable, Tensor, TensorData,
    Transformer, apply, keep_awake,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::TextBatch;
use crate::{
    Activation, DecoderConfig, Error, Normalization, NormalizationPlace, Parameter, Result, Role, Stretch,
};

/// Standard deviation of fresh weights.
const DEVIATION: f32 = 0.02;

/// The most numbers that are trained: with gradients and moments, 32 GiB.
const MAXIMUM_PARAMETERS: usize = 1 << 31;

/// A parameter of one or more tensors that lie one after the other.
#[derive(Debug)]
pub(crate) struct Fused {
    /// The tensors, in order.
    pub(crate) parts: Vec<Parameter>,
    /// All numbers.
    pub(crate) value: Tensor<1>,
}

impl Fused {
    /// The name of the first tensor.
    pub(crate) fn name(&self) -> &str {
        &self.parts[0].name
    }

    pub(crate) fn elements(&self) -> usize {
        self.parts.iter().map(|part| part.shape.iter().product::<usize>()).sum()
    }

    /// Whether weight decay applies: to matrices only.
    pub(crate) fn decays(&self) -> bool {
        self.parts[0].shape.len() > 1
    }
}

/// A decoder with parameters that can be trained.
#[derive(Debug)]
pub struct TrainableDecoder {
    config: DecoderConfig,
    parameters: Vec<Fused>,
    rotation: RotationTable,
    shape: CausalAttention,
    activation: FeedForwardActivation,
    device: Device,
}

/// Parameters of a layer: two normalisations and four matrices.
const PER_LAYER: usize = 6;

impl TrainableDecoder {
    /// A decoder with fresh weights: normal with a deviation of 0.02, those that add to the stream smaller by
    /// the root of their number (Radford et al. 2019), normalisations one.
    ///
    /// # Errors
    /// [`Error::Request`] for a shape that cannot be trained here.
    pub fn new(config: DecoderConfig, seed: u64, device: &Device) -> Result<Self> {
        let layers = config.layers.len().max(1);
        let residual = DEVIATION / (2.0 * layers as f32).sqrt();
        Self::build(config, device, |index, parameter| {
            let count = parameter.shape.iter().product();
            if parameter.shape.len() == 1 {
                return Ok(vec![1.0; count]);
            }
            let deviation = match parameter.role {
                Role::AttentionOutput | Role::Down => residual,
                _ => DEVIATION,
            };
            Ok(normal(seed, index as u64, count).map(|value| value * deviation).collect())
        })
    }

    /// A decoder with these weights, under Hugging Face's names.
    ///
    /// # Errors
    /// [`Error::Request`] for a shape that cannot be trained here, or a weight that is missing or has another shape.
    pub fn with_state(config: DecoderConfig, state: &State, device: &Device) -> Result<Self> {
        Self::build(config, device, |_, parameter| {
            let found = state.get(&parameter.name).filter(|tensor| tensor.shape == parameter.shape);
            let found = found.ok_or_else(|| {
                let expected = format!("`{}` of {:?}", parameter.name, parameter.shape);
                Error::request("weights", "no such tensor", expected)
            })?;
            Ok(found.values.clone())
        })
    }

    fn build(
        config: DecoderConfig,
        device: &Device,
        mut values: impl FnMut(usize, &Parameter) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let activation = check(&config)?;
        let counts = config.parameters().into_iter().map(|parameter| {
            parameter.shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))
        });
        let count = counts.into_iter().try_fold(0usize, |sum, count| sum.checked_add(count?));
        if count.is_none_or(|count| count > MAXIMUM_PARAMETERS) {
            let got = count.map_or("more than can be counted".to_owned(), |count| count.to_string());
            return Err(Error::request(
                "the model's parameters",
                got,
                format!("at most {MAXIMUM_PARAMETERS}"),
            ));
        }
        let mut parameters: Vec<(Vec<Parameter>, Vec<f32>)> = Vec::new();
        for (index, parameter) in config.parameters().into_iter().enumerate() {
            let numbers = values(index, &parameter)?;
            match (parameter.role, parameters.last_mut()) {
                (Role::Key | Role::Value | Role::Up, Some((parts, all))) => {
                    parts.push(parameter);
                    all.extend(numbers);
                }
                _ => parameters.push((vec![parameter], numbers)),
            }
        }
        let parameters = parameters.into_iter().map(|(parts, numbers)| {
            let count = numbers.len();
            Fused { parts, value: Tensor::from_data(TensorData::new(numbers, [count]), device) }
        });
        let frequencies = config.ropes[0].inverse_frequencies(config.maximum_positions);
        Ok(Self {
            parameters: parameters.collect(),
            rotation: RotationTable::new(&frequencies, config.maximum_positions),
            shape: CausalAttention {
                heads: config.heads,
                key_value_heads: config.key_value_heads,
                head_width: config.head_width,
                scale: config.attention_scale,
            },
            activation,
            device: device.clone(),
            config,
        })
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Numbers that are trained.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Fused::elements).sum()
    }

    pub(crate) fn parameters(&self) -> &[Fused] {
        &self.parameters
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Replaces each parameter by what `change` makes of it.
    pub(crate) fn update(&mut self, mut change: impl FnMut(usize, bool, Tensor<1>) -> Tensor<1>) {
        for (index, parameter) in self.parameters.iter_mut().enumerate() {
            let empty = Tensor::zeros([1], &self.device);
            let value = std::mem::replace(&mut parameter.value, empty);
            parameter.value = change(index, parameter.decays(), value);
        }
    }

    /// All weights under Hugging Face's names.
    #[must_use]
    pub fn state(&self) -> State {
        self.by_name(self.parameters.iter().map(|parameter| parameter.value.clone()))
    }

    /// Tensors as the parameters lie, taken apart under Hugging Face's names.
    fn by_name(&self, values: impl IntoIterator<Item = Tensor<1>>) -> State {
        let mut state = State::new();
        for (parameter, value) in self.parameters.iter().zip(values) {
            let numbers = floats(value);
            let mut rest = &numbers[..];
            for part in &parameter.parts {
                let (values, behind) = rest.split_at(part.shape.iter().product());
                let tensor = StateTensor { shape: part.shape.clone(), values: values.to_vec() };
                state.insert(part.name.clone(), tensor);
                rest = behind;
            }
        }
        state
    }

    /// The mean loss over a batch, in nats a token, and the gradient of each parameter.
    ///
    /// # Panics
    /// If a token is outside of the vocabulary or a text longer than the positions.
    pub(crate) fn gradients(&self, batch: &TextBatch) -> (f32, Vec<Tensor<1>>) {
        let leaves: Vec<Tensor<1>> = self
            .parameters
            .iter()
            .map(|parameter| Tensor::from_inner(parameter.value.clone()).require_grad())
            .collect();
        let (loss, mut gradients) = keep_awake(|| {
            let loss = self.run(&leaves, batch, true);
            let gradients = loss.backward();
            (loss, gradients)
        });
        let gradients = leaves.iter().map(|leaf| {
            let missing = || Tensor::zeros(leaf.dims(), &self.device);
            leaf.grad_remove(&mut gradients).unwrap_or_else(missing)
        });
        let gradients = gradients.collect();
        (loss.inner().into_scalar::<f32>(), gradients)
    }

    /// The gradients of a batch under Hugging Face's names, for tests and tools.
    ///
    /// # Panics
    /// As for a training step: if a token is outside of the vocabulary or a text longer than the positions.
    #[must_use]
    pub fn named_gradients(&self, batch: &TextBatch) -> (f32, State) {
        let (loss, gradients) = self.gradients(batch);
        (loss, self.by_name(gradients))
    }

    /// The mean loss over a batch, in nats a token.
    ///
    /// # Panics
    /// If a token is outside of the vocabulary or a text longer than the positions.
    #[must_use]
    pub fn loss(&self, batch: &TextBatch) -> f32 {
        let values: Vec<Tensor<1>> =
            self.parameters.iter().map(|parameter| parameter.value.clone()).collect();
        keep_awake(|| self.run(&values, batch, false)).into_scalar::<f32>()
    }

    fn run(&self, parameters: &[Tensor<1>], batch: &TextBatch, gradients: bool) -> Tensor<2> {
        let DecoderConfig { vocabulary, width, feed_forward, normalization_epsilon: epsilon, .. } =
            self.config;
        let queries = self.config.query_width();
        let all = self.shape.columns();
        let operation = |operation, x, parameters: &[&Tensor<1>], second| {
            let parameters = parameters.iter().map(|&parameter| parameter.clone()).collect();
            apply(Operation::Transformer(operation), x, parameters, second)
        };
        let norm = |x: &Tensor<2>, weight| {
            operation(Transformer::RmsNorm { epsilon, plus_one: false }, x.clone(), &[weight], None)
        };
        let linear = |x, weight: &Tensor<1>, (inputs, outputs)| {
            apply(Operation::Linear { inputs, outputs, relu: false }, x, vec![weight.clone()], None)
        };
        let add = |x, weight, residual, (inputs, outputs)| {
            operation(Transformer::LinearResidual { inputs, outputs }, x, &[weight], Some(residual))
        };
        let table = parameters[0].clone().reshape([vocabulary, width]);
        let mut stream = operation(Transformer::Embedding { tokens: batch.tokens.clone() }, table, &[], None);
        let layers = parameters[1..].chunks_exact(PER_LAYER).take(self.config.layers.len());
        for layer in layers {
            let [norm1, all_heads, output, norm2, gate_up, down] = layer else { break };
            let x = linear(norm(&stream, norm1), all_heads, (width, all));
            let attention = Transformer::Attention {
                shape: self.shape,
                ends: batch.ends.clone(),
                rotation: Some(self.rotation.clone()),
            };
            let x = operation(attention, x, &[], None);
            stream = add(x, output, stream, (queries, width));
            let x = linear(norm(&stream, norm2), gate_up, (width, 2 * feed_forward));
            let x = operation(Transformer::Gated(self.activation), x, &[], None);
            stream = add(x, down, stream, (feed_forward, width));
        }
        let after = 1 + PER_LAYER * self.config.layers.len();
        let x = norm(&stream, &parameters[after]);
        let head = parameters.get(after + 1).unwrap_or(&parameters[0]);
        let loss = Transformer::VocabularyLoss { targets: batch.targets.clone(), vocabulary, gradients };
        operation(loss, x, &[head], None)
    }
}

/// Fails for what the training pass does not compute.
fn check(config: &DecoderConfig) -> Result<FeedForwardActivation> {
    let refuse = |got: &str| {
        let expected = "a Llama: normalisation by root mean square before each part, gated, without biases, full attention";
        Err(Error::request("the model to train", got, expected))
    };
    if config.normalization != Normalization::Rms {
        return refuse("another normalisation");
    }
    if config.normalization_place != NormalizationPlace::Before || config.query_key_normalization.is_some() {
        return refuse("normalisation at other places");
    }
    if !config.gated || config.biases != crate::Biases::default() || config.learned_positions {
        return refuse("biases, learned positions or no gate");
    }
    let rope = config.ropes.first();
    if config.layers.iter().any(|layer| layer.window.is_some() || layer.rope != Some(0)) {
        return refuse("windows, or layers without rotation");
    }
    if !rope.is_some_and(|rope| !rope.interleaved && rope.stretch == Stretch::None) {
        return refuse("another rotation");
    }
    let scales = [config.embedding_scale, config.residual_scale, config.logits_divisor];
    if scales != [1.0; 3] || config.attention_softcap.is_some() || config.logits_softcap.is_some() {
        return refuse("scaled embeddings, residuals or logits");
    }
    let groups = config.key_value_heads > 0 && config.heads.is_multiple_of(config.key_value_heads);
    if config.vocabulary == 0
        || config.width == 0
        || config.head_width < 2
        || config.feed_forward == 0
        || !groups
    {
        return refuse("a part of size 0, or query heads that do not share key heads evenly");
    }
    Ok(match config.activation {
        Activation::Silu => FeedForwardActivation::Silu,
        Activation::Gelu => FeedForwardActivation::Gelu,
        Activation::GeluTanh => FeedForwardActivation::GeluTanh,
    })
}

/// Standard normal numbers by Box and Muller, a function of (seed, index).
fn normal(seed: u64, index: u64, count: usize) -> impl Iterator<Item = f32> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    let mut random = ChaCha8Rng::from_seed(key);
    (0..count).map(move |_| {
        let mut unit = || (random.next_u32() >> 8) as f32 / (1 << 24) as f32;
        // 1 - unit() lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * unit()).cos()
    })
}

/// Shared so that no copy of a batch is made for each operation.
pub(crate) type Shared<T> = Arc<[T]>;
