//! What training a transformer takes beside matrix products: forward passes and gradients over rows of tokens.
//!
//! Rows are the tokens of one or more texts one after the other, `[rows, width]`. Attention over cached keys, for
//! writing, is in [`crate::decoding`].

mod attention;
mod embedding;
mod gated;
mod norm;
mod vocabulary_loss;

pub use attention::{CausalAttention, Rotation, causal_attention, causal_attention_backward};
pub use embedding::{embedding, embedding_gradient};
pub use gated::{gated, gated_backward};
pub use norm::rms_norm_backward;
pub use vocabulary_loss::{IGNORED, VocabularyLoss, VocabularyLossGradients, vocabulary_loss};
