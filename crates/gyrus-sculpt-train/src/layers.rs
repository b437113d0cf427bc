//! Layers with handwritten gradients on the kernels of every other network here: linear, normalization, attention to a
//! sequence's own tokens or to those of a picture, feed-forward with or without a gate.
//!
//! A layer's forward pass returns what its backward pass needs. Rows are tokens, one sample after another.

use gyrus_kernels::attention::encoder::{EncoderAttention, encoder_attention};
use gyrus_kernels::attention::encoder_backward::encoder_attention_backward;
use gyrus_kernels::dense::linear::{linear, linear_input_gradient, linear_weight_gradient, sum_rows};
use gyrus_kernels::dense::loss::{softmax, softmax_backward};
use gyrus_kernels::normalization::layer::{layer_norm, layer_norm_backward};
use gyrus_kernels::token::activation::{FeedForwardActivation, activated, activated_backward};
use gyrus_kernels::token::gated::{gated, gated_backward};
use rayon::prelude::*;

/// The values of all parameters.
pub(crate) type Values = [Vec<f32>];

/// A gradient for each parameter that took part.
#[derive(Debug)]
pub(crate) struct Slopes(pub(crate) Vec<Option<Vec<f32>>>);

impl Slopes {
    pub(crate) fn new(parameters: usize) -> Self {
        Self(vec![None; parameters])
    }

    /// Adds to the gradient of a parameter.
    pub(crate) fn add(&mut self, parameter: usize, slope: Vec<f32>) {
        match &mut self.0[parameter] {
            Some(sum) => sum.iter_mut().zip(slope).for_each(|(sum, own)| *sum += own),
            empty => *empty = Some(slope),
        }
    }
}

/// `x += y`
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    const CHUNK: usize = 1 << 14;
    x.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(x, y)| {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    });
}

/// `y = x wᵀ + b`; parameters by their places.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Linear {
    fn shape(&self, x: &[f32]) -> (usize, usize, usize) {
        (x.len() / self.inputs, self.inputs, self.outputs)
    }

    pub(crate) fn forward(&self, values: &Values, x: &[f32]) -> Vec<f32> {
        let shape = self.shape(x);
        let mut y = vec![0.0; shape.0 * self.outputs];
        let bias = self.bias.map(|bias| values[bias].as_slice());
        linear(x, &values[self.weight], bias, false, shape, &mut y);
        y
    }

    /// Gradients of the parameters.
    pub(crate) fn learn(&self, slopes: &mut Slopes, x: &[f32], dy: &[f32]) {
        let mut dw = vec![0.0; self.inputs * self.outputs];
        linear_weight_gradient(dy, x, self.shape(x), &mut dw);
        slopes.add(self.weight, dw);
        if let Some(bias) = self.bias {
            let mut db = vec![0.0; self.outputs];
            sum_rows(dy, self.outputs, &mut db);
            slopes.add(bias, db);
        }
    }

    /// Gradients of the parameters, and that of the input.
    pub(crate) fn backward(&self, values: &Values, slopes: &mut Slopes, x: &[f32], dy: &[f32]) -> Vec<f32> {
        self.learn(slopes, x, dy);
        let mut dx = vec![0.0; x.len()];
        linear_input_gradient(dy, &values[self.weight], self.shape(x), &mut dx);
        dx
    }
}

/// Layer normalization.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) gamma: usize,
    pub(crate) beta: usize,
    pub(crate) epsilon: f32,
}

impl Norm {
    pub(crate) fn forward(&self, values: &Values, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        layer_norm(x, &values[self.gamma], &values[self.beta], self.epsilon, &mut y);
        y
    }

    pub(crate) fn backward(&self, values: &Values, slopes: &mut Slopes, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let gamma = &values[self.gamma];
        let (mut dx, mut dg, mut db) = (vec![0.0; x.len()], vec![0.0; gamma.len()], vec![0.0; gamma.len()]);
        layer_norm_backward(x, gamma, self.epsilon, dy, &mut dx, &mut dg, &mut db);
        slopes.add(self.gamma, dg);
        slopes.add(self.beta, db);
        dx
    }
}

/// Attention of each token to all tokens of its sample, behind a normalization: `x + out(attention(norm(x)))`.
#[derive(Clone, Debug)]
pub(crate) struct OwnAttention {
    pub(crate) norm: Norm,
    /// Queries, keys and values.
    pub(crate) query_key_value: Linear,
    pub(crate) output: Linear,
    pub(crate) heads: usize,
}

/// What [`OwnAttention`] keeps.
pub(crate) struct OwnKept {
    x: Vec<f32>,
    normed: Vec<f32>,
    parts: Vec<f32>,
    found: Vec<f32>,
}

