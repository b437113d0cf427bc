//! Causal self-attention for training, `softmax(scale * q kᵀ) v` within each head (Vaswani et al. 2017), and its
//! gradient, with rotated queries and keys (Su et al. 2021) and query heads that share a key head (Ainslie et al.
//! 2023).
//!
//! The queries, keys and values of a token lie in one row, as one linear layer computes them. Rows are cut into
//! sequences that do not see each other, so a batch and a packing of documents are the same thing. Scores are never
//! stored: the forward pass keeps the logarithm of each softmax's denominator, from which the backward pass recomputes
//! them, 48 queries at a time (Dao et al. 2022). Cost: for each head `4 * head_width` operations per visible pair of
//! tokens forward and 10 backward; memory for two strips of 48 rows by the longest sequence per thread. A task is a
//! sequence and a key head with all of its query heads, one after another, so that every sum has a fixed order.

mod backward;
mod forward;
mod multiply;
mod sequence;
mod shape;
mod softmax;
#[cfg(test)]
mod tests;

pub use backward::causal_attention_backward;
pub use forward::causal_attention;
pub use shape::CausalAttention;
