//! The naive form of the kernels of a decoder.

use crate::attention::cached::AttentionShape;

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

/// See [`crate::normalization::rms::rms_norm`].
pub fn rms_norm_rows(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let row = |x: &[f32]| {
        let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let root = (squares / x.len() as f64 + f64::from(epsilon)).sqrt();
        x.iter().zip(weight).map(|(&x, &w)| (f64::from(x) / root * f64::from(w)) as f32).collect::<Vec<_>>()
    };
    x.chunks_exact(weight.len()).flat_map(row).collect()
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
