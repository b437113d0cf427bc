//! The head of a language model fused with its loss: `mean of -log softmax(cap(x wᵀ))[target]` over the rows that
//! count, without ever holding all logits; `cap(z) = c * tanh(z / c)` where the model has a soft cap (Gemma 2).
//!
//! Rows are processed in chunks of a few million logits. A chunk's logits become their own gradient in place and are
//! multiplied into the gradients of `x` and `w` immediately, so three matrix products suffice (as in the fused losses
//! of Liger, Hsu et al. 2024), or two with a frozen weight. Ignored rows cost nothing. A frozen weight may be stored in
//! any format; some of its rows at a time are dequantized. Cost: `6 * rows * width * vocabulary` operations.

use crate::base::math::tanh;
use crate::base::parallel::{SharedMut, for_each_chunk, vectorized, with_scratch};
use crate::base::tile::{Epilogue, Residual};
use crate::dense::linear::{
    add_linear_weight_gradient, linear_input_gradient, linear_packed, linear_weight_gradient, pack,
    packed_len,
};
use crate::dense::loss::cross_entropy_rows;
use crate::dense::matmul::{Right, Strided, matmul_into};
use crate::stored::{Matrix, dequantize, dequantize_row};

/// Logits in memory at a time.
const LOGITS: usize = 1 << 21;
/// The same where the weight is dequantized again for each chunk of rows.
const LOGITS_OF_STORED: usize = 1 << 24;
/// Floats of a dequantized weight in memory at a time.
const STORED: usize = 1 << 21;
/// A chunk's rows are a multiple of this.
const ROWS: usize = 48;

/// The target of a row that is ignored.
pub const IGNORED: u32 = u32::MAX;

/// The shape of a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocabularyLoss {
    /// Columns of `x`.
    pub width: usize,
    /// Rows of the weight.
    pub vocabulary: usize,
    /// `c` in `c * tanh(logit / c)`.
    pub softcap: Option<f32>,
}

/// Where the gradients of [`vocabulary_loss`] go.
#[derive(Debug)]
pub struct VocabularyLossGradients<'a> {
    /// `[rows, width]`
    pub input: &'a mut [f32],
    /// `[vocabulary, width]`; `None` if the weight is frozen.
    pub weight: Option<&'a mut [f32]>,
}

/// The mean loss in nats over the rows whose target is not [`IGNORED`] (0 if there are none), and, if requested, its
/// gradients. `x` is `[rows, width]`, `weight` is `[vocabulary, width]`, `targets` is `[rows]`.
///
/// # Panics
/// If a slice is not as long as its shape says, or a target is neither below `vocabulary` nor [`IGNORED`].
pub fn vocabulary_loss(
    shape: VocabularyLoss,
    x: &[f32],
    weight: Matrix<'_>,
    targets: &[u32],
    gradients: Option<VocabularyLossGradients<'_>>,
) -> f32 {
    let VocabularyLoss { width, vocabulary, .. } = shape;
    assert_eq!(x.len(), targets.len() * width, "x is [rows, width]");
    assert!(weight.rows() == vocabulary && weight.columns() == width, "weight is [vocabulary, width]");
    let known = |&target: &u32| target == IGNORED || (target as usize) < vocabulary;
    assert!(targets.iter().all(known), "targets are in the vocabulary");
    if let Some(gradients) = &gradients {
        assert_eq!(gradients.input.len(), x.len(), "the input's gradient has the shape of x");
        let fits = |gradient: &&mut [f32]| gradient.len() == vocabulary * width;
        assert!(
            gradients.weight.as_ref().is_none_or(fits),
            "the weight's gradient has the shape of the weight"
        );
    }
    let counted: Vec<usize> = (0..targets.len()).filter(|&row| targets[row] != IGNORED).collect();
    if counted.len() == targets.len() {
        return loss_of_rows(shape, x, weight, targets, gradients);
    }
    let targets: Vec<u32> = counted.iter().map(|&row| targets[row]).collect();
    with_scratch(2 * counted.len() * width, |scratch| {
        let (rows, slopes) = scratch.split_at_mut(counted.len() * width);
        for (to, &row) in rows.chunks_exact_mut(width.max(1)).zip(&counted) {
            to.copy_from_slice(&x[row * width..][..width]);
        }
        let Some(VocabularyLossGradients { input, weight: dw }) = gradients else {
            return loss_of_rows(shape, rows, weight, &targets, None);
        };
        let inner = VocabularyLossGradients { input: slopes, weight: dw };
        let loss = loss_of_rows(shape, rows, weight, &targets, Some(inner));
        input.fill(0.0);
        for (from, &row) in slopes.chunks_exact(width.max(1)).zip(&counted) {
            input[row * width..][..width].copy_from_slice(from);
        }
        loss
    })
}

