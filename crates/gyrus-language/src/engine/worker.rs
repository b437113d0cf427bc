//! The sequences in slots, and one pass over all of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::prefixes::{PrefixCache, common};
use super::{Counters, EngineOptions, Event, Failure, Job, Listener, Piece, Summary, count};
use crate::generation::GeneratedSequence;
use crate::{Cache, Ending, Model, Sequence};

/// The most prompt tokens that one pass reads, over all sequences: enough to be compute-bound, few enough that the other
/// sequences do not wait long.
const READ_TOGETHER: usize = 256;
/// The shortest common beginning that is worth copying.
const SHORTEST_PREFIX: usize = 8;

/// A sequence with its state.
struct Slot<'a> {
    sequence: GeneratedSequence<'a>,
    cache: Cache,
    reused: usize,
    listener: Box<dyn Listener>,
}

impl Slot<'_> {
    /// Tokens to read before the next one can be chosen.
    fn unread(&self) -> usize {
        self.sequence.tokens().len() - self.cache.positions()
    }

    fn is_reading(&self) -> bool {
        self.cache.positions() < self.sequence.prompt_tokens()
    }

    fn prompt(&self) -> &[u32] {
        &self.sequence.tokens()[..self.sequence.prompt_tokens()]
    }
}

/// How much of a prompt can be taken from another one: not the last token, whose logits are needed.
fn shared(prompt: &[u32], other: &[u32]) -> usize {
    common(prompt, other).min(prompt.len() - 1)
}

/// The part of `cache` that belongs to `prompt`, if it is worth copying for a sequence that has read `positions` tokens.
/// `cache` has read `tokens` and perhaps more.
fn begin(prompt: &[u32], positions: usize, tokens: &[u32], cache: &Cache) -> Option<Cache> {
    let shared = shared(prompt, tokens);
    (shared >= positions + SHORTEST_PREFIX).then(|| cache.head(shared)).flatten()
}

pub(super) struct Worker<'a> {
    model: &'a Model,
    counters: &'a Counters,
    /// In order of arrival.
    slots: Vec<Slot<'a>>,
    /// Listeners of sequences that have left their slots and still need their last event.
    ended: Vec<(Box<dyn Listener>, Summary)>,
    prefixes: PrefixCache,
}

impl<'a> Worker<'a> {
    pub(super) fn new(model: &'a Model, options: &EngineOptions, counters: &'a Counters) -> Self {
        let prefixes = PrefixCache::new(options.prefix_cache_bytes);
        Self { model, counters, slots: Vec::new(), ended: Vec::new(), prefixes }
    }

    /// Number of sequences in slots.
    pub(super) fn running(&self) -> usize {
        self.slots.len()
    }

    /// Gives a job a slot.
    pub(super) fn admit(&mut self, job: Job) {
        let Job { prompt, request, mut listener } = job;
        if !listener.is_listening() {
            return count(&self.counters.abandoned, 1);
        }
        let kept = self.prefixes.find(&prompt).and_then(|(tokens, cache)| begin(&prompt, 0, tokens, cache));
        let Model { decoder, tokenizer, .. } = self.model;
        let cache = kept.unwrap_or_else(|| Cache::new(decoder.config()));
        let reused = cache.positions();
        match GeneratedSequence::new(decoder.config(), tokenizer, prompt, request) {
            Ok(sequence) => self.slots.push(Slot { sequence, cache, reused, listener }),
            Err(error) => listener.receive(Event::Failed(error.into())),
        }
    }

    /// Whether slot `index` waits for an earlier slot to read their common beginning. Once that is read, it is copied.
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

    /// One pass over the weights: every sequence gets its next token, and prompts are read further.
    pub(super) fn pass(&mut self) {
        let before = self.slots.len();
        self.slots.retain(|slot| slot.listener.is_listening());
        count(&self.counters.abandoned, before - self.slots.len());
        // Requests for 0 tokens end immediately.
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
            let Slot { sequence: text, cache, .. } = slot;
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
                // Prompts were checked before, so all sequences fail.
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
            match slot.sequence.step(row) {
                Ok(choice) => {
                    let text = slot.sequence.fresh();
                    if !text.is_empty() || choice.is_some() {
                        let text = text.to_owned();
                        slot.listener.receive(Event::Text(Piece { text, choice }));
                    }
                    count(&self.counters.written_tokens, slot.unread());
                }
                Err(error) => {
                    slot.listener.receive(Event::Failed(error.into()));
                    slot.sequence.interrupt();
                }
            }
        }
        self.settle();
    }

    /// Removes completed sequences from their slots and puts their prompts into the prefix cache.
    fn settle(&mut self) {
        for slot in self.slots.extract_if(.., |slot| slot.sequence.ending().is_some()) {
            let Slot { sequence, cache, reused: reused_tokens, listener } = slot;
            let prompt_tokens = sequence.prompt_tokens();
            let last = sequence.ending() == Some(Ending::EndOfText);
            let tokens = sequence.tokens().len() - prompt_tokens + usize::from(last);
            // Failed ones have received their last event.
            if let Some(ending) = sequence.ending().filter(|&ending| ending != Ending::Interrupted) {
                self.ended.push((listener, Summary { ending, prompt_tokens, reused_tokens, tokens }));
            }
            count(&self.counters.reused_tokens, reused_tokens);
            let read = cache.positions().min(prompt_tokens);
            self.prefixes.keep(&sequence.tokens()[..read], &cache);
        }
        self.counters.prefix_cache_bytes.store(self.prefixes.bytes() as u64, Ordering::Relaxed);
    }

    /// Sends the last event of completed jobs. Their slots are free by then, so a client that asks again finds one.
    pub(super) fn report_ended(&mut self) {
        for (mut listener, summary) in self.ended.drain(..) {
            listener.receive(Event::Ended(summary));
        }
    }

    /// Fails all sequences.
    pub(super) fn fail(&mut self, failure: impl Fn() -> Failure) {
        for mut slot in self.slots.drain(..) {
            // The listener itself may be what failed.
            let _ = catch_unwind(AssertUnwindSafe(|| slot.listener.receive(Event::Failed(failure()))));
        }
    }
}
