//! The other layers of a transformer, on rows of tokens, `[rows, width]`: embeddings, feed-forward activations, gates,
//! and the loss over a vocabulary.

pub mod activation;
pub mod embedding;
pub mod gated;
pub mod vocabulary_loss;
