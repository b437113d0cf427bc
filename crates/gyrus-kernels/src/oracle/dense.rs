//! Linear layers.

use super::narrow;

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

/// See [`crate::dense::broadcast::channel_product`].
pub fn channel_product(x: &[f32], factor: &[f32], rows: usize) -> Vec<f32> {
    let (elements, channels) = (x.len() / rows, factor.len() / rows);
    (0..x.len()).map(|i| x[i] * factor[i / elements * channels + i % channels]).collect()
}

/// See [`crate::dense::broadcast::channel_product_factor_gradient`].
pub fn channel_product_factor_gradient(x: &[f32], dy: &[f32], rows: usize, channels: usize) -> Vec<f32> {
    let elements = x.len() / rows;
    let mut sums = vec![0.0f64; rows * channels];
    for i in 0..x.len() {
        sums[i / elements * channels + i % channels] += f64::from(x[i]) * f64::from(dy[i]);
    }
    narrow(&sums)
}
