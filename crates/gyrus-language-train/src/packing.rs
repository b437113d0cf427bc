//! Packing examples into windows: sequences side by side that do not attend to each other, without padding.
//!
//! An example is never split; one longer than a window is truncated. Each goes into the first open window with room. Windows are
//! built once; each pass visits them in an order that is a function of (seed, pass).

use gyrus_tensor::IGNORED;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{Example, TextBatch};

/// The number of windows that are filled at the same time.
const OPEN: usize = 64;

/// Windows of examples.
#[derive(Clone, Debug)]
pub struct Windows {
    /// The examples of each window.
    windows: Vec<Vec<Example>>,
    /// Number of examples truncated because they were longer than a window.
    pub cut: usize,
    /// Number of examples dropped because nothing was left to learn.
    pub dropped: usize,
    /// Number of learned tokens.
    pub learned: usize,
    /// Number of read tokens.
    pub tokens: usize,
}

impl Windows {
    /// Packs examples into windows of at most `context` tokens.
    #[must_use]
    pub fn pack(examples: Vec<Example>, context: usize) -> Self {
        let mut all = Self { windows: Vec::new(), cut: 0, dropped: 0, learned: 0, tokens: 0 };
        // Free room, and the window.
        let mut open: Vec<(usize, Vec<Example>)> = Vec::new();
        for mut example in examples {
            // The last token is learned but not read.
            if example.tokens.len() > context + 1 {
                example.tokens.truncate(context + 1);
                example.learned.truncate(context + 1);
                all.cut += 1;
            }
            let learned = example.learned.iter().skip(1).filter(|learned| **learned).count();
            if learned == 0 {
                all.dropped += 1;
                continue;
            }
            let needed = example.tokens.len() - 1;
            all.learned += learned;
            all.tokens += needed;
            match open.iter_mut().find(|(room, _)| *room >= needed) {
                Some((room, window)) => {
                    *room -= needed;
                    window.push(example);
                }
                None => {
                    if open.len() == OPEN {
                        let fullest = (0..OPEN).min_by_key(|&index| open[index].0).unwrap_or_default();
                        all.windows.push(open.remove(fullest).1);
                    }
                    open.push((context - needed, vec![example]));
                }
            }
        }
        all.windows.extend(open.into_iter().map(|(_, window)| window));
        all
    }

    /// Number of windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Number of steps in one pass over all windows.
    #[must_use]
    pub fn steps(&self, windows: usize, accumulation: usize) -> u64 {
        self.windows.len().div_ceil((windows * accumulation).max(1)) as u64
    }

    /// The batches of a step: `accumulation` of them, of `windows` windows each; fewer at the end of a pass.
    ///
    /// # Panics
    /// If there is no window.
    #[must_use]
    pub fn batches(&self, windows: usize, accumulation: usize, seed: u64, step: u64) -> Vec<TextBatch> {
        let steps = self.steps(windows, accumulation);
        let (pass, place) = (step / steps, (step % steps) as usize);
        let order = shuffled(self.windows.len(), seed, pass);
        let all = windows * accumulation;
        let chosen = &order[place * all..order.len().min((place + 1) * all)];
        chosen.chunks(windows).map(|windows| self.batch(windows)).collect()
    }

    /// All windows in order, `windows` per batch, until `tokens` tokens have been read.
    pub fn all_batches(&self, windows: usize, tokens: usize) -> impl Iterator<Item = TextBatch> + '_ {
        let order: Vec<usize> = (0..self.windows.len()).collect();
        let chunks: Vec<Vec<usize>> = order.chunks(windows.max(1)).map(<[usize]>::to_vec).collect();
        let mut read = 0;
        chunks.into_iter().map(|chunk| self.batch(&chunk)).take_while(move |batch| {
            let more = read < tokens;
            read += batch.len();
            more
        })
    }

    fn batch(&self, windows: &[usize]) -> TextBatch {
        let (mut tokens, mut targets, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for example in windows.iter().flat_map(|&window| &self.windows[window]) {
            let count = example.tokens.len() - 1;
            tokens.extend_from_slice(&example.tokens[..count]);
            let next = example.tokens.iter().zip(&example.learned).skip(1);
            targets.extend(next.map(|(&token, &learned)| if learned { token } else { IGNORED }));
            ends.push(tokens.len());
        }
        TextBatch { tokens: tokens.into(), targets: targets.into(), ends: ends.into() }
    }
}

/// The numbers below `count`, shuffled as a function of (seed, pass) (Fisher and Yates).
pub(crate) fn shuffled(count: usize, seed: u64, pass: u64) -> Vec<usize> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&pass.to_le_bytes());
    key[16] = 3;
    let mut random = ChaCha8Rng::from_seed(key);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let place = ((u128::from(random.next_u64()) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, place);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(tokens: &[u32], first_learned: usize) -> Example {
        let learned = (0..tokens.len()).map(|place| place >= first_learned).collect();
        Example { tokens: tokens.to_vec(), learned }
    }

    #[test]
    fn examples_are_packed_and_prompts_are_not_learned() {
        let examples = vec![
            example(&[1, 2, 3, 4], 2),
            example(&[5, 6, 7, 8, 9, 10], 4),
            example(&[11, 12], 1),
            example(&[13, 14, 15, 16, 17, 18, 19], 1),
            example(&[20, 21, 22, 23, 24, 25, 26, 27], 7),
        ];
        let windows = Windows::pack(examples, 5);
        assert_eq!((windows.cut, windows.dropped, windows.len()), (2, 1, 3));
        let batches: Vec<TextBatch> = windows.all_batches(8, usize::MAX).collect();
        assert_eq!(batches.len(), 1);
        let batch = &batches[0];
        assert_eq!(batch.tokens[..], [1, 2, 3, 11, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17]);
        let no = IGNORED;
        assert_eq!(batch.targets[..], [no, 3, 4, 12, no, no, no, 9, 10, 14, 15, 16, 17, 18]);
        assert_eq!(batch.ends[..], [3, 4, 9, 14]);
        assert_eq!((batch.counted(), windows.learned, windows.tokens, batch.longest()), (10, 10, 14, 5));
    }

    #[test]
    fn a_pass_takes_every_window_once_and_depends_on_seed_and_pass_alone() {
        let windows = Windows::pack((0..23).map(|i| example(&[i, i + 100], 0)).collect(), 1);
        assert_eq!((windows.len(), windows.steps(2, 3)), (23, 4));
        let pass = |seed: u64, pass: u64| -> Vec<u32> {
            let steps = (0..4).flat_map(|step| windows.batches(2, 3, seed, pass * 4 + step));
            steps.flat_map(|batch| batch.tokens.to_vec()).collect()
        };
        let mut first = pass(1, 0);
        assert_eq!(first, pass(1, 0));
        assert_ne!(first, pass(1, 1));
        assert_ne!(first, pass(2, 0));
        first.sort_unstable();
        assert_eq!(first, (0..23).collect::<Vec<u32>>());
        assert_eq!(windows.batches(2, 3, 1, 3).iter().map(TextBatch::len).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
