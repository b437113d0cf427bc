//! The naive form of every kernel, for tests: one line of mathematics each, in `f64`, no tricks.

pub mod decoding;
pub mod neuron;
pub mod transformer;
pub mod weights;

use crate::attention::encoder::EncoderAttention;
use crate::convolution::Convolution;

/// Repeatable values in -1 ..= 1, different for each `seed`.
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

/// Repeatable zeros and ones, about `share` of them ones.
pub fn spike_values(count: usize, share: f64, seed: u64) -> Vec<f32> {
    values(count, seed).iter().map(|&v| if f64::from(v) < 2.0 * share - 1.0 { 1.0 } else { 0.0 }).collect()
}

/// See [`crate::spikes::packed::pack`].
pub fn pack(x: &[f32], elements: usize) -> Vec<u32> {
    let width = elements.div_ceil(32);
    let mut bits = vec![0; x.len() / elements * width];
    for (i, &x) in x.iter().enumerate() {
        let (row, element) = (i / elements, i % elements);
        bits[row * width + element / 32] |= u32::from(x != 0.0) << (element % 32);
    }
    bits
}

/// See [`crate::spikes::linear::spike_linear`]: its additions in its order, so exactly its result.
pub fn spike_linear(
    bits: &[u32],
    weight: &[f32],
    bias: Option<&[f32]>,
    (rows, inputs, outputs): (usize, usize, usize),
) -> Vec<f32> {
    let mut y = Vec::with_capacity(rows * outputs);
    for row in 0..rows {
        for output in 0..outputs {
            let mut sum = 0.0f32;
            for input in 0..inputs {
                if bits[row * inputs.div_ceil(32) + input / 32] >> (input % 32) & 1 == 1 {
                    sum = weight[output * inputs + input].mul_add(1.0, sum);
                }
            }
            y.push(bias.map_or(sum, |b| sum + b[output]));
        }
    }
    y
}

/// See [`crate::attention::encoder::encoder_attention`].
pub fn encoder_attention(shape: &EncoderAttention, lengths: &[usize], x: &[f32]) -> Vec<f32> {
    let EncoderAttention { heads, head_width, scale } = *shape;
    let of = |token: usize, part: usize, head: usize, i: usize| {
        f64::from(x[((token * 3 + part) * heads + head) * head_width + i])
    };
    let mut out = Vec::new();
    let mut first = 0;
    for length in lengths {
        for token in first..first + length {
            for head in 0..heads {
                let weights: Vec<f64> = (first..first + length)
                    .map(|other| {
                        let dot: f64 =
                            (0..head_width).map(|i| of(token, 0, head, i) * of(other, 1, head, i)).sum();
                        (f64::from(scale) * dot).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                out.extend((0..head_width).map(|i| {
                    let blend: f64 =
                        weights.iter().enumerate().map(|(at, w)| w * of(first + at, 2, head, i)).sum();
                    (blend / sum) as f32
                }));
            }
        }
        first += length;
    }
    out
}

/// Fails unless every pair differs by at most `tolerance`, absolutely or relatively.
///
/// # Panics
/// If a pair differs by more; the message names the first.
pub fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "lengths differ");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let allowed = tolerance * e.abs().max(1.0);
        assert!((g - e).abs() <= allowed, "element {i}: got {g}, expected {e}");
    }
}

/// See [`crate::dense::linear::linear`].
pub fn linear(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    (rows, inputs, outputs): (usize, usize, usize),
) -> Vec<f32> {
    let mut y = Vec::with_capacity(rows * outputs);
    for row in 0..rows {
        for output in 0..outputs {
            let mut sum = bias.map_or(0.0, |b| f64::from(b[output]));
            for input in 0..inputs {
                sum += f64::from(x[row * inputs + input]) * f64::from(weight[output * inputs + input]);
            }
            y.push(if relu { sum.max(0.0) } else { sum } as f32);
        }
    }
    y
}

/// Input and weight gradients of [`linear`].
pub fn linear_gradients(
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
) -> (Vec<f32>, Vec<f32>) {
    let mut dx = vec![0.0f64; rows * inputs];
    let mut dw = vec![0.0f64; outputs * inputs];
    for row in 0..rows {
        for output in 0..outputs {
            let g = f64::from(dy[row * outputs + output]);
            for input in 0..inputs {
                dx[row * inputs + input] += g * f64::from(weight[output * inputs + input]);
                dw[output * inputs + input] += g * f64::from(x[row * inputs + input]);
            }
        }
    }
    (narrow(&dx), narrow(&dw))
}

pub(crate) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

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

/// See [`crate::spikes::convolution::spike_convolution`], on unpacked spikes: its additions in its order, so exactly its
/// result.
pub fn spike_convolution(shape: &Convolution, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut products = Vec::new();
    let (depth, taps) = (shape.channels / shape.groups, shape.kernel[0] * shape.kernel[1]);
    convolution_products(shape, |i, w, o| {
        let (channel, tap) = (w / taps % depth, w % taps);
        products.push((o, tap, channel, i, w));
    });
    products.sort_unstable();
    let mut y = vec![0.0f32; shape.output_len()];
    for (o, _, _, i, w) in products {
        y[o] = weight[w].mul_add(x[i], y[o]);
    }
    y.iter_mut().enumerate().for_each(|(o, y)| *y += bias[o % shape.outputs]);
    y
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
