//! What else transformers do with the rows of tokens, `[rows, width]`.

pub mod activation;
pub mod embedding;
pub mod gated;
pub mod vocabulary_loss;
