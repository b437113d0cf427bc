//! The gradient of [`super::encoder::encoder_attention`].
//!
//! With P the softmax of a head's scores S = scale q kᵀ and o = P v: dv = Pᵀ do, dP = do vᵀ,
//! dS = scale P ∘ (dP − rowsum(dP ∘ P)), dq = dS k, dk = dSᵀ q. The scores are computed again. A task is one head of one
//! sequence; cost: `10 * head_width` operations for each head and pair of tokens of a sequence, and the memory of two score
//! matrices.

use super::encoder::EncoderAttention;
use crate::base::math::exp;
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_aligned_scratch};
use crate::base::sums::sum_of;
use crate::dense::linear::{linear, linear_input_gradient, linear_weight_gradient};

/// Operations below which everything stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 18;

/// The gradient `dx` of `query_key_value`, `[tokens, 3, heads, head_width]`, where `d_out` is the gradient of the output,
/// `[tokens, heads, head_width]`. Sequences have `lengths` tokens.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn encoder_attention_backward(
    shape: &EncoderAttention,
    lengths: &[usize],
    query_key_value: &[f32],
    d_out: &[f32],
    dx: &mut [f32],
) {
    let EncoderAttention { heads, head_width, .. } = *shape;
    let width = heads * head_width;
    let tokens: usize = lengths.iter().sum();
    assert!(head_width > 0, "a head has elements");
    assert_eq!(
        query_key_value.len(),
        tokens * 3 * width,
        "query_key_value is [tokens, 3, heads, head_width]"
    );
    assert_eq!(dx.len(), query_key_value.len(), "dx is [tokens, 3, heads, head_width]");
    assert_eq!(d_out.len(), tokens * width, "d_out is [tokens, heads, head_width]");
    let starts = lengths.iter().scan(0, |end, length| {
        let start = *end;
        *end += length;
        Some((start, *length))
    });
    let sequences: Vec<(usize, usize)> = starts.filter(|(_, length)| *length > 0).collect();
    let operations: usize = lengths.iter().map(|length| 10 * length * length * width).sum();
    let target = SharedMut(dx.as_mut_ptr());
    for_each_task(sequences.len() * heads, operations < SERIAL_OPERATIONS, |task| {
        let ((first, length), head) = (sequences[task / heads], task % heads);
        let place = |token: usize, part: usize| (((first + token) * 3 + part) * heads + head) * head_width;
        let (part, scores) = (length * head_width, length * length);
        with_aligned_scratch(5 * part + 2 * scores, |scratch| {
            let (parts, scratch) = scratch.split_at_mut(4 * part);
            let (result, scratch) = scratch.split_at_mut(part);
            let (shares, slopes) = scratch.split_at_mut(scores);
            for token in 0..length {
                for (which, part) in parts.chunks_exact_mut(part).enumerate() {
                    let from = match which {
                        0..3 => &query_key_value[place(token, which)..],
                        _ => &d_out[((first + token) * heads + head) * head_width..],
                    };
                    part[token * head_width..][..head_width].copy_from_slice(&from[..head_width]);
                }
            }
            let (query, rest) = parts.split_at(part);
            let (key, rest) = rest.split_at(part);
            let (value, slope) = rest.split_at(part);
            let product = (length, head_width, length);
            linear(query, key, None, false, product, shares);
            linear(slope, value, None, false, product, slopes);
            for row in shares.chunks_exact_mut(length) {
                softmax(shape.scale, row);
            }
            let write = |which: usize, result: &[f32]| {
                for (token, from) in result.chunks_exact(head_width).enumerate() {
                    // SAFETY: only this task writes this head of this sequence.
                    let to = unsafe { target.slice(place(token, which), head_width) };
                    to.copy_from_slice(from);
                }
            };
            linear_weight_gradient(shares, slope, product, result);
            write(2, result);
            vectorized(
                #[inline(always)]
                || {
                    for (slopes, shares) in slopes.chunks_exact_mut(length).zip(shares.chunks_exact(length)) {
                        let mean = sum_of([&*slopes, shares], |[slope, share]| slope * share);
                        for (slope, share) in slopes.iter_mut().zip(shares) {
                            *slope = shape.scale * share * (*slope - mean);
                        }
                    }
                },
            );
            linear_input_gradient(slopes, key, product, result);
            write(0, result);
            linear_weight_gradient(slopes, query, product, result);
            write(1, result);
        });
    });
}

/// A row of products, as shares that sum to one.
fn softmax(scale: f32, row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    vectorized(
        #[inline(always)]
        || {
            for score in row.iter_mut() {
                *score = exp(scale * (*score - largest));
            }
            let inverse = 1.0 / sum_of([&*row], |[share]| share);
            row.iter_mut().for_each(|share| *share *= inverse);
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{self, values};

    #[test]
    fn it_is_the_slope_of_the_oracle() {
        for (heads, head_width, lengths) in [(1, 1, vec![1]), (2, 5, vec![3, 0, 7]), (3, 16, vec![19])] {
            let shape = EncoderAttention { heads, head_width, scale: 0.7 };
            let tokens: usize = lengths.iter().sum();
            let x = values(tokens * 3 * heads * head_width, 1);
            let d_out = values(tokens * heads * head_width, 2);
            let mut dx = vec![f32::NAN; x.len()];
            encoder_attention_backward(&shape, &lengths, &x, &d_out, &mut dx);
            let loss = |x: &[f32]| -> f64 {
                let out = oracle::attention::encoder_attention(&shape, &lengths, x);
                out.iter().zip(&d_out).map(|(y, g)| f64::from(*y) * f64::from(*g)).sum()
            };
            for at in (0..x.len()).step_by(1 + x.len() / 40) {
                let moved = |step: f32| {
                    let mut moved = x.clone();
                    moved[at] += step;
                    loss(&moved)
                };
                let slope = (moved(1.0 / 128.0) - moved(-1.0 / 128.0)) * 64.0;
                assert!((f64::from(dx[at]) - slope).abs() < 2e-3, "{at}: {} against {slope}", dx[at]);
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let shape = EncoderAttention { heads: 4, head_width: 24, scale: 0.2 };
        let x = values(100 * 3 * 96, 1);
        let d_out = values(100 * 96, 2);
        let run = |threads| {
            let mut dx = vec![0.0; x.len()];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| encoder_attention_backward(&shape, &[33, 67], &x, &d_out, &mut dx));
            dx
        };
        assert!(run(1) == run(3));
    }
}
