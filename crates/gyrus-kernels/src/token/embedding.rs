//! Embeddings: one row of a table for each token, `y[i] = table[token[i]]`; the gradient adds rows up by token.
//!
//! Cost: one pass over the result; for the gradient also one over the table, with additions in the order of the rows.

use crate::base::parallel::{SharedMut, for_each_task};

/// Rows of the table that one task of the gradient sums.
const TOKENS: usize = 256;
/// Rows of the result that one task copies.
const ROWS: usize = 64;
/// Floats below which everything stays on one thread.
const SERIAL: usize = 1 << 15;

/// `y[i] = table[tokens[i]]`; `table` is `[vocabulary, width]`, `y` is `[tokens, width]`.
///
/// # Panics
/// If a slice is not as long as its shape says, or a token is not in the table.
pub fn embedding(table: &[f32], tokens: &[u32], width: usize, y: &mut [f32]) {
    assert!(width > 0 && table.len().is_multiple_of(width), "the table is [vocabulary, width]");
    assert_eq!(y.len(), tokens.len() * width, "y is [tokens, width]");
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(tokens.len().div_ceil(ROWS), y.len() < SERIAL, |task| {
        let first = task * ROWS;
        for (row, &token) in tokens.iter().enumerate().skip(first).take(ROWS) {
            // SAFETY: only this task writes these rows.
            let to = unsafe { target.slice(row * width, width) };
            to.copy_from_slice(&table[token as usize * width..][..width]);
        }
    });
}

/// Gradient of [`embedding`] for its table: row `t` is the sum of the `dy[i]` with `tokens[i] == t`, in ascending
/// order of `i`.
///
/// # Panics
/// As [`embedding`].
pub fn embedding_gradient(tokens: &[u32], dy: &[f32], width: usize, gradient: &mut [f32]) {
    assert!(width > 0 && gradient.len().is_multiple_of(width), "the gradient is [vocabulary, width]");
    assert_eq!(dy.len(), tokens.len() * width, "dy is [tokens, width]");
    let vocabulary = gradient.len() / width;
    assert!(tokens.iter().all(|&token| (token as usize) < vocabulary), "tokens are in the table");
    let target = SharedMut(gradient.as_mut_ptr());
    for_each_task(vocabulary.div_ceil(TOKENS), gradient.len() < SERIAL, |task| {
        let range = task * TOKENS..vocabulary.min((task + 1) * TOKENS);
        // SAFETY: only this task writes these rows.
        let rows = unsafe { target.slice(range.start * width, range.len() * width) };
        rows.fill(0.0);
        for (&token, dy) in tokens.iter().zip(dy.chunks_exact(width)) {
            if range.contains(&(token as usize)) {
                let row = &mut rows[(token as usize - range.start) * width..][..width];
                row.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_and_its_gradient_match_the_oracle(
            vocabulary in 1usize..700, width in 1usize..70, count in 1usize..300, seed in 1u64..1000,
        ) {
            let tokens: Vec<u32> =
                values(count, seed).iter().map(|v| ((v + 1.0) * 0.499 * vocabulary as f32) as u32).collect();
            let (table, dy) = (values(vocabulary * width, 2), values(count * width, 3));
            let mut y = vec![f32::NAN; count * width];
            embedding(&table, &tokens, width, &mut y);
            prop_assert_eq!(&y, &oracle::token::embedding(&table, &tokens, width));
            let mut gradient = vec![f32::NAN; table.len()];
            embedding_gradient(&tokens, &dy, width, &mut gradient);
            let expected = oracle::token::embedding_gradient(&tokens, &dy, vocabulary, width);
            assert_close(&gradient, &expected, 1e-5);
        }
    }
}