impl OwnAttention {
    fn shape(&self, samples: usize, x: &[f32]) -> (EncoderAttention, Vec<usize>) {
        let width = self.output.inputs;
        let head_width = width / self.heads;
        let scale = 1.0 / (head_width as f32).sqrt();
        let tokens = x.len() / self.output.outputs / samples;
        (EncoderAttention { heads: self.heads, head_width, scale }, vec![tokens; samples])
    }

    pub(crate) fn forward(&self, values: &Values, samples: usize, x: Vec<f32>) -> (Vec<f32>, OwnKept) {
        let normed = self.norm.forward(values, &x);
        let parts = self.query_key_value.forward(values, &normed);
        let (shape, lengths) = self.shape(samples, &x);
        let mut found = vec![0.0; parts.len() / 3];
        encoder_attention(&shape, &lengths, &parts, &mut found);
        let mut y = self.output.forward(values, &found);
        add(&mut y, &x);
        (y, OwnKept { x, normed, parts, found })
    }

    pub(crate) fn backward(
        &self,
        values: &Values,
        slopes: &mut Slopes,
        samples: usize,
        kept: &OwnKept,
        mut dy: Vec<f32>,
    ) -> Vec<f32> {
        let dfound = self.output.backward(values, slopes, &kept.found, &dy);
        let (shape, lengths) = self.shape(samples, &kept.x);
        let mut dparts = vec![0.0; kept.parts.len()];
        encoder_attention_backward(&shape, &lengths, &kept.parts, &dfound, &mut dparts);
        let dnormed = self.query_key_value.backward(values, slopes, &kept.normed, &dparts);
        add(&mut dy, &self.norm.backward(values, slopes, &kept.x, &dnormed));
        dy
    }
}

/// Attention of each token to the tokens of a context, behind a normalization: `x + out(attention(norm(x), context))`.
#[derive(Clone, Debug)]
pub(crate) struct CrossAttention {
    pub(crate) norm: Norm,
    pub(crate) query: Linear,
    /// Keys and values.
    pub(crate) key_value: Linear,
    pub(crate) output: Linear,
    pub(crate) heads: usize,
}

/// What [`CrossAttention`] keeps.
pub(crate) struct CrossKept {
    x: Vec<f32>,
    normed: Vec<f32>,
    queries: Vec<f32>,
    parts: Vec<f32>,
    /// `[samples, heads, tokens, seen]`
    shares: Vec<f32>,
    found: Vec<f32>,
}

/// Columns of a head out of rows of all of them.
fn columns(rows: &[f32], all: usize, first: usize, own: usize) -> Vec<f32> {
    rows.chunks_exact(all).flat_map(|row| &row[first..first + own]).copied().collect()
}

/// Columns of a head into rows of all of them.
fn put(rows: &mut [f32], all: usize, first: usize, part: &[f32], own: usize) {
    for (row, part) in rows.chunks_exact_mut(all).zip(part.chunks_exact(own)) {
        row[first..first + own].copy_from_slice(part);
    }
}

impl CrossAttention {
    pub(crate) fn forward(
        &self,
        values: &Values,
        samples: usize,
        x: Vec<f32>,
        context: &[f32],
    ) -> (Vec<f32>, CrossKept) {
        let normed = self.norm.forward(values, &x);
        let queries = self.query.forward(values, &normed);
        let parts = self.key_value.forward(values, context);
        let width = self.query.outputs;
        let (count, seen) = (queries.len() / width / samples, parts.len() / 2 / width / samples);
        let own = width / self.heads;
        let scale = 1.0 / (own as f32).sqrt();
        let mut shares = vec![0.0; samples * self.heads * count * seen];
        let mut found = vec![0.0; queries.len()];
        (found.par_chunks_mut(count * width))
            .zip(shares.par_chunks_mut(self.heads * count * seen))
            .zip(queries.par_chunks(count * width).zip(parts.par_chunks(seen * 2 * width)))
            .for_each(|((found, shares), (queries, parts))| {
                let (mut scores, mut part) = (vec![0.0; count * seen], vec![0.0; count * own]);
                for (head, shares) in shares.chunks_exact_mut(count * seen).enumerate() {
                    let mut query = columns(queries, width, head * own, own);
                    query.iter_mut().for_each(|value| *value *= scale);
                    let key = columns(parts, 2 * width, head * own, own);
                    let value = columns(parts, 2 * width, width + head * own, own);
                    linear(&query, &key, None, false, (count, own, seen), &mut scores);
                    softmax(&scores, seen, shares);
                    linear_input_gradient(shares, &value, (count, own, seen), &mut part);
                    put(found, width, head * own, &part, own);
                }
            });
        let mut y = self.output.forward(values, &found);
        add(&mut y, &x);
        (y, CrossKept { x, normed, queries, parts, shares, found })
    }

