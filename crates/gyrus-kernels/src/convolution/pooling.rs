//! Maximum and average pooling over channels-last images.
//!
//! `x` is `[batch, height, width, channels]`; each output pixel reads a window of it. Cost: `y.len()` times the window.

use crate::base::parallel::{SharedMut, for_each_task, vectorized};

/// Tasks that a forward pass is cut into, at least.
const TASKS: usize = 8;

/// The shape of a pooling layer. All sizes in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Images.
    pub batch: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    /// Channels of input and output.
    pub channels: usize,
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Steps down and across.
    pub stride: [usize; 2],
    /// Pixels added at the top, bottom, left and right: never the maximum, and zero in an average.
    pub padding: [usize; 4],
}

impl Pooling {
    /// Height and width of the output.
    ///
    /// # Panics
    /// If the window is larger than the padded input.
    pub fn output_size(&self) -> [usize; 2] {
        let padded =
            [self.height + self.padding[0] + self.padding[1], self.width + self.padding[2] + self.padding[3]];
        core::array::from_fn(|axis| {
            assert!(self.kernel[axis] <= padded[axis], "the window is larger than the padded input");
            (padded[axis] - self.kernel[axis]) / self.stride[axis] + 1
        })
    }

    /// Floats in the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// Floats in the output.
    pub fn output_len(&self) -> usize {
        let [height, width] = self.output_size();
        self.batch * height * width * self.channels
    }

    /// Calls `visit(input pixel)` for the pixels under output pixel `(row, column)`, in order.
    #[inline(always)]
    pub(crate) fn window(&self, row: usize, column: usize, mut visit: impl FnMut(usize)) {
        for u in 0..self.kernel[0] {
            let Some(y) = (row * self.stride[0] + u).checked_sub(self.padding[0]) else { continue };
            if y >= self.height {
                break;
            }
            for v in 0..self.kernel[1] {
                let Some(x) = (column * self.stride[1] + v).checked_sub(self.padding[2]) else { continue };
                if x >= self.width {
                    break;
                }
                visit(y * self.width + x);
            }
        }
    }

    /// Whether windows are 2 x 2 and tile the image, the usual case, in which windows need not be computed.
    pub(crate) fn is_plain(&self) -> bool {
        self.kernel == [2, 2]
            && self.stride == [2, 2]
            && self.padding == [0; 4]
            && self.height.is_multiple_of(2)
            && self.width.is_multiple_of(2)
    }

    /// Runs `work(image index, image of out)` for each image, where `out` has `out_len` floats per image.
    fn each(&self, out: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync + Send) {
        let out_len = out.len() / self.batch.max(1);
        let serial = self.input_len() < 1 << 14;
        let target = SharedMut(out.as_mut_ptr());
        for_each_task(self.batch, serial, |b| {
            // SAFETY: each task has its own image.
            work(b, unsafe { core::slice::from_raw_parts_mut(target.get().add(b * out_len), out_len) });
        });
    }
}

/// The maximum of each window.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn max_pool(shape: &Pooling, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), shape.input_len(), "x is [batch, height, width, channels]");
    assert_eq!(y.len(), shape.output_len(), "y is [batch, out_height, out_width, channels]");
    let [out_height, out_width] = shape.output_size();
    let (channels, image) = (shape.channels, shape.height * shape.width * shape.channels);
    // A few large images are cut into bands of rows so that every thread has work.
    let band = out_height.div_ceil(TASKS.div_ceil(shape.batch.max(1)).min(out_height).max(1)).max(1);
    let bands = out_height.div_ceil(band);
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(shape.batch * bands, shape.input_len() < 1 << 14, |task| {
        let (b, first) = (task / bands, task % bands * band);
        let x = &x[b * image..][..image];
        let row_len = out_width * channels;
        // SAFETY: each task has its own rows.
        let y = unsafe {
            target.slice((b * out_height + first) * row_len, band.min(out_height - first) * row_len)
        };
        if shape.is_plain() {
            plain_max_pool(&x[2 * first * shape.width * channels..], shape.width * channels, channels, y);
            return;
        }
        vectorized(
            #[inline(always)]
            || {
                for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
                    y.fill(f32::NEG_INFINITY);
                    shape.window(first + pixel / out_width, pixel % out_width, |at| {
                        for (y, &x) in y.iter_mut().zip(&x[at * channels..][..channels]) {
                            // A NaN wins, as in PyTorch, so that it is not hidden.
                            *y = if x > *y || x.is_nan() { x } else { *y };
                        }
                    });
                }
            },
        );
    });
}

