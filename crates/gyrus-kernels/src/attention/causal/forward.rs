//! The forward pass of causal attention.

use super::super::rotary::Rotation;
use super::multiply::multiply;
use super::sequence::{BLOCK, Sequence, for_each_head, with_parts};
use super::shape::CausalAttention;
use super::softmax::softmax;
use crate::base::parallel::SharedMut;
use crate::base::tile::PANEL;

/// Writes the result, `[rows, heads, head_width]`, to `y`, and the logarithm of each softmax's denominator,
/// `[heads, rows]`, to `logarithms`.
///
/// A row of `x` holds `heads` queries, `key_value_heads` keys and as many values. Sequence `i` is the rows from
/// `ends[i - 1]` to before `ends[i]`.
///
/// # Panics
/// If a slice is not as long as its shape says, or the sequences do not cover all rows.
pub fn causal_attention(
    shape: &CausalAttention,
    ends: &[usize],
    rotation: Option<Rotation<'_>>,
    x: &[f32],
    y: &mut [f32],
    logarithms: &mut [f32],
) {
    let rows = shape.check(ends, x, rotation);
    assert_eq!(y.len(), rows * shape.query_columns(), "y is [rows, heads, head_width]");
    assert_eq!(logarithms.len(), rows * shape.heads, "logarithms are [heads, rows]");
    let (y, logarithms) = (SharedMut(y.as_mut_ptr()), SharedMut(logarithms.as_mut_ptr()));
    for_each_head(shape, ends, rotation, x, |sequence| {
        let Sequence { shape, length, head_stride: stride, .. } = *sequence;
        let (span, width) = (length.next_multiple_of(PANEL), shape.head_width);
        let sizes = [stride * span, stride * span, BLOCK * stride, BLOCK * span];
        with_parts(sizes, |[keys, values, queries, scores]| {
            sequence.pack_transposed(sequence.key_column(), true, keys);
            sequence.pack(sequence.value_column(), false, values);
            for head in sequence.heads() {
                for (first, count) in sequence.blocks() {
                    let seen = first + count;
                    sequence.copy_rows(head * width, true, (first, count), queries);
                    multiply(queries, stride, (count, width), (keys, width), scores, span, seen);
                    // SAFETY: only this task uses this head's rows of this sequence.
                    let logarithms = unsafe { logarithms.slice(head * rows + sequence.start + first, count) };
                    let mut shares = [0.0f32; BLOCK];
                    softmax(shape, scores, span, first, logarithms, &mut shares);
                    multiply(scores, span, (count, seen), (values, length), queries, stride, width);
                    for (row, share) in shares[..count].iter().enumerate() {
                        let place = (sequence.start + first + row) * shape.query_columns() + head * width;
                        // SAFETY: as above.
                        let to = unsafe { y.slice(place, width) };
                        to.iter_mut().zip(&queries[row * stride..]).for_each(|(to, sum)| *to = sum * share);
                    }
                }
            }
        });
    });
}
