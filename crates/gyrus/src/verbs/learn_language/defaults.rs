//! Default models for corpora of different sizes.

use gyrus_language_train::{Corpus, TokenizerKind};

/// Largest corpus in bytes that is learned character by character by default.
const CHARACTERS_UP_TO: usize = 4 << 20;
/// Most different characters for that.
const DIFFERENT_CHARACTERS: usize = 512;

/// Characters for a small corpus of few different ones, else pairs of bytes.
pub(super) fn usual_tokenizer(corpus: &Corpus) -> TokenizerKind {
    if corpus.bytes() > CHARACTERS_UP_TO {
        return TokenizerKind::BytePairs;
    }
    let mut letters: Vec<char> = corpus.documents.iter().flat_map(|text| text.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    if letters.len() > DIFFERENT_CHARACTERS { TokenizerKind::BytePairs } else { TokenizerKind::Characters }
}

/// A model for a corpus of some size, which two cores train in minutes.
pub(super) struct Defaults {
    pub(super) layers: usize,
    pub(super) width: usize,
    fewest_steps: usize,
}

impl Defaults {
    /// Up to so many bytes, such as a list of names, a small model learns as well and within a minute.
    const SMALL: usize = 512 << 10;

    pub(super) fn of(corpus: &Corpus) -> Self {
        if corpus.bytes() <= Self::SMALL {
            Self { layers: 3, width: 96, fewest_steps: 800 }
        } else {
            Self { layers: 4, width: 160, fewest_steps: 500 }
        }
    }

    /// About six passes over a corpus, but neither too few nor more than 2,000.
    pub(super) fn steps(&self, corpus: &Corpus, tokens: usize) -> u64 {
        (6 * corpus.bytes() / tokens.max(1)).clamp(self.fewest_steps, 2000) as u64
    }
}

/// One for each 32 elements, or fewer so that all are equally wide.
pub(super) fn usual_heads(width: usize) -> usize {
    (1..=width / 32).rev().find(|heads| width.is_multiple_of(2 * heads)).unwrap_or(1)
}
