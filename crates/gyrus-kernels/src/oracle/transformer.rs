//! The naive form of the kernels for training a transformer.

use super::narrow;
use crate::attention::causal::CausalAttention;
use crate::stored::low_rank::LowRank;
use crate::token::activation::FeedForwardActivation;
use crate::token::vocabulary_loss::{IGNORED, VocabularyLoss};

/// See [`crate::token::embedding::embedding`].
pub fn embedding(table: &[f32], tokens: &[u32], width: usize) -> Vec<f32> {
    tokens.iter().flat_map(|&token| table[token as usize * width..][..width].to_vec()).collect()
}

/// See [`crate::token::embedding::embedding_gradient`].
pub fn embedding_gradient(tokens: &[u32], dy: &[f32], vocabulary: usize, width: usize) -> Vec<f32> {
    let mut gradient = vec![0.0f64; vocabulary * width];
    for (i, &token) in tokens.iter().enumerate() {
        (0..width).for_each(|j| gradient[token as usize * width + j] += f64::from(dy[i * width + j]));
    }
    narrow(&gradient)
}

/// See [`crate::normalization::rms::rms_norm_backward`].
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

/// See [`crate::token::gated::gated`] and its gradient, by differences.
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

/// The loss of [`crate::token::vocabulary_loss::vocabulary_loss`] and its gradients for input and weight.
pub fn vocabulary_loss(
    shape: VocabularyLoss,
    x: &[f32],
    weight: &[f32],
    targets: &[u32],
) -> (f32, Vec<f32>, Vec<f32>) {
    let VocabularyLoss { width, vocabulary, softcap } = shape;
    let counted = targets.iter().filter(|&&target| target != IGNORED).count().max(1) as f64;
    let (mut dx, mut dw) = (vec![0.0f64; x.len()], vec![0.0f64; weight.len()]);
    let mut loss = 0.0;
    for (row, &target) in targets.iter().enumerate().filter(|&(_, &target)| target != IGNORED) {
        let x = &x[row * width..][..width];
        let logits: Vec<f64> = weight
            .chunks(width)
            .map(|w| w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>())
            .map(|z| softcap.map_or(z, |cap| f64::from(cap) * (z / f64::from(cap)).tanh()))
            .collect();
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        loss -= (logits[target as usize].exp() / sum).ln() / counted;
        for class in 0..vocabulary {
            let hit = f64::from(u8::from(class == target as usize));
            let slope = softcap.map_or(1.0, |cap| 1.0 - (logits[class] / f64::from(cap)).powi(2));
            let g = slope * (logits[class].exp() / sum - hit) / counted;
            for i in 0..width {
                dx[row * width + i] += g * f64::from(weight[class * width + i]);
                dw[class * width + i] += g * f64::from(x[i]);
            }
        }
    }
    (loss as f32, narrow(&dx), narrow(&dw))
}

