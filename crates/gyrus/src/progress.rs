//! What a person sees of a training, and how Ctrl-C stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gyrus_train::{MetricsRow, Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on the terminal; nothing when standard error is not one.
pub(crate) struct Watcher {
    bar: ProgressBar,
    pub(crate) validation: String,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    /// Ctrl-C asks the training to save and stop; a second one ends the program at once.
    pub(crate) fn new() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        // Without a handler Ctrl-C kills, which a resumed run survives too.
        let _ = ctrlc::set_handler(move || {
            if asked.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        let bar = ProgressBar::new(0);
        let style = "{bar:30.cyan/blue} {percent:>3} %  {msg}  [{elapsed} < {eta}]";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, validation: String::new(), stop }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows that `step` of `steps` is done, with a message that ends with what validation said.
    pub(crate) fn at(&self, step: u64, steps: u64, message: impl FnOnce() -> String) {
        if self.bar.length() != Some(steps) {
            self.bar.set_length(steps);
            // A resumed run must not count what was done before as speed.
            self.bar.set_position(step - 1);
            self.bar.reset_eta();
        }
        self.bar.set_position(step);
        if step.is_multiple_of(8) {
            self.bar.set_message(format!("{}{}", message(), self.validation));
        }
    }

    /// Prints a line above the bar, where there is one.
    pub(crate) fn print(&self, text: impl std::fmt::Display) {
        self.bar.println(text.to_string());
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Observer for Watcher {
    fn step(&mut self, progress: &Progress) {
        self.at(progress.step, progress.steps, || {
            format!("epoch {}, loss {:.4}", progress.epoch, progress.loss)
        });
    }

    fn epoch(&mut self, row: &MetricsRow, _epochs: u32) {
        self.validation = match row.validation_accuracy {
            Some(accuracy) => format!(", validation {:.2} %", accuracy * 100.0),
            None => format!(", validation loss {:.4}", row.validation_loss),
        };
    }

    fn wants_to_stop(&mut self) -> bool {
        self.is_stopped()
    }
}
