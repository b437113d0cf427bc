//! Measuring steps: our worker and one per peer, which alternate.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::json;

use crate::peer::Peer;
use crate::report::{Choice, Row, Side};
use crate::statistics::median;
use crate::vision;
use crate::workloads::{ATTRIBUTION, EVENTS_BESIDE_CLOCKED, JPEG_FOLDER, Kind, Workload};

/// Untimed steps at the start, until memory is allocated and caches and branch predictors are warm.
const WARM_UP_STEPS: usize = 10;
/// The same for slow steps.
const SLOW_WARM_UP_STEPS: usize = 2;
/// Steps longer than this are slow.
const SLOW_US: f64 = 500_000.0;
/// Steps whose median decides how many steps one round has.
const TRIAL_STEPS: usize = 5;
/// Approximate length of a round of the slowest side.
const TURN_US: f64 = 500_000.0;
/// Pause between rounds, in which the other side's threads stop spinning.
const REST: Duration = Duration::from_millis(200);

/// Settings of a whole run.
pub(crate) struct Setting<'a> {
    /// The folder of the peers' workers.
    pub(crate) peers: &'a Path,
    /// The Python in which the peers are installed.
    pub(crate) python: &'a Path,
    /// Rounds per side.
    pub(crate) rounds: u32,
    /// Threads per side.
    pub(crate) threads: u32,
    /// Whether our side is skipped.
    pub(crate) torch_only: bool,
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

/// A library that ours is compared with.
struct Library {
    /// For messages and the report.
    name: &'static str,
    /// The worker's script and arguments; empty for a comparison within Gyrus.
    worker: &'static [&'static str],
    /// Our goal for the ratio to this library alone, where it is not that of the workload.
    goal: Option<f64>,
}

impl Library {
    const fn new(name: &'static str, worker: &'static [&'static str]) -> Self {
        Self { name, worker, goal: None }
    }
}

const TORCH: &[Library] = &[Library::new("PyTorch", &["torch_worker.py"])];
const SPIKING: &[Library] = &[
    Library::new("snnTorch", &["snn_worker.py", "snntorch"]),
    Library::new("SpikingJelly", &["snn_worker.py", "spikingjelly"]),
    Library::new("Norse", &["snn_worker.py", "norse"]),
];

const LLAMA_CPP: Library = Library::new("llama.cpp", &["language_worker.py", "llama.cpp"]);
const LANGUAGE: &[Library] = &[LLAMA_CPP];
const PREFILL: &[Library] = &[LLAMA_CPP, Library::new("PyTorch", &["language_worker.py", "pytorch"])];
const READER: &[Library] = &[Library::new("reading", &[])];
const SPIKINGJELLY: &[Library] = &[Library::new("SpikingJelly", &["snn_worker.py", "spikingjelly"])];
const CLOCKED: &[Library] = &[Library::new("Gyrus, clocked", &[])];
const EMBED: &[Library] = &[
    Library::new("sentence-transf.", &["embed_worker.py", "sentence-transformers"]),
    Library::new("onnxruntime", &["embed_worker.py", "onnxruntime"]),
];

/// The script that stands for the program in `peers/rust`.
const RUST: &str = "rust";
const PYTORCH_VISION: Library = Library::new("PyTorch", &["vision_worker.py", "pytorch"]);
const PICTURES: &[Library] = &[
    Library { goal: Some(0.6), ..PYTORCH_VISION },
    Library::new("onnxruntime", &["vision_worker.py", "onnxruntime"]),
    Library::new("tract", &[RUST, "tract"]),
    Library::new("rten", &[RUST, "rten"]),
];
const TUNING: &[Library] = &[PYTORCH_VISION];
const LOADING: &[Library] = &[Library::new("PyTorch", &["vision_worker.py", "dataloader"])];
const CAPTUM: &[Library] = &[Library::new("Captum", &["vision_worker.py", "captum"])];

/// The peers of a workload.
fn peers(work: &Workload) -> &'static [Library] {
    match work.kind {
        Kind::Spiking => SPIKING,
        Kind::Memory => READER,
        Kind::Events if work.name == EVENTS_BESIDE_CLOCKED => CLOCKED,
        Kind::Events => SPIKINGJELLY,
        Kind::Embed => EMBED,
        Kind::Language if work.name.starts_with("prefill-") => PREFILL,
        Kind::Language => LANGUAGE,
        Kind::Vision if work.name == JPEG_FOLDER => LOADING,
        Kind::Vision if work.name == ATTRIBUTION => CAPTUM,
        Kind::Vision if work.name.contains("-infer-") && !work.name.starts_with("vit-") => PICTURES,
        Kind::Vision => TUNING,
        Kind::Steps | Kind::Whole => TORCH,
    }
}

