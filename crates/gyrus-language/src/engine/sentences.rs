//! An encoder of sentences with its thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::{Failure, Refusal, spawn};
use crate::{Result, SentenceEncoder};

/// Texts whose embeddings are wanted.
pub struct SentenceJob {
    /// The texts.
    pub texts: Vec<String>,
    /// Takes the result; called on the encoder's thread.
    pub reply: Box<dyn FnOnce(std::result::Result<Embedded, Failure>) + Send>,
    /// Whether anybody still waits for it.
    pub listens: Box<dyn Fn() -> bool + Send>,
}

/// What became of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// `[texts, width]`
    pub embeddings: Vec<f32>,
    /// Tokens of all texts together.
    pub tokens: usize,
}

/// An encoder of sentences that works on a thread of its own, one job after the other.
#[derive(Debug)]
pub struct SentenceEngine {
    encoder: Arc<SentenceEncoder>,
    jobs: SyncSender<SentenceJob>,
    queue: usize,
}

impl SentenceEngine {
    /// Starts a thread, before which `queue` jobs may wait; `threads` of 0 are one a core.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if there can be no such thread.
    pub fn start(encoder: SentenceEncoder, queue: usize, threads: usize) -> Result<Self> {
        let encoder = Arc::new(encoder);
        let of_thread = Arc::clone(&encoder);
        let (jobs, receiver) = sync_channel(queue);
        // It ends with the last sender of jobs.
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
    for SentenceJob { texts, reply, listens } in jobs {
        if !listens() {
            continue;
        }
        let work = AssertUnwindSafe(|| -> Result<Embedded> {
            let tokens = texts.iter().map(|text| Ok(encoder.tokens(text)?.len())).sum::<Result<usize>>()?;
            Ok(Embedded { embeddings: encoder.embed(&texts)?, tokens })
        });
        reply(match catch_unwind(work) {
            Ok(result) => result.map_err(Failure::Text),
            Err(_) => Err(Failure::Panicked("the encoder panicked".to_owned())),
        });
    }
}
