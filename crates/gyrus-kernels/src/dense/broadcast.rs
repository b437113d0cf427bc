//! Products and sums of an activation with something that is shorter: one factor per channel of each image, one factor per
//! channel for all images, one summand per element of an image. Memory-bound.
//!
//! Activations are channels-last: the factor of a channel is repeated at each pixel.

use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_scratch};
use crate::dense::linear::sum_rows;

/// Elements below which everything stays on one thread.
const SERIAL_ELEMENTS: usize = 1 << 15;

/// `y[row, pixel, channel] = factor[row, channel] * x[row, pixel, channel]`, with `rows` rows.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn channel_product(x: &[f32], factor: &[f32], rows: usize, y: &mut [f32]) {
    let (elements, channels) = check(x, factor, rows);
    assert_eq!(y.len(), x.len(), "y is as long as x");
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(rows, x.len() < SERIAL_ELEMENTS, |row| {
        let factor = &factor[row * channels..][..channels];
        // SAFETY: each task has its own row.
        let y = unsafe { target.slice(row * elements, elements) };
        scale_pixels(&x[row * elements..][..elements], factor, y);
    });
}

/// The gradient of the factor of [`channel_product`]: `[rows, channels]`. That of `x` is the product of `dy` with the factor.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn channel_product_factor_gradient(x: &[f32], dy: &[f32], rows: usize, dfactor: &mut [f32]) {
    let (elements, channels) = check(x, dfactor, rows);
    assert_eq!(dy.len(), x.len(), "dy is as long as x");
    let target = SharedMut(dfactor.as_mut_ptr());
    for_each_task(rows, x.len() < SERIAL_ELEMENTS, |row| {
        // SAFETY: each task has its own row.
        let sums = unsafe { target.slice(row * channels, channels) };
        sums.fill(0.0);
        let (x, dy) = (&x[row * elements..][..elements], &dy[row * elements..][..elements]);
        vectorized(
            #[inline(always)]
            || {
                for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                    for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                        *sum += x * dy;
                    }
                }
            },
        );
    });
}

/// `y[row, pixel, channel] = scale[channel] * x[row, pixel, channel]`: the layer scale of Touvron et al. 2021
/// (arXiv:2103.17239).
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn layer_scale(x: &[f32], scale: &[f32], rows: usize, y: &mut [f32]) {
    let elements = x.len() / rows.max(1);
    assert!(!scale.is_empty() && elements.is_multiple_of(scale.len()), "x is [rows, pixels, channels]");
    assert!(y.len() == x.len() && elements * rows == x.len(), "y is as long as x");
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(rows, x.len() < SERIAL_ELEMENTS, |row| {
        // SAFETY: each task has its own row.
        let y = unsafe { target.slice(row * elements, elements) };
        scale_pixels(&x[row * elements..][..elements], scale, y);
    });
}

/// The gradient of the scale of [`layer_scale`].
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn layer_scale_gradient(x: &[f32], dy: &[f32], rows: usize, dscale: &mut [f32]) {
    let channels = dscale.len();
    with_scratch(rows * channels, |parts| {
        channel_product_factor_gradient(x, dy, rows, parts);
        sum_rows(parts, channels, dscale);
    });
}

/// `y[row, i] = x[row, i] + summand[i]`: the position embedding of a sequence, say. The gradient of the summand is the sum of
/// the rows.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn add_to_rows(x: &[f32], summand: &[f32], y: &mut [f32]) {
    let elements = summand.len();
    assert!(
        elements > 0 && x.len().is_multiple_of(elements) && y.len() == x.len(),
        "x and y are [rows, elements]"
    );
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(x.len() / elements, x.len() < SERIAL_ELEMENTS, |row| {
        // SAFETY: each task has its own row.
        let y = unsafe { target.slice(row * elements, elements) };
        let x = &x[row * elements..][..elements];
        vectorized(
            #[inline(always)]
            || y.iter_mut().zip(x).zip(summand).for_each(|((y, x), summand)| *y = x + summand),
        );
    });
}

fn check(x: &[f32], factor: &[f32], rows: usize) -> (usize, usize) {
    assert!(
        rows > 0 && x.len().is_multiple_of(rows) && factor.len().is_multiple_of(rows),
        "all have these rows"
    );
    let (elements, channels) = (x.len() / rows, factor.len() / rows);
    assert!(channels > 0 && elements.is_multiple_of(channels), "x is [rows, pixels, channels]");
    (elements, channels)
}

fn scale_pixels(x: &[f32], scale: &[f32], y: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(scale.len()).zip(y.chunks_exact_mut(scale.len())) {
                y.iter_mut().zip(x).zip(scale).for_each(|((y, x), scale)| *y = x * scale);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{assert_close, dense, values};

    #[test]
    fn they_match_the_oracle() {
        for (rows, pixels, channels) in [(1, 1, 1), (3, 7, 5), (4, 400, 33)] {
            let count = rows * pixels * channels;
            let (x, dy) = (values(count, 1), values(count, 2));
            let (factor, scale) = (values(rows * channels, 3), values(channels, 4));
            let summand = values(pixels * channels, 5);
            let mut y = vec![f32::NAN; count];
            channel_product(&x, &factor, rows, &mut y);
            assert_close(&y, &dense::channel_product(&x, &factor, rows), 1e-6);
            layer_scale(&x, &scale, rows, &mut y);
            assert_close(&y, &dense::channel_product(&x, &scale.repeat(rows), rows), 1e-6);
            add_to_rows(&x, &summand, &mut y);
            let expected: Vec<f32> = x.iter().zip(summand.iter().cycle()).map(|(x, s)| x + s).collect();
            assert_close(&y, &expected, 0.0);
            let mut dfactor = vec![f32::NAN; factor.len()];
            channel_product_factor_gradient(&x, &dy, rows, &mut dfactor);
            let expected = dense::channel_product_factor_gradient(&x, &dy, rows, channels);
            assert_close(&dfactor, &expected, 1e-5);
            let mut dscale = vec![f32::NAN; channels];
            layer_scale_gradient(&x, &dy, rows, &mut dscale);
            let sums: Vec<f32> =
                (0..channels).map(|c| expected.iter().skip(c).step_by(channels).sum()).collect();
            assert_close(&dscale, &sums, 1e-4);
        }
    }
}
