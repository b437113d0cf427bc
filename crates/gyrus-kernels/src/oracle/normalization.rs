//! Root-mean-square normalization.

use super::narrow;

/// See [`crate::normalization::rms::rms_norm`].
pub fn rms_norm_rows(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let row = |x: &[f32]| {
        let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let root = (squares / x.len() as f64 + f64::from(epsilon)).sqrt();
        x.iter().zip(weight).map(|(&x, &w)| (f64::from(x) / root * f64::from(w)) as f32).collect::<Vec<_>>()
    };
    x.chunks_exact(weight.len()).flat_map(row).collect()
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
