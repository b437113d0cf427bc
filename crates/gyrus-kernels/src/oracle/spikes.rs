//! Packed spikes and their layers: the same additions in the same order as the kernels, so exactly their results.

use super::convolution::convolution_products;
use crate::convolution::Convolution;

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

/// See [`crate::spikes::linear::spike_linear`]: the same additions in the same order, so exactly its result.
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

/// See [`crate::spikes::convolution::spike_convolution`], on unpacked spikes: the same additions in the same order, so
/// exactly its result.
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
