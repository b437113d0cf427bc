//! The gradient of causal attention.

use super::super::rotary::Rotation;
use super::multiply::{accumulate, multiply};
use super::sequence::{BLOCK, Sequence, for_each_head, with_parts};
use super::shape::CausalAttention;
use super::softmax::softmax_backward;
use crate::base::parallel::SharedMut;
use crate::base::tile::PANEL;

/// Gradient of [`causal_attention`](super::causal_attention) for `x`, given its result `y` and its `logarithms`.
///
/// # Panics
/// As [`causal_attention`](super::causal_attention).
pub fn causal_attention_backward(
    shape: &CausalAttention,
    ends: &[usize],
    rotation: Option<Rotation<'_>>,
    x: &[f32],
    (y, logarithms): (&[f32], &[f32]),
    dy: &[f32],
    dx: &mut [f32],
) {
    let rows = shape.check(ends, x, rotation);
    assert!(
        y.len() == rows * shape.query_columns() && dy.len() == y.len(),
        "y and dy are [rows, heads, width]"
    );
    assert_eq!(logarithms.len(), rows * shape.heads, "logarithms are [heads, rows]");
    assert_eq!(dx.len(), x.len(), "dx has the shape of x");
    let dx = SharedMut(dx.as_mut_ptr());
    for_each_head(shape, ends, rotation, x, |sequence| {
        let Sequence { shape, length, head_stride: stride, .. } = *sequence;
        let (span, width) = (length.next_multiple_of(PANEL), shape.head_width);
        let all = stride * span;
        let strip = BLOCK * span;
        let sizes = [all, all, all, all, all, BLOCK * stride, BLOCK * stride, strip, strip];
        with_parts(sizes, |parts| {
            let [transposed_keys, keys, transposed_values, dkeys, dvalues, queries, dys, scores, slopes] =
                parts;
            sequence.pack_transposed(sequence.key_column(), true, transposed_keys);
            sequence.pack(sequence.key_column(), true, keys);
            sequence.pack_transposed(sequence.value_column(), false, transposed_values);
            dkeys.fill(0.0);
            dvalues.fill(0.0);
            for head in sequence.heads() {
                for (first, count) in sequence.blocks() {
                    let seen = first + count;
                    sequence.copy_rows(head * width, true, (first, count), queries);
                    let mut means = [0.0f32; BLOCK];
                    for row in 0..count {
                        let place = (sequence.start + first + row) * shape.query_columns() + head * width;
                        let (y, dy) = (&y[place..][..width], &dy[place..][..width]);
                        dys[row * stride..][..width].copy_from_slice(dy);
                        dys[row * stride + width..(row + 1) * stride].fill(0.0);
                        means[row] = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
                    }
                    multiply(queries, stride, (count, width), (transposed_keys, width), scores, span, seen);
                    multiply(dys, stride, (count, width), (transposed_values, width), slopes, span, seen);
                    let logarithms = &logarithms[head * rows + sequence.start + first..][..count];
                    softmax_backward(shape, (scores, slopes), span, first, logarithms, &means);
                    accumulate((scores, span), (dys, stride), (count, seen), dvalues);
                    accumulate((slopes, span), (queries, stride), (count, seen), dkeys);
                    multiply(slopes, span, (count, seen), (keys, length), queries, stride, width);
                    sequence.write_rows(head * width, true, (first, count), queries, dx);
                }
            }
            sequence.write_rows(sequence.key_column(), true, (0, length), dkeys, dx);
            sequence.write_rows(sequence.value_column(), false, (0, length), dvalues, dx);
        });
    });
}
