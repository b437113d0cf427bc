//! Serving many sequences together: a thread takes jobs from a bounded queue into slots and advances all of them with each
//! pass over the weights (continuous batching, Yu et al. 2022, "Orca").
//!
//! Prompts are read in chunks beside sequences that are being generated, so a long prompt does not stall the others. What was
//! read of a prompt goes into a bounded prefix cache for later prompts with the same beginning. A sequence has the same bits
//! whatever runs beside it: see [`Decoder::step`](crate::Decoder::step). For that reason only prompts are cached, not generated
//! tokens, which are computed by other kernels.

mod prefixes;
mod sentences;
mod worker;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use gyrus_kernels::with_threads;

pub use sentences::{Embedded, SentenceEngine, SentenceInput, SentenceJob};
use worker::Worker;

use crate::generation::Choice;
use crate::generation::{Ending, Request};
use crate::{Error, Model, Result};

/// The capacity and memory limits of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Sequences that are advanced together.
    pub slots: usize,
    /// Jobs that may wait for a slot.
    pub queue: usize,
    /// The most tokens of a sequence, prompt and answer together.
    pub context: usize,
    /// Size of the prefix cache in bytes; 0 disables it.
    pub prefix_cache_bytes: usize,
    /// Threads; 0 means one per core.
    pub threads: usize,
}

/// A text to generate.
pub struct Job {
    /// The tokens of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// The generation request.
    pub request: Request,
    /// Receives the events.
    pub listener: Box<dyn Listener>,
}

/// Receives the events of a job. The engine's thread calls it, so it must not block.
pub trait Listener: Send {
    /// Handles an event.
    fn receive(&mut self, event: Event);
    /// Whether the text is still wanted; if not, the job is abandoned.
    fn is_listening(&self) -> bool;
}

/// An event of a job.
#[derive(Debug)]
pub enum Event {
    /// More text.
    Text(Piece),
    /// The text is complete; the last event.
    Ended(Summary),
    /// The job failed; the last event.
    Failed(Failure),
}

/// A piece of generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The new text. May be empty: an incomplete character or the beginning of a stop string is held back.
    pub text: String,
    /// The chosen token, if the request asks for choices.
    pub choice: Option<Choice>,
}

/// The summary of a completed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Why the text ended.
    pub ending: Ending,
    /// Number of tokens in the prompt.
    pub prompt_tokens: usize,
    /// How many of these came from the prefix cache or a running sequence.
    pub reused_tokens: usize,
    /// Number of generated tokens, with the one that ended the text.
    pub tokens: usize,
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The text could not be generated.
    #[error(transparent)]
    Text(#[from] Error),
    /// The engine is being stopped.
    #[error("the engine was stopped before the text was complete")]
    Stopped,
    /// A bug; the engine continues with a fresh state.
    #[error("the engine failed: {0}")]
    Panicked(String),
}

/// Why a job was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// All slots and the queue are full.
    #[error("{waiting} requests are running or waiting, which is the maximum")]
    Full {
        /// The number of running and waiting jobs.
        waiting: usize,
    },
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// The job is invalid.
    #[error(transparent)]
    Job(#[from] Error),
}

/// Counters of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Sequences in slots.
    pub running: u64,
    /// Jobs that wait for a slot.
    pub waiting: u64,
    /// Prompt tokens that were computed.
    pub read_tokens: u64,
    /// Prompt tokens that were reused.
    pub reused_tokens: u64,
    /// Tokens that were generated.
    pub written_tokens: u64,
    /// Passes over the weights.
    pub passes: u64,
    /// Bytes in the prefix cache.
    pub prefix_cache_bytes: u64,
    /// Jobs abandoned because their listeners had gone.
    pub abandoned: u64,
    /// Passes that failed.
    pub failures: u64,
}

#[derive(Default)]
struct Counters {
    read_tokens: AtomicU64,
    reused_tokens: AtomicU64,
    written_tokens: AtomicU64,
    passes: AtomicU64,
    prefix_cache_bytes: AtomicU64,
    abandoned: AtomicU64,
    failures: AtomicU64,
}

fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

struct State {
    queue: VecDeque<Job>,
    /// Sequences in slots.
    running: usize,
    stopped: bool,
}

