//! Maximum pooling of pictures of spikes: an output spikes where any input of its window does.
//!
//! Pictures are rows of packed spikes ([`spikes`](crate::spikes)) of `height * width * channels` elements,
//! channels-last, with time in the batch; up to 32 channels of a pixel are one operation. The gradient is that of
//! [`max_pool`](crate::pooling::max_pool) on zeros and ones: it goes to the first input that equals the output, so to the
//! first of the window where nothing spikes. Cost: a word for each 32 inputs, and one pass over the gradients.

use crate::parallel::{SharedMut, for_each_task, vectorized};
use crate::pooling::Pooling;
use crate::spikes::{BITS, words};

fn lengths(shape: &Pooling) -> (usize, usize) {
    let batch = shape.batch.max(1);
    (shape.input_len() / batch, shape.output_len() / batch)
}

/// Bits `at .. at + count` of a row, `count` from 1 to 32.
#[inline(always)]
fn read(bits: &[u32], at: usize, count: usize) -> u32 {
    let (word, shift) = (at / BITS, at % BITS);
    let mut found = bits[word] >> shift;
    if shift + count > BITS {
        found |= bits[word + 1] << (BITS - shift);
    }
    found & (u32::MAX >> (BITS - count))
}

/// Sets the bits of `value` at `at ..`; there are `count`.
#[inline(always)]
fn write(bits: &mut [u32], at: usize, count: usize, value: u32) {
    let (word, shift) = (at / BITS, at % BITS);
    bits[word] |= value << shift;
    if shift + count > BITS {
        bits[word + 1] |= value >> (BITS - shift);
    }
}

/// Runs `work(output pixel, first channel, channels)` for every pixel and up to 32 channels of it.
#[inline(always)]
fn for_each_word(shape: &Pooling, mut work: impl FnMut(usize, usize, usize)) {
    let [height, width] = shape.output_size();
    for pixel in 0..height * width {
        for first in (0..shape.channels).step_by(BITS) {
            work(pixel, first, BITS.min(shape.channels - first));
        }
    }
}

/// The maximum of each window of `x` `[batch, words(height * width * channels)]`, as packed as that.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn spike_max_pool(shape: &Pooling, x: &[u32], y: &mut [u32]) {
    let (x_len, y_len) = lengths(shape);
    let (x_width, y_width) = (words(x_len), words(y_len));
    assert_eq!(x.len(), shape.batch * x_width, "x is [batch, words(height * width * channels)]");
    assert_eq!(y.len(), shape.batch * y_width, "y is [batch, words(out_height * out_width * channels)]");
    let [_, out_width] = shape.output_size();
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(shape.batch, shape.input_len() < 1 << 16, |b| {
        let x = &x[b * x_width..][..x_width];
        // SAFETY: each task writes its own picture.
        let y = unsafe { target.slice(b * y_width, y_width) };
        y.fill(0);
        for_each_word(
            shape,
            #[inline(always)]
            |pixel, first, count| {
                let mut any = 0;
                shape.window(
                    pixel / out_width,
                    pixel % out_width,
                    #[inline(always)]
                    |at| any |= read(x, at * shape.channels + first, count),
                );
                write(y, pixel * shape.channels + first, count, any);
            },
        );
    });
}

