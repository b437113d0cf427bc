//! The observer of a verb as the observer of a training loop.

use gyrus_train::{MetricsRow, Progress};

use crate::observer::{Observer, Stage, Step};

/// Passes on what a training loop reports.
pub(crate) struct Watched<'a> {
    observer: &'a mut dyn Observer,
    /// Whether a language model is trained: it counts tokens rather than epochs, and writes samples.
    is_language: bool,
}

impl<'a> Watched<'a> {
    /// Of a network that learns from examples.
    pub(crate) fn network(observer: &'a mut dyn Observer) -> Self {
        Self { observer, is_language: false }
    }

    /// Of a language model.
    pub(crate) fn language(observer: &'a mut dyn Observer) -> Self {
        Self { observer, is_language: true }
    }
}

impl gyrus_train::Observer for Watched<'_> {
    fn step(&mut self, progress: &Progress) {
        let Progress { epoch, step, steps, loss, per_second } = *progress;
        self.observer.step(&Step {
            step,
            steps,
            epoch: (!self.is_language).then_some(epoch),
            loss,
            tokens_per_second: self.is_language.then_some(per_second),
        });
    }

    fn evaluated(&mut self, row: &MetricsRow, sample: &str) {
        self.observer.evaluated(row, self.is_language.then_some(sample));
    }

    fn stage(&mut self, name: &str, done: u64, total: u64) {
        self.observer.stage(&Stage { name, done, total });
    }

    fn wants_to_stop(&mut self) -> bool {
        self.observer.wants_to_stop()
    }
}
