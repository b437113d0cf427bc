//! The observer of a verb as the observer of a training loop.

use gyrus_language_train::{TextObserver, TextProgress};
use gyrus_train::{MetricsRow, Progress};

use crate::observer::{Observer, Step};

/// Passes on what a training loop reports.
pub(crate) struct Watched<'a>(pub(crate) &'a mut dyn Observer);

impl gyrus_train::Observer for Watched<'_> {
    fn step(&mut self, progress: &Progress) {
        let Progress { epoch, step, steps, loss } = *progress;
        self.0.step(&Step { step, steps, epoch: Some(epoch), loss, tokens_per_second: None });
    }

    fn epoch(&mut self, row: &MetricsRow, _epochs: u32) {
        self.0.evaluated(row, None);
    }

    fn wants_to_stop(&mut self) -> bool {
        self.0.wants_to_stop()
    }
}

impl TextObserver for Watched<'_> {
    fn step(&mut self, progress: &TextProgress) {
        let TextProgress { step, steps, loss, tokens_per_second, .. } = *progress;
        self.0.step(&Step { step, steps, epoch: None, loss, tokens_per_second: Some(tokens_per_second) });
    }

    fn judged(&mut self, row: &MetricsRow, sample: &str) {
        self.0.evaluated(row, Some(sample));
    }

    fn wants_to_stop(&mut self) -> bool {
        self.0.wants_to_stop()
    }
}
