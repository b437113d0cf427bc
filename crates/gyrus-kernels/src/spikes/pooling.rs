//! Maximum pooling of images of spikes: an output spikes if any input of its window does.
//!
//! Images are rows of [`packed`](crate::spikes::packed) spikes, `height * width * channels` elements, channels-last,
//! with time in the batch; up to 32 channels of a pixel are one operation. The gradient is that of
//! [`max_pool`](crate::convolution::pooling::max_pool) on zeros and ones: it goes to the first input that equals the
//! output, thus to the first of the window where nothing spikes. Cost: one word for each 32 inputs, and one pass over
//! the gradients.

use pulp::{Arch, Simd, WithSimd};

use crate::base::bits::{BITS, mask_of};
use crate::base::parallel::{SharedMut, for_each_task, vectorized};
use crate::base::tile::{load, store};
use crate::convolution::pooling::Pooling;
use crate::spikes::packed::words;

fn lengths(shape: &Pooling) -> (usize, usize) {
    let batch = shape.batch.max(1);
    (shape.input_len() / batch, shape.output_len() / batch)
}

/// Bits `at .. at + count` of a row; `count` is 1 to 32.
#[inline(always)]
fn read(bits: &[u32], at: usize, count: usize) -> u32 {
    let (word, shift) = (at / BITS, at % BITS);
    let mut found = bits[word] >> shift;
    if shift + count > BITS {
        found |= bits[word + 1] << (BITS - shift);
    }
    found & (u32::MAX >> (BITS - count))
}

/// Sets the `count` bits of `value` at `at ..`.
#[inline(always)]
fn write(bits: &mut [u32], at: usize, count: usize, value: u32) {
    let (word, shift) = (at / BITS, at % BITS);
    bits[word] |= value << shift;
    if shift + count > BITS {
        bits[word + 1] |= value >> (BITS - shift);
    }
}

/// Runs `work(output pixel, first channel, channels)` for every pixel and up to 32 of its channels.
#[inline(always)]
fn for_each_word(shape: &Pooling, mut work: impl FnMut(usize, usize, usize)) {
    let [height, width] = shape.output_size();
    for pixel in 0..height * width {
        for first in (0..shape.channels).step_by(BITS) {
            work(pixel, first, BITS.min(shape.channels - first));
        }
    }
}

/// The maximum of each window of `x` `[batch, words(height * width * channels)]`; `y` is packed in the same way.
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
        // SAFETY: each task writes its own image.
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
    let target = SharedMut(dx.as_mut_ptr());
    for_each_task(shape.batch, shape.input_len() < 1 << 14, |b| {
        let (x, dy) = (&x[b * x_width..][..x_width], &dy[b * y_len..][..y_len]);
        // SAFETY: each task writes its own image.
        let dx = unsafe { target.slice(b * x_len, x_len) };
        spread(shape, x, dy, dx);
    });
}

/// The gradient of one image: `dx` from its spikes and `dy`.
fn spread(shape: &Pooling, x: &[u32], dy: &[f32], dx: &mut [f32]) {
    let len = shape.height * shape.width * shape.channels;
    assert!(dx.len() == len && x.len() == words(len), "x is as many spikes as dx has floats");
    if shape.is_plain() && shape.channels.is_multiple_of(LINE) {
        assert_eq!(4 * dy.len(), len, "dy is a float for each window");
        Arch::new().dispatch(Spread { shape, x, dy, dx });
    } else {
        vectorized(
            #[inline(always)]
            || spread_any(shape, x, dy, dx),
        );
    }
}

/// The gradient of one image whose windows are 2 x 2 and tile it, with channels in full [`LINE`]s: each float is
/// written once.
struct Spread<'a> {
    shape: &'a Pooling,
    x: &'a [u32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for Spread<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Spread { shape, x, dy, dx } = self;
        let (channels, row) = (shape.channels, shape.width * shape.channels);
        let zero = simd.splat_f32s(0.0);
        let (dy, dx) = (dy.as_ptr(), dx.as_mut_ptr());
        let mut window = 0;
        for i in 0..shape.height / 2 {
            for j in 0..shape.width / 2 {
                let corner = 2 * (i * row + j * channels);
                let places = [corner, corner + channels, corner + row, corner + row + channels];
                for first in (0..channels).step_by(S::F32_LANES) {
                    // A register's channels lie in one word, since both are powers of two and begin at multiples.
                    let found = places.map(|place| x[(place + first) / BITS] >> ((place + first) % BITS));
                    let any = found[0] | found[1] | found[2] | found[3];
                    let mut free = u32::MAX;
                    // SAFETY: the caller has checked the lengths; a register is a part of a line.
                    unsafe {
                        let value = load::<S>(dy.add(window + first));
                        for (place, found) in places.into_iter().zip(found) {
                            let hit = !(found ^ any) & free;
                            free &= !hit;
                            let selected = simd.select_f32s(mask_of(simd, hit), value, zero);
                            store::<S>(dx.add(place + first), selected);
                        }
                    }
                }
                window += channels;
            }
        }
    }
}

/// The gradient of one image for any windows.
#[inline(always)]
fn spread_any(shape: &Pooling, x: &[u32], dy: &[f32], dx: &mut [f32]) {
    let [_, out_width] = shape.output_size();
    dx.fill(0.0);
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
                    let lines = dx[at..][..count].chunks_mut(LINE).zip(dy.chunks(LINE));
                    for (line, (dx, dy)) in lines.enumerate() {
                        let mask = mask(hit >> (LINE * line));
                        dx.iter_mut()
                            .zip(dy)
                            .zip(mask)
                            .for_each(|((dx, dy), mask)| *dx += selected(mask, *dy));
                    }
                },
            );
        },
    );
}

/// Floats that are selected together.
const LINE: usize = 16;

/// All ones where a bit is set.
#[inline(always)]
fn mask(bits: u32) -> [u32; LINE] {
    core::array::from_fn(|i| if bits & 1 << i == 0 { 0 } else { u32::MAX })
}

/// `value` or 0.
#[inline(always)]
fn selected(mask: u32, value: f32) -> f32 {
    f32::from_bits(value.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::convolution::pooling::{max_pool, max_pool_backward};
    use crate::oracle::{self, values};

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
            let packed = oracle::spikes::pack(&x, x_len);
            spike_max_pool(&shape, &packed, &mut bits);
            prop_assert_eq!(bits, oracle::spikes::pack(&y, y_len));
            let (mut expected, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            max_pool_backward(&shape, &x, &y, &dy, &mut expected);
            spike_max_pool_backward(&shape, &packed, &dy, &mut dx);
            // Overlapping windows add in the same order.
            prop_assert_eq!(dx, expected);
        }
    }
}
