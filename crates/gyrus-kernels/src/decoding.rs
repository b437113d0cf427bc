//! What a decoder does besides matrix products while it writes: attention over a cache, and passes over rows.

mod attention;
mod rows;

pub use attention::{AttentionShape, CachedSequence, attention_cached};
pub use rows::{FeedForwardActivation, activate, gate, rms_norm, rotate};
