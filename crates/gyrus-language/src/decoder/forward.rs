//! The pass through a decoder.

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

/// Rows that go through all layers together: enough to be limited by arithmetic, few enough to stay small.
pub(super) const ROWS: usize = 512;

/// A stretch of one text's tokens.
struct Piece {
    sequence: usize,
    tokens: Range<usize>,
    /// The length of the text once all of its tokens are read.
    length: usize,
}

/// Rows of one pass, and how their products go.
#[derive(Clone, Copy)]
struct Rows {
    all: usize,
    /// How many of them go the way of many inputs, the others that of a few; none leaves it to their number.
    read: Option<usize>,
}

/// What goes through all layers together.
struct Pass<'a> {
    rows: Rows,
    pieces: &'a [Piece],
    angles: Vec<Angles>,
}

/// Cosines and sines of one way of rotating, for the rows of one pass: `[rows, pairs]`.
struct Angles {
    pairs: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Decoder {
    /// Reads the texts and returns the logits that they want. The first `reading` texts go the way of many inputs, the others
    /// that of a few; none leaves it to their number. What is observed is one text that goes through in one pass.
    pub(super) fn run(
        &self,
        sequences: &mut [Sequence<'_>],
        reading: Option<usize>,
        mut observation: Option<&mut Observation>,
    ) -> Vec<f32> {
        let mut logits = Vec::new();
        let (mut pieces, mut rows) = (Vec::new(), 0);
        for index in 0..sequences.len() {
            let tokens = sequences[index].tokens.len();
            let length = sequences[index].cache.positions() + tokens;
            let mut start = 0;
            while start < tokens {
                let end = tokens.min(start + ROWS - rows);
                pieces.push(Piece { sequence: index, tokens: start..end, length });
                (rows, start) = (rows + end - start, end);
                if rows == ROWS {
                    self.pass(sequences, &pieces, reading, &mut logits, observation.as_deref_mut());
                    (pieces, rows) = (Vec::new(), 0);
                }
            }
        }
        if rows > 0 {
            self.pass(sequences, &pieces, reading, &mut logits, observation);
        }
        logits
    }

    /// Takes pieces of the texts, at most one of each, through all layers.
    fn pass(
        &self,
        sequences: &mut [Sequence<'_>],
        pieces: &[Piece],
        reading: Option<usize>,
        logits: &mut Vec<f32>,
        mut observation: Option<&mut Observation>,
    ) {
        let width = self.config.width;
        let of = |kind: &dyn Fn(&Piece) -> bool| {
            pieces.iter().filter(|piece| kind(piece)).map(|piece| piece.tokens.len()).sum()
        };
        let rows = Rows {
            all: of(&|_| true),
            read: reading.map(|reading| of(&|piece: &Piece| piece.sequence < reading)),
        };
        let mut x = vec![0.0; rows.all * width];
        self.embed(sequences, pieces, &mut x);
        let pass = Pass { rows, pieces, angles: self.angles(sequences, pieces, rows.all) };
        let mut buffers = Buffers::default();
        if let Some(observation) = &mut observation {
            observation.add_stream(&x);
        }
        for index in 0..self.layers.len() {
            self.layer(index, sequences, &pass, &mut x, &mut buffers);
            if let Some(observation) = &mut observation {
                let (keys, _) = sequences[pieces[0].sequence].cache.layer(index);
                let shape = self.attention_shape(index);
                observation.add_maps(|maps| cached_attention_maps(&shape, &buffers.queries, keys, maps));
                observation.add_stream(&x);
            }
        }
        for piece in pieces {
            sequences[piece.sequence].cache.advance(piece.tokens.len());
        }
        self.head(sequences, &pass, &x, logits);
    }

    fn embed(&self, sequences: &[Sequence<'_>], pieces: &[Piece], x: &mut [f32]) {
        let mut rows = x.chunks_exact_mut(self.config.width);
        let mut learned = vec![0.0; if self.positions.is_some() { self.config.width } else { 0 }];
        for piece in pieces {
            let Sequence { tokens, cache, .. } = &sequences[piece.sequence];
            for (i, &token) in tokens[piece.tokens.clone()].iter().enumerate() {
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

    /// Angles of every way of rotating.
    fn angles(&self, sequences: &[Sequence<'_>], pieces: &[Piece], rows: usize) -> Vec<Angles> {
        let of = |rope: &crate::Rope| {
            let (pairs, factor) = (rope.dimensions / 2, rope.attention_factor());
            let (mut cosines, mut sines) =
                (Vec::with_capacity(rows * pairs), Vec::with_capacity(rows * pairs));
            for piece in pieces {
                let frequencies = rope.inverse_frequencies(piece.length);
                let start = sequences[piece.sequence].cache.positions();
                for position in start..start + piece.tokens.len() {
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
        let Pass { rows, pieces, ref angles } = *pass;
        let Buffers { normalized, queries, keys, values, attended, gated, up, result } = buffers;
        let input = self.normalized(layer.before_attention.as_ref(), x, normalized);
        layer.query.apply(input, queries, rows);
        layer.key.apply(input, keys, rows);
        layer.value.apply(input, values, rows);
        self.position(index, layer, angles, queries, keys);

        let (query_width, key_width) = (self.config.query_width(), self.config.key_value_width());
        let mut row = 0;
        for piece in pieces {
            let range = row * key_width..(row + piece.tokens.len()) * key_width;
            sequences[piece.sequence].cache.append(index, &keys[range.clone()], &values[range]);
            row += piece.tokens.len();
        }
        let shape = self.attention_shape(index);
        attended.resize(queries.len(), 0.0);
        let mut jobs = Vec::with_capacity(pieces.len());
        let (mut queries, mut out) = (&queries[..], &mut attended[..]);
        for piece in pieces {
            let length = piece.tokens.len() * query_width;
            let (keys, values) = sequences[piece.sequence].cache.layer(index);
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

    /// Adds a part's result to the stream, normalized first where there is a normalization.
    fn add(&self, normalizer: Option<&Normalizer>, result: &[f32], buffer: &mut Vec<f32>, x: &mut [f32]) {
        let result = self.normalized(normalizer, result, buffer);
        let scale = self.config.residual_scale;
        x.iter_mut().zip(result).for_each(|(x, result)| *x += scale * result);
    }

    /// Appends the logits of the rows that want them.
    fn head(&self, sequences: &[Sequence<'_>], pass: &Pass<'_>, x: &[f32], logits: &mut Vec<f32>) {
        let width = self.config.width;
        let mut wanted = Vec::new();
        let mut row = 0;
        for piece in pass.pieces {
            let Sequence { tokens, all_logits, .. } = &sequences[piece.sequence];
            let end = row + piece.tokens.len();
            let first = match (*all_logits, piece.tokens.end == tokens.len()) {
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

    /// Appends the logits of rows of the stream after the last layer.
    pub(super) fn append_logits(&self, rows: &[f32], read: Option<usize>, logits: &mut Vec<f32>) {
        let mut normalized = Vec::new();
        let input = self.normalized(Some(&self.final_normalization), rows, &mut normalized);
        let start = logits.len();
        logits.resize(start + input.len() / self.config.width * self.config.vocabulary, 0.0);
        let new = &mut logits[start..];
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        match read {
            None => head.linear(input, new),
            // A row or so of each text.
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
            // One is added to Gemma's weights when they are loaded.
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

/// Memory that all layers of a pass use in turn.
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
