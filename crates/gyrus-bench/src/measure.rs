//! Measuring steps: two workers that take turns.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::json;

use crate::peer::Peer;
use crate::report::{Row, Side};
use crate::works::Work;

/// Steps before anything is timed: memory is in place, and caches and branch predictors are warm.
const WARM_UP_STEPS: usize = 10;
/// Steps whose median decides how many make up a turn.
const TRIAL_STEPS: usize = 5;
/// How long a turn of the slower side takes, about.
const TURN_US: f64 = 500_000.0;
/// Rest between turns, in which the other side's threads stop spinning for more work.
const REST: Duration = Duration::from_millis(200);

/// What holds for every work of a run.
pub(crate) struct Setting<'a> {
    /// The directory with `torch_worker.py`.
    pub(crate) bench: &'a Path,
    /// The Python that has PyTorch.
    pub(crate) python: &'a Path,
    /// Turns that each side takes.
    pub(crate) rounds: u32,
    /// Threads of each side.
    pub(crate) threads: u32,
    /// Whether our side is left out.
    pub(crate) torch_only: bool,
}

#[derive(Deserialize)]
struct Choice {
    variant: String,
    variants_us: BTreeMap<String, f64>,
    extra_us: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Ready {
    parameters: u64,
    version: String,
}

#[derive(Deserialize)]
struct Steps {
    times_us: Vec<f64>,
}

#[derive(Deserialize)]
struct Memory {
    peak_bytes: u64,
    import_bytes: Option<u64>,
}

/// Measures one work made of steps.
///
/// # Errors
/// When a worker fails, or the two networks differ in size.
pub(crate) fn steps(work: &Work, setting: &Setting<'_>) -> Result<Row> {
    // Trying variants takes memory, so another process than the measured one does it.
    let choice: Choice = torch_worker(setting)?
        .ask(&json!({"cmd": "choose", "work": work.name, "threads": setting.threads}))?;
    let mut torch = torch_worker(setting)?;
    let setup = json!({
        "cmd": "setup", "work": work.name, "threads": setting.threads, "variant": choice.variant,
    });
    let torch_ready: Ready = torch.ask(&setup)?;

    let mut sides = Vec::new();
    if !setting.torch_only {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker");
        let mut ours = Peer::start("Gyrus", command)?;
        let ready: Ready = ours.ask(&setup)?;
        if ready.parameters != torch_ready.parameters {
            bail!(
                "the networks differ: ours has {} parameters, PyTorch's {}",
                ready.parameters,
                torch_ready.parameters
            );
        }
        sides.push((ours, Vec::new(), ready.version));
    }
    sides.push((torch, Vec::new(), torch_ready.version));

    let mut slowest_us = 1.0_f64;
    for (worker, _, _) in &mut sides {
        run_steps(worker, WARM_UP_STEPS)?;
        let trial = median(&run_steps(worker, TRIAL_STEPS)?);
        slowest_us = slowest_us.max(trial);
        std::thread::sleep(REST);
    }
    let count = ((TURN_US / slowest_us) as usize).clamp(3, 2000);
    for _ in 0..setting.rounds {
        for (worker, times_us, _) in &mut sides {
            times_us.extend(run_steps(worker, count)?);
            std::thread::sleep(REST);
        }
    }

    let mut measured = Vec::new();
    for (mut worker, times_us, version) in sides {
        let memory: Memory = worker.ask(&json!({"cmd": "memory"}))?;
        measured.push(Side::new(version, &times_us, memory.peak_bytes, memory.import_bytes));
    }
    Ok(Row::new(work, measured).with_parameters(torch_ready.parameters).with_variants(
        choice.variant,
        choice.variants_us,
        choice.extra_us,
    ))
}

fn torch_worker(setting: &Setting<'_>) -> Result<Peer> {
    let mut command = Command::new(setting.python);
    command.arg(setting.bench.join("torch_worker.py"));
    Peer::start("PyTorch", command)
}

fn run_steps(worker: &mut Peer, count: usize) -> Result<Vec<f64>> {
    let steps: Steps = worker.ask(&json!({"cmd": "steps", "count": count}))?;
    if steps.times_us.len() != count {
        bail!("{count} steps were asked for, {} were done", steps.times_us.len());
    }
    Ok(steps.times_us)
}

/// The median of `values` (the mean of the middle two where their number is even); NaN of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

/// The value that a tenth of `values` stay at or below (the nearest rank); NaN of none.
pub(crate) fn tenth_percentile(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let rank = sorted.len().div_ceil(10);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
        let values: Vec<f64> = (1..=30).rev().map(f64::from).collect();
        assert_eq!(tenth_percentile(&values), 3.0);
        assert_eq!(tenth_percentile(&[5.0]), 5.0);
        assert!(tenth_percentile(&[]).is_nan());
    }
}
