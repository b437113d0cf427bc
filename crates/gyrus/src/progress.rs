//! What a person sees of long work, and how Ctrl-C stops it.
//!
//! On a terminal that is a bar, and the result of each epoch stays above it. Without a terminal (a log, a pipe) it is a line
//! every ten seconds and the result of each epoch. Everything goes to standard error; `--quiet` shows nothing.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gyrus::train::MetricsRow;
use gyrus::{Note, Observer, Plan, Simulated, Stage, Step};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{manner, note, say};

/// Between two lines of progress in a log.
const EVERY: Duration = Duration::from_secs(10);
/// Between two results that are kept, once there are many.
const BETWEEN_RESULTS: Duration = Duration::from_secs(2);
/// From this many results on there are many.
const MANY: usize = 60;
/// Letters of a sample that are shown.
const SAMPLE: usize = 100;

/// Notes on standard error, and there a bar, where it is a terminal.
pub(crate) struct Watcher {
    bar: Option<ProgressBar>,
    is_terminal: bool,
    validation: String,
    plan: bool,
    /// Since when the work of today runs, and from which step.
    began: Option<(Instant, u64)>,
    /// When a line was printed last.
    said: Instant,
    /// Results so far, and the last one where it was not printed.
    results: usize,
    kept_back: Option<String>,
    stage: String,
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
        Self::with(stop)
    }

    /// Watches only: Ctrl-C ends the program as always.
    pub(crate) fn without_stop() -> Self {
        Self::with(Arc::new(AtomicBool::new(false)))
    }

    fn with(stop: Arc<AtomicBool>) -> Self {
        Self {
            bar: None,
            is_terminal: io::stderr().is_terminal(),
            validation: String::new(),
            plan: false,
            began: None,
            said: Instant::now(),
            results: 0,
            kept_back: None,
            stage: String::new(),
            stop,
        }
    }

    /// Prints on standard output what a training will do.
    pub(crate) fn show_plan(&mut self) {
        self.plan = true;
    }

    /// A line that stays, above the bar where there is one.
    fn line(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
        self.said = Instant::now();
    }

    /// Whether a line of progress is due in a log.
    fn is_due(&self) -> bool {
        let every = if manner().verbose { Duration::from_secs(1) } else { EVERY };
        !self.is_terminal && !manner().quiet && self.said.elapsed() >= every
    }

    /// The bar, where progress is shown by one.
    fn bar(&mut self, total: u64, template: &str, done: u64) -> Option<&ProgressBar> {
        if !self.is_terminal || manner().quiet {
            return None;
        }
        Some(self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            // A resumed run must not count what was done before as speed.
            bar.set_position(done);
            bar.reset_eta();
            bar
        }))
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// ", about 5 min left", once that can be told.
fn left(elapsed: Duration, done: u64, total: u64) -> String {
    if done == 0 || elapsed < Duration::from_secs(2) {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() * total.saturating_sub(done) as f64 / done as f64;
    format!(", about {} left", gyrus::report::duration(seconds.round().max(1.0)))
}

fn what(step: &Step) -> String {
    match (step.epoch, step.tokens_per_second) {
        (Some(epoch), _) => format!("epoch {epoch}, loss {:.4}", step.loss),
        (None, Some(speed)) => format!("loss {:.3}, {speed:.0} tokens/s", step.loss),
        (None, None) => format!("loss {:.4}", step.loss),
    }
}

impl Observer for Watcher {
    fn note(&mut self, text: &Note<'_>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn plan(&mut self, plan: &Plan) {
        if self.plan && !manner().quiet {
            // Who does not read this may still want the run.
            let _ = say(plan);
        }
    }

    fn step(&mut self, step: &Step) {
        if !self.stage.is_empty() {
            self.stage.clear();
            self.clear();
        }
        let (began, before) = *self.began.get_or_insert((Instant::now(), step.step - 1));
        let validation = self.validation.clone();
        let template = "{bar:30.cyan/blue} {percent:>3} %  {msg}  [{elapsed} < {eta}]";
        if let Some(bar) = self.bar(step.steps, template, step.step - 1) {
            bar.set_position(step.step);
            if step.step.is_multiple_of(8) {
                bar.set_message(format!("{}{validation}", what(step)));
            }
        } else if self.is_due() {
            let left = left(began.elapsed(), step.step - before, step.steps - before);
            let percent = 100.0 * step.step as f64 / step.steps.max(1) as f64;
            self.line(&format!(
                "step {} of {} ({percent:.0} %): {}{left}",
                step.step,
                step.steps,
                what(step)
            ));
        }
    }

    fn evaluated(&mut self, row: &MetricsRow, sample: Option<&str>) {
        let quality = match row.validation_accuracy {
            Some(accuracy) => format!("validation {:.2} %", accuracy * 100.0),
            // Nothing was held back.
            None if row.validation_loss.is_nan() => "no validation".to_owned(),
            None => format!("validation loss {:.4}", row.validation_loss),
        };
        self.validation = format!(", {quality}");
        let place =
            if sample.is_some() { format!("step {}", row.step) } else { format!("epoch {}", row.epoch) };
        let mut text = format!("{place}: loss {:.4}, {quality}", row.train_loss);
        if let Some(sample) = sample {
            let lines: Vec<&str> = sample.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
            let shown = lines.join(" / ");
            text.push_str("   ");
            text.extend(shown.chars().filter(|letter| !letter.is_control()).take(SAMPLE));
        }
        self.results += 1;
        let is_kept = self.results <= MANY || manner().verbose || self.said.elapsed() >= BETWEEN_RESULTS;
        if is_kept {
            self.kept_back = None;
            self.line(&text);
        } else {
            self.kept_back = Some(text);
        }
    }

    fn trained(&mut self) {
        self.clear();
        if let Some(text) = self.kept_back.take() {
            self.line(&text);
        }
        self.validation.clear();
        (self.began, self.results) = (None, 0);
    }

    fn stage(&mut self, stage: &Stage<'_>) {
        let Stage { name, done, total } = *stage;
        if self.stage != name {
            self.clear();
            self.stage = name.to_owned();
            self.began = Some((Instant::now(), done));
        }
        let template = "{bar:30.cyan/blue} {percent:>3} %  {msg}  [{elapsed} < {eta}]";
        if let Some(bar) = self.bar(total, template, done) {
            bar.set_message(name.to_owned());
            bar.set_length(total);
            bar.set_position(done);
        } else if self.is_due() {
            let (began, before) = self.began.unwrap_or((Instant::now(), done));
            let left = left(began.elapsed(), done - before.min(done), total - before.min(total));
            let percent = 100.0 * done as f64 / total.max(1) as f64;
            self.line(&format!("{name}: {percent:.0} %{left}"));
        }
        if done >= total {
            self.clear();
            self.stage.clear();
            self.began = None;
        }
    }

    fn simulated(&mut self, simulated: &Simulated<'_>) {
        let progress = simulated.progress;
        let (done, total) = (progress.step, progress.steps);
        let pace = gyrus::report::number(progress.real_time_factor());
        let template = "{bar:30.cyan/blue} {percent:>3} %  {msg}  [{elapsed} < {eta}]";
        if let Some(bar) = self.bar(total, template, 0) {
            bar.set_message(format!("{pace} times the simulated time"));
            bar.set_position(done);
        } else if self.is_due() {
            let left = left(progress.elapsed, done, total);
            let ms = done as f64 * progress.dt_ms;
            self.line(&format!(
                "{ms:.0} of {:.0} ms, {pace} times the simulated time{left}",
                total as f64 * progress.dt_ms
            ));
        }
        if done >= total || self.wants_to_stop() {
            self.clear();
        }
    }

    fn wants_to_stop(&mut self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