impl Library {
    fn start(&self, setting: &Setting<'_>) -> Result<Peer> {
        let command = match self.worker {
            [] => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["worker", "--peer"]);
                command
            }
            [RUST, arguments @ ..] => {
                let mut command = Command::new(vision::runtimes(setting.peers)?);
                command.args(arguments);
                command
            }
            [script, arguments @ ..] => {
                let mut command = Command::new(setting.python);
                command.arg(setting.peers.join(script)).args(arguments);
                command
            }
        };
        Peer::start(self.name, command)
    }
}

/// A worker that is being measured.
struct Runner {
    name: &'static str,
    version: String,
    worker: Peer,
    choice: Option<Choice>,
    goal: Option<f64>,
    times_us: Vec<f64>,
}

/// Measures one workload of steps. `file` was written by [`images`](crate::images), [`events`](crate::events),
/// [`sentences`](crate::sentences) or [`language::model`](crate::language::model), for workloads that need it.
///
/// # Errors
/// If a worker fails, or the networks differ in size.
pub(crate) fn steps(work: &Workload, setting: &Setting<'_>, file: Option<&Path>) -> Result<Row> {
    let libraries = peers(work);
    let request = json!({"work": work.name, "threads": setting.threads, "file": file});
    let ask = |cmd: &str, variant: Option<&str>| {
        let mut request = request.clone();
        request["cmd"] = cmd.into();
        request["variant"] = variant.into();
        request
    };
    let mut sides: Vec<Runner> = Vec::new();
    let mut parameters: Option<(&'static str, u64)> = None;
    let mut start = |name, mut worker: Peer, (choice, goal): (Option<Choice>, Option<f64>)| {
        let variant = choice.as_ref().map(|choice| choice.variant.as_str());
        let ready: Ready = worker.ask(&ask("setup", variant))?;
        let (other, expected) = *parameters.get_or_insert((name, ready.parameters));
        if ready.parameters != expected {
            bail!("the networks differ: {other} has {expected} parameters, {name} {}", ready.parameters);
        }
        sides.push(Runner { name, version: ready.version, worker, choice, goal, times_us: Vec::new() });
        Ok(())
    };
    if !setting.torch_only {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker");
        start("Gyrus", Peer::start("Gyrus", command)?, (None, None))?;
    }
    for library in libraries {
        if library.worker.first() == Some(&RUST)
            && let Err(error) = vision::runtimes(setting.peers)
        {
            eprintln!("{} is left out: {error:#}", library.name);
            continue;
        }
        // Trying variants takes memory, so a separate process does it.
        let choice: Choice = library.start(setting)?.ask(&ask("choose", None))?;
        start(library.name, library.start(setting)?, (Some(choice), library.goal))?;
    }

    let mut slowest_us = 1.0_f64;
    for side in &mut sides {
        // The first step may initialize what the others use.
        let slow = run_steps(&mut side.worker, 2)?[1] > SLOW_US;
        let (warm_up, trial) = match slow {
            true => (SLOW_WARM_UP_STEPS, 1),
            false => (WARM_UP_STEPS, TRIAL_STEPS),
        };
        run_steps(&mut side.worker, warm_up)?;
        let trial = median(&run_steps(&mut side.worker, trial)?);
        slowest_us = slowest_us.max(trial);
        std::thread::sleep(REST);
    }
    // Of the large networks' steps, which take about a second, one in a turn is enough.
    let least = if work.kind == Kind::Vision { 1 } else { 3 };
    let count = ((TURN_US / slowest_us) as usize).clamp(least, 2000);
    for _ in 0..setting.rounds {
        for side in &mut sides {
            side.times_us.extend(run_steps(&mut side.worker, count)?);
            std::thread::sleep(REST);
        }
    }

    let mut measured = Vec::new();
    for mut side in sides {
        let memory: Memory = side.worker.ask(&json!({"cmd": "memory"}))?;
        let Runner { name, version, times_us, choice, goal, .. } = side;
        let side = Side::new(name, version, &times_us, memory.peak_bytes, memory.import_bytes);
        measured.push(side.with_choice(choice).with_goal(goal));
    }
    let peers = measured.split_off(usize::from(!setting.torch_only));
    let row = Row::new(work, measured.pop(), peers);
    Ok(match parameters {
        Some((_, parameters)) => row.with_parameters(parameters),
        None => row,
    })
}

fn run_steps(worker: &mut Peer, count: usize) -> Result<Vec<f64>> {
    let steps: Steps = worker.ask(&json!({"cmd": "steps", "count": count}))?;
    if steps.times_us.len() != count {
        bail!("requested {count} steps, got {}", steps.times_us.len());
    }
    Ok(steps.times_us)
}
