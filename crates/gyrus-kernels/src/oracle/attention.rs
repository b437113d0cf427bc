//! Attention and rotary position embedding.

use super::narrow;
use crate::attention::cached::AttentionShape;
use crate::attention::causal::CausalAttention;
use crate::attention::encoder::EncoderAttention;

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

/// See [`crate::attention::maps::cached_attention_maps`].
pub fn attention_maps(shape: &AttentionShape, queries: &[f32], keys: &[f32]) -> Vec<f32> {
    let AttentionShape { heads, key_value_heads, head_width, scale, softcap, window } = *shape;
    let (tokens, positions) =
        (queries.len() / (heads * head_width), keys.len() / (key_value_heads * head_width));
    let mut maps = vec![0.0; heads * tokens * positions];
    for head in 0..heads {
        for token in 0..tokens {
            let end = positions - tokens + token + 1;
            let seen = window.map_or(0, |window| end.saturating_sub(window))..end;
            let weight = |position: usize| {
                let query = &queries[(token * heads + head) * head_width..];
                let key = &keys[(position * key_value_heads + head * key_value_heads / heads) * head_width..];
                let dot: f64 = (0..head_width).map(|i| f64::from(query[i]) * f64::from(key[i])).sum();
                let score = f64::from(scale) * dot;
                softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh()).exp()
            };
            let sum: f64 = seen.clone().map(weight).sum();
            for position in seen {
                maps[(head * tokens + token) * positions + position] = (weight(position) / sum) as f32;
            }
        }
    }
    maps
}

/// See [`crate::attention::cached::attention_cached`], of one sequence.
pub fn attention_cached(shape: &AttentionShape, queries: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
    let AttentionShape { heads, key_value_heads, head_width, scale, softcap, window } = *shape;
    let (tokens, positions) =
        (queries.len() / (heads * head_width), keys.len() / (key_value_heads * head_width));
    let mut out = Vec::with_capacity(queries.len());
    for token in 0..tokens {
        let end = positions - tokens + token + 1;
        let start = window.map_or(0, |window| end.saturating_sub(window));
        for head in 0..heads {
            let of = |rows: &[f32], position: usize, i: usize| {
                let head = head / (heads / key_value_heads);
                f64::from(rows[(position * key_value_heads + head) * head_width + i])
            };
            let weights: Vec<f64> = (start..end)
                .map(|position| {
                    let dot: f64 = (0..head_width)
                        .map(|i| {
                            f64::from(queries[(token * heads + head) * head_width + i])
                                * of(keys, position, i)
                        })
                        .sum();
                    let score = f64::from(scale) * dot;
                    softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh()).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            for i in 0..head_width {
                let blend: f64 = (start..end)
                    .zip(&weights)
                    .map(|(position, weight)| weight * of(values, position, i))
                    .sum();
                out.push((blend / sum) as f32);
            }
        }
    }
    out
}

/// See [`crate::attention::rotary::rotate`]; `angles` in radians are `[rows, pairs]`.
pub fn rotate(
    x: &[f32],
    (heads, head_width, pairs): (usize, usize, usize),
    angles: &[f64],
    interleaved: bool,
) -> Vec<f32> {
    let mut y = x.to_vec();
    for (index, head) in y.chunks_exact_mut(head_width).enumerate() {
        for pair in 0..pairs {
            let angle = angles[index / heads * pairs + pair];
            let (i, j) = if interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + pairs) };
            let (a, b) = (f64::from(head[i]), f64::from(head[j]));
            head[i] = (a * angle.cos() - b * angle.sin()) as f32;
            head[j] = (a * angle.sin() + b * angle.cos()) as f32;
        }
    }
    y
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
    // Rotates queries and keys, all in f64.
    let rotate = |values: &mut [f64], sign: f64| {
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
    let mut rotated: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    rotate(&mut rotated, 1.0);
    let (mut y, mut dx) = (vec![0.0f64; rows * heads * head_width], vec![0.0f64; x.len()]);
    let mut sequence_start = 0;
    for &end in ends {
        for row in sequence_start..end {
            let start =
                window.map_or(sequence_start, |window| sequence_start.max((row + 1).saturating_sub(window)));
            for head in 0..heads {
                let group = head / (heads / key_value_heads);
                let query = row * columns + head * head_width;
                let key = |at: usize| at * columns + (heads + group) * head_width;
                let value = |at: usize| key(at) + key_value_heads * head_width;
                let out = (row * heads + head) * head_width;
                let dot = |a: usize, b: usize| -> f64 {
                    (0..head_width).map(|i| rotated[a + i] * rotated[b + i]).sum()
                };
                let score = |at: usize| {
                    let score = f64::from(scale) * dot(query, key(at));
                    softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                };
                let weights: Vec<f64> = (start..=row).map(|at| score(at).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let slopes: Vec<f64> = (start..=row)
                    .map(|at| (0..head_width).map(|i| f64::from(dy[out + i]) * rotated[value(at) + i]).sum())
                    .collect();
                let mean: f64 = weights.iter().zip(&slopes).map(|(w, s)| w / sum * s).sum();
                for at in start..=row {
                    let weight = weights[at - start] / sum;
                    let inside = softcap.map_or(1.0, |cap| 1.0 - (score(at) / f64::from(cap)).powi(2));
                    let slope = f64::from(scale) * weight * (slopes[at - start] - mean) * inside;
                    for i in 0..head_width {
                        y[out + i] += weight * rotated[value(at) + i];
                        dx[query + i] += slope * rotated[key(at) + i];
                        dx[key(at) + i] += slope * rotated[query + i];
                        dx[value(at) + i] += weight * f64::from(dy[out + i]);
                    }
                }
            }
        }
        sequence_start = end;
    }
    rotate(&mut dx, -1.0);
    (narrow(&y), narrow(&dx))
}
