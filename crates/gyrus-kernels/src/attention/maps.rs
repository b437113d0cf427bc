//! Attention maps: the probabilities `softmax(scale * q kᵀ)` of each head (Vaswani et al. 2017), which the fused
//! kernels of [`super::cached`] and [`super::encoder`] use but never store.
//!
//! For inspecting a model, so recomputed beside the ordinary pass from its queries and keys. Cost: `2 * head_width`
//! operations, and four bytes, for each head and pair of tokens. A task is one row: what one token sees in one head.

use std::ops::Range;

use rayon::prelude::*;

use crate::attention::cached::AttentionShape;
use crate::attention::encoder::EncoderAttention;
use crate::base::math::{exp, tanh};
use crate::base::parallel::vectorized;
use crate::base::sums::sum_of;

/// Rows per task, at least.
const ROWS: usize = 16;

/// The probabilities of a decoder, `[heads, tokens, positions]`. `queries` are `[tokens, heads, head_width]`, `keys`
/// are `[positions, key_value_heads, head_width]`, both already rotated; the last `tokens` positions are those of the
/// tokens themselves. The probability of what a token does not see is 0.
///
/// # Panics
/// If a slice is not as long as its shape says, or there are fewer positions than tokens.
pub fn cached_attention_maps(shape: &AttentionShape, queries: &[f32], keys: &[f32], maps: &mut [f32]) {
    let AttentionShape { heads, key_value_heads, head_width, .. } = *shape;
    assert!(head_width > 0 && key_value_heads > 0, "a head has elements");
    assert!(heads.is_multiple_of(key_value_heads), "query heads come in groups");
    let (tokens, positions) =
        (queries.len() / (heads * head_width), keys.len() / (key_value_heads * head_width));
    assert_eq!(queries.len(), tokens * heads * head_width, "queries are [tokens, heads, head_width]");
    assert_eq!(
        keys.len(),
        positions * key_value_heads * head_width,
        "keys are [positions, heads, head_width]"
    );
    assert!(tokens <= positions, "the tokens are among the positions");
    let group = heads / key_value_heads;
    let seen = |token: usize| {
        let end = positions - tokens + token + 1;
        shape.window.map_or(0, |window| end.saturating_sub(window))..end
    };
    fill(
        (heads, tokens, positions),
        seen,
        #[inline(always)]
        |head, token, position| {
            let query = &queries[(token * heads + head) * head_width..][..head_width];
            let key = &keys[(position * key_value_heads + head / group) * head_width..][..head_width];
            let score = shape.scale * sum_of([query, key], |[query, key]| query * key);
            match shape.softcap {
                Some(cap) => cap * tanh(score / cap),
                None => score,
            }
        },
        maps,
    );
}

/// The probabilities of one sequence in an encoder, `[heads, tokens, tokens]`; `query_key_value` is
/// `[tokens, 3, heads, head_width]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn encoder_attention_maps(shape: &EncoderAttention, query_key_value: &[f32], maps: &mut [f32]) {
    let EncoderAttention { heads, head_width, scale } = *shape;
    assert!(heads * head_width > 0, "a head has elements");
    let tokens = query_key_value.len() / (3 * heads * head_width);
    assert_eq!(
        query_key_value.len(),
        tokens * 3 * heads * head_width,
        "query_key_value is [tokens, 3, heads, head_width]"
    );
    fill(
        (heads, tokens, tokens),
        |_| 0..tokens,
        #[inline(always)]
        |head, token, other| {
            let query = &query_key_value[(token * 3 * heads + head) * head_width..][..head_width];
            let key = &query_key_value[((other * 3 + 1) * heads + head) * head_width..][..head_width];
            scale * sum_of([query, key], |[query, key]| query * key)
        },
        maps,
    );
}

/// The softmax of the scores that a token sees, row by row.
fn fill(
    (heads, tokens, positions): (usize, usize, usize),
    seen: impl Fn(usize) -> Range<usize> + Sync,
    score: impl Fn(usize, usize, usize) -> f32 + Sync,
    maps: &mut [f32],
) {
    assert_eq!(maps.len(), heads * tokens * positions, "maps are [heads, tokens, positions]");
    if positions == 0 {
        return;
    }
    maps.par_chunks_mut(positions).with_min_len(ROWS).enumerate().for_each(|(index, row)| {
        let (head, token) = (index / tokens, index % tokens);
        let seen = seen(token);
        row[..seen.start].fill(0.0);
        row[seen.end..].fill(0.0);
        vectorized(
            #[inline(always)]
            || {
                let row = &mut row[seen.clone()];
                let mut largest = f32::NEG_INFINITY;
                for (probability, position) in row.iter_mut().zip(seen.clone()) {
                    *probability = score(head, token, position);
                    largest = largest.max(*probability);
                }
                let mut sum = 0.0;
                for probability in row.iter_mut() {
                    *probability = exp(*probability - largest);
                    sum += *probability;
                }
                row.iter_mut().for_each(|probability| *probability /= sum);
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn maps_of_a_decoder_match_the_oracle(
            group in 1usize..5, key_value_heads in 1usize..4, head_width in 1usize..40,
            tokens in 1usize..20, before in 0usize..30,
            window in prop::option::of(1usize..30), softcap in prop::option::of(0.5f32..4.0),
        ) {
            let (heads, positions) = (group * key_value_heads, tokens + before);
            let shape = AttentionShape { heads, key_value_heads, head_width, scale: 0.7, softcap, window };
            let queries = values(tokens * heads * head_width, 1);
            let keys = values(positions * key_value_heads * head_width, 2);
            let mut maps = vec![f32::NAN; heads * tokens * positions];
            cached_attention_maps(&shape, &queries, &keys, &mut maps);
            assert_close(&maps, &oracle::attention::attention_maps(&shape, &queries, &keys), 1e-6);
        }

        #[test]
        fn an_encoders_maps_blend_its_values_to_its_result(
            heads in 1usize..5, head_width in 1usize..40, tokens in 1usize..40, scale in 0.1f32..2.0,
        ) {
            let shape = EncoderAttention { heads, head_width, scale };
            let x = values(tokens * 3 * heads * head_width, 1);
            let mut maps = vec![f32::NAN; heads * tokens * tokens];
            encoder_attention_maps(&shape, &x, &mut maps);
            let mut blended = vec![0.0f32; tokens * heads * head_width];
            for (index, row) in maps.chunks_exact(tokens).enumerate() {
                let (head, token) = (index / tokens, index % tokens);
                for (other, probability) in row.iter().enumerate() {
                    for i in 0..head_width {
                        blended[(token * heads + head) * head_width + i] +=
                            probability * x[((other * 3 + 2) * heads + head) * head_width + i];
                    }
                }
            }
            assert_close(&blended, &oracle::attention::encoder_attention(&shape, &[tokens], &x), 2e-5);
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let shape = AttentionShape {
            heads: 6,
            key_value_heads: 2,
            head_width: 24,
            scale: 0.3,
            softcap: None,
            window: Some(9),
        };
        let (queries, keys) = (values(70 * 6 * 24, 4), values(70 * 2 * 24, 5));
        let run = |threads| {
            let mut maps = vec![0.0; 6 * 70 * 70];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| cached_attention_maps(&shape, &queries, &keys, &mut maps));
            maps
        };
        assert!(run(1) == run(3));
    }
}
