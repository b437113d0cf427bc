//! Why the program ends without having done its work, and with which exit code.

use std::fmt;
use std::io;
use std::time::Duration;

use gyrus::Fault;
use serde_json::{Value, json};

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// From the library.
    Verb(Box<gyrus::Error>),
    /// What was given on the command line or on standard input cannot be used.
    Input(String),
    /// Some of what was given cannot be used, which the report on standard output says as well.
    Partly(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// 2 for the caller's mistake, 1 for a failure, 130 for a run that Ctrl-C stopped with everything saved.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Verb(error) => match error.fault() {
                Fault::Caller => 2,
                Fault::Failure => 1,
                Fault::Interruption => 130,
            },
            Self::Input(_) | Self::Partly(_) => 2,
            Self::Output(_) => 1,
        }
    }
}

impl Failure {
    /// What a program needs to continue interrupted work.
    pub(crate) fn rest(&self) -> Option<Value> {
        match self {
            Self::Verb(error) => match &**error {
                gyrus::Error::Interrupted { run, step, steps, next, .. } => Some(
                    json!({"run": run.display().to_string(), "step": step, "steps": steps, "next": next}),
                ),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What the work took: time, and memory where the system tells it.
pub(crate) fn cost(elapsed: Duration) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    let memory = peak.map_or(String::new(), |kib: u64| format!(", {} MiB of memory at most", kib / 1024));
    format!("took {}{memory}", gyrus::report::duration(elapsed.as_secs_f64()))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verb(error) => error.fmt(f),
            Self::Input(text) | Self::Partly(text) => f.write_str(text),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl<E: Into<gyrus::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Verb(Box::new(error.into()))
    }
}
