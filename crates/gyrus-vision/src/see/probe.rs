//! Linear probes: how well a linear classifier reads the class from a layer's activations (Alain and Bengio 2016,
//! arXiv:1610.01644). If abstraction grows with depth, the accuracy does.
//!
//! The classifier is ridge regression on the classes' indicators, in closed form: W = (XᵀX + λ n I)⁻¹ XᵀY with standardized
//! features. λ is chosen by a fifth of the training examples, then all are used. Cost: n d² + d³/3 operations for d features.

use gyrus_kernels::dense::linear::{linear, linear_weight_gradient};

use crate::{Error, Result};

/// The penalties that are tried, for each example and standardized feature.
const PENALTIES: [f64; 4] = [1e-4, 1e-3, 1e-2, 1e-1];
/// One in so many training examples chooses the penalty.
const HELD_OUT: usize = 5;

/// What a linear probe reached.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct LinearProbe {
    /// Share of the test examples whose class it found, 0 to 1.
    pub accuracy: f64,
    /// Share of the training examples whose class it found, 0 to 1.
    pub train_accuracy: f64,
    /// λ.
    pub penalty: f64,
    /// Features that it read.
    pub features: usize,
}

/// Examples with a class each.
#[derive(Clone, Copy, Debug)]
pub struct Labeled<'a> {
    /// `[examples, features]`
    pub features: &'a [f32],
    /// The class of each example.
    pub classes: &'a [u32],
}

/// Trains a linear probe on `train`, and measures it on `test`.
///
/// # Errors
/// [`Error::TooFewExamples`] for fewer than ten training examples or no test example; [`Error::InputLength`] where features
/// and classes do not fit together.
pub fn linear_probe(
    train: Labeled<'_>,
    test: Labeled<'_>,
    features: usize,
    classes: usize,
) -> Result<LinearProbe> {
    for (part, expected) in [(train, 10), (test, 1)] {
        let got = part.classes.len();
        if got < expected {
            return Err(Error::TooFewExamples { what: "a linear probe", got, expected });
        }
        if part.features.len() != got * features || features == 0 {
            return Err(Error::InputLength { got: part.features.len(), expected: features });
        }
    }
    let (mean, factor) = moments(train.features, features);
    let standard = |values: &[f32]| -> Vec<f32> {
        let rows = values.chunks_exact(features);
        rows.flat_map(|row| row.iter().zip(&mean).zip(&factor).map(|((v, m), f)| (v - m) * f)).collect()
    };
    let (all, tested) = (standard(train.features), standard(test.features));
    let is_held_out = |index: usize| index % HELD_OUT == HELD_OUT - 1;
    let part = |wanted: bool| -> (Vec<f32>, Vec<u32>) {
        let rows = all.chunks_exact(features).zip(train.classes).enumerate();
        let rows = rows.filter(|(index, _)| is_held_out(*index) == wanted);
        let (rows, classes): (Vec<&[f32]>, Vec<u32>) = rows.map(|(_, (row, class))| (row, *class)).unzip();
        (rows.concat(), classes)
    };
    let ((chosen_on, its_classes), (rest, rest_classes)) = (part(true), part(false));
    let normal = NormalEquations::new(&rest, &rest_classes, features, classes);
    let tried = PENALTIES.map(|penalty| match normal.solve(penalty) {
        Some(weights) => (weights.accuracy(&chosen_on, &its_classes), penalty),
        None => (-1.0, penalty),
    });
    // Of equals the larger penalty.
    let best = tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let penalty = best.map_or(PENALTIES[0], |best| best.1);
    let weights = NormalEquations::new(&all, train.classes, features, classes).solve(penalty);
    let accuracy = |values: &[f32], classes| weights.as_ref().map_or(0.0, |w| w.accuracy(values, classes));
    Ok(LinearProbe {
        accuracy: accuracy(&tested, test.classes),
        train_accuracy: accuracy(&all, train.classes),
        penalty,
        features,
    })
}

/// Mean of each feature, and the inverse of its deviation; 0 for a feature that never varies.
fn moments(values: &[f32], features: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (values.len() / features) as f64;
    let (mut mean, mut square) = (vec![0.0f64; features], vec![0.0f64; features]);
    for row in values.chunks_exact(features) {
        for (value, (mean, square)) in row.iter().zip(mean.iter_mut().zip(&mut square)) {
            *mean += f64::from(*value) / count;
            *square += f64::from(*value).powi(2) / count;
        }
    }
    let factor = mean.iter().zip(&square).map(|(mean, square)| {
        let variance = square - mean * mean;
        if variance > 1e-10 * square.max(1e-20) { (1.0 / variance.sqrt()) as f32 } else { 0.0 }
    });
    (mean.iter().map(|mean| *mean as f32).collect(), factor.collect())
}

/// XᵀX and XᵀY of some examples.
struct NormalEquations {
    features: usize,
    examples: f64,
    products: Vec<f32>,
    /// `[classes, features]`
    targets: Vec<f32>,
    shares: Vec<f32>,
}

struct ProbeWeights {
    features: usize,
    /// `[classes, features]`
    weights: Vec<f32>,
    shares: Vec<f32>,
}

