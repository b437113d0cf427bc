//! The texts in slots, and one pass of all of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::prefixes::{Prefixes, common};
use super::{Counters, EngineOptions, Event, Failure, Job, Listener, Piece, Summary, count};
use crate::generation::Writing;
use crate::{Cache, Ending, Model, Sequence};

/// Tokens of prompts that one pass reads, all texts together: enough to be limited by arithmetic, few enough that the
/// texts beside them do not wait for long.
const READ_TOGETHER: usize = 256;
/// Tokens from which it pays to copy what was read before.
const SHORTEST_PREFIX: usize = 8;

/// A text with its state.
struct Slot<'a> {
    writing: Writing<'a>,
    cache: Cache,
    reused: usize,
    listener: Box<dyn Listener>,
}

impl Slot<'_> {
    /// Tokens that have to be read before the next one can be chosen.
    fn unread(&self) -> usize {
        self.writing.tokens().len() - self.cache.positions()
    }

    fn is_reading(&self) -> bool {
        self.cache.positions() < self.writing.prompt_tokens()
    }

    fn prompt(&self) -> &[u32] {
        &self.writing.tokens()[..self.writing.prompt_tokens()]
    }
}

/// How much of a prompt another one can read for it: not its last token, whose logits are needed.
fn shared(prompt: &[u32], other: &[u32]) -> usize {
    common(prompt, other).min(prompt.len() - 1)
}

/// What `cache` knows of `prompt`, if that is worth copying for one who knows the first `positions`; `cache` has read
/// `tokens`, and perhaps more.
fn begin(prompt: &[u32], positions: usize, tokens: &[u32], cache: &Cache) -> Option<Cache> {
    let shared = shared(prompt, tokens);
    (shared >= positions + SHORTEST_PREFIX).then(|| cache.head(shared)).flatten()
}

pub(super) struct Worker<'a> {
    model: &'a Model,
    counters: &'a Counters,
    /// In the order in which they came.
    slots: Vec<Slot<'a>>,
    /// Texts that have left their slots, and are to be told so.
    ended: Vec<(Box<dyn Listener>, Summary)>,
    prefixes: Prefixes,
}

impl<'a> Worker<'a> {
    pub(super) fn new(model: &'a Model, options: &EngineOptions, counters: &'a Counters) -> Self {
        let prefixes = Prefixes::new(options.kept_bytes);
        Self { model, counters, slots: Vec::new(), ended: Vec::new(), prefixes }
    }

    /// Texts in slots.
    pub(super) fn running(&self) -> usize {
        self.slots.len()
    }

    /// Gives a text a slot.
    pub(super) fn admit(&mut self, job: Job) {
        let Job { prompt, request, mut listener } = job;
        if !listener.listens() {
            return count(&self.counters.abandoned, 1);
        }
        let kept = self.prefixes.find(&prompt).and_then(|(tokens, cache)| begin(&prompt, 0, tokens, cache));
        let Model { decoder, tokenizer, .. } = self.model;
        let cache = kept.unwrap_or_else(|| Cache::new(decoder.config()));
        let reused = cache.positions();
        match Writing::new(decoder.config(), tokenizer, prompt, request) {
            Ok(writing) => self.slots.push(Slot { writing, cache, reused, listener }),
            Err(error) => listener.tell(Event::Failed(error.into())),
        }
    }

    /// Whether slot `index` lets an earlier one read what both begin with; what that one has read of it is taken over.
    fn follows(&mut self, index: usize) -> bool {
        let (earlier, rest) = self.slots.split_at_mut(index);
        let Some(slot) = rest.first_mut().filter(|slot| slot.is_reading()) else { return false };
        let positions = slot.cache.positions();
        let prompt = slot.prompt();
        let gain = |leader: &&Slot<'_>| shared(prompt, leader.prompt()).saturating_sub(positions);
        let leader = earlier.iter().max_by_key(gain);
        let Some(leader) = leader.filter(|leader| gain(leader) >= SHORTEST_PREFIX) else { return false };
        if leader.cache.positions() < shared(prompt, leader.prompt()) {
            return true;
        }
        if let Some(cache) = begin(prompt, positions, leader.prompt(), &leader.cache) {
            slot.reused += cache.positions() - positions;
            slot.cache = cache;
        }
        false
    }

