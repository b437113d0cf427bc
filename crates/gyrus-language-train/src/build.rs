//! Building a trainable network from a configuration and weights.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use gyrus_formats::{Checkpoint, Format};
use gyrus_language::{ADAPTER_PREFIX, DecoderConfig, Parameter, Role};
use gyrus_tensor::{Device, FeedForwardActivation, StoredLinear, StoredMatrix, Tensor, TensorData};

use crate::fused::{Fused, as_used};
use crate::network::{LinearLayer, Network, Norm, Table, TrainedLayer, Vector, rotations};
use crate::random::uniform;
use crate::{Error, Lora, Result};

/// Where the weights come from.
pub(crate) enum Source<'a> {
    /// All are trained; returns the values of a tensor as stored, given its index among the configuration's.
    Trained(&'a mut dyn FnMut(usize, &Parameter) -> Result<Vec<f32>>),
    /// They are frozen, and adapters are trained.
    Frozen { checkpoint: Checkpoint, lora: &'a Lora, seed: u64 },
}

struct Builder<'a, 's> {
    config: &'a DecoderConfig,
    source: Source<'s>,
    device: &'a Device,
    /// The index of each tensor among the configuration's.
    places: HashMap<String, usize>,
    parameters: Vec<Fused>,
    linear_layers: u64,
}

/// The network and its trained parameters.
pub(crate) fn build(
    config: &DecoderConfig,
    source: Source<'_>,
    positions: usize,
    device: &Device,
) -> Result<(Network, Vec<Fused>)> {
    let activation = check(config)?;
    let names = config.parameters().into_iter().map(|parameter| parameter.name);
    let places = names.enumerate().map(|(place, name)| (name, place)).collect();
    let mut builder = Builder { config, source, device, places, parameters: Vec::new(), linear_layers: 0 };
    let embedding = builder.table(Role::Embedding)?;
    let positions_table = match config.learned_positions {
        true => Some(builder.table(Role::PositionEmbedding)?),
        false => None,
    };
    let layers = (0..config.layers.len()).map(|layer| builder.layer(layer)).collect::<Result<_>>()?;
    let final_normalization = builder.norm(Role::FinalNormalization, None)?;
    let final_normalization = final_normalization.ok_or_else(|| refused("no final normalization"))?;
    let head = if config.tied { None } else { Some(builder.table(Role::Head)?) };
    let embedding_scale = match &embedding {
        // In training, the factor had the format of the weights.
        Table::Frozen(_, tensor) if tensor.format() == Format::BF16 => {
            half::bf16::from_f32(config.embedding_scale).to_f32()
        }
        Table::Frozen(_, tensor) if tensor.format() == Format::F16 => {
            half::f16::from_f32(config.embedding_scale).to_f32()
        }
        _ => config.embedding_scale,
    };
    let Builder { source, parameters, .. } = builder;
    if let Source::Frozen { checkpoint, lora, .. } = source {
        config.check_all_taken(&checkpoint)?;
        if parameters.is_empty() {
            let expected = "the ends of the names of linear layers, such as q_proj";
            return Err(Error::request("targets", lora.targets.join(","), expected));
        }
    }
    let rotations = rotations(config, positions, 1);
    let network = Network {
        embedding,
        embedding_scale,
        positions: positions_table,
        layers,
        final_normalization,
        head,
        rotations,
        activation,
    };
    Ok((network, parameters))
}

impl Builder<'_, '_> {
    /// The values of a tensor, as `[outputs, inputs]`.
    fn values(&mut self, parameter: &Parameter) -> Result<Vec<f32>> {
        let place = self.places.get(&parameter.name).copied().unwrap_or_default();
        let values = match &mut self.source {
            Source::Trained(values) => values(place, parameter)?,
            Source::Frozen { checkpoint, .. } => parameter.take_from(checkpoint)?.floats(),
        };
        Ok(as_used(parameter, values))
    }

    /// Adds a parameter of these tensors and returns its index.
    fn train(&mut self, parts: Vec<Parameter>) -> Result<usize> {
        let mut numbers = Vec::new();
        for part in &parts {
            numbers.extend(self.values(part)?);
        }
        Ok(self.push(parts, numbers))
    }

    fn push(&mut self, parts: Vec<Parameter>, numbers: Vec<f32>) -> usize {
        let count = numbers.len();
        let value = Tensor::from_data(TensorData::new(numbers, [count]), self.device);
        self.parameters.push(Fused { parts, value });
        self.parameters.len() - 1
    }

    fn vector(&mut self, parameter: Parameter) -> Result<Vector> {
        if let Source::Trained(_) = self.source {
            return Ok(Vector::Trained(self.train(vec![parameter])?));
        }
        let values = self.values(&parameter)?;
        let count = values.len();
        let tensor = Tensor::from_data(TensorData::new(values, [count]), self.device);
        Ok(Vector::Frozen(Box::new(tensor)))
    }

    fn norm(&mut self, role: Role, layer: Option<usize>) -> Result<Option<Norm>> {
        let Some(weight) = self.config.parameter(role, layer, false) else { return Ok(None) };
        let weight = self.vector(weight)?;
        let bias = self.config.parameter(role, layer, true);
        let bias = bias.map(|parameter| self.vector(parameter)).transpose()?;
        Ok(Some(Norm { weight, bias }))
    }

    fn table(&mut self, role: Role) -> Result<Table> {
        let parameter = self.config.parameter(role, None, false);
        let parameter = parameter.ok_or_else(|| refused("a missing embedding or head"))?;
        match &mut self.source {
            Source::Trained(_) => Ok(Table::Trained(self.train(vec![parameter])?)),
            Source::Frozen { checkpoint, .. } => {
                let tensor = parameter.take_from(checkpoint)?;
                Ok(Table::Frozen(stored(&tensor)?, tensor))
            }
        }
    }

    /// The linear layer of those of these roles that the model has.
    fn linear(&mut self, roles: &[Role], layer: usize) -> Result<LinearLayer> {
        let of = |bias: bool| -> Vec<Parameter> {
            roles.iter().filter_map(|&role| self.config.parameter(role, Some(layer), bias)).collect()
        };
        let (weights, biases) = (of(false), of(true));
        let number = self.linear_layers;
        self.linear_layers += 1;
        let inputs = weights.first().map_or(0, |weight| weight.outputs_and_inputs().1);
        if let Source::Trained(_) = self.source {
            let outputs = weights.iter().map(|weight| weight.outputs_and_inputs().0).sum();
            let weight = self.train(weights)?;
            let bias = if biases.is_empty() { None } else { Some(self.train(biases)?) };
            return Ok(LinearLayer::Trained { weight, bias, inputs, outputs });
        }
        let mut biases = biases.into_iter();
        let mut parts = Vec::new();
        let mut adapted = Vec::new();
        for weight in &weights {
            let bias = match biases.next() {
                Some(bias) => Some(self.values(&bias)?.into()),
                None => None,
            };
            let Source::Frozen { checkpoint, lora, .. } = &mut self.source else {
                return Err(refused("a mixture of sources"));
            };
            let tensor = weight.take_from(checkpoint)?;
            let tensor = if weight.transposed {
                let (outputs, inputs) = weight.outputs_and_inputs();
                gyrus_formats::Tensor::of_floats(vec![outputs, inputs], as_used(weight, tensor.floats()))
            } else {
                tensor
            };
            let rank = if lora.adapts(weight) { lora.rank } else { 0 };
            if rank > 0 {
                adapted.push(weight.clone());
            }
            parts.push(StoredLinear { weight: stored(&tensor)?, bias, rank, scale: lora.scale() });
        }
        let adapter = if adapted.is_empty() { None } else { Some(self.adapter(&adapted, inputs)) };
        Ok(LinearLayer::Frozen { parts: parts.into(), adapter, number })
    }

    /// A fresh adapter of some linear layers: `A` uniform, like PyTorch's linear layers, `B` zero.
    fn adapter(&mut self, adapted: &[Parameter], inputs: usize) -> usize {
        let Source::Frozen { lora, seed, .. } = &self.source else { return 0 };
        let (rank, seed) = (lora.rank, *seed);
        let parameter = |weight: &Parameter, end: &str, shape: Vec<usize>| Parameter {
            name: format!("{ADAPTER_PREFIX}{}.{end}.weight", weight.module()),
            shape,
            transposed: false,
            ..weight.clone()
        };
        let mut parts = Vec::new();
        let mut numbers = Vec::new();
        for weight in adapted {
            parts.push(parameter(weight, "lora_A", vec![rank, inputs]));
            let place = self.places.get(&weight.name).copied().unwrap_or_default();
            let bound = 1.0 / (inputs as f32).sqrt();
            numbers.extend(uniform(seed, place as u64, rank * inputs).map(|u| (2.0 * u - 1.0) * bound));
        }
        for weight in adapted {
            let outputs = weight.outputs_and_inputs().0;
            parts.push(parameter(weight, "lora_B", vec![outputs, rank]));
            numbers.extend(std::iter::repeat_n(0.0, outputs * rank));
        }
        self.push(parts, numbers)
    }

    fn layer(&mut self, layer: usize) -> Result<TrainedLayer> {
        let at = Some(layer);
        let before_attention = self.norm(Role::BeforeAttention, at)?;
        let query_key_value =
            self.linear(&[Role::Query, Role::Key, Role::Value, Role::QueryKeyValue], layer)?;
        let normalizations = [Role::QueryNormalization, Role::KeyNormalization]
            .map(|role| self.config.parameter(role, at, false));
        let query_key_normalization = match normalizations {
            [Some(query), Some(key)] => Some([self.vector(query)?, self.vector(key)?]),
            _ => None,
        };
        Ok(TrainedLayer {
            before_attention,
            query_key_value,
            query_key_normalization,
            attention_output: self.linear(&[Role::AttentionOutput], layer)?,
            after_attention: self.norm(Role::AfterAttention, at)?,
            before_feed_forward: self.norm(Role::BeforeFeedForward, at)?,
            up: self.linear(&[Role::Gate, Role::Up, Role::GateUp], layer)?,
            down: self.linear(&[Role::Down], layer)?,
            after_feed_forward: self.norm(Role::AfterFeedForward, at)?,
        })
    }
}

fn stored(tensor: &gyrus_formats::Tensor) -> Result<StoredMatrix> {
    StoredMatrix::new(tensor.format(), tensor.rows(), tensor.columns(), Arc::new(tensor.storage()))
        .map_err(|error| Error::mismatch(Path::new("weights"), error.to_string(), "a matrix"))
}

fn refused(got: &str) -> Error {
    Error::request("the model to train", got, "a decoder of one of the known families")
}

/// Fails for shapes that cannot be trained.
fn check(config: &DecoderConfig) -> Result<FeedForwardActivation> {
    let groups = config.key_value_heads > 0 && config.heads.is_multiple_of(config.key_value_heads);
    let sizes = [config.vocabulary, config.width, config.head_width, config.feed_forward, config.heads];
    if sizes.contains(&0) || !groups {
        return Err(refused("a part of size 0, or query heads that do not share key heads evenly"));
    }
    if config.ropes.iter().any(|rope| rope.dimensions > config.head_width) {
        return Err(refused("more rotated elements than a head has"));
    }
    if config.layers.iter().any(|layer| layer.rope.is_some_and(|rope| rope >= config.ropes.len())) {
        return Err(refused("a missing rotary embedding"));
    }
    Ok(config.activation.into())
}