    /// The gradients of the input and of the context.
    pub(crate) fn backward(
        &self,
        values: &Values,
        slopes: &mut Slopes,
        samples: usize,
        (kept, context): (&CrossKept, &[f32]),
        mut dy: Vec<f32>,
    ) -> (Vec<f32>, Vec<f32>) {
        let dfound = self.output.backward(values, slopes, &kept.found, &dy);
        let width = self.query.outputs;
        let (count, seen) = (kept.queries.len() / width / samples, kept.parts.len() / 2 / width / samples);
        let own = width / self.heads;
        let scale = 1.0 / (own as f32).sqrt();
        let (mut dqueries, mut dparts) = (vec![0.0; kept.queries.len()], vec![0.0; kept.parts.len()]);
        (dqueries.par_chunks_mut(count * width))
            .zip(dparts.par_chunks_mut(seen * 2 * width))
            .zip(kept.queries.par_chunks(count * width).zip(kept.parts.par_chunks(seen * 2 * width)))
            .zip(dfound.par_chunks(count * width).zip(kept.shares.par_chunks(self.heads * count * seen)))
            .for_each(|(((dqueries, dparts), (queries, parts)), (dfound, shares))| {
                let (mut dshares, mut dscores) = (vec![0.0; count * seen], vec![0.0; count * seen]);
                let (mut dquery, mut dkey) = (vec![0.0; count * own], vec![0.0; seen * own]);
                for (head, shares) in shares.chunks_exact(count * seen).enumerate() {
                    let shape = (count, own, seen);
                    let query = columns(queries, width, head * own, own);
                    let key = columns(parts, 2 * width, head * own, own);
                    let value = columns(parts, 2 * width, width + head * own, own);
                    let dpart = columns(dfound, width, head * own, own);
                    linear(&dpart, &value, None, false, shape, &mut dshares);
                    linear_weight_gradient(shares, &dpart, shape, &mut dkey);
                    put(dparts, 2 * width, width + head * own, &dkey, own);
                    softmax_backward(shares, &dshares, seen, &mut dscores);
                    dscores.iter_mut().for_each(|slope| *slope *= scale);
                    linear_input_gradient(&dscores, &key, shape, &mut dquery);
                    put(dqueries, width, head * own, &dquery, own);
                    linear_weight_gradient(&dscores, &query, shape, &mut dkey);
                    put(dparts, 2 * width, head * own, &dkey, own);
                }
            });
        let dcontext = self.key_value.backward(values, slopes, context, &dparts);
        let dnormed = self.query.backward(values, slopes, &kept.normed, &dqueries);
        add(&mut dy, &self.norm.backward(values, slopes, &kept.x, &dnormed));
        (dy, dcontext)
    }
}

/// A feed-forward layer behind a normalization: `x + down(f(up(norm(x))))`, where f is GELU, or a gate with GELU.
#[derive(Clone, Debug)]
pub(crate) struct FeedForward {
    pub(crate) norm: Norm,
    /// With a gate, that first and then what it lets through.
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) is_gated: bool,
}

/// What [`FeedForward`] keeps.
pub(crate) struct FeedKept {
    x: Vec<f32>,
    normed: Vec<f32>,
    inner: Vec<f32>,
    opened: Vec<f32>,
}

impl FeedForward {
    pub(crate) fn forward(&self, values: &Values, x: Vec<f32>) -> (Vec<f32>, FeedKept) {
        let normed = self.norm.forward(values, &x);
        let inner = self.up.forward(values, &normed);
        let half = self.down.inputs;
        let mut opened = vec![0.0; inner.len() / self.up.outputs * half];
        match self.is_gated {
            true => gated(FeedForwardActivation::Gelu, &inner, half, &mut opened),
            false => activated(FeedForwardActivation::Gelu, &inner, &mut opened),
        }
        let mut y = self.down.forward(values, &opened);
        add(&mut y, &x);
        (y, FeedKept { x, normed, inner, opened })
    }

    pub(crate) fn backward(
        &self,
        values: &Values,
        slopes: &mut Slopes,
        kept: &FeedKept,
        mut dy: Vec<f32>,
    ) -> Vec<f32> {
        let dopened = self.down.backward(values, slopes, &kept.opened, &dy);
        let mut dinner = vec![0.0; kept.inner.len()];
        let half = self.down.inputs;
        match self.is_gated {
            true => gated_backward(FeedForwardActivation::Gelu, &kept.inner, half, &dopened, &mut dinner),
            false => activated_backward(FeedForwardActivation::Gelu, &kept.inner, &dopened, &mut dinner),
        }
        let dnormed = self.up.backward(values, slopes, &kept.normed, &dinner);
        add(&mut dy, &self.norm.backward(values, slopes, &kept.x, &dnormed));
        dy
    }
}
