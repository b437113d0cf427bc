//! The forward pass of a decoder.

use std::ops::Range;

use gyrus_kernels::attention::cached::{AttentionShape, CachedSequence, attention_cached};
use gyrus_kernels::attention::maps::cached_attention_maps;
use gyrus_kernels::attention::rotary::rotate;
use gyrus_kernels::dense::linear::{linear, linear_in_tiles};
use gyrus_kernels::normalization::layer::layer_norm;
use gyrus_kernels::normalization::rms::rms_norm;
use gyrus_kernels::token::activation::{FeedForwardActivation, activate};
use gyrus_kernels::token::gated::gate;

use super::{Decoder, DecoderLayer, Linear, Normalizer, Sequence};
use crate::observation::Observation;
use crate::{AdapterPart, Normalization, QueryKeyNormalization};

/// The most rows that go through all layers together: enough to be compute-bound, few enough to stay small.
pub(super) const ROWS: usize = 512;

/// A chunk of one sequence's tokens.
struct Chunk {
    sequence: usize,
    tokens: Range<usize>,
    /// The length of the sequence once all of its tokens are read.
    length: usize,
}

/// The rows of one pass, and which kernels compute their linear layers.
#[derive(Clone, Copy)]
struct Rows {
    all: usize,
    /// How many of them use the kernel for many rows, the others the kernel for a few; `None` decides by their number.
    read: Option<usize>,
}

/// What goes through all layers together.
struct Pass<'a> {
    rows: Rows,
    chunks: &'a [Chunk],
    angles: Vec<Angles>,
}

