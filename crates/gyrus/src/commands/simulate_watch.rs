//! What a person sees while a circuit runs: a bar with the pace, or with `--watch` a raster and rates.
//!
//! The raster is drawn with Braille letters, each two columns by four rows of dots: a column is 2.5 ms, a row some neurons of a
//! population. It is drawn over itself, on standard error, and only where that is a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use gyrus::report::number;
use gyrus::{Note, Observer, Simulated, Stage};

use crate::output::note;
use crate::progress::Watcher;

/// Letters of a line of the raster, and simulated time of a column of dots.
const LETTERS: usize = 64;
const COLUMN_MS: f64 = 2.5;
/// Lines of the raster for all populations together.
const LINES: usize = 16;
/// Between two drawings.
const EVERY: Duration = Duration::from_millis(80);
/// Time over which rates are taken, in milliseconds.
const RATE_MS: f64 = 100.0;

/// Progress, and what Ctrl-C asks for.
pub(crate) struct Watch {
    watcher: Watcher,
    draws: bool,
    drawn: Option<Instant>,
    /// Lines of the last drawing.
    lines: usize,
}

impl Watch {
    /// With a raster, where there is a terminal for it.
    pub(crate) fn new(draws: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        if draws && !is_terminal {
            note("note: --watch draws on a terminal only; standard error is none");
        }
        Self { watcher: Watcher::new(), draws: draws && is_terminal, drawn: None, lines: 0 }
    }
}

impl Observer for Watch {
    fn note(&mut self, note: &Note<'_>) {
        self.watcher.note(note);
    }

    fn stage(&mut self, stage: &Stage<'_>) {
        self.watcher.stage(stage);
    }

    fn simulated(&mut self, simulated: &Simulated<'_>) {
        let progress = simulated.progress;
        let is_last = progress.step >= progress.steps;
        if !self.draws {
            self.watcher.simulated(simulated);
            return;
        }
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY) && !is_last {
            return;
        }
        self.drawn = Some(Instant::now());
        let text = drawing(simulated);
        // Over the last drawing; each line is cleared first.
        let up = if self.lines > 0 { format!("\u{1b}[{}A", self.lines) } else { String::new() };
        let body: String = text.lines().map(|line| format!("\u{1b}[2K{line}\n")).collect();
        self.lines = text.lines().count();
        let _ = io::stderr().lock().write_all(format!("{up}{body}").as_bytes());
    }

    fn wants_to_stop(&mut self) -> bool {
        self.watcher.wants_to_stop()
    }
}

/// Raster and rates as lines of text.
fn drawing(simulated: &Simulated<'_>) -> String {
    let progress = simulated.progress;
    let dt_ms = progress.dt_ms;
    let now_ms = progress.step as f64 * dt_ms;
    let begin_ms = (now_ms - 2.0 * LETTERS as f64 * COLUMN_MS).max(0.0);
    let since = progress.step.saturating_sub((RATE_MS / dt_ms) as u64);
    let rates = simulated.rates_hz(since);
    let all: usize = simulated.populations.iter().map(|(_, own)| own.len()).sum();
    let mut text = format!(
        "{:.0} of {:.0} ms, {} times the simulated time\n",
        now_ms,
        progress.steps as f64 * dt_ms,
        number(progress.real_time_factor()),
    );
    let width = simulated.populations.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(16);
    for ((name, own), rate) in simulated.populations.iter().zip(rates) {
        let lines = (LINES * own.len() / all.max(1)).clamp(1, 8);
        let rows = 4 * lines;
        let mut dots = vec![[0u8; LETTERS]; lines];
        let spikes = progress.spikes;
        let first = spikes.steps.partition_point(|step| f64::from(*step) * dt_ms < begin_ms);
        for (step, neuron) in spikes.steps[first..].iter().zip(&spikes.neurons[first..]) {
            let Some(within) = neuron.checked_sub(own.start).filter(|_| *neuron < own.end) else { continue };
            // Of many neurons, as many as there are rows.
            let between = (own.len() as u32 / rows as u32).max(1);
            let row = (within / between) as usize;
            let column = ((f64::from(*step) * dt_ms - begin_ms) / COLUMN_MS) as usize;
            if within % between == 0 && row < rows && column < 2 * LETTERS {
                dots[row / 4][column / 2] |= dot(row % 4, column % 2);
            }
        }
        for (line, letters) in dots.iter().enumerate() {
            let label: String = if line == 0 { name.chars().take(width).collect() } else { String::new() };
            let drawn: String =
                letters.iter().map(|bits| char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ')).collect();
            let side = if line == 0 { format!("{rate:>7.1} Hz") } else { String::new() };
            let _ = writeln!(text, "{label:>width$} {drawn} {side}");
        }
    }
    text
}

/// The bit of a dot in a Braille letter.
fn dot(row: usize, column: usize) -> u8 {
    match (row, column) {
        (3, 0) => 0x40,
        (3, _) => 0x80,
        (row, 0) => 1 << row,
        (row, _) => 8 << row,
    }
}

#[cfg(test)]
mod tests {
    use gyrus::simulate::{Activity, Progress, Spikes};

    use super::*;

    #[test]
    fn the_raster_shows_each_spike_at_its_place() {
        let mut spikes = Spikes::default();
        spikes.extend(0, &[0]);
        spikes.extend(25, &[3, 9]);
        let progress = Progress {
            step: 100,
            steps: 1000,
            dt_ms: 0.1,
            spikes: &spikes,
            first_new: 0,
            elapsed: Duration::from_millis(20),
            activity: Activity::default(),
        };
        let populations = [("E".to_owned(), 0..8), ("I".to_owned(), 8..10)];
        let text = drawing(&Simulated { progress: &progress, populations: &populations });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "10 of 100 ms, 2 times the simulated time");
        // Neuron 0 in the first column, neuron 3 in the second: the two ends of a letter.
        let first = lines[1].chars().nth(2).unwrap();
        assert_eq!(first as u32 - 0x2800, 0x01 | 0x80, "{text}");
        // E: 2 spikes of 8 neurons in 10 ms.
        assert!(lines[1].ends_with("25.0 Hz"), "{text}");
    }
}
