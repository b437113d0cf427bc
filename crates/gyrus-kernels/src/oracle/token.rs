//! Embeddings, gates and the loss over a vocabulary.

use super::narrow;
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

/// See [`crate::token::gated::gated`]; its gradient by finite differences.
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

/// The normal distribution function, by its series around 0: exact for the arguments that tests use.
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
