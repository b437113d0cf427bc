//! The parts of a trainable decoder and its forward pass: see [`DecoderConfig`] for the equations.
//!
//! Linear layers with the same input are one (queries, keys and values; gate and up). A linear layer is either trained, or it
//! is frozen, stays as it is stored, and may have a trained low-rank adapter.

use std::sync::Arc;

use gyrus_language::{DecoderConfig, Normalization, QueryKeyNormalization, RopeScaling};
use gyrus_tensor::{
    CausalAttention, FeedForwardActivation, LowRankLinear, Operation, RotationTable, StoredLinear,
    StoredMatrix, Tensor, TensorData, Transformer, apply, splitmix64,
};

use crate::TextBatch;

/// The weights of a normalization or a bias.
#[derive(Debug)]
pub(crate) enum Vector {
    /// A parameter, by its index.
    Trained(usize),
    Frozen(Box<Tensor<1>>),
}

#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Vector,
    pub(crate) bias: Option<Vector>,
}

/// Linear layers with one input; their outputs are concatenated.
#[derive(Debug)]
pub(crate) enum LinearLayer {
    /// Parameters by their indices.
    Trained { weight: usize, bias: Option<usize>, inputs: usize, outputs: usize },
    /// An adapter by its index, and a unique number for each linear layer.
    Frozen { parts: Arc<[StoredLinear]>, adapter: Option<usize>, number: u64 },
}

/// A table of vectors: token embedding, position embedding or head.
#[derive(Debug)]
pub(crate) enum Table {
    Trained(usize),
    Frozen(StoredMatrix, gyrus_formats::Tensor),
}

#[derive(Debug)]
pub(crate) struct TrainedLayer {
    pub(crate) before_attention: Option<Norm>,
    pub(crate) query_key_value: LinearLayer,
    pub(crate) query_key_normalization: Option<[Vector; 2]>,
    pub(crate) attention_output: LinearLayer,
    pub(crate) after_attention: Option<Norm>,
    pub(crate) before_feed_forward: Option<Norm>,
    /// Gate and up, or up alone.
    pub(crate) up: LinearLayer,
    pub(crate) down: LinearLayer,
    pub(crate) after_feed_forward: Option<Norm>,
}

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) embedding: Table,
    pub(crate) embedding_scale: f32,
    pub(crate) positions: Option<Table>,
    pub(crate) layers: Vec<TrainedLayer>,
    pub(crate) final_normalization: Norm,
    /// `None` if it shares the embedding's weights.
    pub(crate) head: Option<Table>,
    /// Angles for all trained positions, one table for each rotary embedding of the configuration.
    pub(crate) rotations: Vec<RotationTable>,
    pub(crate) activation: FeedForwardActivation,
}

/// The tables of all rotary embeddings, for sequences of at most `positions` tokens, the longest of which has `longest`.
pub(crate) fn rotations(config: &DecoderConfig, positions: usize, longest: usize) -> Vec<RotationTable> {
    let tables = config.ropes.iter().map(|rope| {
        let table = RotationTable::new(&rope.inverse_frequencies(longest), positions);
        table.scaled(rope.attention_factor(), rope.interleaved)
    });
    tables.collect()
}

/// One forward pass.
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a DecoderConfig,
    pub(crate) network: &'a Network,
    /// The parameters; leaves if gradients are needed.
    pub(crate) parameters: &'a [Tensor<1>],
    pub(crate) batch: &'a TextBatch,
    pub(crate) gradients: bool,
    /// Dropout of adapters' inputs, and the seed of its random numbers.
    pub(crate) dropout: Option<(f32, u64)>,
    /// Other tables, if the longest sequence needs other angles than the network's.
    pub(crate) scaled: Option<Vec<RotationTable>>,
}