/// [`vocabulary_loss`] without ignored rows.
fn loss_of_rows(
    shape: VocabularyLoss,
    x: &[f32],
    weight: Matrix<'_>,
    targets: &[u32],
    mut gradients: Option<VocabularyLossGradients<'_>>,
) -> f32 {
    let VocabularyLoss { width, vocabulary, softcap } = shape;
    if targets.is_empty() {
        if let Some(weight) = gradients.and_then(|gradients| gradients.weight) {
            weight.fill(0.0);
        }
        return 0.0;
    }
    let floats = weight.as_floats();
    let most = if floats.is_some() { LOGITS } else { LOGITS_OF_STORED };
    let chunk = (most / vocabulary.max(1) / ROWS).max(1) * ROWS;
    let scale = 1.0 / targets.len() as f32;
    let mut loss = 0.0f64;
    let packed_floats = floats.map_or(0, |_| packed_len((width, vocabulary)));
    let logits_floats = chunk.min(targets.len()) * vocabulary;
    let capped_floats = softcap.map_or(0, |_| logits_floats);
    with_scratch(packed_floats, |packed| {
        if let Some(floats) = floats {
            pack(floats, (width, vocabulary), packed);
        }
        with_scratch(logits_floats + capped_floats, |scratch| {
            let (logits, capped) = scratch.split_at_mut(logits_floats);
            for (index, targets) in targets.chunks(chunk).enumerate() {
                let rows = targets.len();
                let place = index * chunk * width..(index * chunk + rows) * width;
                let (x, logits) = (&x[place.clone()], &mut logits[..rows * vocabulary]);
                let shape = (rows, width, vocabulary);
                match floats {
                    Some(_) => linear_packed(x, packed, None, false, shape, logits),
                    None => stored_logits(x, &weight, rows, logits),
                }
                if let Some(cap) = softcap {
                    cap_logits(cap, logits, &mut capped[..rows * vocabulary]);
                }
                loss += cross_entropy_rows(logits, targets, vocabulary, scale);
                let Some(gradients) = &mut gradients else { continue };
                if let Some(cap) = softcap {
                    uncap_gradients(cap, &capped[..rows * vocabulary], logits);
                }
                let dx = &mut gradients.input[place];
                match floats {
                    Some(floats) => linear_input_gradient(logits, floats, shape, dx),
                    None => stored_input_gradient(logits, &weight, rows, dx),
                }
                match &mut gradients.weight {
                    Some(dw) if index == 0 => linear_weight_gradient(logits, x, shape, dw),
                    Some(dw) => add_linear_weight_gradient(logits, x, shape, dw),
                    None => {}
                }
            }
        });
    });
    (loss / targets.len() as f64) as f32
}

/// Rows of a stored weight that are dequantized together.
fn blocks<'a>(weight: &Matrix<'a>) -> impl Iterator<Item = (usize, Matrix<'a>)> {
    let (weight, rows) = (*weight, weight.rows());
    let block = (STORED / weight.columns().max(1)).max(1).next_multiple_of(ROWS);
    (0..rows).step_by(block).map(move |first| (first, weight.row_range(first, block.min(rows - first))))
}

/// `logits = x wᵀ`
fn stored_logits(x: &[f32], weight: &Matrix<'_>, rows: usize, logits: &mut [f32]) {
    let (width, vocabulary) = (weight.columns(), weight.rows());
    let target = SharedMut(logits.as_mut_ptr());
    for (first, block) in blocks(weight) {
        let shape = (rows, width, block.rows());
        let target = SharedMut(target.get().wrapping_add(first));
        let left = Strided { values: x, stride: width };
        let floats = |row: usize, to: &mut [f32]| dequantize_row(&block, row, to);
        // SAFETY: these columns of `logits`, `[rows, vocabulary]`, which nothing else writes in the meantime.
        unsafe { matmul_into(left, Right::Rows(&floats), None, shape, Epilogue::NONE, (target, vocabulary)) };
    }
}

