//! Operations of a transformer in training. Rows are the tokens of one or more sequences, one sequence after another.

use std::borrow::Cow;
use std::sync::Arc;

use burn_flex::FlexTensor;
use gyrus_kernels::attention::causal::{CausalAttention, causal_attention, causal_attention_backward};
use gyrus_kernels::attention::rotary::{Rotation, rotate};
use gyrus_kernels::dense::linear::{linear_input_gradient, linear_residual, linear_weight_gradient};
use gyrus_kernels::normalization::heads::{NormedHeads, head_norm, head_norm_backward};
use gyrus_kernels::normalization::rms::{rms_norm, rms_norm_backward};
use gyrus_kernels::stored::Matrix;
use gyrus_kernels::token::activation::{FeedForwardActivation, activated, activated_backward};
use gyrus_kernels::token::embedding::{embedding, embedding_gradient};
use gyrus_kernels::token::gated::{gated, gated_backward};
use gyrus_kernels::token::vocabulary_loss::{VocabularyLoss, VocabularyLossGradients, vocabulary_loss};

use super::keep::{Floats, Kept};
use super::stored::{LowRankLinear, StoredMatrix};
use crate::pool::filled;

/// An operation of a transformer. Brackets list the tensors of each operation.
#[derive(Clone, Debug)]
pub enum Transformer {
    /// Row `i` is row `tokens[i]` of the table; `[table]`, which is `[vocabulary, width]`, to `[tokens, width]`.
    Embedding {
        /// Each below the number of rows of the table.
        tokens: Arc<[u32]>,
    },
    /// `y = weight * x / sqrt(mean(x²) + epsilon)` over each row; `[x, weight]`
    RmsNorm {
        /// Added to the mean of squares.
        epsilon: f32,
        /// The factor is `1 + weight` (as Gemma has it).
        plus_one: bool,
    },
    /// Normalizes the queries and keys of each row by their root mean square, and leaves the values unchanged;
    /// `[x, query weight, key weight]`, where a weight is as long as a head, or as all heads together.
    HeadNorm {
        /// Heads and their size.
        shape: CausalAttention,
        /// Added to the mean of squares.
        epsilon: f32,
        /// The factor is `1 + weight` (as Gemma has it).
        plus_one: bool,
    },
    /// Rotates queries and keys by their position (RoPE), and leaves the values unchanged; `[x]`, as for attention.
    Rotate {
        /// Heads and their size.
        shape: CausalAttention,
        /// The row after the last of each sequence.
        ends: Arc<[usize]>,
        /// Angles of the rotation.
        rotation: RotationTable,
    },
    /// Causal attention within each sequence; `[x]`, whose rows hold all queries, all keys and all values of a token.
    Attention {
        /// Heads and their size.
        shape: CausalAttention,
        /// The row after the last of each sequence.
        ends: Arc<[usize]>,
        /// Rotation of queries and keys by their position.
        rotation: Option<RotationTable>,
    },
    /// `y = f(gate) * up`; `[x]`, whose rows hold `gate` and then `up`.
    Gated(FeedForwardActivation),
    /// `y = f(x)`; `[x]`
    Activated(FeedForwardActivation),
    /// `y = x wᵀ + residual`; `[x, weight, residual]`
    LinearResidual {
        /// Columns of `x`.
        inputs: usize,
        /// Columns of `y` and of the residual.
        outputs: usize,
    },
    /// Frozen linear layers with a low-rank adapter; `[x, adapter?, residual?]`, with an adapter only if a part has a rank.
    /// The residual is added to the result.
    LowRank(LowRankLinear),
    /// The mean cross-entropy of `softmax(x wᵀ)`, in nats, over the rows that are not ignored; `[x, weight]` to `[1, 1]`, or
    /// `[x]` if the weight is frozen.
    VocabularyLoss {
        /// The token that follows each row, or [`gyrus_kernels::token::vocabulary_loss::IGNORED`].
        targets: Arc<[u32]>,
        /// Rows of the weight.
        vocabulary: usize,
        /// `c` in `c * tanh(logit / c)`.
        softcap: Option<f32>,
        /// A frozen weight.
        frozen: Option<StoredMatrix>,
        /// Whether to compute the gradients, which happens in the forward pass.
        gradients: bool,
    },
}

