//! What training a transformer takes beside matrix products: forward passes and gradients over rows of tokens.
//!
//! Rows are the tokens of one or more texts one after the other, `[rows, width]`. Attention over cached keys, for
//! writing, is in [`crate::decoding`].

mod attention;
mod embedding;
mod gated;
mod head_norm;
mod low_rank;
mod norm;
mod vocabulary_loss;

pub use attention::{CausalAttention, Rotation, causal_attention, causal_attention_backward};
pub use embedding::{embedding, embedding_gradient};
pub use gated::{activated, activated_backward, gated, gated_backward};
pub use head_norm::{NormedHeads, head_norm, head_norm_backward};
pub use low_rank::{
    LowRank, LowRankGradients, LowRankPart, low_rank, low_rank_backward, low_rank_input_gradient,
};
pub use norm::rms_norm_backward;
pub use vocabulary_loss::{IGNORED, VocabularyLoss, VocabularyLossGradients, vocabulary_loss};
