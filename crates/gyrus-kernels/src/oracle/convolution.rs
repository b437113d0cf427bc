//! Convolutions.

use super::narrow;
use crate::convolution::Convolution;

/// Calls `visit(input, weight, output)` with the indices of every product in a convolution.
pub fn convolution_products(shape: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let [out_height, out_width] = shape.output_size();
    let (depth, results) = (shape.channels / shape.groups, shape.outputs / shape.groups);
    for b in 0..shape.batch {
        for i in 0..out_height {
            for j in 0..out_width {
                for o in 0..shape.outputs {
                    let output = ((b * out_height + i) * out_width + j) * shape.outputs + o;
                    for c in 0..depth {
                        for u in 0..shape.kernel[0] {
                            for v in 0..shape.kernel[1] {
                                let row = i * shape.stride[0] + u * shape.dilation[0];
                                let column = j * shape.stride[1] + v * shape.dilation[1];
                                let (Some(row), Some(column)) =
                                    (row.checked_sub(shape.padding[0]), column.checked_sub(shape.padding[2]))
                                else {
                                    continue;
                                };
                                if row >= shape.height || column >= shape.width {
                                    continue;
                                }
                                let channel = o / results * depth + c;
                                let input = ((b * shape.height + row) * shape.width + column)
                                    * shape.channels
                                    + channel;
                                let weight = ((o * depth + c) * shape.kernel[0] + u) * shape.kernel[1] + v;
                                visit(input, weight, output);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// See [`crate::convolution::convolution`].
pub fn convolution(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
) -> Vec<f32> {
    let mut y: Vec<f64> =
        (0..shape.output_len()).map(|i| bias.map_or(0.0, |b| f64::from(b[i % shape.outputs]))).collect();
    convolution_products(shape, |i, w, o| y[o] += f64::from(x[i]) * f64::from(weight[w]));
    if relu {
        y.iter_mut().for_each(|y| *y = y.max(0.0));
    }
    narrow(&y)
}

/// Input, weight and bias gradients of [`convolution`] without ReLU.
pub fn convolution_gradients(
    shape: &Convolution,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut dx = vec![0.0f64; x.len()];
    let mut dw = vec![0.0f64; weight.len()];
    let mut db = vec![0.0f64; shape.outputs];
    convolution_products(shape, |i, w, o| {
        dx[i] += f64::from(dy[o]) * f64::from(weight[w]);
        dw[w] += f64::from(dy[o]) * f64::from(x[i]);
    });
    dy.iter().enumerate().for_each(|(i, g)| db[i % shape.outputs] += f64::from(*g));
    (narrow(&dx), narrow(&dw), narrow(&db))
}
