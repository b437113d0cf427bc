//! Measuring whole programs: `gyrus learn mnist --epochs 1` against `bench/peers/train_mnist_torch.py`, from process start
//! to exit, including loading, training, evaluation and writing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::measure::Setting;
use crate::memory;
use crate::report::{Row, Side};
use crate::workloads::Workload;

/// A run takes about a minute, long enough to average out the machine's noise.
const MOST_ROUNDS: u32 = 3;
/// How often the peak memory of a running program is read. Only a peak at the very end can be missed.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

struct Program {
    name: &'static str,
    command: Command,
    seconds: Vec<f64>,
    peak_bytes: u64,
    test_accuracy: Option<f64>,
}

/// Measures the training of one epoch of MNIST.
///
/// # Errors
/// If a program or the data is missing, or a program fails.
pub(crate) fn learn_mnist(
    work: &Workload,
    setting: &Setting<'_>,
    gyrus: Option<&Path>,
    data: Option<&Path>,
) -> Result<Row> {
    let data = data_directory(data)?;
    let threads = setting.threads.to_string();
    let mut programs = Vec::new();
    let runs = RunFolder::new()?;
    if !setting.torch_only {
        let mut command = Command::new(program(gyrus)?);
        command.args(["learn", "mnist", "--blueprint", "mnist-cnn", "--epochs", "1", "--json"]);
        command.args(["--batch-size", "64", "--optimizer", "adamw", "--threads", &threads]);
        command.arg("--data").arg(&data).arg("--out").arg(runs.0.join("run"));
        programs.push(Program::new("Gyrus", command));
    }
    let mut command = Command::new(setting.python);
    command.arg(setting.peers.join("train_mnist_torch.py")).arg(&data);
    command.args(["--threads", &threads]);
    programs.push(Program::new("PyTorch", command));

    for _ in 0..setting.rounds.min(MOST_ROUNDS) {
        for program in &mut programs {
            runs.empty()?;
            program.run()?;
        }
    }
    let mut sides: Vec<Side> = programs
        .into_iter()
        .map(|program| {
            let times_us: Vec<f64> = program.seconds.iter().map(|seconds| seconds * 1e6).collect();
            Side::new(program.name, String::new(), &times_us, program.peak_bytes, None)
                .with_test_accuracy(program.test_accuracy)
        })
        .collect();
    let peers = sides.split_off(sides.len() - 1);
    Ok(Row::new(work, sides.pop(), peers))
}

/// The program `gyrus`: `named`, or the one beside this program.
///
/// # Errors
/// If it does not exist.
pub(crate) fn program(named: Option<&Path>) -> Result<PathBuf> {
    let gyrus = match named {
        Some(gyrus) => gyrus.to_path_buf(),
        None => std::env::current_exe()?.with_file_name("gyrus"),
    };
    if !gyrus.is_file() {
        bail!("the program {} does not exist; build it or pass --gyrus", gyrus.display());
    }
    Ok(gyrus)
}

/// The folder of the MNIST files: `named`, or the default.
///
/// # Errors
/// If it does not exist.
pub(crate) fn data_directory(named: Option<&Path>) -> Result<PathBuf> {
    let default = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let shared =
            std::env::var_os("GYRUS_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
        shared.join("mnist")
    };
    let data = named.map_or_else(default, Path::to_path_buf);
    if !data.is_dir() {
        bail!("the MNIST folder {} does not exist; pass --data", data.display());
    }
    Ok(data)
}

/// A temporary folder for run folders, removed when dropped.
pub(crate) struct RunFolder(pub(crate) PathBuf);

impl RunFolder {
    /// Creates a new one.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(crate) fn new() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gyrus-bench-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Removes the previous run: an existing run folder might be refused or continued.
    fn empty(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.0)?;
        Ok(std::fs::create_dir(&self.0)?)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // The system cleans its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Program {
    fn new(name: &'static str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { name, command, seconds: Vec::new(), peak_bytes: 0, test_accuracy: None }
    }

    /// Runs the program once and records its time, memory and reported accuracy.
    fn run(&mut self) -> Result<()> {
        let command = &mut self.command;
        let start = Instant::now();
        let process = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let number = process.id().to_string();
        let ended = AtomicBool::new(false);
        let (output, peak_bytes) = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut peak_bytes = 0;
                while !ended.load(Ordering::Relaxed) {
                    // A process that has just ended has no size: keep the last reading.
                    peak_bytes = memory::peak_bytes(&number).unwrap_or(peak_bytes);
                    std::thread::sleep(MEMORY_INTERVAL);
                }
                peak_bytes
            });
            let output = process.wait_with_output();
            self.seconds.push(start.elapsed().as_secs_f64());
            ended.store(true, Ordering::Relaxed);
            (output, watch.join())
        });
        let output = output.with_context(|| format!("running {command:?}"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("{command:?} failed with {}: {}", output.status, message.trim());
        }
        self.peak_bytes = self.peak_bytes.max(peak_bytes.unwrap_or(0));
        self.test_accuracy = test_accuracy(&output.stdout).or(self.test_accuracy);
        Ok(())
    }
}

/// `test_accuracy` of the JSON object in the last line of a program's output.
fn test_accuracy(stdout: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(stdout).ok()?;
    let report: Value = serde_json::from_str(text.lines().last()?).ok()?;
    report["test_accuracy"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_timed_and_its_last_line_read() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0.2; echo hello; echo '{\"test_accuracy\": 0.5}'"]);
        let mut program = Program::new("test", command);
        program.run().unwrap();
        assert!(program.seconds[0] >= 0.2);
        assert!(program.peak_bytes > 0);
        assert_eq!(program.test_accuracy, Some(0.5));
    }

    #[test]
    fn a_failure_carries_what_the_program_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such file >&2; exit 2"]);
        let error = Program::new("test", command).run().unwrap_err();
        assert!(error.to_string().ends_with("no such file"), "{error}");
    }
}