/// `dx = dlogits w`
fn stored_input_gradient(slopes: &[f32], weight: &Matrix<'_>, rows: usize, dx: &mut [f32]) {
    let (width, vocabulary) = (weight.columns(), weight.rows());
    let target = SharedMut(dx.as_mut_ptr());
    for (first, block) in blocks(weight) {
        with_scratch(block.rows() * width, |floats| {
            dequantize(&block, floats);
            let residual = (first > 0).then_some(Residual { residual: target.get(), out: target.get() });
            let epilogue = Epilogue { residual, ..Epilogue::NONE };
            let left = Strided::columns(slopes, vocabulary, first);
            let shape = (rows, block.rows(), width);
            // SAFETY: `dx` is `[rows, width]`, and only this product writes it in the meantime.
            unsafe { matmul_into(left, Right::Plain(floats), None, shape, epilogue, (target, width)) };
        });
    }
}

/// Caps the logits, and copies the result to `copy`.
fn cap_logits(cap: f32, logits: &mut [f32], copy: &mut [f32]) {
    for_each_chunk(logits, |_, logits| {
        vectorized(
            #[inline(always)]
            || logits.iter_mut().for_each(|z| *z = cap * tanh(*z / cap)),
        );
    });
    copy.copy_from_slice(logits);
}

/// Turns gradients of capped logits into those of the logits: `d cap(z) / dz = 1 - (cap(z) / c)²`.
fn uncap_gradients(cap: f32, capped: &[f32], slopes: &mut [f32]) {
    for_each_chunk(slopes, |start, slopes| {
        let capped = &capped[start..][..slopes.len()];
        vectorized(
            #[inline(always)]
            || {
                for (slope, z) in slopes.iter_mut().zip(capped) {
                    let share = z / cap;
                    *slope *= 1.0 - share * share;
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};
    use crate::stored::{Format, quantize};

    fn check(rows: usize, shape: VocabularyLoss, ignored: usize) {
        let VocabularyLoss { width, vocabulary, .. } = shape;
        let (x, weight) = (values(rows * width, 1), values(vocabulary * width, 2));
        let targets: Vec<u32> = (0..rows)
            .map(|row| if row % 7 < ignored { IGNORED } else { (row * 31 % vocabulary) as u32 })
            .collect();
        let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; weight.len()]);
        let gradients = VocabularyLossGradients { input: &mut dx, weight: Some(&mut dw) };
        let matrix = Matrix::of_floats(&weight, width);
        let loss = vocabulary_loss(shape, &x, matrix, &targets, Some(gradients));
        let expected = oracle::token::vocabulary_loss(shape, &x, &weight, &targets);
        assert!((loss - expected.0).abs() < 1e-5 * expected.0.max(1.0), "{loss}, not {}", expected.0);
        let largest = |g: &[f32]| g.iter().fold(1e-30f32, |most, g| most.max(g.abs()));
        let scaled = |g: &[f32], by: f32| g.iter().map(|g| g / by).collect::<Vec<_>>();
        for (got, expected) in [(&dx, &expected.1), (&dw, &expected.2)] {
            let by = largest(expected);
            assert_close(&scaled(got, by), &scaled(expected, by), 2e-5);
        }
        assert_eq!(vocabulary_loss(shape, &x, matrix, &targets, None), loss);

        // Frozen and stored in 16 bits: as if the rounded numbers were the weight.
        let bytes = quantize(Format::BF16, &weight, width).unwrap();
        let stored = Matrix::new(Format::BF16, vocabulary, width, &bytes).unwrap();
        let mut rounded = vec![0.0; weight.len()];
        dequantize(&stored, &mut rounded);
        let mut dx = vec![f32::NAN; x.len()];
        let gradients = VocabularyLossGradients { input: &mut dx, weight: None };
        let loss = vocabulary_loss(shape, &x, stored, &targets, Some(gradients));
        let expected = oracle::token::vocabulary_loss(shape, &x, &rounded, &targets);
        assert!((loss - expected.0).abs() < 1e-5 * expected.0.max(1.0), "{loss}, not {}", expected.0);
        let by = largest(&expected.1);
        assert_close(&scaled(&dx, by), &scaled(&expected.1, by), 2e-5);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_matches_the_oracle(rows in 1usize..70, width in 1usize..40, vocabulary in 1usize..90, ignored in 0usize..8, cap in 0usize..2) {
            let softcap = (cap == 1).then_some(1.5);
            check(rows, VocabularyLoss { width, vocabulary, softcap }, ignored);
        }
    }

    #[test]
    fn several_chunks_match_the_oracle() {
        check(130, VocabularyLoss { width: 3, vocabulary: 1 << 15, softcap: None }, 2);
    }
}