/// Gradient of [`max_pool`]: each output's gradient goes to the first input that equals the maximum.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn max_pool_backward(shape: &Pooling, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert!(
        x.len() == shape.input_len() && dx.len() == x.len(),
        "x and dx are [batch, height, width, channels]"
    );
    assert!(y.len() == shape.output_len() && dy.len() == y.len(), "y and dy are [batch, out.., channels]");
    let [out_height, out_width] = shape.output_size();
    let channels = shape.channels;
    let out_len = out_height * out_width * channels;
    shape.each(dx, |b, dx| {
        let x = &x[b * dx.len()..][..dx.len()];
        let (y, dy) = (&y[b * out_len..][..out_len], &dy[b * out_len..][..out_len]);
        if shape.is_plain() {
            plain_max_pool_backward(x, y, dy, shape.width * channels, channels, dx);
            return;
        }
        dx.fill(0.0);
        let mut left = vec![0.0f32; channels];
        vectorized(
            #[inline(always)]
            || {
                for pixel in 0..out_height * out_width {
                    let y = &y[pixel * channels..][..channels];
                    left.copy_from_slice(&dy[pixel * channels..][..channels]);
                    shape.window(pixel / out_width, pixel % out_width, |at| {
                        let (x, dx) = (&x[at * channels..][..channels], &mut dx[at * channels..][..channels]);
                        for (((dx, x), y), left) in dx.iter_mut().zip(x).zip(y).zip(&mut left) {
                            let gradient = *left;
                            let hit = *x == *y;
                            *dx += if hit { gradient } else { 0.0 };
                            *left = if hit { 0.0 } else { gradient };
                        }
                    });
                }
            },
        );
    });
}

/// 2 x 2 windows of one image whose rows have `row` floats.
fn plain_max_pool(x: &[f32], row: usize, channels: usize, y: &mut [f32]) {
    // A NaN wins, as above.
    #[inline(always)]
    fn max(a: f32, b: f32) -> f32 {
        if b > a || b.is_nan() { b } else { a }
    }
    vectorized(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(2 * row).zip(y.chunks_exact_mut(row / 2)) {
                let (top, bottom) = x.split_at(row);
                let windows = top.chunks_exact(2 * channels).zip(bottom.chunks_exact(2 * channels));
                for ((top, bottom), y) in windows.zip(y.chunks_exact_mut(channels)) {
                    let (a, b) = top.split_at(channels);
                    let (c, d) = bottom.split_at(channels);
                    for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *y = max(max(*a, *b), max(*c, *d));
                    }
                }
            }
        },
    );
}

/// Gradient of [`plain_max_pool`].
fn plain_max_pool_backward(x: &[f32], y: &[f32], dy: &[f32], row: usize, channels: usize, dx: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            let out_rows = y.chunks_exact(row / 2).zip(dy.chunks_exact(row / 2));
            for ((x, dx), (y, dy)) in x.chunks_exact(2 * row).zip(dx.chunks_exact_mut(2 * row)).zip(out_rows)
            {
                let (top, bottom) = x.split_at(row);
                let (dtop, dbottom) = dx.split_at_mut(row);
                for pixel in 0..row / (2 * channels) {
                    let (left, right) = (2 * pixel * channels, (2 * pixel + 1) * channels);
                    let y = &y[pixel * channels..][..channels];
                    let dy = &dy[pixel * channels..][..channels];
                    let (a, b) = (&top[left..][..channels], &top[right..][..channels]);
                    let (c, d) = (&bottom[left..][..channels], &bottom[right..][..channels]);
                    let (da, db) = dtop[left..][..2 * channels].split_at_mut(channels);
                    let (dc, dd) = dbottom[left..][..2 * channels].split_at_mut(channels);
                    for i in 0..channels {
                        // The part of the gradient that no value has taken yet.
                        let g = dy[i];
                        da[i] = if a[i] == y[i] { g } else { 0.0 };
                        let g = if a[i] == y[i] { 0.0 } else { g };
                        db[i] = if b[i] == y[i] { g } else { 0.0 };
                        let g = if b[i] == y[i] { 0.0 } else { g };
                        dc[i] = if c[i] == y[i] { g } else { 0.0 };
                        let g = if c[i] == y[i] { 0.0 } else { g };
                        dd[i] = if d[i] == y[i] { g } else { 0.0 };
                    }
                }
            }
        },
    );
}

/// `scale` times the sum of each window: the average if `scale` is `1 / (window height * width)` (padding counts, as in
/// PyTorch and NIR), the sum if it is 1.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn sum_pool(shape: &Pooling, scale: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), shape.input_len(), "x is [batch, height, width, channels]");
    assert_eq!(y.len(), shape.output_len(), "y is [batch, out_height, out_width, channels]");
    let [_, out_width] = shape.output_size();
    let (channels, image) = (shape.channels, shape.height * shape.width * shape.channels);
    shape.each(y, |b, y| {
        let x = &x[b * image..][..image];
        vectorized(
            #[inline(always)]
            || {
                for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
                    y.fill(0.0);
                    shape.window(pixel / out_width, pixel % out_width, |at| {
                        for (y, x) in y.iter_mut().zip(&x[at * channels..][..channels]) {
                            *y += x;
                        }
                    });
                    y.iter_mut().for_each(|y| *y *= scale);
                }
            },
        );
    });
}

