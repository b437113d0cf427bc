//! The naive form of the kernels for training a transformer.

use super::narrow;
use crate::decoding::FeedForwardActivation;
use crate::transformer::{CausalAttention, IGNORED, VocabularyLoss};

/// See [`crate::transformer::embedding`].
pub fn embedding(table: &[f32], tokens: &[u32], width: usize) -> Vec<f32> {
    tokens.iter().flat_map(|&token| table[token as usize * width..][..width].to_vec()).collect()
}

/// See [`crate::transformer::embedding_gradient`].
pub fn embedding_gradient(tokens: &[u32], dy: &[f32], vocabulary: usize, width: usize) -> Vec<f32> {
    let mut gradient = vec![0.0f64; vocabulary * width];
    for (i, &token) in tokens.iter().enumerate() {
        (0..width).for_each(|j| gradient[token as usize * width + j] += f64::from(dy[i * width + j]));
    }
    narrow(&gradient)
}

/// See [`crate::transformer::rms_norm_backward`].
pub fn rms_norm_backward(x: &[f32], weight: &[f32], epsilon: f32, dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let columns = weight.len();
    let (mut dx, mut dweight) = (Vec::new(), vec![0.0f64; columns]);
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let weight = wide(weight);
    for (x, dy) in x.chunks(columns).zip(dy.chunks(columns)) {
        let (x, dy) = (wide(x), wide(dy));
        let mean = x.iter().map(|x| x * x).sum::<f64>() / columns as f64;
        let inverse = 1.0 / (mean + f64::from(epsilon)).sqrt();
        let dot: f64 = (0..columns).map(|i| weight[i] * dy[i] * x[i]).sum();
        for i in 0..columns {
            dx.push(inverse * weight[i] * dy[i] - x[i] * inverse.powi(3) * dot / columns as f64);
            dweight[i] += dy[i] * x[i] * inverse;
        }
    }
    (narrow(&dx), narrow(&dweight))
}

/// See [`crate::transformer::gated`] and its gradient, by differences.
pub fn gated(f: FeedForwardActivation, x: &[f32], half: usize, dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let apply = |x: f64| match f {
        FeedForwardActivation::Silu => x / (1.0 + (-x).exp()),
        FeedForwardActivation::Gelu => x * distribution(x),
        FeedForwardActivation::GeluTanh => {
            let root = (2.0 / core::f64::consts::PI).sqrt();
            0.5 * x * (1.0 + (root * (x + 0.044_715 * x.powi(3))).tanh())
        }
    };
    let (mut y, mut dx) = (Vec::new(), vec![0.0f64; x.len()]);
    for (row, x) in x.chunks(2 * half).enumerate() {
        for i in 0..half {
            let (gate, up, dy) = (f64::from(x[i]), f64::from(x[half + i]), f64::from(dy[row * half + i]));
            let slope = (apply(gate + 1e-5) - apply(gate - 1e-5)) / 2e-5;
            y.push(apply(gate) * up);
            dx[row * 2 * half + i] = dy * up * slope;
            dx[row * 2 * half + half + i] = dy * apply(gate);
        }
    }
    (narrow(&y), narrow(&dx))
}

/// The normal distribution function, by its series around 0: exact for arguments of a size that tests use.
fn distribution(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for k in 1..300 {
        term *= x * x / (2.0 * f64::from(k) + 1.0);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * core::f64::consts::PI).sqrt()
}

/// The loss of [`crate::transformer::vocabulary_loss`] and its gradients for input and weight.
pub fn vocabulary_loss(
    shape: VocabularyLoss,
    x: &[f32],
    weight: &[f32],
    targets: &[u32],
) -> (f32, Vec<f32>, Vec<f32>) {
    let VocabularyLoss { width, vocabulary } = shape;
    let counted = targets.iter().filter(|&&target| target != IGNORED).count().max(1) as f64;
    let (mut dx, mut dw) = (vec![0.0f64; x.len()], vec![0.0f64; weight.len()]);
    let mut loss = 0.0;
    for (row, &target) in targets.iter().enumerate().filter(|&(_, &target)| target != IGNORED) {
        let x = &x[row * width..][..width];
        let logits: Vec<f64> = weight
            .chunks(width)
            .map(|w| w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum())
            .collect();
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        loss -= (logits[target as usize].exp() / sum).ln() / counted;
        for class in 0..vocabulary {
            let hit = f64::from(u8::from(class == target as usize));
            let g = (logits[class].exp() / sum - hit) / counted;
            for i in 0..width {
                dx[row * width + i] += g * f64::from(weight[class * width + i]);
                dw[class * width + i] += g * f64::from(x[i]);
            }
        }
    }
    (loss as f32, narrow(&dx), narrow(&dw))
}

/// See [`crate::transformer::causal_attention`]: its result and its gradient for `x`, with the angles of the rotation
/// in radians, `[positions, pairs]`.
pub fn causal_attention(
    shape: &CausalAttention,
    ends: &[usize],
    x: &[f32],
    angles: Option<(&[f64], usize)>,
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let CausalAttention { heads, key_value_heads, head_width, scale } = *shape;
    let columns = (heads + 2 * key_value_heads) * head_width;
    let rows = x.len() / columns;
    // Queries and keys turned, all in f64.
    let turn = |values: &mut [f64], sign: f64| {
        let Some((angles, pairs)) = angles else { return };
        for row in 0..rows {
            let start = ends.iter().rev().find(|&&end| end <= row).copied().unwrap_or(0);
            for head in 0..heads + key_value_heads {
                for pair in 0..pairs {
                    let angle = sign * angles[(row - start) * pairs + pair];
                    let i = row * columns + head * head_width + pair;
                    let (a, b) = (values[i], values[i + pairs]);
                    values[i] = a * angle.cos() - b * angle.sin();
                    values[i + pairs] = b * angle.cos() + a * angle.sin();
                }
            }
        }
    };
    let mut turned: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    turn(&mut turned, 1.0);
    let (mut y, mut dx) = (vec![0.0f64; rows * heads * head_width], vec![0.0f64; x.len()]);
    let mut start = 0;
    for &end in ends {
        for row in start..end {
            for head in 0..heads {
                let group = head / (heads / key_value_heads);
                let query = row * columns + head * head_width;
                let key = |at: usize| at * columns + (heads + group) * head_width;
                let value = |at: usize| key(at) + key_value_heads * head_width;
                let out = (row * heads + head) * head_width;
                let dot = |a: usize, b: usize| -> f64 {
                    (0..head_width).map(|i| turned[a + i] * turned[b + i]).sum()
                };
                let weights: Vec<f64> =
                    (start..=row).map(|at| (f64::from(scale) * dot(query, key(at))).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let slopes: Vec<f64> = (start..=row)
                    .map(|at| (0..head_width).map(|i| f64::from(dy[out + i]) * turned[value(at) + i]).sum())
                    .collect();
                let mean: f64 = weights.iter().zip(&slopes).map(|(w, s)| w / sum * s).sum();
                for at in start..=row {
                    let weight = weights[at - start] / sum;
                    let slope = f64::from(scale) * weight * (slopes[at - start] - mean);
                    for i in 0..head_width {
                        y[out + i] += weight * turned[value(at) + i];
                        dx[query + i] += slope * turned[key(at) + i];
                        dx[key(at) + i] += slope * turned[query + i];
                        dx[value(at) + i] += weight * f64::from(dy[out + i]);
                    }
                }
            }
        }
        start = end;
    }
    turn(&mut dx, -1.0);
    (narrow(&y), narrow(&dx))
}
