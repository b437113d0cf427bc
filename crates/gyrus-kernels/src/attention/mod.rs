//! Attention: `softmax(scale * q kᵀ) v` within each head (Vaswani et al. 2017).

pub mod cached;
pub mod causal;
pub mod encoder;
pub mod maps;
pub mod rotary;
