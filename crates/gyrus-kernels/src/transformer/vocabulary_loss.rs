//! The head of a language model and its loss in one: `mean of -log softmax(x wᵀ)[target]` over the rows, without all
//! logits in memory at once.
//!
//! Rows go through in chunks of a few million logits; a chunk's logits become their own gradient in place, which is
//! multiplied into the gradients of `x` and `w` at once, so that three products are all it takes (as the fused losses
//! of Liger, Hsu et al. 2024). Cost: `6 * rows * width * vocabulary` operations.

use crate::loss::cross_entropy_rows;
use crate::matmul::{
    add_linear_weight_gradient, linear_input_gradient, linear_packed, linear_weight_gradient, pack,
    packed_len,
};
use crate::parallel::with_scratch;

/// Logits in memory at once.
const LOGITS: usize = 1 << 21;
/// A chunk's rows are a multiple of these.
const ROWS: usize = 48;

/// The target of a row that does not count.
pub const IGNORED: u32 = u32::MAX;

/// The shape of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VocabularyLoss {
    /// Columns of `x`.
    pub width: usize,
    /// Rows of the weight.
    pub vocabulary: usize,
}

/// Where the gradients of [`vocabulary_loss`] go.
#[derive(Debug)]
pub struct VocabularyLossGradients<'a> {
    /// `[rows, width]`
    pub input: &'a mut [f32],
    /// `[vocabulary, width]`
    pub weight: &'a mut [f32],
}

/// The mean loss in nats over the rows whose target is not [`IGNORED`], 0 where there is none, and its gradients where
/// they are wanted. `x` is `[rows, width]`, `weight` `[vocabulary, width]`, `targets` `[rows]`.
///
/// # Panics
/// If a slice is not as long as its shape says, or a target is neither below `vocabulary` nor [`IGNORED`].
pub fn vocabulary_loss(
    shape: VocabularyLoss,
    x: &[f32],
    weight: &[f32],
    targets: &[u32],
    mut gradients: Option<VocabularyLossGradients<'_>>,
) -> f32 {
    let VocabularyLoss { width, vocabulary } = shape;
    assert_eq!(x.len(), targets.len() * width, "x is [rows, width]");
    assert_eq!(weight.len(), vocabulary * width, "weight is [vocabulary, width]");
    let known = |&target: &u32| target == IGNORED || (target as usize) < vocabulary;
    assert!(targets.iter().all(known), "targets are in the vocabulary");
    if let Some(gradients) = &gradients {
        assert!(gradients.input.len() == x.len() && gradients.weight.len() == weight.len());
    }
    let counted = targets.iter().filter(|&&target| target != IGNORED).count();
    let scale = 1.0 / counted.max(1) as f32;
    let chunk = (LOGITS / vocabulary.max(1) / ROWS).max(1) * ROWS;
    let mut loss = 0.0f64;
    with_scratch(packed_len((width, vocabulary)), |packed| {
        pack(weight, (width, vocabulary), packed);
        with_scratch(chunk.min(targets.len()) * vocabulary, |logits| {
            for (index, targets) in targets.chunks(chunk).enumerate() {
                let rows = targets.len();
                let place = index * chunk * width..(index * chunk + rows) * width;
                let (x, logits) = (&x[place.clone()], &mut logits[..rows * vocabulary]);
                linear_packed(x, packed, None, false, (rows, width, vocabulary), logits);
                loss += cross_entropy_rows(logits, targets, vocabulary, scale);
                if let Some(gradients) = &mut gradients {
                    let shape = (rows, width, vocabulary);
                    linear_input_gradient(logits, weight, shape, &mut gradients.input[place]);
                    if index == 0 {
                        linear_weight_gradient(logits, x, shape, gradients.weight);
                    } else {
                        add_linear_weight_gradient(logits, x, shape, gradients.weight);
                    }
                }
            }
        });
    });
    (loss / counted.max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    fn check(rows: usize, shape: VocabularyLoss, ignored: usize) {
        let VocabularyLoss { width, vocabulary } = shape;
        let (x, weight) = (values(rows * width, 1), values(vocabulary * width, 2));
        let targets: Vec<u32> = (0..rows)
            .map(|row| if row % 7 < ignored { IGNORED } else { (row * 31 % vocabulary) as u32 })
            .collect();
        let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; weight.len()]);
        let gradients = VocabularyLossGradients { input: &mut dx, weight: &mut dw };
        let loss = vocabulary_loss(shape, &x, &weight, &targets, Some(gradients));
        let expected = oracle::transformer::vocabulary_loss(shape, &x, &weight, &targets);
        assert!((loss - expected.0).abs() < 1e-5 * expected.0.max(1.0), "{loss}, not {}", expected.0);
        let largest = |g: &[f32]| g.iter().fold(1e-30f32, |most, g| most.max(g.abs()));
        let scaled = |g: &[f32], by: f32| g.iter().map(|g| g / by).collect::<Vec<_>>();
        for (got, expected) in [(&dx, &expected.1), (&dw, &expected.2)] {
            let by = largest(expected);
            assert_close(&scaled(got, by), &scaled(expected, by), 2e-5);
        }
        assert_eq!(vocabulary_loss(shape, &x, &weight, &targets, None), loss);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_is_the_oracle(rows in 1usize..70, width in 1usize..40, vocabulary in 1usize..90, ignored in 0usize..8) {
            check(rows, VocabularyLoss { width, vocabulary }, ignored);
        }
    }

    #[test]
    fn several_chunks_are_the_oracle() {
        check(130, VocabularyLoss { width: 3, vocabulary: 1 << 15 }, 2);
    }
}
