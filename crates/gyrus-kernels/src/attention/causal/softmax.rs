//! The softmax over visible scores, and its gradient.

use super::sequence::BLOCK;
use super::shape::CausalAttention;
use crate::base::math::{exp, tanh};
use crate::base::parallel::vectorized;

/// Chains per sum.
const LANES: usize = 16;

/// Replaces each row's visible scores, after scaling and capping, by `exp(score - largest)` and the others by zeros;
/// `shares` are the factors that make rows sum to one. Row `i` is query `first + i`.
pub(super) fn softmax(
    shape: &CausalAttention,
    scores: &mut [f32],
    span: usize,
    first: usize,
    logarithms: &mut [f32],
    shares: &mut [f32; BLOCK],
) {
    let seen = first + logarithms.len();
    vectorized(
        #[inline(always)]
        || {
            let rows = scores.chunks_exact_mut(span).zip(logarithms.iter_mut().zip(shares.iter_mut()));
            for (row, (scores, (logarithm, share))) in rows.enumerate() {
                let (visible, hidden) = scores[..seen].split_at_mut(first + row + 1);
                let (past, visible) = visible.split_at_mut(shape.first_seen(first + row));
                past.fill(0.0);
                let mut scale = shape.scale;
                if let Some(cap) = shape.softcap {
                    visible.iter_mut().for_each(|score| *score = cap * tanh(*score * scale / cap));
                    scale = 1.0;
                }
                let mut lanes = [f32::NEG_INFINITY; LANES];
                let (chunks, rest) = visible.as_chunks::<LANES>();
                for chunk in chunks {
                    for (lane, score) in lanes.iter_mut().zip(chunk) {
                        *lane = if *score > *lane { *score } else { *lane };
                    }
                }
                let largest = rest.iter().chain(&lanes).copied().fold(f32::NEG_INFINITY, f32::max) * scale;
                let mut lanes = [0.0f32; LANES];
                let (chunks, rest) = visible.as_chunks_mut::<LANES>();
                for chunk in chunks {
                    for (lane, score) in lanes.iter_mut().zip(chunk) {
                        *score = exp(*score * scale - largest);
                        *lane += *score;
                    }
                }
                for (lane, score) in lanes.iter_mut().zip(rest) {
                    *score = exp(*score * scale - largest);
                    *lane += *score;
                }
                let sum: f32 = lanes.iter().sum();
                hidden.fill(0.0);
                *share = 1.0 / sum;
                *logarithm = largest + sum.ln();
            }
        },
    );
}

/// Recomputes each row's softmax from its scores, and turns gradients of the softmax, `slopes`, into gradients of the
/// scores.
pub(super) fn softmax_backward(
    shape: &CausalAttention,
    (scores, slopes): (&mut [f32], &mut [f32]),
    span: usize,
    first: usize,
    logarithms: &[f32],
    means: &[f32; BLOCK],
) {
    let (seen, scale) = (first + logarithms.len(), shape.scale);
    vectorized(
        #[inline(always)]
        || {
            let rows = scores.chunks_exact_mut(span).zip(slopes.chunks_exact_mut(span));
            for (row, ((scores, slopes), (logarithm, mean))) in
                rows.zip(logarithms.iter().zip(means)).enumerate()
            {
                let visible = shape.first_seen(first + row)..first + row + 1;
                let (start, end) = (visible.start, visible.end);
                let pairs = scores[visible.clone()].iter_mut().zip(&mut slopes[visible]);
                match shape.softcap {
                    None => {
                        for (score, slope) in pairs {
                            *score = exp(*score * scale - logarithm);
                            *slope = scale * *score * (*slope - mean);
                        }
                    }
                    Some(cap) => {
                        for (score, slope) in pairs {
                            let share = tanh(*score * scale / cap);
                            *score = exp(cap * share - logarithm);
                            *slope = scale * *score * (*slope - mean) * (1.0 - share * share);
                        }
                    }
                }
                for values in [&mut *scores, &mut *slopes] {
                    values[..start].fill(0.0);
                    values[end..seen].fill(0.0);
                }
            }
        },
    );
}