/// Gradient of [`sum_pool`].
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn sum_pool_backward(shape: &Pooling, scale: f32, dy: &[f32], dx: &mut [f32]) {
    assert_eq!(dx.len(), shape.input_len(), "dx is [batch, height, width, channels]");
    assert_eq!(dy.len(), shape.output_len(), "dy is [batch, out_height, out_width, channels]");
    let [out_height, out_width] = shape.output_size();
    let channels = shape.channels;
    let out_len = out_height * out_width * channels;
    shape.each(dx, |b, dx| {
        let dy = &dy[b * out_len..][..out_len];
        dx.fill(0.0);
        vectorized(
            #[inline(always)]
            || {
                for (pixel, dy) in dy.chunks_exact(channels).enumerate() {
                    shape.window(pixel / out_width, pixel % out_width, |at| {
                        for (dx, dy) in dx[at * channels..][..channels].iter_mut().zip(dy) {
                            *dx += dy * scale;
                        }
                    });
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{assert_close, values};

    prop_compose! {
        fn any_shape()(
            batch in 1usize..3, height in 3usize..8, width in 3usize..8, channels in 1usize..20,
            kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..4], pad: bool,
        ) -> Pooling {
            // Padding of at most half the window, so that no window is all padding.
            let padding = if pad { [kernel[0] / 2, kernel[0] / 2, kernel[1] / 2, kernel[1] / 2] } else { [0; 4] };
            Pooling { batch, height, width, channels, kernel, stride, padding }
        }
    }

    /// The inputs under each output, by the definition.
    fn windows(shape: &Pooling) -> Vec<Vec<usize>> {
        let [out_height, out_width] = shape.output_size();
        let mut windows = Vec::new();
        for index in 0..shape.output_len() {
            let c = index % shape.channels;
            let pixel = index / shape.channels;
            let (j, i, b) =
                (pixel % out_width, pixel / out_width % out_height, pixel / out_width / out_height);
            let mut inputs = Vec::new();
            for y in 0..shape.height {
                for x in 0..shape.width {
                    let (top, left) = (i * shape.stride[0], j * shape.stride[1]);
                    let (py, px) = (y + shape.padding[0], x + shape.padding[2]);
                    if (top..top + shape.kernel[0]).contains(&py)
                        && (left..left + shape.kernel[1]).contains(&px)
                    {
                        inputs.push(((b * shape.height + y) * shape.width + x) * shape.channels + c);
                    }
                }
            }
            windows.push(inputs);
        }
        windows
    }

    proptest! {
        #[test]
        fn pooling_matches_the_definition(shape in any_shape(), coarse: bool, plain: bool) {
            let even = Pooling { kernel: [2, 2], stride: [2, 2], padding: [0; 4], height: 6, width: 4, ..shape };
            let shape = if plain { even } else { shape };
            // Coarse values produce ties, where the first maximum takes the gradient.
            let x: Vec<f32> =
                values(shape.input_len(), 1).iter().map(|x| if coarse { (x * 2.0).round() } else { *x }).collect();
            let dy = values(shape.output_len(), 2);
            let mut y = vec![0.0; dy.len()];
            let mut dx = vec![f32::NAN; x.len()];
            let (mut expected_y, mut expected_dx) = (Vec::new(), vec![0.0; x.len()]);
            for (window, dy) in windows(&shape).iter().zip(&dy) {
                let mut best = window[0];
                window.iter().for_each(|&i| if x[i] > x[best] { best = i });
                expected_y.push(x[best]);
                expected_dx[best] += dy;
            }
            max_pool(&shape, &x, &mut y);
            max_pool_backward(&shape, &x, &y, &dy, &mut dx);
            assert_close(&y, &expected_y, 0.0);
            assert_close(&dx, &expected_dx, 1e-6);

            let scale = 1.0 / (shape.kernel[0] * shape.kernel[1]) as f32;
            sum_pool(&shape, scale, &x, &mut y);
            sum_pool_backward(&shape, scale, &dy, &mut dx);
            expected_dx.fill(0.0);
            for (i, window) in windows(&shape).iter().enumerate() {
                expected_y[i] = window.iter().map(|&i| x[i]).sum::<f32>() * scale;
                window.iter().for_each(|&j| expected_dx[j] += dy[i] * scale);
            }
            assert_close(&y, &expected_y, 1e-5);
            assert_close(&dx, &expected_dx, 1e-5);
        }
    }
}