/// Cosines and sines of the angles of each position, `[positions, pairs]`.
#[derive(Clone, Debug)]
pub struct RotationTable {
    /// At least as many positions as the longest sequence.
    pub cosines: Arc<[f32]>,
    /// Shaped like `cosines`.
    pub sines: Arc<[f32]>,
    /// Rotated pairs of a head's elements.
    pub pairs: usize,
    /// Whether a pair consists of the elements `2i` and `2i + 1`, rather than `i` and `i + pairs`.
    pub interleaved: bool,
}

impl RotationTable {
    /// The table for `positions` positions, given the angle of each pair for one step, in radians.
    #[must_use]
    pub fn new(inverse_frequencies: &[f32], positions: usize) -> Self {
        // As in `transformers`: the angle is a product of two f32.
        let angle = |position: usize| inverse_frequencies.iter().map(move |f| f * position as f32);
        let table = |f: fn(f32) -> f32| (0..positions).flat_map(|position| angle(position).map(f)).collect();
        let pairs = inverse_frequencies.len();
        Self { cosines: table(f32::cos), sines: table(f32::sin), pairs, interleaved: false }
    }

    /// The same table with `factor` on the rotated elements, and with neighboring pairs if `interleaved`.
    #[must_use]
    pub fn scaled(self, factor: f32, interleaved: bool) -> Self {
        let scale = |table: Arc<[f32]>| table.iter().map(|value| value * factor).collect();
        if factor == 1.0 {
            return Self { interleaved, ..self };
        }
        Self { cosines: scale(self.cosines), sines: scale(self.sines), interleaved, ..self }
    }

    fn lent(&self) -> Rotation<'_> {
        Rotation {
            cosines: &self.cosines,
            sines: &self.sines,
            pairs: self.pairs,
            interleaved: self.interleaved,
        }
    }
}

/// The factor of each column.
fn factors(weight: &[f32], plus_one: bool) -> Cow<'_, [f32]> {
    if plus_one { weight.iter().map(|w| 1.0 + w).collect::<Vec<_>>().into() } else { weight.into() }
}

/// The queries and the keys of a row: by head, or all heads together if the weight is as long.
fn groups<'a>(shape: &CausalAttention, weights: &'a [Cow<'_, [f32]>; 2]) -> [NormedHeads<'a>; 2] {
    let group = |weight: &'a [f32], heads: usize| NormedHeads {
        weight,
        heads: heads * shape.head_width / weight.len().max(1),
    };
    [group(&weights[0], shape.heads), group(&weights[1], shape.key_value_heads)]
}

/// Rotates queries and keys, backwards for a negative `sign`.
fn rotate_heads(
    shape: &CausalAttention,
    ends: &[usize],
    rotation: &RotationTable,
    sign: f32,
    x: &[f32],
    y: &mut [f32],
) {
    y.copy_from_slice(x);
    let (pairs, heads) = (rotation.pairs, shape.heads + shape.key_value_heads);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let places = starts.zip(ends).flat_map(|(start, &end)| 0..end.saturating_sub(start));
    for (row, position) in y.chunks_exact_mut(shape.columns()).zip(places) {
        let cosines = &rotation.cosines[position * pairs..][..pairs];
        let sines: Vec<f32> =
            rotation.sines[position * pairs..][..pairs].iter().map(|sine| sign * sine).collect();
        let rotated = &mut row[..heads * shape.head_width];
        rotate(rotated, (heads, shape.head_width, pairs), (cosines, &sines), rotation.interleaved);
    }
}