    /// One pass over the weights: every text gets its next token, prompts are read further.
    pub(super) fn pass(&mut self) {
        let before = self.slots.len();
        self.slots.retain(|slot| slot.listener.listens());
        count(&self.counters.abandoned, before - self.slots.len());
        // Nothing was asked of these.
        self.settle();
        let follows: Vec<bool> = (0..self.slots.len()).map(|index| self.follows(index)).collect();
        let mut budget = READ_TOGETHER;
        let (mut reading, mut writing) = (Vec::new(), Vec::new());
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let (is_reading, unread) = (slot.is_reading(), slot.unread());
            let tokens = if is_reading { unread.min(budget) } else { unread };
            if tokens == 0 || follows[index] {
                continue;
            }
            let from = slot.cache.positions();
            let Slot { writing: text, cache, .. } = slot;
            let tokens = &text.tokens()[from..from + tokens];
            let sequence = Sequence { tokens, cache, all_logits: false };
            if is_reading {
                budget -= tokens.len();
                reading.push((index, sequence));
            } else {
                writing.push((index, sequence));
            }
        }
        let read = reading.len();
        let (indices, mut sequences): (Vec<usize>, Vec<Sequence<'_>>) =
            reading.into_iter().chain(writing).unzip();
        if sequences.is_empty() {
            return;
        }
        let result = self.model.decoder.step(&mut sequences, read);
        count(&self.counters.passes, 1);
        count(&self.counters.read_tokens, READ_TOGETHER - budget);
        let mut logits = match result {
            Ok(logits) => logits,
            Err(error) => {
                // Prompts were checked; what is wrong is told to all.
                count(&self.counters.failures, 1);
                let reason = error.to_string();
                return self.fail(|| Failure::Panicked(reason.clone()));
            }
        };
        for (index, row) in
            indices.into_iter().zip(logits.chunks_exact_mut(self.model.decoder.config().vocabulary))
        {
            let slot = &mut self.slots[index];
            if slot.unread() > 0 {
                continue;
            }
            match slot.writing.step(row) {
                Ok(choice) => {
                    let text = slot.writing.fresh();
                    if !text.is_empty() || choice.is_some() {
                        let text = text.to_owned();
                        slot.listener.tell(Event::Text(Piece { text, choice }));
                    }
                    count(&self.counters.written_tokens, slot.unread());
                }
                Err(error) => {
                    slot.listener.tell(Event::Failed(error.into()));
                    slot.writing.interrupt();
                }
            }
        }
        self.settle();
    }

    /// Takes texts that have ended out of their slots, and keeps what was read of their prompts.
    fn settle(&mut self) {
        for slot in self.slots.extract_if(.., |slot| slot.writing.ending().is_some()) {
            let Slot { writing, cache, reused: reused_tokens, listener } = slot;
            let prompt_tokens = writing.prompt_tokens();
            let tokens = writing.tokens().len() - prompt_tokens;
            // Those that failed were told so.
            if let Some(ending) = writing.ending().filter(|&ending| ending != Ending::Interrupted) {
                self.ended.push((listener, Summary { ending, prompt_tokens, reused_tokens, tokens }));
            }
            count(&self.counters.reused_tokens, reused_tokens);
            let read = cache.positions().min(prompt_tokens);
            self.prefixes.keep(&writing.tokens()[..read], &cache);
        }
        self.counters.kept_bytes.store(self.prefixes.bytes() as u64, Ordering::Relaxed);
    }

    /// Tells those whose texts have ended. Their slots are free by then: who asks again at once finds one.
    pub(super) fn tell_ended(&mut self) {
        for (mut listener, summary) in self.ended.drain(..) {
            listener.tell(Event::Ended(summary));
        }
    }

    /// Ends all texts.
    pub(super) fn fail(&mut self, failure: impl Fn() -> Failure) {
        for mut slot in self.slots.drain(..) {
            // It may be the listener that failed.
            let _ = catch_unwind(AssertUnwindSafe(|| slot.listener.tell(Event::Failed(failure()))));
        }
    }
}
