//! Finding passages in a folder of documents.
//!
//! A folder is indexed once and then brought up to date by the hashes of its files. Each file becomes one text, each text passages
//! that cover it without gap, and each passage is found by its words (BM25 over an index of `tantivy`) and, with a sentence
//! encoder, by its meaning (exact products of vectors); the two rankings are fused by reciprocal ranks.

mod bm25;
mod evaluation;
mod index;
mod manifest;
mod passages;
mod search;
pub mod sources;
mod update;
mod vectors;
mod words;

pub use bm25::Bm25;
pub use evaluation::{Judgments, average_precision, precision_at, recall_at};
pub use index::{Index, Passage};
pub use passages::{passages, sentence_end, sentences};
pub use search::{Hit, SearchOptions, WordWeight, fused};
pub use update::{IndexReport, Skipped, Updater};
pub use words::{Words, is_stop_word, next_word};

/// Turns texts into vectors of unit length, so that products tell how close their meanings are.
pub trait TextEncoder: Sync {
    /// What distinguishes it from other encoders: vectors of different ones are never compared.
    fn name(&self) -> String;

    /// Numbers of a vector.
    fn width(&self) -> usize;

    /// The vectors of some texts, `[texts, width]`.
    ///
    /// # Errors
    /// A sentence on what failed.
    fn embed(&self, texts: &[&str]) -> Result<Vec<f32>, String>;
}
