//! What was read of prompts, kept for others that begin alike.

use crate::Cache;

/// Prompts with their caches, within a bound of memory: those that were of use longest ago go first.
pub(super) struct Prefixes {
    /// The latest of use comes last.
    kept: Vec<(Vec<u32>, Cache)>,
    most_bytes: usize,
}

impl Prefixes {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { kept: Vec::new(), most_bytes }
    }

    /// Memory of what is kept.
    pub(super) fn bytes(&self) -> usize {
        self.kept.iter().map(bytes).sum()
    }

    /// The kept prompt that has the most tokens at its begin in common with `prompt`.
    pub(super) fn find(&mut self, prompt: &[u32]) -> Option<(&[u32], &Cache)> {
        let lengths = self.kept.iter().map(|(tokens, _)| common(tokens, prompt));
        let (best, length) = lengths.enumerate().max_by_key(|&(_, length)| length)?;
        if length == 0 {
            return None;
        }
        let of_use = self.kept.remove(best);
        self.kept.push(of_use);
        self.kept.last().map(|(tokens, cache)| (&tokens[..], cache))
    }

    /// Keeps what `cache` knows of the text that begins with `tokens`, as far as these go, if there is room for it.
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

/// How many tokens two texts have in common at their begin.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