impl NormalEquations {
    fn new(values: &[f32], classes: &[u32], features: usize, count: usize) -> Self {
        let examples = classes.len();
        let mut shares = vec![0.0f32; count];
        for &class in classes {
            if let Some(share) = shares.get_mut(class as usize) {
                *share += 1.0 / examples as f32;
            }
        }
        let indicator = |&class: &u32| {
            let shares = &shares;
            (0..count).map(move |other| f32::from(u8::from(other == class as usize)) - shares[other])
        };
        let indicators: Vec<f32> = classes.iter().flat_map(indicator).collect();
        let mut products = vec![0.0; features * features];
        linear_weight_gradient(values, values, (examples, features, features), &mut products);
        let mut targets = vec![0.0; count * features];
        linear_weight_gradient(&indicators, values, (examples, features, count), &mut targets);
        Self { features, examples: examples as f64, products, targets, shares }
    }

    fn solve(&self, penalty: f64) -> Option<ProbeWeights> {
        let d = self.features;
        let mut matrix: Vec<f64> = self.products.iter().map(|value| f64::from(*value)).collect();
        (0..d).for_each(|i| matrix[i * (d + 1)] += penalty * self.examples);
        cholesky(&mut matrix, d)?;
        let solved = self.targets.chunks_exact(d).flat_map(|target| {
            let mut x: Vec<f64> = target.iter().map(|value| f64::from(*value)).collect();
            solve_with(&matrix, &mut x);
            x.into_iter().map(|value| value as f32)
        });
        Some(ProbeWeights { features: d, weights: solved.collect(), shares: self.shares.clone() })
    }
}

impl ProbeWeights {
    fn accuracy(&self, values: &[f32], classes: &[u32]) -> f64 {
        let (rows, outputs) = (classes.len(), self.shares.len());
        let mut scores = vec![0.0; rows * outputs];
        linear(values, &self.weights, Some(&self.shares), false, (rows, self.features, outputs), &mut scores);
        let best = |row: &[f32]| (0..outputs).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
        let rows = scores.chunks_exact(outputs.max(1)).zip(classes);
        let right = rows.filter(|(row, class)| best(row) == Some(**class as usize)).count();
        right as f64 / classes.len().max(1) as f64
    }
}

/// A sum of products, in four parts.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut parts = [0.0; 4];
    let (a_four, b_four) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_four.remainder().iter().zip(b_four.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_four.zip(b_four) {
        for i in 0..4 {
            parts[i] += a[i] * b[i];
        }
    }
    parts.iter().sum::<f64>() + rest
}

/// Replaces the lower triangle of a symmetric matrix by its Cholesky factor; none if it is not positive definite.
pub(super) fn cholesky(matrix: &mut [f64], d: usize) -> Option<()> {
    for i in 0..d {
        let (above, row) = matrix.split_at_mut(i * d);
        for j in 0..i {
            row[j] = (row[j] - dot(&row[..j], &above[j * d..][..j])) / above[j * d + j];
        }
        let square = row[i] - dot(&row[..i], &row[..i]);
        if square.is_nan() || square <= 0.0 {
            return None;
        }
        row[i] = square.sqrt();
    }
    Some(())
}

/// Solves with a Cholesky factor, in place.
pub(super) fn solve_with(factor: &[f64], x: &mut [f64]) {
    let d = x.len();
    for i in 0..d {
        x[i] = (x[i] - dot(&factor[i * d..][..i], &x[..i])) / factor[i * d + i];
    }
    for i in (0..d).rev() {
        x[i] /= factor[i * d + i];
        let value = x[i];
        x[..i].iter_mut().zip(&factor[i * d..][..i]).for_each(|(x, l)| *x -= l * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f32 {
        (gyrus_tensor::splitmix64(i as u64) as f64 / u64::MAX as f64 - 0.5) as f32
    }

    #[test]
    fn what_is_linear_is_read_and_what_is_not_is_not() {
        // Class by the sign of the first of five features; and by the product of two, which no linear probe can read.
        let examples =
            |from: usize, count: usize| -> Vec<f32> { (from..from + 5 * count).map(noise).collect() };
        let (train, test) = (examples(0, 400), examples(9_000, 400));
        let by = |values: &[f32], rule: fn(&[f32]) -> bool| -> Vec<u32> {
            values.chunks_exact(5).map(|row| u32::from(rule(row))).collect()
        };
        let accuracy = |rule: fn(&[f32]) -> bool| {
            let (a, b) = (by(&train, rule), by(&test, rule));
            let labeled = |features, classes| Labeled { features, classes };
            linear_probe(labeled(&train, &a), labeled(&test, &b), 5, 2).expect("enough").accuracy
        };
        assert!(accuracy(|row| row[0] > 0.0) > 0.95);
        assert!(accuracy(|row| row[0] * row[1] > 0.0) < 0.65);
    }

    #[test]
    fn the_factor_solves_the_system() {
        let mut matrix = vec![4.0, 2.0, 0.4, 2.0, 5.0, 1.0, 0.4, 1.0, 3.0];
        let whole = matrix.clone();
        cholesky(&mut matrix, 3).expect("positive definite");
        let mut x = vec![1.0, -2.0, 0.5];
        let b = x.clone();
        solve_with(&matrix, &mut x);
        for (row, b) in whole.chunks_exact(3).zip(&b) {
            assert!((dot(row, &x) - b).abs() < 1e-12);
        }
        assert!(cholesky(&mut [1.0, 2.0, 2.0, 1.0], 2).is_none());
    }

    #[test]
    fn too_few_examples_are_refused() {
        let few = Labeled { features: &[0.0; 3], classes: &[0; 3] };
        assert!(matches!(linear_probe(few, few, 1, 2), Err(Error::TooFewExamples { got: 3, .. })));
    }
}
