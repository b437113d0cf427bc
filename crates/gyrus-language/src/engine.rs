//! Many texts at once: a thread that takes requests from a bounded queue into slots, and advances all of them by one pass
//! over the weights at a time (continuous batching, Yu et al. 2022, "Orca").
//!
//! Prompts are read in stretches beside the texts that are being written, so that a long one does not stall the others; what
//! was read of a prompt is kept, within bounds, for later prompts that begin alike. A text is the same, bit for bit, whatever
//! happens beside it: see [`Decoder::step`](crate::Decoder::step). Therefore only what was read is kept: tokens that were
//! written have been computed in another way.

mod prefixes;
mod sentences;
mod worker;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use gyrus_tensor::with_threads;

pub use sentences::{Embedded, SentenceEngine, SentenceJob};
use worker::Worker;

use crate::generation::Choice;
use crate::generation::{Ending, Request};
use crate::{Error, Model, Result};

/// How much an engine does at once, and how much memory it takes for it.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Texts that are advanced together.
    pub slots: usize,
    /// Requests that may wait beyond those.
    pub queue: usize,
    /// Tokens of a text, prompt and answer together.
    pub context: usize,
    /// Bytes of prompts that are kept for others that begin alike.
    pub kept_bytes: usize,
    /// Threads; 0 for one a core.
    pub threads: usize,
}

/// A text to write.
pub struct Job {
    /// What is read first: at least one token.
    pub prompt: Vec<u32>,
    /// What is asked.
    pub request: Request,
    /// Who is told.
    pub listener: Box<dyn Listener>,
}

/// Who waits for a text. Its calls are made by the engine's thread and must not block.
pub trait Listener: Send {
    /// Is told what happened.
    fn tell(&mut self, event: Event);
    /// Whether anybody still wants the text; if not, it is given up.
    fn listens(&self) -> bool;
}

/// What happens to a text.
#[derive(Debug)]
pub enum Event {
    /// It goes on.
    Text(Piece),
    /// It is written; nothing follows.
    Ended(Summary),
    /// It cannot be written; nothing follows.
    Failed(Failure),
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What is added, perhaps nothing: the begin of a character or of a stop text is held back.
    pub text: String,
    /// The token that was chosen, where choices are asked for.
    pub choice: Option<Choice>,
}

/// How a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Why.
    pub ending: Ending,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of these had been read before, for another prompt.
    pub reused_tokens: usize,
    /// Tokens that were written.
    pub tokens: usize,
}

/// Why a text cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// What was asked for cannot be followed.
    #[error(transparent)]
    Text(#[from] Error),
    /// The engine is being stopped.
    #[error("the engine was stopped before the text was written")]
    Stopped,
    /// A mistake in the program: other texts go on with a new state.
    #[error("the engine failed: {0}")]
    Panicked(String),
}

/// Why a job is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// All slots are taken and as many jobs wait as may.
    #[error("{waiting} requests are running or waiting, as many as may")]
    Full {
        /// How many they are.
        waiting: usize,
    },
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// The job itself cannot be done.
    #[error(transparent)]
    Job(#[from] Error),
}

/// What an engine has done and is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Texts in slots.
    pub running: u64,
    /// Texts that wait for one.
    pub waiting: u64,
    /// Tokens of prompts that were read.
    pub read_tokens: u64,
    /// Tokens of prompts that had been read before.
    pub reused_tokens: u64,
    /// Tokens that were written.
    pub written_tokens: u64,
    /// Passes over the weights.
    pub passes: u64,
    /// Bytes of prompts that are kept.
    pub kept_bytes: u64,
    /// Texts given up because nobody listened any more.
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
    kept_bytes: AtomicU64,
    abandoned: AtomicU64,
    failures: AtomicU64,
}

fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

struct State {
    queue: VecDeque<Job>,
    /// Texts in slots.
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
        // Nothing is left half-changed by a panic: no code of others runs within.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model with its thread. Dropping it stops the thread.
pub struct Engine {
    model: Arc<Model>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts a thread for `model`.
    ///
    /// # Errors
    /// [`Error::Request`] for no slots, or for a context that is longer than what the model can read; see
    /// [`longest_context`].
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
            // Whatever ends the thread, nobody waits for it any more.
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

    /// How much it does at once.
    #[must_use]
    pub fn options(&self) -> EngineOptions {
        self.shared.options
    }

    /// Queues all of the jobs, or none.
    ///
    /// # Errors
    /// [`Refusal::Job`] for a prompt or a request that is impossible, [`Refusal::Full`] where there is no room for all.
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
            // Those that gave up make room.
            state.queue.retain(|job| job.listener.listens());
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

    /// What it has done and is doing.
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
            kept_bytes: of(&counters.kept_bytes),
            abandoned: of(&counters.abandoned),
            failures: of(&counters.failures),
        }
    }

    /// Whether it takes no jobs any more.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.shared.state().stopped
    }

    /// Stops after the current pass; whoever still waits is told so.
    pub fn stop(&self) {
        self.shared.state().stopped = true;
        self.shared.wake.notify_all();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and told.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// The longest text that an engine can read with this model: its positions, as far as their rotation does not depend on the
/// length of the text, which would make a token depend on how its text was cut.
#[must_use]
pub fn longest_context(model: &Model) -> usize {
    let config = model.decoder.config();
    let steady = config.ropes.iter().filter_map(crate::Rope::steady_length).min();
    config.maximum_positions.min(steady.unwrap_or(usize::MAX))
}

/// Runs `work` on a thread with its own pool; 0 threads are one a core.
fn spawn(name: &str, threads: usize, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let failed = |reason: String| Error::request("threads", reason, "threads that the system can make");
    let (ready, begun) = sync_channel(1);
    let body = move || {
        let in_pool = || {
            // Whoever started it waits for this.
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

/// Refuses and ends what waits when its thread is gone.
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
            job.listener.tell(Event::Failed(Failure::Stopped));
        }
    }
}

/// Advances texts until the engine is stopped.
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
        let told = catch_unwind(AssertUnwindSafe(|| worker.tell_ended()));
        if let Err(panic) = passed.and(told) {
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