/// Gradient of [`spike_max_pool`] for its input: `dx` `[batch, height, width, channels]` from `dy`, `[batch, out_height,
/// out_width, channels]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn spike_max_pool_backward(shape: &Pooling, x: &[u32], dy: &[f32], dx: &mut [f32]) {
    let (x_len, y_len) = lengths(shape);
    let x_width = words(x_len);
    assert_eq!(x.len(), shape.batch * x_width, "x is [batch, words(height * width * channels)]");
    assert_eq!(dy.len(), shape.output_len(), "dy is [batch, out_height, out_width, channels]");
    assert_eq!(dx.len(), shape.input_len(), "dx is [batch, height, width, channels]");
    let [_, out_width] = shape.output_size();
    let target = SharedMut(dx.as_mut_ptr());
    // Windows that tile the picture write each gradient once.
    let plain = shape.is_plain();
    for_each_task(shape.batch, shape.input_len() < 1 << 14, |b| {
        let (x, dy) = (&x[b * x_width..][..x_width], &dy[b * y_len..][..y_len]);
        // SAFETY: each task writes its own picture.
        let dx = unsafe { target.slice(b * x_len, x_len) };
        if !plain {
            dx.fill(0.0);
        }
        vectorized(
            #[inline(always)]
            || {
                for_each_word(
                    shape,
                    #[inline(always)]
                    |pixel, first, count| {
                        let dy = &dy[pixel * shape.channels + first..][..count];
                        let (row, column) = (pixel / out_width, pixel % out_width);
                        let mut any = 0;
                        shape.window(
                            row,
                            column,
                            #[inline(always)]
                            |at| any |= read(x, at * shape.channels + first, count),
                        );
                        let mut free = u32::MAX;
                        shape.window(
                            row,
                            column,
                            #[inline(always)]
                            |at| {
                                let at = at * shape.channels + first;
                                let hit = !(read(x, at, count) ^ any) & free;
                                free &= !hit;
                                add_selected(hit, dy, &mut dx[at..][..count], !plain);
                            },
                        );
                    },
                );
            },
        );
    });
}

/// `dy` where bit `i` is set, else 0, by a mask rather than a branch.
#[inline(always)]
fn selected(bits: u32, i: usize, dy: f32) -> f32 {
    f32::from_bits(dy.to_bits() & (bits >> i & 1).wrapping_neg())
}

/// `dx = dy` where the bit is set, 0 elsewhere; or that added to `dx`.
#[inline(always)]
fn add_selected(bits: u32, dy: &[f32], dx: &mut [f32], add: bool) {
    const LINE: usize = 16;
    let (dy_lines, dy_rest) = dy.as_chunks::<LINE>();
    let (dx_lines, dx_rest) = dx.as_chunks_mut::<LINE>();
    let done = dx_lines.len() * LINE;
    for (line, (dx, dy)) in dx_lines.iter_mut().zip(dy_lines).enumerate() {
        let bits = bits >> (LINE * line);
        for i in 0..LINE {
            let value = selected(bits, i, dy[i]);
            dx[i] = if add { dx[i] + value } else { value };
        }
    }
    for (i, (dx, dy)) in dx_rest.iter_mut().zip(dy_rest).enumerate() {
        let value = selected(bits, done + i, *dy);
        *dx = if add { *dx + value } else { value };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, values};
    use crate::pooling::{max_pool, max_pool_backward};

    proptest! {
        #[test]
        fn pooling_of_spikes_equals_pooling_of_zeros_and_ones(
            size in (1usize..4, 2usize..9, 2usize..9), channels in 1usize..70, kernel in 1usize..4, stride in 1usize..4,
            padding in 0usize..2, share in 0.0f64..1.0,
        ) {
            let (batch, height, width) = size;
            prop_assume!(kernel <= height.min(width) && padding < kernel);
            let shape = Pooling {
                batch, height, width, channels, kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 4],
            };
            let (x_len, y_len) = lengths(&shape);
            let x = oracle::spike_values(batch * x_len, share, 1);
            let (mut y, dy) = (vec![f32::NAN; batch * y_len], values(batch * y_len, 2));
            max_pool(&shape, &x, &mut y);
            let mut bits = vec![u32::MAX; batch * words(y_len)];
            let packed = oracle::pack(&x, x_len);
            spike_max_pool(&shape, &packed, &mut bits);
            prop_assert_eq!(bits, oracle::pack(&y, y_len));
            let (mut expected, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            max_pool_backward(&shape, &x, &y, &dy, &mut expected);
            spike_max_pool_backward(&shape, &packed, &dy, &mut dx);
            // Overlapping windows add in the same order.
            prop_assert_eq!(dx, expected);
        }
    }
}
