//! What a person sees of a training, and how Ctrl-C stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gyrus::train::MetricsRow;
use gyrus::{Note, Observer, Plan, Step};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{note, say};

/// Notes on standard error, and there a bar, where it is a terminal.
pub(crate) struct Watcher {
    bar: Option<ProgressBar>,
    validation: String,
    plan: bool,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    /// Ctrl-C asks the training to save and stop; a second one ends the program immediately.
    pub(crate) fn new() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        // Without a handler Ctrl-C kills, which a resumed run survives too.
        let _ = ctrlc::set_handler(move || {
            if asked.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        Self { bar: None, validation: String::new(), plan: false, stop }
    }

    /// Prints on standard output what a training will do.
    pub(crate) fn show_plan(&mut self) {
        self.plan = true;
    }
}

fn bar(step: &Step) -> ProgressBar {
    let bar = ProgressBar::new(step.steps);
    let style = "{bar:30.cyan/blue} {percent:>3} %  {msg}  [{elapsed} < {eta}]";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    // A resumed run must not count what was done before as speed.
    bar.set_position(step.step - 1);
    bar.reset_eta();
    bar
}

impl Observer for Watcher {
    fn note(&mut self, text: &Note<'_>) {
        note(text);
    }

    fn plan(&mut self, plan: &Plan) {
        if self.plan {
            // Who does not read this may still want the run.
            let _ = say(plan);
        }
    }

    fn step(&mut self, step: &Step) {
        let bar = self.bar.get_or_insert_with(|| bar(step));
        bar.set_position(step.step);
        if step.step.is_multiple_of(8) {
            let what = match (step.epoch, step.tokens_per_second) {
                (Some(epoch), _) => format!("epoch {epoch}, loss {:.4}", step.loss),
                (None, Some(speed)) => format!("loss {:.3}, {speed:.0} tokens/s", step.loss),
                (None, None) => format!("loss {:.4}", step.loss),
            };
            bar.set_message(format!("{what}{}", self.validation));
        }
    }

    fn evaluated(&mut self, row: &MetricsRow, sample: Option<&str>) {
        self.validation = match row.validation_accuracy {
            Some(accuracy) => format!(", validation {:.2} %", accuracy * 100.0),
            None => format!(", validation loss {:.4}", row.validation_loss),
        };
        if let (Some(sample), Some(bar)) = (sample, &self.bar) {
            let lines: Vec<&str> = sample.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
            let text = lines.join(" / ");
            let shown: String = text.chars().filter(|letter| !letter.is_control()).take(100).collect();
            bar.println(format!("step {}: validation loss {:.4}   {shown}", row.step, row.validation_loss));
        }
    }

    fn trained(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.validation.clear();
    }

    fn wants_to_stop(&mut self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
