//! The prefix cache: keys and values of prompts, kept for later prompts with the same beginning.

use crate::Cache;

/// Prompts with their caches, limited in memory; the least recently used are evicted first.
pub(super) struct PrefixCache {
    /// The most recently used comes last.
    kept: Vec<(Vec<u32>, Cache)>,
    most_bytes: usize,
}

impl PrefixCache {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { kept: Vec::new(), most_bytes }
    }

    /// Memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.kept.iter().map(bytes).sum()
    }

    /// The cached prompt with the longest common beginning with `prompt`.
    pub(super) fn find(&mut self, prompt: &[u32]) -> Option<(&[u32], &Cache)> {
        let lengths = self.kept.iter().map(|(tokens, _)| common(tokens, prompt));
        let (best, length) = lengths.enumerate().max_by_key(|&(_, length)| length)?;
        if length == 0 {
            return None;
        }
        let used = self.kept.remove(best);
        self.kept.push(used);
        self.kept.last().map(|(tokens, cache)| (&tokens[..], cache))
    }

    /// Stores the part of `cache` that belongs to `tokens`, the beginning of its sequence, if there is room.
    pub(super) fn keep(&mut self, tokens: &[u32], cache: &Cache) {
        if tokens.is_empty() || self.most_bytes == 0 {
            return;
        }
        if self.kept.iter().any(|(kept, _)| kept.starts_with(tokens)) {
            return;
        }
        let Some(cache) = cache.head(tokens.len()) else { return };
        let new = (tokens.to_vec(), cache);
        let Some(most) = self.most_bytes.checked_sub(bytes(&new)) else { return };
        self.kept.retain(|(kept, _)| !tokens.starts_with(kept));
        while self.bytes() > most {
            self.kept.remove(0);
        }
        self.kept.push(new);
    }
}

fn bytes((tokens, cache): &(Vec<u32>, Cache)) -> usize {
    tokens.capacity() * size_of::<u32>() + cache.bytes()
}

/// The length of the common beginning of two sequences.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