fn transformer(
    operation: Transformer,
    x: Tensor<2>,
    parameters: Vec<Tensor<1>>,
    second: Option<Tensor<2>>,
) -> Tensor<2> {
    apply(Operation::Transformer(operation), x, parameters, second)
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        config: &'a DecoderConfig,
        network: &'a Network,
        parameters: &'a [Tensor<1>],
        batch: &'a TextBatch,
    ) -> Self {
        let scaled = config.ropes.iter().any(|rope| match rope.scaling {
            RopeScaling::Dynamic { original_positions, .. }
            | RopeScaling::LongRope { original_positions, .. } => batch.longest() > original_positions,
            _ => false,
        });
        let scaled = scaled.then(|| rotations(config, batch.longest(), batch.longest()));
        Self { config, network, parameters, batch, gradients: false, dropout: None, scaled }
    }

    /// The loss of the batch, `[1, 1]`.
    pub(crate) fn loss(&self) -> Tensor<2> {
        let mut stream = self.begin();
        for index in 0..self.network.layers.len() {
            stream = self.layer(index, stream);
        }
        self.end(stream)
    }

    fn vector(&self, vector: &Vector) -> Tensor<1> {
        match vector {
            Vector::Trained(place) => self.parameters[*place].clone(),
            Vector::Frozen(tensor) => (**tensor).clone(),
        }
    }

    /// Rows of a table, `[tokens, width]`.
    fn rows(&self, table: &Table, rows: &Arc<[u32]>) -> Tensor<2> {
        let width = self.config.width;
        match table {
            Table::Trained(place) => {
                let table = self.parameters[*place].clone();
                let table = table.clone().reshape([table.dims()[0] / width, width]);
                transformer(Transformer::Embedding { tokens: rows.clone() }, table, Vec::new(), None)
            }
            Table::Frozen(_, tensor) => {
                let mut values = vec![0.0; rows.len() * width];
                for (to, &row) in values.chunks_exact_mut(width).zip(&**rows) {
                    tensor.row(row as usize, to);
                }
                Tensor::from_data(
                    TensorData::new(values, [rows.len(), width]),
                    &self.parameters[0].device().inner(),
                )
            }
        }
    }

    /// The residual stream before the first layer.
    pub(crate) fn begin(&self) -> Tensor<2> {
        let mut stream = self.rows(&self.network.embedding, &self.batch.tokens);
        if self.network.embedding_scale != 1.0 {
            stream = stream * self.network.embedding_scale;
        }
        if let Some(positions) = &self.network.positions {
            let starts = std::iter::once(0).chain(self.batch.ends.iter().copied());
            let texts = starts.zip(self.batch.ends.iter());
            let places = texts.flat_map(|(start, &end)| 0..(end - start) as u32).collect();
            stream = apply(Operation::Add, stream, Vec::new(), Some(self.rows(positions, &places)));
        }
        stream
    }

    fn norm(&self, norm: Option<&Norm>, x: Tensor<2>) -> Tensor<2> {
        let Some(norm) = norm else { return x };
        let epsilon = self.config.normalization_epsilon;
        let weight = self.vector(&norm.weight);
        match (self.config.normalization, &norm.bias) {
            (Normalization::Layer, Some(bias)) => {
                apply(Operation::LayerNorm { epsilon }, x, vec![weight, self.vector(bias)], None)
            }
            (kind, _) => {
                let plus_one = kind == Normalization::RmsPlusOne;
                transformer(Transformer::RmsNorm { epsilon, plus_one }, x, vec![weight], None)
            }
        }
    }

    fn linear(&self, layer: &LinearLayer, x: Tensor<2>, residual: Option<Tensor<2>>) -> Tensor<2> {
        let parameter = |place: &usize| self.parameters[*place].clone();
        match layer {
            LinearLayer::Trained { weight, bias: None, inputs, outputs } if residual.is_some() => {
                let operation = Transformer::LinearResidual { inputs: *inputs, outputs: *outputs };
                transformer(operation, x, vec![parameter(weight)], residual)
            }
            LinearLayer::Trained { weight, bias, inputs, outputs } => {
                let parameters = std::iter::once(weight).chain(bias).map(parameter).collect();
                let operation = Operation::Linear { inputs: *inputs, outputs: *outputs, relu: false };
                let y = apply(operation, x, parameters, None);
                match residual {
                    None => y,
                    residual => apply(Operation::Add, y, Vec::new(), residual),
                }
            }
            LinearLayer::Frozen { parts, adapter, number } => {
                let dropout = self.dropout.filter(|_| adapter.is_some());
                let dropout =
                    dropout.map(|(share, stream)| (share, splitmix64(stream ^ splitmix64(*number))));
                let linear = LowRankLinear { parts: parts.clone(), dropout };
                let adapter = adapter.iter().map(parameter).collect();
                transformer(Transformer::LowRank(linear), x, adapter, residual)
            }
        }
    }

    /// Adds `linear(x)` to the residual stream, normalized and scaled if the model does so.
    fn add(&self, layer: &LinearLayer, x: Tensor<2>, after: Option<&Norm>, stream: Tensor<2>) -> Tensor<2> {
        let scale = self.config.residual_scale;
        if after.is_none() && scale == 1.0 {
            return self.linear(layer, x, Some(stream));
        }
        let mut result = self.norm(after, self.linear(layer, x, None));
        if scale != 1.0 {
            result = result * scale;
        }
        apply(Operation::Add, result, Vec::new(), Some(stream))
    }

    /// The residual stream after a layer.
    pub(crate) fn layer(&self, index: usize, stream: Tensor<2>) -> Tensor<2> {
        let layer = &self.network.layers[index];
        let x = self.norm(layer.before_attention.as_ref(), stream.clone());
        let x = self.attention(index, self.linear(&layer.query_key_value, x, None));
        let stream = self.add(&layer.attention_output, x, layer.after_attention.as_ref(), stream);
        let x = self.norm(layer.before_feed_forward.as_ref(), stream.clone());
        let x = self.linear(&layer.up, x, None);
        let f = self.network.activation;
        let inner = if self.config.gated { Transformer::Gated(f) } else { Transformer::Activated(f) };
        let x = transformer(inner, x, Vec::new(), None);
        self.add(&layer.down, x, layer.after_feed_forward.as_ref(), stream)
    }

    /// Attention over rows of queries, keys and values.
    fn attention(&self, index: usize, mut x: Tensor<2>) -> Tensor<2> {
        let (config, layer) = (self.config, &self.network.layers[index]);
        let shape = CausalAttention {
            heads: config.heads,
            key_value_heads: config.key_value_heads,
            head_width: config.head_width,
            scale: config.attention_scale,
            softcap: config.attention_softcap,
            window: config.layers[index].window,
        };
        let tables = self.scaled.as_ref().unwrap_or(&self.network.rotations);
        let mut rotation = config.layers[index].rope.map(|rope| tables[rope].clone());
        let ends = self.batch.ends.clone();
        if let Some([query, key]) = &layer.query_key_normalization {
            if config.query_key_normalization == Some(QueryKeyNormalization::HeadAfterRotation)
                && let Some(rotation) = rotation.take()
            {
                let rotate = Transformer::Rotate { shape, ends: ends.clone(), rotation };
                x = transformer(rotate, x, Vec::new(), None);
            }
            let norm = Transformer::HeadNorm {
                shape,
                epsilon: config.normalization_epsilon,
                plus_one: config.normalization == Normalization::RmsPlusOne,
            };
            x = transformer(norm, x, vec![self.vector(query), self.vector(key)], None);
        }
        transformer(Transformer::Attention { shape, ends, rotation }, x, Vec::new(), None)
    }

    /// The loss, given the residual stream after the last layer.
    pub(crate) fn end(&self, stream: Tensor<2>) -> Tensor<2> {
        let mut x = self.norm(Some(&self.network.final_normalization), stream);
        if self.config.logits_divisor != 1.0 {
            x = x * (1.0 / self.config.logits_divisor);
        }
        let table = self.network.head.as_ref().unwrap_or(&self.network.embedding);
        let (weight, frozen) = match table {
            Table::Trained(place) => (vec![self.parameters[*place].clone()], None),
            Table::Frozen(weight, _) => (Vec::new(), Some(weight.clone())),
        };
        let loss = Transformer::VocabularyLoss {
            targets: self.batch.targets.clone(),
            vocabulary: self.config.vocabulary,
            softcap: self.config.logits_softcap,
            frozen,
            gradients: self.gradients,
        };
        transformer(loss, x, weight, None)
    }
}