impl Transformer {
    pub(crate) fn keeps(&self) -> Kept {
        let (inputs, output): (&[usize], bool) = match self {
            // Only the size of the table, which its shape holds.
            Self::Embedding { .. } | Self::Gated(_) | Self::Activated(_) => (&[0], false),
            Self::Rotate { .. } => (&[], false),
            Self::HeadNorm { .. } => (&[0, 1, 2], false),
            Self::Attention { .. } => (&[0], true),
            Self::LowRank(linear) => (if linear.rank() > 0 { &[0, 1] } else { &[] }, false),
            Self::RmsNorm { .. } | Self::LinearResidual { .. } => (&[0, 1], false),
            Self::VocabularyLoss { .. } => (&[], false),
        };
        Kept { inputs, output }
    }

    /// The result, and other tensors that the gradient needs.
    pub(crate) fn forward(&self, rows: usize, tensors: &[Floats]) -> (FlexTensor, Vec<FlexTensor>) {
        let input = |i: usize| tensors[i].get();
        let x = input(0);
        let columns = x.len() / rows.max(1);
        let output = match self {
            Self::Embedding { tokens } => {
                filled([tokens.len(), columns], |y| embedding(x, tokens, columns, y))
            }
            Self::RmsNorm { epsilon, plus_one } => {
                filled([rows, columns], |y| rms_norm(x, &factors(input(1), *plus_one), *epsilon, y))
            }
            Self::Attention { shape, ends, rotation } => {
                let rotation = rotation.as_ref().map(RotationTable::lent);
                let mut logarithms = filled([shape.heads, rows], |_| {});
                let y = filled([rows, shape.query_columns()], |y| {
                    causal_attention(shape, ends, rotation, x, y, logarithms.storage_mut());
                });
                return (y, vec![logarithms]);
            }
            Self::HeadNorm { shape, epsilon, plus_one } => {
                let weights = [factors(input(1), *plus_one), factors(input(2), *plus_one)];
                filled([rows, columns], |y| head_norm(x, columns, &groups(shape, &weights), *epsilon, y))
            }
            Self::Rotate { shape, ends, rotation } => {
                filled([rows, columns], |y| rotate_heads(shape, ends, rotation, 1.0, x, y))
            }
            Self::Activated(f) => filled([rows, columns], |y| activated(*f, x, y)),
            Self::Gated(f) => filled([rows, columns / 2], |y| gated(*f, x, columns / 2, y)),
            Self::LinearResidual { inputs, outputs } => filled([rows, *outputs], |y| {
                linear_residual(x, input(1), input(2), (rows, *inputs, *outputs), y);
            }),
            Self::LowRank(linear) => {
                let rank = linear.rank();
                let adapter = if rank > 0 { input(1) } else { &[] };
                let residual = tensors.get(1 + usize::from(rank > 0)).map(Floats::get);
                return linear.forward(rows, x, adapter, residual);
            }
            Self::VocabularyLoss { targets, vocabulary, softcap, frozen, gradients } => {
                let shape = VocabularyLoss { width: columns, vocabulary: *vocabulary, softcap: *softcap };
                let weight = match frozen {
                    Some(frozen) => frozen.lent(),
                    None => Matrix::of_floats(input(1), columns),
                };
                let run = |gradients: Option<VocabularyLossGradients<'_>>| {
                    filled([1, 1], |to| to[0] = vocabulary_loss(shape, x, weight, targets, gradients))
                };
                if !gradients {
                    return (run(None), Vec::new());
                }
                let mut dx = filled([rows, columns], |_| {});
                if frozen.is_some() {
                    let gradients = VocabularyLossGradients { input: dx.storage_mut(), weight: None };
                    return (run(Some(gradients)), vec![dx]);
                }
                let mut dw = filled([vocabulary * columns], |_| {});
                let gradients =
                    VocabularyLossGradients { input: dx.storage_mut(), weight: Some(dw.storage_mut()) };
                return (run(Some(gradients)), vec![dx, dw]);
            }
        };
        (output, Vec::new())
    }

    /// Gradients of the inputs that `wanted` marks. `kept` holds the tensors of [`Self::keeps`], then the extra results of
    /// [`Self::forward`].
    pub(crate) fn backward(
        &self,
        kept: &[FlexTensor],
        dy: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let rows = dy.layout().shape()[0];
        if let Self::LowRank(linear) = self {
            return linear.backward(rows, kept, dy, wanted);
        }
        if let Self::Rotate { shape, ends, rotation } = self {
            let dy = Floats::new(dy);
            let columns = shape.columns();
            return vec![Some(filled([rows, columns], |dx| {
                rotate_heads(shape, ends, rotation, -1.0, dy.get(), dx)
            }))];
        }
        let kept_rows = kept[0].layout().shape()[0];
        if let Self::VocabularyLoss { .. } = self {
            let by = Floats::new(dy).get()[0];
            return kept.iter().zip(wanted).map(|(g, wanted)| wanted.then(|| scaled(g, by))).collect();
        }
        let floats: Vec<Floats> = kept.iter().map(Floats::new).collect();
        let kept = |i: usize| floats[i].get();
        let residual = dy;
        let dy = Floats::new(dy);
        let dy = dy.get();
        let columns = kept(0).len() / kept_rows.max(1);
        match self {
            Self::Embedding { tokens } => vec![Some(filled([kept_rows, columns], |gradient| {
                embedding_gradient(tokens, dy, columns, gradient);
            }))],
            Self::RmsNorm { epsilon, plus_one } => {
                let weight = factors(kept(1), *plus_one);
                let mut dweight = filled([columns], |_| {});
                let dx = filled([rows, columns], |dx| {
                    rms_norm_backward(kept(0), &weight, *epsilon, dy, dx, dweight.storage_mut());
                });
                vec![Some(dx), Some(dweight)]
            }
            Self::Attention { shape, ends, rotation } => {
                let rotation = rotation.as_ref().map(RotationTable::lent);
                vec![Some(filled([rows, columns], |dx| {
                    causal_attention_backward(shape, ends, rotation, kept(0), (kept(1), kept(2)), dy, dx);
                }))]
            }
            Self::HeadNorm { shape, epsilon, plus_one } => {
                let weights = [factors(kept(1), *plus_one), factors(kept(2), *plus_one)];
                let (queries, keys) = (weights[0].len(), weights[1].len());
                let mut both = vec![0.0; queries + keys];
                let dx = filled([rows, columns], |dx| {
                    head_norm_backward(
                        kept(0),
                        columns,
                        &groups(shape, &weights),
                        *epsilon,
                        dy,
                        dx,
                        &mut both,
                    );
                });
                let (query, key) = both.split_at(queries);
                let vector = |from: &[f32]| filled([from.len()], |to| to.copy_from_slice(from));
                vec![Some(dx), Some(vector(query)), Some(vector(key))]
            }
            Self::Activated(f) => {
                vec![Some(filled([rows, columns], |dx| activated_backward(*f, kept(0), dy, dx)))]
            }
            Self::Gated(f) => {
                vec![Some(filled([rows, columns], |dx| gated_backward(*f, kept(0), columns / 2, dy, dx)))]
            }
            Self::LinearResidual { inputs, outputs } => {
                let shape = (rows, *inputs, *outputs);
                let dx = || filled([rows, *inputs], |dx| linear_input_gradient(dy, kept(1), shape, dx));
                let dw = || filled([inputs * outputs], |dw| linear_weight_gradient(dy, kept(0), shape, dw));
                vec![wanted[0].then(dx), wanted[1].then(dw), wanted[2].then(|| residual.clone())]
            }
            Self::LowRank(_) | Self::Rotate { .. } | Self::VocabularyLoss { .. } => {
                unreachable!("handled above")
            }
        }
    }
}

/// The gradient from the forward pass, times that of the loss.
fn scaled(gradient: &FlexTensor, by: f32) -> FlexTensor {
    if by == 1.0 {
        return gradient.clone();
    }
    let floats = Floats::new(gradient);
    let scale = |to: &mut [f32]| to.iter_mut().zip(floats.get()).for_each(|(to, g)| *to = g * by);
    match gradient.layout().shape()[..] {
        [rows, columns] => filled([rows, columns], scale),
        _ => filled([floats.get().len()], scale),
    }
}