struct Shared {
    options: EngineOptions,
    state: Mutex<State>,
    wake: Condvar,
    counters: Counters,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state half-changed, because no foreign code runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model and its thread. Dropping it stops the thread.
pub struct Engine {
    model: Arc<Model>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts a thread for `model`.
    ///
    /// # Errors
    /// [`Error::Request`] for no slots, or for a context longer than the model can read; see [`longest_context`].
    pub fn start(model: Arc<Model>, options: EngineOptions) -> Result<Self> {
        let longest = longest_context(&model);
        if options.slots == 0 {
            return Err(Error::request("slots", "0", "at least one"));
        }
        if !(2..=longest).contains(&options.context) {
            let expected = format!("2 to the {longest} tokens that this model reads");
            return Err(Error::request("context", options.context.to_string(), expected));
        }
        let state = State { queue: VecDeque::new(), running: 0, stopped: false };
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(state),
            wake: Condvar::new(),
            counters: Counters::default(),
        });
        let (of_thread, model_of_thread) = (Arc::clone(&shared), Arc::clone(&model));
        let thread = spawn("gyrus-engine", options.threads, move || {
            // However the thread ends, waiting jobs fail.
            let _guard = StopGuard(&of_thread);
            run(&model_of_thread, &of_thread);
        })?;
        Ok(Self { model, shared, thread: Some(thread) })
    }

    /// Its model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> EngineOptions {
        self.shared.options
    }

    /// Queues all of the jobs, or none.
    ///
    /// # Errors
    /// [`Refusal::Job`] for an invalid prompt or request, [`Refusal::Full`] if there is not enough room.
    pub fn submit(&self, jobs: Vec<Job>) -> std::result::Result<(), Refusal> {
        for job in &jobs {
            self.check(job)?;
        }
        let mut state = self.shared.state();
        if state.stopped {
            return Err(Refusal::Stopped);
        }
        let most = self.shared.options.slots + self.shared.options.queue;
        if state.running + state.queue.len() + jobs.len() > most {
            // Abandoned jobs make room.
            state.queue.retain(|job| job.listener.is_listening());
        }
        let waiting = state.running + state.queue.len();
        if waiting + jobs.len() > most {
            return Err(Refusal::Full { waiting });
        }
        state.queue.extend(jobs);
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    fn check(&self, job: &Job) -> Result<()> {
        job.request.check()?;
        let vocabulary = self.model.decoder.config().vocabulary;
        if job.prompt.is_empty() {
            return Err(Error::request("prompt", "no tokens", "at least one"));
        }
        let tokens = job.prompt.iter().chain(job.request.bias.iter().map(|(token, _)| token));
        if let Some(token) = tokens.copied().find(|&token| token as usize >= vocabulary) {
            let expected = format!("less than the vocabulary's {vocabulary}");
            return Err(Error::request("token", token.to_string(), expected));
        }
        let length = job.prompt.len().saturating_add(job.request.maximum_tokens);
        if length > self.shared.options.context {
            let got = format!("{} tokens and {} to write", job.prompt.len(), job.request.maximum_tokens);
            let expected = format!("at most {} together", self.shared.options.context);
            return Err(Error::request("length of the text", got, expected));
        }
        Ok(())
    }

    /// Its counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (running, waiting) = {
            let state = self.shared.state();
            (state.running as u64, state.queue.len() as u64)
        };
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        Statistics {
            running,
            waiting,
            read_tokens: of(&counters.read_tokens),
            reused_tokens: of(&counters.reused_tokens),
            written_tokens: of(&counters.written_tokens),
            passes: of(&counters.passes),
            prefix_cache_bytes: of(&counters.prefix_cache_bytes),
            abandoned: of(&counters.abandoned),
            failures: of(&counters.failures),
        }
    }

    /// Whether it has stopped accepting jobs.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.shared.state().stopped
    }

    /// Stops after the current pass; waiting jobs fail.
    pub fn stop(&self) {
        self.shared.state().stopped = true;
        self.shared.wake.notify_all();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and reported.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// The longest sequence that an engine can read with this model: its positions, up to the length where their rotation begins to
/// depend on the length of the sequence, which would make a token depend on how its prompt was split.
#[must_use]
pub fn longest_context(model: &Model) -> usize {
    let config = model.decoder.config();
    let steady = config.ropes.iter().filter_map(crate::Rope::steady_length).min();
    config.maximum_positions.min(steady.unwrap_or(usize::MAX))
}

/// Runs `work` on a thread with its own pool; 0 threads means one per core.
fn spawn(name: &str, threads: usize, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let failed = |reason: String| Error::request("threads", reason, "threads that the system can create");
    let (ready, begun) = sync_channel(1);
    let body = move || {
        let in_pool = || {
            // The starting thread waits for this.
            let _ = ready.send(Ok(()));
            work();
        };
        if let Err(error) = with_threads(threads, in_pool) {
            let _ = ready.send(Err(error.to_string()));
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    let thread = thread.map_err(|error| failed(error.to_string()))?;
    match begun.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(_) => Err(failed("none".to_owned())),
    }
}

/// Fails waiting jobs when the engine's thread ends.
struct StopGuard<'a>(&'a Shared);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.stopped = true;
            state.running = 0;
            std::mem::take(&mut state.queue)
        };
        for mut job in waiting {
            job.listener.receive(Event::Failed(Failure::Stopped));
        }
    }
}

/// Advances sequences until the engine is stopped.
fn run(model: &Model, shared: &Shared) {
    let mut worker = Worker::new(model, &shared.options, &shared.counters);
    loop {
        let mut new = Vec::new();
        {
            let mut state = shared.state();
            state.running = worker.running();
            while worker.running() == 0 && state.queue.is_empty() && !state.stopped {
                state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stopped {
                drop(state);
                return worker.fail(|| Failure::Stopped);
            }
            while worker.running() + new.len() < shared.options.slots
                && let Some(job) = state.queue.pop_front()
            {
                new.push(job);
            }
            state.running += new.len();
        }
        let pass = AssertUnwindSafe(|| {
            for job in new {
                worker.admit(job);
            }
            worker.pass();
        });
        let passed = catch_unwind(pass);
        shared.state().running = worker.running();
        let reported = catch_unwind(AssertUnwindSafe(|| worker.report_ended()));
        if let Err(panic) = passed.and(reported) {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic");
            count(&shared.counters.failures, 1);
            worker.fail(|| Failure::Panicked(reason.to_owned()));
            worker = Worker::new(model, &shared.options, &shared.counters);
        }
    }
}