/// Cosines and sines of one rotary embedding for the rows of one pass: `[rows, pairs]`.
struct Angles {
    pairs: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Decoder {
    /// Reads the sequences and returns the requested logits. The first `reading` sequences use the kernel for many rows, the
    /// others the kernel for a few; `None` decides by their number. Only a single sequence in one pass can be observed.
    pub(super) fn run(
        &self,
        sequences: &mut [Sequence<'_>],
        reading: Option<usize>,
        mut observation: Option<&mut Observation>,
    ) -> Vec<f32> {
        let mut logits = Vec::new();
        let (mut chunks, mut rows) = (Vec::new(), 0);
        for index in 0..sequences.len() {
            let tokens = sequences[index].tokens.len();
            let length = sequences[index].cache.positions() + tokens;
            let mut start = 0;
            while start < tokens {
                let end = tokens.min(start + ROWS - rows);
                chunks.push(Chunk { sequence: index, tokens: start..end, length });
                (rows, start) = (rows + end - start, end);
                if rows == ROWS {
                    self.pass(sequences, &chunks, reading, &mut logits, observation.as_deref_mut());
                    (chunks, rows) = (Vec::new(), 0);
                }
            }
        }
        if rows > 0 {
            self.pass(sequences, &chunks, reading, &mut logits, observation);
        }
        logits
    }

    /// Takes chunks of the sequences, at most one of each, through all layers.
    fn pass(
        &self,
        sequences: &mut [Sequence<'_>],
        chunks: &[Chunk],
        reading: Option<usize>,
        logits: &mut Vec<f32>,
        mut observation: Option<&mut Observation>,
    ) {
        let width = self.config.width;
        let of = |kind: &dyn Fn(&Chunk) -> bool| {
            chunks.iter().filter(|chunk| kind(chunk)).map(|chunk| chunk.tokens.len()).sum()
        };
        let rows = Rows {
            all: of(&|_| true),
            read: reading.map(|reading| of(&|chunk: &Chunk| chunk.sequence < reading)),
        };
        let mut x = vec![0.0; rows.all * width];
        self.embed(sequences, chunks, &mut x);
        let pass = Pass { rows, chunks, angles: self.angles(sequences, chunks, rows.all) };
        let mut buffers = Buffers::default();
        if let Some(observation) = &mut observation {
            observation.add_stream(&x);
        }
        for index in 0..self.layers.len() {
            self.layer(index, sequences, &pass, &mut x, &mut buffers);
            if let Some(observation) = &mut observation {
                let (keys, _) = sequences[chunks[0].sequence].cache.layer(index);
                let shape = self.attention_shape(index);
                observation.add_maps(|maps| cached_attention_maps(&shape, &buffers.queries, keys, maps));
                observation.add_stream(&x);
            }
        }
        for chunk in chunks {
            sequences[chunk.sequence].cache.advance(chunk.tokens.len());
        }
        self.head(sequences, &pass, &x, logits);
    }

    fn embed(&self, sequences: &[Sequence<'_>], chunks: &[Chunk], x: &mut [f32]) {
        let mut rows = x.chunks_exact_mut(self.config.width);
        let mut learned = vec![0.0; if self.positions.is_some() { self.config.width } else { 0 }];
        for chunk in chunks {
            let Sequence { tokens, cache, .. } = &sequences[chunk.sequence];
            for (i, &token) in tokens[chunk.tokens.clone()].iter().enumerate() {
                let Some(row) = rows.next() else { return };
                self.embedding.row(token as usize, row);
                if self.embedding_scale != 1.0 {
                    row.iter_mut().for_each(|x| *x *= self.embedding_scale);
                }
                if let Some(positions) = &self.positions {
                    positions.row(cache.positions() + i, &mut learned);
                    row.iter_mut().zip(&learned).for_each(|(x, position)| *x += position);
                }
            }
        }
    }

    /// Angles of every rotary embedding.
    fn angles(&self, sequences: &[Sequence<'_>], chunks: &[Chunk], rows: usize) -> Vec<Angles> {
        let of = |rope: &crate::Rope| {
            let (pairs, factor) = (rope.dimensions / 2, rope.attention_factor());
            let (mut cosines, mut sines) =
                (Vec::with_capacity(rows * pairs), Vec::with_capacity(rows * pairs));
            for chunk in chunks {
                let frequencies = rope.inverse_frequencies(chunk.length);
                let start = sequences[chunk.sequence].cache.positions();
                for position in start..start + chunk.tokens.len() {
                    let angles = frequencies.iter().map(|frequency| position as f32 * frequency);
                    for (sine, cosine) in angles.map(f32::sin_cos) {
                        cosines.push(cosine * factor);
                        sines.push(sine * factor);
                    }
                }
            }
            Angles { pairs, cosines, sines }
        };
        self.config.ropes.iter().map(of).collect()
    }

    fn layer(
        &self,
        index: usize,
        sequences: &mut [Sequence<'_>],
        pass: &Pass<'_>,
        x: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let layer = &self.layers[index];
        let Pass { rows, chunks, ref angles } = *pass;
        let Buffers { normalized, queries, keys, values, attended, gated, up, result } = buffers;
        let input = self.normalized(layer.before_attention.as_ref(), x, normalized);
        layer.query.apply(input, queries, rows);
        layer.key.apply(input, keys, rows);
        layer.value.apply(input, values, rows);
        self.position(index, layer, angles, queries, keys);

        let (query_width, key_width) = (self.config.query_width(), self.config.key_value_width());
        let mut row = 0;
        for chunk in chunks {
            let range = row * key_width..(row + chunk.tokens.len()) * key_width;
            sequences[chunk.sequence].cache.append(index, &keys[range.clone()], &values[range]);
            row += chunk.tokens.len();
        }
        let shape = self.attention_shape(index);
        attended.resize(queries.len(), 0.0);
        let mut jobs = Vec::with_capacity(chunks.len());
        let (mut queries, mut out) = (&queries[..], &mut attended[..]);
        for chunk in chunks {
            let length = chunk.tokens.len() * query_width;
            let (keys, values) = sequences[chunk.sequence].cache.layer(index);
            let (own, others) = queries.split_at(length);
            let (own_out, others_out) = std::mem::take(&mut out).split_at_mut(length);
            jobs.push(CachedSequence { queries: own, keys, values, out: own_out });
            (queries, out) = (others, others_out);
        }
        attention_cached(&shape, &mut jobs);
        layer.attention_output.apply(attended, result, rows);
        self.add(layer.after_attention.as_ref(), result, normalized, x);

        let input = self.normalized(layer.before_feed_forward.as_ref(), x, normalized);
        let f = FeedForwardActivation::from(self.config.activation);
        layer.up.apply(input, up, rows);
        let inner = match &layer.gate {
            Some(linear) => {
                linear.apply(input, gated, rows);
                gate(f, gated, up);
                &*gated
            }
            None => {
                activate(f, up);
                &*up
            }
        };
        layer.down.apply(inner, result, rows);
        self.add(layer.after_feed_forward.as_ref(), result, normalized, x);
    }

    fn attention_shape(&self, layer: usize) -> AttentionShape {
        AttentionShape {
            heads: self.config.heads,
            key_value_heads: self.config.key_value_heads,
            head_width: self.config.head_width,
            scale: self.config.attention_scale,
            softcap: self.config.attention_softcap,
            window: self.config.layers[layer].window,
        }
    }

    /// Normalizes and rotates queries and keys.
    fn position(
        &self,
        index: usize,
        layer: &DecoderLayer,
        angles: &[Angles],
        queries: &mut Vec<f32>,
        keys: &mut Vec<f32>,
    ) {
        let after = self.config.query_key_normalization == Some(QueryKeyNormalization::HeadAfterRotation);
        let normalize = |queries: &mut Vec<f32>, keys: &mut Vec<f32>| {
            for (x, weight) in [(queries, &layer.query_normalization), (keys, &layer.key_normalization)] {
                if let Some(weight) = weight {
                    let mut y = vec![0.0; x.len()];
                    rms_norm(x, weight, self.config.normalization_epsilon, &mut y);
                    *x = y;
                }
            }
        };
        if !after {
            normalize(queries, keys);
        }
        if let Some(rope) = self.config.layers[index].rope {
            let Angles { pairs, cosines, sines } = &angles[rope];
            let interleaved = self.config.ropes[rope].interleaved;
            let head_width = self.config.head_width;
            for (x, heads) in [(&mut *queries, self.config.heads), (&mut *keys, self.config.key_value_heads)]
            {
                rotate(x, (heads, head_width, *pairs), (cosines, sines), interleaved);
            }
        }
        if after {
            normalize(queries, keys);
        }
    }

    /// `x`, or its normalized rows in `buffer`.
    fn normalized<'a>(
        &self,
        normalizer: Option<&Normalizer>,
        x: &'a [f32],
        buffer: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let Some(normalizer) = normalizer else { return x };
        buffer.resize(x.len(), 0.0);
        normalizer.apply(self.config.normalization, self.config.normalization_epsilon, x, buffer);
        buffer
    }

    /// Adds the output of a block to the residual stream, normalized first if there is a normalization.
    fn add(&self, normalizer: Option<&Normalizer>, result: &[f32], buffer: &mut Vec<f32>, x: &mut [f32]) {
        let result = self.normalized(normalizer, result, buffer);
        let scale = self.config.residual_scale;
        x.iter_mut().zip(result).for_each(|(x, result)| *x += scale * result);
    }

    /// Appends the requested logits.
    fn head(&self, sequences: &[Sequence<'_>], pass: &Pass<'_>, x: &[f32], logits: &mut Vec<f32>) {
        let width = self.config.width;
        let mut wanted = Vec::new();
        let mut row = 0;
        for chunk in pass.chunks {
            let Sequence { tokens, all_logits, .. } = &sequences[chunk.sequence];
            let end = row + chunk.tokens.len();
            let first = match (*all_logits, chunk.tokens.end == tokens.len()) {
                (true, _) => row,
                (false, true) => end - 1,
                (false, false) => end,
            };
            wanted.extend_from_slice(&x[first * width..end * width]);
            row = end;
        }
        if !wanted.is_empty() {
            self.append_logits(&wanted, pass.rows.read, logits);
        }
    }

    /// Appends the logits of rows of the residual stream after the last layer.
    pub(super) fn append_logits(&self, rows: &[f32], read: Option<usize>, logits: &mut Vec<f32>) {
        let mut normalized = Vec::new();
        let input = self.normalized(Some(&self.final_normalization), rows, &mut normalized);
        let start = logits.len();
        logits.resize(start + input.len() / self.config.width * self.config.vocabulary, 0.0);
        let new = &mut logits[start..];
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        match read {
            None => head.linear(input, new),
            // About one row per sequence.
            Some(_) => head.linear_by_rows(input, new, 0),
        }
        if self.config.logits_divisor != 1.0 {
            new.iter_mut().for_each(|logit| *logit /= self.config.logits_divisor);
        }
        if let Some(cap) = self.config.logits_softcap {
            new.iter_mut().for_each(|logit| *logit = cap * (*logit / cap).tanh());
        }
    }
}

impl Normalizer {
    fn apply(&self, kind: Normalization, epsilon: f32, x: &[f32], y: &mut [f32]) {
        match (kind, &self.bias) {
            (Normalization::Layer, Some(bias)) => layer_norm(x, &self.weight, bias, epsilon, y),
            // Gemma's weights had 1 added when they were loaded.
            _ => rms_norm(x, &self.weight, epsilon, y),
        }
    }
}

impl Linear {
    fn apply(&self, x: &[f32], y: &mut Vec<f32>, rows: Rows) {
        y.resize(rows.all * self.weight.rows(), 0.0);
        match rows.read {
            None => self.weight.linear(x, y),
            Some(read) => self.weight.linear_by_rows(x, y, read),
        }
        if let Some(bias) = &self.bias {
            for row in y.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        }
        let Some(AdapterPart { rank, scale, down, up }) = &self.adapter else { return };
        let (inputs, outputs) = (self.weight.columns(), self.weight.rows());
        let (mut inner, mut added) = (vec![0.0; rows.all * rank], vec![0.0; y.len()]);
        let multiply = |x: &[f32], weight: &[f32], shape, y: &mut [f32]| match rows.read {
            None => linear(x, weight, None, false, shape, y),
            Some(_) => linear_in_tiles(x, weight, shape, y),
        };
        multiply(x, down, (rows.all, inputs, *rank), &mut inner);
        multiply(&inner, up, (rows.all, *rank, outputs), &mut added);
        y.iter_mut().zip(added).for_each(|(y, added)| *y += scale * added);
    }
}

/// Buffers shared by all layers of a pass.
#[derive(Default)]
struct Buffers {
    normalized: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    attended: Vec<f32>,
    gated: Vec<f32>,
    up: Vec<f32>,
    result: Vec<f32>,
}
