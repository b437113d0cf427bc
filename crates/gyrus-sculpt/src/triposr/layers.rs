//! Layers of the model on kernels that vision and language use as well; the weights stay in the mapped file.
//!
//! One block serves the picture's transformer and that of the planes: normalization before attention, a second attention
//! that looks at the picture where there is one, and a feed-forward layer with or without a gate.

use gyrus_formats::{Checkpoint, Tensor};
use gyrus_kernels::dense::linear::linear;
use gyrus_kernels::dense::loss::softmax;
use gyrus_kernels::normalization::layer::layer_norm;
use gyrus_kernels::stored::Matrix;
use gyrus_kernels::token::activation::{FeedForwardActivation, activate};
use gyrus_kernels::token::gated::gate;
use rayon::prelude::*;

use crate::Result;

/// Queries whose scores are in memory together.
const QUERIES: usize = 768;
/// Tokens that pass the feed-forward layer together.
const TOKENS: usize = 1024;

/// A linear layer whose weights are `[outputs, inputs]`.
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// `name.weight` and, if asked for, `name.bias`.
    pub(super) fn take(
        from: &mut Checkpoint,
        name: &str,
        (inputs, outputs): (usize, usize),
        has_bias: bool,
    ) -> Result<Self> {
        let weight = from.take(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = has_bias.then(|| from.take(&format!("{name}.bias"), &[outputs])).transpose()?;
        Ok(Self { weight, bias: bias.map(|bias| bias.floats()), inputs, outputs })
    }

    /// Some of its outputs.
    fn part(&self, outputs: std::ops::Range<usize>) -> Self {
        let bias = self.bias.as_ref().map(|bias| bias[outputs.clone()].to_vec());
        let count = outputs.len();
        Self { weight: self.weight.row_range(outputs), bias, inputs: self.inputs, outputs: count }
    }

    /// `y = x wᵀ + b` for each row.
    pub(super) fn run(&self, x: &[f32], y: &mut [f32]) {
        let shape = (x.len() / self.inputs, self.inputs, self.outputs);
        let matrix = Matrix::new(self.weight.format(), self.outputs, self.inputs, self.weight.bytes()).ok();
        if let Some(weight) = matrix.as_ref().and_then(Matrix::as_floats) {
            return linear(x, weight, self.bias.as_deref(), false, shape, y);
        }
        self.weight.linear(x, y);
        if let Some(bias) = &self.bias {
            y.par_chunks_mut(self.outputs).for_each(|row| add_to(row, bias));
        }
    }

    fn of(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len() / self.inputs * self.outputs];
        self.run(x, &mut y);
        y
    }
}

fn add_to(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// `x += y`
fn add(x: &mut [f32], y: &[f32]) {
    const CHUNK: usize = 1 << 14;
    x.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(x, y)| add_to(x, y));
}

/// Layer normalization.
pub(super) struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub(super) fn take(from: &mut Checkpoint, name: &str, width: usize, epsilon: f32) -> Result<Self> {
        let mut part = |part: &str| from.take(&format!("{name}.{part}"), &[width]);
        Ok(Self { gamma: part("weight")?.floats(), beta: part("bias")?.floats(), epsilon })
    }

    pub(super) fn of(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        layer_norm(x, &self.gamma, &self.beta, self.epsilon, &mut y);
        y
    }
}

/// Attention with its linear layers.
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    pub(super) heads: usize,
}

impl Attention {
    /// What each row of `x` finds in the rows of `context`.
    fn of(&self, x: &[f32], context: &[f32]) -> Vec<f32> {
        let (queries, keys, values) = (self.query.of(x), self.key.of(context), self.value.of(context));
        let mut blended = vec![0.0; queries.len()];
        attend(self.heads, self.query.outputs, (&queries, &keys, &values), &mut blended);
        self.output.of(&blended)
    }
}

/// `softmax(q kᵀ / √width) v` of each head; rows hold all heads, `width` floats together.
fn attend(heads: usize, width: usize, (queries, keys, values): (&[f32], &[f32], &[f32]), out: &mut [f32]) {
    let (own, count, seen) = (width / heads, queries.len() / width, keys.len() / width);
    let scale = 1.0 / (own as f32).sqrt();
    let (mut key, mut value) = (vec![0.0; seen * own], vec![0.0; seen * own]);
    let rows = QUERIES.min(count);
    let (mut query, mut part) = (vec![0.0; rows * own], vec![0.0; rows * own]);
    let (mut scores, mut shares) = (vec![0.0; rows * seen], vec![0.0; rows * seen]);
    for head in 0..heads {
        let columns = head * own..(head + 1) * own;
        for (token, (k, v)) in keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate() {
            key[token * own..][..own].copy_from_slice(&k[columns.clone()]);
            for (element, v) in v[columns.clone()].iter().enumerate() {
                value[element * seen + token] = *v;
            }
        }
        for first in (0..count).step_by(QUERIES) {
            let rows = QUERIES.min(count - first);
            for (to, from) in query.chunks_exact_mut(own).zip(queries[first * width..].chunks_exact(width)) {
                to.iter_mut().zip(&from[columns.clone()]).for_each(|(to, from)| *to = scale * from);
            }
            let (query, part) = (&query[..rows * own], &mut part[..rows * own]);
            let (scores, shares) = (&mut scores[..rows * seen], &mut shares[..rows * seen]);
            linear(query, &key, None, false, (rows, own, seen), scores);
            softmax(scores, seen, shares);
            linear(shares, &value, None, false, (rows, seen, own), part);
            for (to, from) in out[first * width..].chunks_exact_mut(width).zip(part.chunks_exact(own)) {
                to[columns.clone()].copy_from_slice(from);
            }
        }
    }
}

/// The feed-forward layer: `down(gelu(up(x)))`, or `down(up(x) gelu(gate(x)))`.
pub(super) struct FeedForward {
    up: Linear,
    gate: Option<Linear>,
    down: Linear,
}

impl FeedForward {
    pub(super) fn plain(up: Linear, down: Linear) -> Self {
        Self { up, gate: None, down }
    }

    /// The first half of `both`'s outputs is what the second half lets through.
    pub(super) fn gated(both: &Linear, down: Linear) -> Self {
        let half = both.outputs / 2;
        Self { up: both.part(0..half), gate: Some(both.part(half..2 * half)), down }
    }

    fn of(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let rows = TOKENS * self.up.inputs;
        for (x, y) in x.chunks(rows).zip(y.chunks_mut(rows)) {
            let mut inner = self.up.of(x);
            match &self.gate {
                None => activate(FeedForwardActivation::Gelu, &mut inner),
                Some(layer) => {
                    let mut opened = layer.of(x);
                    gate(FeedForwardActivation::Gelu, &mut opened, &inner);
                    inner = opened;
                }
            }
            self.down.run(&inner, y);
        }
        y
    }
}

/// A block of a transformer.
pub(super) struct Block {
    pub(super) attention: (Norm, Attention),
    /// Attention to other tokens.
    pub(super) cross: Option<(Norm, Attention)>,
    pub(super) feed_forward: (Norm, FeedForward),
}

impl Block {
    /// Changes tokens, `[tokens, width]`, in the light of others.
    pub(super) fn run(&self, x: &mut [f32], context: &[f32]) {
        let (norm, attention) = &self.attention;
        let own = norm.of(x);
        add(x, &attention.of(&own, &own));
        if let Some((norm, attention)) = &self.cross {
            let own = norm.of(x);
            add(x, &attention.of(&own, context));
        }
        let (norm, feed_forward) = &self.feed_forward;
        let own = norm.of(x);
        add(x, &feed_forward.of(&own));
    }
}
