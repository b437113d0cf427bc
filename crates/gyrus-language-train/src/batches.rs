//! Batches from a stream of tokens: windows of equal length at positions that are a function of (seed, step).
//!
//! In a corpus of several documents, each begins with the end-of-text token. Within a window they are separate sequences that
//! do not attend to each other, and each predicts its own end.

use std::sync::Arc;

use gyrus_tensor::IGNORED;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Shared, so that operations need no copy of a batch.
pub(crate) type Shared<T> = Arc<[T]>;

/// Sequences for one gradient, packed one after another.
#[derive(Clone, Debug)]
pub struct TextBatch {
    /// The tokens of all sequences.
    pub tokens: Shared<u32>,
    /// The next token of each, or [`gyrus_tensor::IGNORED`] if it is not to be learned.
    pub targets: Shared<u32>,
    /// The index after the last token of each sequence.
    pub ends: Shared<usize>,
}

impl TextBatch {
    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number of tokens whose next token is learned.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.targets.iter().filter(|&&target| target != IGNORED).count()
    }

    /// Length of the longest sequence.
    #[must_use]
    pub fn longest(&self) -> usize {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&*self.ends).map(|(start, end)| end - start).max().unwrap_or(0)
    }
}

/// Tokens of a corpus, in order.
#[derive(Clone, Debug)]
pub struct TokenStream {
    tokens: Vec<u32>,
    /// The token that each document begins with, if there are several documents.
    boundary: Option<u32>,
}

impl TokenStream {
    /// A stream of tokens; with a `boundary`, a new sequence begins at each such token.
    #[must_use]
    pub fn new(tokens: Vec<u32>, boundary: Option<u32>) -> Self {
        Self { tokens, boundary }
    }

    /// The first nine tenths, and the rest.
    #[must_use]
    pub fn split(mut self) -> (Self, Self) {
        let rest = self.tokens.split_off(self.tokens.len() / 10 * 9 + self.tokens.len() % 10 * 9 / 10);
        let boundary = self.boundary;
        (self, Self { tokens: rest, boundary })
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Windows of `context` tokens at random positions; the same for equal `(seed, step)`.
    ///
    /// # Panics
    /// If the stream is not longer than `context`.
    #[must_use]
    pub fn random_batch(&self, windows: usize, context: usize, seed: u64, step: u64) -> TextBatch {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        key[16] = 1;
        let mut random = ChaCha8Rng::from_seed(key);
        let places = (self.tokens.len() - context) as u64;
        let mut place = || ((u128::from(random.next_u64()) * u128::from(places)) >> 64) as usize;
        let starts: Vec<usize> = (0..windows).map(|_| place()).collect();
        self.batch(&starts, context)
    }

    /// Consecutive windows through the whole stream, `windows` per batch; the last window may be shorter. At most `limit`
    /// windows are used, evenly spread.
    pub fn all_batches(
        &self,
        windows: usize,
        context: usize,
        limit: usize,
    ) -> impl Iterator<Item = TextBatch> + '_ {
        let last = self.tokens.len().saturating_sub(1);
        let all = last.div_ceil(context.max(1));
        let count = all.min(limit.max(1));
        let starts: Vec<usize> = (0..count).map(|index| index * all / count.max(1) * context).collect();
        let chunks: Vec<Vec<usize>> = starts.chunks(windows.max(1)).map(<[usize]>::to_vec).collect();
        chunks.into_iter().map(move |starts| self.batch(&starts, context))
    }

    fn batch(&self, starts: &[usize], context: usize) -> TextBatch {
        let last = self.tokens.len() - 1;
        let (mut tokens, mut targets, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for &start in starts {
            let end = last.min(start + context);
            for place in start..end {
                if place > start && self.boundary == Some(self.tokens[place]) {
                    ends.push(tokens.len());
                }
                tokens.push(self.tokens[place]);
            }
            targets.extend_from_slice(&self.tokens[start + 1..end + 1]);
            ends.push(tokens.len());
        }
        TextBatch { tokens: tokens.into(), targets: targets.into(), ends: ends.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_stream_once_and_documents_are_separate_sequences() {
        let stream = TokenStream::new(vec![9, 1, 2, 9, 3, 9, 4, 5, 6], Some(9));
        let batches: Vec<TextBatch> = stream.all_batches(2, 3, usize::MAX).collect();
        assert_eq!(batches.len(), 2);
        assert_eq!(batches[0].tokens[..], [9, 1, 2, 9, 3, 9]);
        assert_eq!(batches[0].targets[..], [1, 2, 9, 3, 9, 4]);
        assert_eq!(batches[0].ends[..], [3, 5, 6]);
        assert_eq!((&batches[1].tokens[..], &batches[1].targets[..]), (&[4, 5][..], &[5, 6][..]));
        assert_eq!(batches[1].ends[..], [2]);
        assert_eq!(stream.all_batches(8, 3, 2).map(|batch| batch.len()).sum::<usize>(), 6);
    }

    #[test]
    fn random_windows_depend_on_seed_and_step_alone() {
        let stream = TokenStream::new((0..1000).collect(), None);
        let batch = stream.random_batch(4, 10, 1, 2);
        assert_eq!(batch.tokens, stream.random_batch(4, 10, 1, 2).tokens);
        assert_ne!(batch.tokens, stream.random_batch(4, 10, 1, 3).tokens);
        assert_ne!(batch.tokens, stream.random_batch(4, 10, 2, 2).tokens);
        assert!(batch.tokens.iter().zip(&*batch.targets).all(|(token, target)| token + 1 == *target));
        assert_eq!(batch.ends[..], [10, 20, 30, 40]);
    }
}
