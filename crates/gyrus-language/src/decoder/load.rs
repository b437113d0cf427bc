//! Building a decoder from named tensors: fused ones are split by rows, transposed ones are transposed back.

use gyrus_formats::{Checkpoint, Format, Tensor};

use super::{Decoder, DecoderLayer, Linear, Normalizer};
use crate::config::Role;
use crate::{Adapter, AdapterPart, DecoderConfig, Normalization, Result};

pub(super) fn load(
    config: DecoderConfig,
    checkpoint: Checkpoint,
    adapter: Option<&Adapter>,
) -> Result<Decoder> {
    if let Some(adapter) = adapter {
        adapter.check_all_fit(&config)?;
    }
    let mut loader = Loader { config: &config, checkpoint, adapter };
    let embedding = loader.need(Role::Embedding, None)?;
    let positions = loader.weight(Role::PositionEmbedding, None)?;
    let layers = (0..config.layers.len()).map(|layer| loader.layer(layer)).collect::<Result<_>>()?;
    let final_normalization = loader.normalizer_needed(Role::FinalNormalization, None)?;
    let head = loader.weight(Role::Head, None)?;
    let Loader { checkpoint, .. } = loader;
    config.check_all_taken(&checkpoint)?;
    // In training, the factor had the format of the weights.
    let embedding_scale = match embedding.format() {
        Format::BF16 => half::bf16::from_f32(config.embedding_scale).to_f32(),
        Format::F16 => half::f16::from_f32(config.embedding_scale).to_f32(),
        _ => config.embedding_scale,
    };
    Ok(Decoder { embedding, embedding_scale, positions, layers, final_normalization, head, config })
}

struct Loader<'a> {
    config: &'a DecoderConfig,
    checkpoint: Checkpoint,
    adapter: Option<&'a Adapter>,
}

impl Loader<'_> {
    /// The tensor of a role, `[outputs, inputs]`, if this decoder has it.
    fn weight(&mut self, role: Role, layer: Option<usize>) -> Result<Option<Tensor>> {
        let Some(parameter) = self.config.parameter(role, layer, false) else { return Ok(None) };
        let tensor = parameter.take_from(&mut self.checkpoint)?;
        Ok(Some(if parameter.transposed { transposed(&tensor) } else { tensor }))
    }

    fn need(&mut self, role: Role, layer: Option<usize>) -> Result<Tensor> {
        let parameter = self.config.parameter(role, layer, false);
        self.weight(role, layer)?.ok_or_else(|| {
            let name = parameter.map_or_else(|| format!("{role:?}"), |parameter| parameter.name);
            crate::Error::tensor(self.checkpoint.path(), name, "a family without it", "a family that has it")
        })
    }

    fn bias(&mut self, role: Role, layer: Option<usize>) -> Result<Option<Vec<f32>>> {
        let Some(parameter) = self.config.parameter(role, layer, true) else { return Ok(None) };
        Ok(Some(parameter.take_from(&mut self.checkpoint)?.floats()))
    }

    fn linear(&mut self, role: Role, layer: usize) -> Result<Linear> {
        let parameter = self.config.parameter(role, Some(layer), false);
        let adapter = match (self.adapter, parameter) {
            (Some(adapter), Some(parameter)) => adapter.part(self.config, &parameter)?,
            _ => None,
        };
        Ok(Linear { weight: self.need(role, Some(layer))?, bias: self.bias(role, Some(layer))?, adapter })
    }

    /// The weights of a normalization; Gemma's get 1 added.
    fn normalization(&mut self, role: Role, layer: Option<usize>) -> Result<Option<Vec<f32>>> {
        let Some(tensor) = self.weight(role, layer)? else { return Ok(None) };
        let mut weight = tensor.floats();
        if self.config.normalization == Normalization::RmsPlusOne {
            weight.iter_mut().for_each(|weight| *weight += 1.0);
        }
        Ok(Some(weight))
    }

    fn normalizer(&mut self, role: Role, layer: Option<usize>) -> Result<Option<Normalizer>> {
        let Some(weight) = self.normalization(role, layer)? else { return Ok(None) };
        Ok(Some(Normalizer { weight, bias: self.bias(role, layer)? }))
    }

    fn normalizer_needed(&mut self, role: Role, layer: Option<usize>) -> Result<Normalizer> {
        let weight = self.need(role, layer)?.floats();
        let plus = if self.config.normalization == Normalization::RmsPlusOne { 1.0 } else { 0.0 };
        let weight = weight.into_iter().map(|weight| weight + plus).collect();
        Ok(Normalizer { weight, bias: self.bias(role, layer)? })
    }

    fn layer(&mut self, layer: usize) -> Result<DecoderLayer> {
        let at = Some(layer);
        let before_attention = self.normalizer(Role::BeforeAttention, at)?;
        let [query, key, value] = if self.config.parameter(Role::QueryKeyValue, at, false).is_some() {
            let (queries, keys) = (self.config.query_width(), self.config.key_value_width());
            cut(self.linear(Role::QueryKeyValue, layer)?, [queries, keys, keys])
        } else {
            [
                self.linear(Role::Query, layer)?,
                self.linear(Role::Key, layer)?,
                self.linear(Role::Value, layer)?,
            ]
        };
        let query_normalization = self.normalization(Role::QueryNormalization, at)?;
        let key_normalization = self.normalization(Role::KeyNormalization, at)?;
        let attention_output = self.linear(Role::AttentionOutput, layer)?;
        let after_attention = self.normalizer(Role::AfterAttention, at)?;
        let before_feed_forward = self.normalizer(Role::BeforeFeedForward, at)?;
        let (gate, up) = if self.config.parameter(Role::GateUp, at, false).is_some() {
            let inner = self.config.feed_forward;
            let [gate, up] = cut(self.linear(Role::GateUp, layer)?, [inner, inner]);
            (Some(gate), up)
        } else if self.config.gated {
            (Some(self.linear(Role::Gate, layer)?), self.linear(Role::Up, layer)?)
        } else {
            (None, self.linear(Role::Up, layer)?)
        };
        let down = self.linear(Role::Down, layer)?;
        let after_feed_forward = self.normalizer(Role::AfterFeedForward, at)?;
        Ok(DecoderLayer {
            before_attention,
            query,
            key,
            value,
            query_normalization,
            key_normalization,
            attention_output,
            after_attention,
            before_feed_forward,
            gate,
            up,
            down,
            after_feed_forward,
        })
    }
}

/// Splits a fused linear layer by its outputs.
fn cut<const N: usize>(fused: Linear, outputs: [usize; N]) -> [Linear; N] {
    let mut start = 0;
    outputs.map(|outputs| {
        let rows = start..start + outputs;
        start += outputs;
        let bias = fused.bias.as_ref().map(|bias| bias[rows.clone()].to_vec());
        let adapter = fused.adapter.as_ref().map(|part| {
            let up = part.up[rows.start * part.rank..rows.end * part.rank].to_vec();
            AdapterPart { up, ..part.clone() }
        });
        Linear { weight: fused.weight.row_range(rows), bias, adapter }
    })
}

/// `[inputs, outputs]` as `[outputs, inputs]`, in floats.
fn transposed(tensor: &Tensor) -> Tensor {
    let (inputs, outputs) = (tensor.rows(), tensor.columns());
    let floats = tensor.floats();
    let transposed = (0..outputs).flat_map(|output| floats.iter().skip(output).step_by(outputs)).copied();
    Tensor::of_floats(vec![outputs, inputs], transposed.collect())
}