/// See [`crate::attention::causal::causal_attention`]: its result and its gradient for `x`, with the angles of the rotation
/// in radians, `[positions, pairs]`.
pub fn causal_attention(
    shape: &CausalAttention,
    ends: &[usize],
    x: &[f32],
    angles: Option<(&[f64], usize, bool)>,
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let CausalAttention { heads, key_value_heads, head_width, scale, softcap, window } = *shape;
    let columns = (heads + 2 * key_value_heads) * head_width;
    let rows = x.len() / columns;
    // Queries and keys turned, all in f64.
    let turn = |values: &mut [f64], sign: f64| {
        let Some((angles, pairs, interleaved)) = angles else { return };
        for row in 0..rows {
            let start = ends.iter().rev().find(|&&end| end <= row).copied().unwrap_or(0);
            for head in 0..heads + key_value_heads {
                for pair in 0..pairs {
                    let angle = sign * angles[(row - start) * pairs + pair];
                    let i = row * columns + head * head_width;
                    let (i, j) = if interleaved {
                        (i + 2 * pair, i + 2 * pair + 1)
                    } else {
                        (i + pair, i + pair + pairs)
                    };
                    let (a, b) = (values[i], values[j]);
                    values[i] = a * angle.cos() - b * angle.sin();
                    values[j] = b * angle.cos() + a * angle.sin();
                }
            }
        }
    };
    let mut turned: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    turn(&mut turned, 1.0);
    let (mut y, mut dx) = (vec![0.0f64; rows * heads * head_width], vec![0.0f64; x.len()]);
    let mut text = 0;
    for &end in ends {
        for row in text..end {
            let start = window.map_or(text, |window| text.max((row + 1).saturating_sub(window)));
            for head in 0..heads {
                let group = head / (heads / key_value_heads);
                let query = row * columns + head * head_width;
                let key = |at: usize| at * columns + (heads + group) * head_width;
                let value = |at: usize| key(at) + key_value_heads * head_width;
                let out = (row * heads + head) * head_width;
                let dot = |a: usize, b: usize| -> f64 {
                    (0..head_width).map(|i| turned[a + i] * turned[b + i]).sum()
                };
                let score = |at: usize| {
                    let score = f64::from(scale) * dot(query, key(at));
                    softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                };
                let weights: Vec<f64> = (start..=row).map(|at| score(at).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let slopes: Vec<f64> = (start..=row)
                    .map(|at| (0..head_width).map(|i| f64::from(dy[out + i]) * turned[value(at) + i]).sum())
                    .collect();
                let mean: f64 = weights.iter().zip(&slopes).map(|(w, s)| w / sum * s).sum();
                for at in start..=row {
                    let weight = weights[at - start] / sum;
                    let inside = softcap.map_or(1.0, |cap| 1.0 - (score(at) / f64::from(cap)).powi(2));
                    let slope = f64::from(scale) * weight * (slopes[at - start] - mean) * inside;
                    for i in 0..head_width {
                        y[out + i] += weight * turned[value(at) + i];
                        dx[query + i] += slope * turned[key(at) + i];
                        dx[key(at) + i] += slope * turned[query + i];
                        dx[value(at) + i] += weight * f64::from(dy[out + i]);
                    }
                }
            }
        }
        text = end;
    }
    turn(&mut dx, -1.0);
    (narrow(&y), narrow(&dx))
}

/// The result of [`crate::stored::low_rank::low_rank`], and its gradients for `x` and the adapter.
pub fn low_rank(
    shape: &LowRank<'_>,
    x: &[f32],
    adapter: &[f32],
    mask: Option<&[f32]>,
    (residual, dy): (&[f32], &[f32]),
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (inputs, outputs) = (shape.inputs, shape.outputs());
    let mut y: Vec<f64> = residual.iter().map(|&r| f64::from(r)).collect();
    let (mut dx, mut dadapter) = (vec![0.0f64; x.len()], vec![0.0f64; adapter.len()]);
    let (mut column, mut first, mut second) = (0, 0, shape.rank() * inputs);
    for part in shape.parts {
        let mut weight = vec![0.0; part.weight.rows() * inputs];
        crate::stored::dequantize(&part.weight, &mut weight);
        for row in 0..x.len() / inputs {
            let at = |i: usize| f64::from(x[row * inputs + i]);
            let kept = |i: usize| mask.map_or(1.0, |mask| f64::from(mask[row * inputs + i]));
            let a = |rank: usize, i: usize| f64::from(adapter[first + rank * inputs + i]);
            let inner: Vec<f64> =
                (0..part.rank).map(|rank| (0..inputs).map(|i| at(i) * kept(i) * a(rank, i)).sum()).collect();
            let mut slopes = vec![0.0f64; part.rank];
            for output in 0..part.weight.rows() {
                let place = row * outputs + column + output;
                let slope = f64::from(dy[place]);
                y[place] += part.bias.map_or(0.0, |bias| f64::from(bias[output]));
                for i in 0..inputs {
                    let weight = f64::from(weight[output * inputs + i]);
                    y[place] += weight * at(i);
                    dx[row * inputs + i] += weight * slope;
                }
                for rank in 0..part.rank {
                    let b_at = second + output * part.rank + rank;
                    let (b, scale) = (f64::from(adapter[b_at]), f64::from(part.scale));
                    y[place] += scale * inner[rank] * b;
                    dadapter[b_at] += scale * inner[rank] * slope;
                    slopes[rank] += scale * b * slope;
                }
            }
            for (rank, slope) in slopes.iter().enumerate() {
                for i in 0..inputs {
                    dx[row * inputs + i] += slope * a(rank, i) * kept(i);
                    dadapter[first + rank * inputs + i] += slope * at(i) * kept(i);
                }
            }
        }
        column += part.weight.rows();
        first += part.rank * inputs;
        second += part.rank * part.weight.rows();
    }
    (narrow(&y), narrow(&dx), narrow(&dadapter))
}
