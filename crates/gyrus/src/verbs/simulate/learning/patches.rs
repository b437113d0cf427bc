//! Photographs as a retina passes them on: a center minus its surround, which takes away what neighbors have in common.

/// Standard deviations of center and surround in pixels.
const CENTER: f64 = 0.8;
const SURROUND: f64 = 1.6;

/// A gray photograph after the filter.
pub(super) struct Filtered {
    pub(super) values: Vec<f32>,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A Gaussian blur, rows first, then columns; edges repeat.
fn blur(values: &[f32], [height, width]: [usize; 2], sigma: f64) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as isize;
    let weights: Vec<f64> = (-reach..=reach).map(|x| (-0.5 * (x as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let weights: Vec<f32> = weights.iter().map(|weight| (weight / total) as f32).collect();
    let at = |place: usize, offset: usize, extent: usize| {
        (place as isize + offset as isize - reach).clamp(0, extent as isize - 1) as usize
    };
    let mut across = vec![0.0f32; values.len()];
    for y in 0..height {
        for x in 0..width {
            let row = &values[y * width..][..width];
            across[y * width + x] = weights.iter().enumerate().map(|(k, w)| w * row[at(x, k, width)]).sum();
        }
    }
    let mut both = vec![0.0f32; values.len()];
    for y in 0..height {
        for (k, w) in weights.iter().enumerate() {
            let from = at(y, k, height) * width;
            for x in 0..width {
                both[y * width + x] += w * across[from + x];
            }
        }
    }
    both
}

impl Filtered {
    /// Of gray pixels.
    pub(super) fn new(pixels: &[u8], [height, width]: [usize; 2]) -> Self {
        // Contrast is relative to brightness.
        let values: Vec<f32> = pixels.iter().map(|&pixel| (1.0 + f32::from(pixel)).ln()).collect();
        let center = blur(&values, [height, width], CENTER);
        let surround = blur(&values, [height, width], SURROUND);
        let values = center.iter().zip(&surround).map(|(center, surround)| center - surround).collect();
        Self { values, height, width }
    }

    /// The root of the mean square.
    pub(super) fn contrast(&self) -> f32 {
        let sum: f64 = self.values.iter().map(|value| f64::from(*value).powi(2)).sum();
        (sum / self.values.len().max(1) as f64).sqrt() as f32
    }

    /// A square whose upper left corner is here, row by row.
    pub(super) fn patch(&self, row: usize, column: usize, side: usize) -> Vec<f32> {
        (row..row + side).flat_map(|y| &self.values[y * self.width + column..][..side]).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_surface_says_nothing_and_an_edge_has_two_sides() {
        let flat = Filtered::new(&[90; 100], [10, 10]);
        assert!(flat.contrast() < 1e-5);
        let pixels: Vec<u8> = (0..400).map(|at| if at % 20 < 10 { 40 } else { 200 }).collect();
        let edge = Filtered::new(&pixels, [20, 20]);
        let row = edge.patch(10, 6, 8);
        assert!(row[3] < -0.1 && row[4] > 0.1 && row[0].abs() < 0.03, "{row:?}");
    }
}
