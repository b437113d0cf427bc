//! Watching a training, and how it ended.

use gyrus_nn::State;

use crate::MetricsRow;

/// Watches a training, and may stop it.
pub trait Observer {
    /// Called after each step.
    fn step(&mut self, progress: &Progress);

    /// Called after each evaluation, with a sample of what the model writes; the sample is empty for models that do not write.
    fn evaluated(&mut self, row: &MetricsRow, sample: &str);

    /// Called during work before the first step: what is done, and how much of it, in any unit.
    fn stage(&mut self, _name: &str, _done: u64, _total: u64) {}

    /// Asked after each step; true saves everything and ends the training.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
}

/// Told after each part of a long measurement how many examples are done, and of how many; `false` stops it.
pub type Tick<'a> = dyn FnMut(u64, u64) -> bool + 'a;

/// How far a training is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch, counted from 1: the steps from one evaluation to the next.
    pub epoch: u32,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole training.
    pub steps: u64,
    /// Mean loss over the epoch so far.
    pub loss: f64,
    /// Examples or tokens per second since this part of the run began.
    pub per_second: f64,
}

/// How a training ended.
#[derive(Debug)]
pub enum Outcome<R> {
    /// All steps are done; the best model is in the run folder. Until [`crate::RunFolder::finish`] is called, the run can
    /// still be resumed.
    Finished(R),
    /// Stopped by the observer; everything to resume is in the run folder.
    Interrupted {
        /// Steps done.
        step: u64,
        /// Steps of the whole training.
        steps: u64,
    },
}

impl<R> Outcome<R> {
    /// The same outcome with another result.
    ///
    /// # Errors
    /// That of `change`.
    pub fn map<S, E>(self, change: impl FnOnce(R) -> Result<S, E>) -> Result<Outcome<S>, E> {
        Ok(match self {
            Self::Finished(result) => Outcome::Finished(change(result)?),
            Self::Interrupted { step, steps } => Outcome::Interrupted { step, steps },
        })
    }
}

/// What a training begins with.
#[derive(Clone, Copy, Debug)]
pub enum Begin<'a> {
    /// Fresh parameters, by the seed.
    Fresh,
    /// These parameters, to train them further.
    State(&'a State),
    /// The checkpoint in the run folder, if there is one.
    Checkpoint,
}
