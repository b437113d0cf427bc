//! Operations of vision networks: products of activations, layer scale, and the tokens of a vision transformer.
//!
//! The tokens of a picture lie in one row, `[tokens, width]`.

use burn_flex::FlexTensor;
use gyrus_kernels::attention::encoder::{EncoderAttention, encoder_attention};
use gyrus_kernels::attention::encoder_backward::encoder_attention_backward;
use gyrus_kernels::dense::broadcast::{
    add_to_rows, channel_product, channel_product_factor_gradient, layer_scale, layer_scale_gradient,
};
use gyrus_kernels::dense::linear::sum_rows;

use super::keep::{Floats, Kept};
use crate::pool::filled;

/// An operation of a vision network. Brackets list the tensors of each operation.
#[derive(Clone, Debug)]
pub enum Vision {
    /// `y = a * b`, where `b` is as long as `a` or has one factor per channel of each image, repeated at each pixel; `[a, b]`
    Product,
    /// `y = scale * x`, one factor per channel; `[x, scale]`
    LayerScale,
    /// Adds the same vector to each row; `[x, positions]`
    PositionEmbedding,
    /// One more token before the others, the same for each row; `[x, token]`
    ClassToken,
    /// One token of each row; `[x]`
    TakeToken {
        /// Elements of a token.
        width: usize,
        /// Which, from 0.
        index: usize,
    },
    /// Attention of each token to all tokens of its row, whose tokens are `[3, heads, head_width]`: queries, keys, values; `[x]`
    SelfAttention(EncoderAttention),
}

impl Vision {
    pub(crate) fn keeps(&self) -> Kept {
        let inputs: &[usize] = match self {
            Self::Product | Self::LayerScale => &[0, 1],
            Self::SelfAttention(_) => &[0],
            // Only its length.
            Self::TakeToken { .. } | Self::ClassToken | Self::PositionEmbedding => &[0],
        };
        Kept { inputs, output: false }
    }

    pub(crate) fn forward(&self, rows: usize, tensors: &[Floats]) -> FlexTensor {
        let input = |i: usize| tensors[i].get();
        let x = input(0);
        let columns = x.len() / rows.max(1);
        match self {
            Self::Product => filled([rows, columns], |y| channel_product(x, input(1), rows, y)),
            Self::LayerScale => filled([rows, columns], |y| layer_scale(x, input(1), rows, y)),
            Self::PositionEmbedding => filled([rows, columns], |y| add_to_rows(x, input(1), y)),
            Self::ClassToken => {
                let token = input(1);
                filled([rows, columns + token.len()], |y| {
                    for (y, x) in y.chunks_exact_mut(columns + token.len()).zip(x.chunks_exact(columns)) {
                        y[..token.len()].copy_from_slice(token);
                        y[token.len()..].copy_from_slice(x);
                    }
                })
            }
            Self::TakeToken { width, index } => filled([rows, *width], |y| {
                for (y, x) in y.chunks_exact_mut(*width).zip(x.chunks_exact(columns)) {
                    y.copy_from_slice(&x[index * width..][..*width]);
                }
            }),
            Self::SelfAttention(shape) => {
                let (lengths, width) = lengths(shape, rows, columns);
                filled([rows, lengths[0] * width], |y| encoder_attention(shape, &lengths, x, y))
            }
        }
    }

    /// Gradients of the inputs that `wanted` marks.
    pub(crate) fn backward(
        &self,
        rows: usize,
        kept: &[Floats],
        dy: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let kept = |i: usize| kept[i].get();
        let columns = kept(0).len() / rows.max(1);
        match self {
            Self::Product => {
                let (a, b) = (kept(0), kept(1));
                let da = || filled([rows, columns], |da| channel_product(dy, b, rows, da));
                let db = || {
                    let db = |db: &mut [f32]| channel_product_factor_gradient(a, dy, rows, db);
                    filled([rows, b.len() / rows], db)
                };
                vec![wanted[0].then(da), wanted[1].then(db)]
            }
            Self::LayerScale => {
                let (x, scale) = (kept(0), kept(1));
                let dx = || filled([rows, columns], |dx| layer_scale(dy, scale, rows, dx));
                let ds = || filled([scale.len()], |ds| layer_scale_gradient(x, dy, rows, ds));
                vec![wanted[0].then(dx), wanted[1].then(ds)]
            }
            Self::PositionEmbedding => {
                let dx = || filled([rows, columns], |dx| dx.copy_from_slice(dy));
                let dp = || filled([columns], |dp| sum_rows(dy, columns, dp));
                vec![wanted[0].then(dx), wanted[1].then(dp)]
            }
            Self::ClassToken => {
                let all = dy.len() / rows;
                let width = all - columns;
                let dx = || {
                    filled([rows, columns], |dx| {
                        for (dx, dy) in dx.chunks_exact_mut(columns).zip(dy.chunks_exact(all)) {
                            dx.copy_from_slice(&dy[width..]);
                        }
                    })
                };
                let dt = || {
                    filled([width], |dt| {
                        dt.fill(0.0);
                        for dy in dy.chunks_exact(all) {
                            dt.iter_mut().zip(dy).for_each(|(dt, dy)| *dt += dy);
                        }
                    })
                };
                vec![wanted[0].then(dx), wanted[1].then(dt)]
            }
            Self::TakeToken { width, index } => vec![Some(filled([rows, columns], |dx| {
                dx.fill(0.0);
                for (dx, dy) in dx.chunks_exact_mut(columns).zip(dy.chunks_exact(*width)) {
                    dx[index * width..][..*width].copy_from_slice(dy);
                }
            }))],
            Self::SelfAttention(shape) => {
                let (lengths, _) = lengths(shape, rows, columns);
                let dx = |dx: &mut [f32]| encoder_attention_backward(shape, &lengths, kept(0), dy, dx);
                vec![Some(filled([rows, columns], dx))]
            }
        }
    }
}

/// The tokens of each row, and the elements of one.
fn lengths(shape: &EncoderAttention, rows: usize, columns: usize) -> (Vec<usize>, usize) {
    let width = shape.heads * shape.head_width;
    (vec![columns / (3 * width); rows], width)
}
