//! A sentence encoder on its own thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use rayon::prelude::*;

use super::{Failure, Refusal, spawn};
use crate::{Result, SentenceEncoder};

/// A text to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentenceInput {
    /// As text.
    Text(String),
    /// As tokens of the encoder's vocabulary, special tokens included.
    Tokens(Vec<u32>),
}

/// Texts to embed.
pub struct SentenceJob {
    /// The texts.
    pub texts: Vec<SentenceInput>,
    /// Receives the result, on the encoder's thread.
    pub reply: Box<dyn FnOnce(std::result::Result<Embedded, Failure>) + Send>,
    /// Whether the result is still wanted.
    pub is_listening: Box<dyn Fn() -> bool + Send>,
}

/// The embeddings of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// `[texts, width]`
    pub embeddings: Vec<f32>,
    /// Total tokens of all texts.
    pub tokens: usize,
}

/// A sentence encoder that works on its own thread, one job after another.
#[derive(Debug)]
pub struct SentenceEngine {
    encoder: Arc<SentenceEncoder>,
    jobs: SyncSender<SentenceJob>,
    queue: usize,
}

impl SentenceEngine {
    /// Starts a thread with a queue of `queue` jobs; 0 `threads` means one per core.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if the thread cannot be created.
    pub fn start(encoder: SentenceEncoder, queue: usize, threads: usize) -> Result<Self> {
        let encoder = Arc::new(encoder);
        let of_thread = Arc::clone(&encoder);
        let (jobs, receiver) = sync_channel(queue);
        // The thread ends when the last sender is dropped.
        spawn("gyrus-sentences", threads, move || run(&of_thread, &receiver))?;
        Ok(Self { encoder, jobs, queue })
    }

    /// Its encoder.
    #[must_use]
    pub fn encoder(&self) -> &SentenceEncoder {
        &self.encoder
    }

    /// Queues a job.
    ///
    /// # Errors
    /// [`Refusal::Full`] or [`Refusal::Stopped`].
    pub fn submit(&self, job: SentenceJob) -> std::result::Result<(), Refusal> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Full { waiting: self.queue },
            TrySendError::Disconnected(_) => Refusal::Stopped,
        })
    }
}

fn run(encoder: &SentenceEncoder, jobs: &Receiver<SentenceJob>) {
    for SentenceJob { texts, reply, is_listening } in jobs {
        if !is_listening() {
            continue;
        }
        let work = AssertUnwindSafe(|| -> Result<Embedded> {
            let of = |text: &SentenceInput| match text {
                SentenceInput::Text(text) => encoder.tokens(text),
                SentenceInput::Tokens(tokens) => Ok(tokens.clone()),
            };
            let tokens: Vec<Vec<u32>> = texts.par_iter().map(of).collect::<Result<_>>()?;
            let count = tokens.iter().map(Vec::len).sum();
            Ok(Embedded { embeddings: encoder.embed_tokens(&tokens)?, tokens: count })
        });
        reply(match catch_unwind(work) {
            Ok(result) => result.map_err(Failure::Text),
            Err(_) => Err(Failure::Panicked("the encoder panicked".to_owned())),
        });
    }
}
