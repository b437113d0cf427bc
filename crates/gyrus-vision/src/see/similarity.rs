//! How alike two representations are, and how many dimensions one has.
//!
//! A representation is what a layer gives for n examples, `[n, features]`. Linear centered kernel alignment (Kornblith et al.
//! 2019, arXiv:1905.00414) is ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of the centered features; it is 1 for representations that are rotations
//! and rescalings of each other. With fewer examples than features it is too large; the estimate without that bias (Song et al.
//! 2012, used so by Nguyen, Raghu and Kornblith 2021, arXiv:2010.15327) leaves out each example's similarity with itself. The
//! effective dimension is the participation ratio (tr C)² / tr C² of the covariance (Gao et al. 2017,
//! doi:10.1101/214262): d for d directions of equal variance.
//!
//! Everything is computed from the n × n matrix of inner products: n² · features operations.

use gyrus_kernels::dense::linear::linear;

use crate::{Error, Result};

/// The inner products of the centered features of n examples.
#[derive(Clone, Debug)]
pub struct Gram {
    examples: usize,
    /// `[n, n]`, of features without their mean.
    products: Vec<f32>,
}

impl Gram {
    /// Of `features`, `[examples, features]`.
    ///
    /// # Errors
    /// [`Error::TooFewExamples`] for fewer than four examples.
    ///
    /// # Panics
    /// If the features cannot be divided among the examples.
    pub fn new(mut features: Vec<f32>, examples: usize) -> Result<Self> {
        if examples < 4 {
            return Err(Error::TooFewExamples { what: "a similarity", got: examples, expected: 4 });
        }
        assert!(features.len().is_multiple_of(examples), "as many features for each example");
        let width = features.len() / examples;
        let mut mean = vec![0.0f64; width];
        for row in features.chunks_exact(width.max(1)) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
        }
        for row in features.chunks_exact_mut(width.max(1)) {
            row.iter_mut().zip(&mean).for_each(|(value, sum)| *value -= (sum / examples as f64) as f32);
        }
        let mut products = vec![0.0; examples * examples];
        if width > 0 {
            linear(&features, &features, None, false, (examples, width, examples), &mut products);
        }
        Ok(Self { examples, products })
    }

    /// Number of examples.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// The effective dimension of the representation, from 1 up to the number of examples less one; 0 if it never varies.
    #[must_use]
    pub fn participation_ratio(&self) -> f64 {
        let trace: f64 = (0..self.examples).map(|i| f64::from(self.products[i * (self.examples + 1)])).sum();
        let squares: f64 = self.products.iter().map(|value| f64::from(*value).powi(2)).sum();
        if squares > 0.0 { trace * trace / squares } else { 0.0 }
    }

    /// The Hilbert-Schmidt independence criterion, up to a factor, as it is estimated from all pairs, or without bias from
    /// pairs of different examples.
    fn criterion(&self, other: &Self, unbiased: bool) -> f64 {
        let n = self.examples;
        if !unbiased {
            let products = self.products.iter().zip(&other.products);
            return products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        }
        // Song et al. 2012, equation 5: both matrices with a diagonal of zeros.
        let (mut both, mut all, mut others, mut rows) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..n {
            let (mut row, mut other_row) = (0.0, 0.0);
            for j in 0..n {
                if i != j {
                    let (a, b) = (f64::from(self.products[i * n + j]), f64::from(other.products[i * n + j]));
                    both += a * b;
                    row += a;
                    other_row += b;
                }
            }
            all += row;
            others += other_row;
            rows += row * other_row;
        }
        let n = n as f64;
        both + all * others / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * rows
    }

    fn alignment(&self, other: &Self, unbiased: bool) -> Option<f64> {
        if self.examples != other.examples {
            return None;
        }
        let scale = self.criterion(self, unbiased) * other.criterion(other, unbiased);
        (scale > 0.0).then(|| self.criterion(other, unbiased) / scale.sqrt())
    }

    /// Linear centered kernel alignment, 0 to 1; none if one of them never varies, or they have other examples.
    #[must_use]
    pub fn linear_cka(&self, other: &Self) -> Option<f64> {
        self.alignment(other, false)
    }

    /// The same without the bias of few examples; may be slightly below 0.
    #[must_use]
    pub fn unbiased_linear_cka(&self, other: &Self) -> Option<f64> {
        self.alignment(other, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of no pattern.
    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let value = |i: u64| gyrus_tensor::splitmix64(seed * 1_000_003 + i) as f64 / u64::MAX as f64 - 0.5;
        (0..count as u64).map(|i| value(i) as f32).collect()
    }

    #[test]
    fn a_rotated_rescaled_and_shifted_representation_is_the_same() {
        let x = noise(60 * 2, 1);
        let (sin, cos) = 0.7f32.sin_cos();
        let turned: Vec<f32> = x
            .chunks_exact(2)
            .flat_map(|v| [3.0 * (cos * v[0] - sin * v[1]) + 9.0, 3.0 * (sin * v[0] + cos * v[1])])
            .collect();
        let (a, b) = (Gram::new(x, 60).expect("enough"), Gram::new(turned, 60).expect("enough"));
        for got in [a.linear_cka(&b), a.unbiased_linear_cka(&b)] {
            assert!((got.expect("both vary") - 1.0).abs() < 1e-4, "{got:?}");
        }
    }

    #[test]
    fn representations_that_know_nothing_of_each_other_are_not_alike() {
        // With more features than examples, the usual estimate sees a likeness where there is none.
        let gram = |seed| Gram::new(noise(50 * 400, seed), 50).expect("enough");
        let (a, b) = (gram(3), gram(4));
        let (biased, unbiased) =
            (a.linear_cka(&b).expect("varies"), a.unbiased_linear_cka(&b).expect("varies"));
        assert!(biased > 0.7, "{biased}");
        assert!(unbiased.abs() < 0.1, "{unbiased}");
    }

    #[test]
    fn the_alignment_is_that_of_its_definition() {
        let (x, y) = (noise(20 * 3, 5), noise(20 * 4, 6));
        let centered = |values: &[f32], width: usize| -> Vec<f64> {
            let mean =
                |c: usize| values.iter().skip(c).step_by(width).map(|v| f64::from(*v)).sum::<f64>() / 20.0;
            values.iter().enumerate().map(|(i, v)| f64::from(*v) - mean(i % width)).collect()
        };
        let (a, b) = (centered(&x, 3), centered(&y, 4));
        let norm = |p: &[f64], n: usize, q: &[f64], m: usize| -> f64 {
            let entry = |i: usize, j: usize| (0..20).map(|e| p[e * n + i] * q[e * m + j]).sum::<f64>();
            (0..n).flat_map(|i| (0..m).map(move |j| (i, j))).map(|(i, j)| entry(i, j).powi(2)).sum()
        };
        let expected = norm(&a, 3, &b, 4) / (norm(&a, 3, &a, 3) * norm(&b, 4, &b, 4)).sqrt();
        let got = Gram::new(x, 20).expect("enough").linear_cka(&Gram::new(y, 20).expect("enough"));
        assert!((got.expect("both vary") - expected).abs() < 1e-4, "{got:?} {expected}");
    }

    #[test]
    fn the_dimension_of_orthogonal_directions_is_their_number() {
        // Plus and minus one along each of five axes.
        let mut values = vec![0.0; 10 * 7];
        for axis in 0..5 {
            values[(2 * axis) * 7 + axis] = 1.0;
            values[(2 * axis + 1) * 7 + axis] = -1.0;
        }
        let ratio = Gram::new(values, 10).expect("enough").participation_ratio();
        assert!((ratio - 5.0).abs() < 1e-4, "{ratio}");
        let line = (0..10).flat_map(|i| [i as f32, 2.0 * i as f32]).collect();
        assert!((Gram::new(line, 10).expect("enough").participation_ratio() - 1.0).abs() < 1e-4);
        assert_eq!(Gram::new(vec![1.0; 20], 10).expect("enough").participation_ratio(), 0.0);
    }
}
