//! Attention: `softmax(scale * q kᵀ) v` within each head (Vaswani et al. 2017).
//!
//! - [`causal`]: a decoder in training, forward and backward.
//! - [`cached`]: a decoder that generates: new tokens attend to cached keys and values.
//! - [`encoder`]: every token of a sequence attends to every other; [`encoder_backward`]: the gradient.
//! - [`maps`]: the probabilities themselves, for inspection.
//! - [`rotary`]: rotary position embedding, used by the first two.

pub mod cached;
pub mod causal;
pub mod encoder;
pub mod encoder_backward;
pub mod maps;
pub mod rotary;
