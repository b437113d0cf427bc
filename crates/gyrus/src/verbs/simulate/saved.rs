//! A run that was stopped: its recording and the state of its circuit in one file, and what was asked for.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use gyrus_files::{fill_atomically, read_bounded};
use gyrus_simulate::{Circuit, Recording, Simulation};
use serde::{Deserialize, Serialize};

use super::files::RECORD;
use super::{RecordFormat, Simulate};
use crate::{Error, Result};

/// Recording and state.
const CHECKPOINT: &str = "checkpoint";
/// More than any record takes.
const MOST: u64 = 1 << 26;

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Name of a built-in circuit, or the absolute path of a file.
    pub circuit: String,
    /// As in [`Simulate`], and so on.
    pub scale: f64,
    /// Simulated time in all.
    pub seconds: Option<f64>,
    /// The seed.
    pub seed: u64,
    /// The name of the format.
    pub format: String,
    /// The limit; none for any rate.
    pub max_rate_hz: Option<f64>,
}

impl Request {
    pub(super) fn of(verb: &Simulate) -> Self {
        let path = match verb.circuit.exists() {
            true => std::path::absolute(&verb.circuit).unwrap_or_else(|_| verb.circuit.clone()),
            false => verb.circuit.clone(),
        };
        Self {
            circuit: path.to_string_lossy().into_owned(),
            scale: verb.scale,
            seconds: verb.seconds,
            seed: verb.seed,
            format: verb.format.name().to_owned(),
            max_rate_hz: verb.max_rate_hz.is_finite().then_some(verb.max_rate_hz),
        }
    }
}

/// The verb that continues the run in a folder.
pub(super) fn verb(run: &Path) -> Result<Simulate> {
    #[derive(Deserialize)]
    struct Record {
        request: Request,
    }
    let path = run.join(RECORD);
    if !run.join(CHECKPOINT).is_file() {
        let why = if path.is_file() { "it is finished" } else { "it holds no simulation" };
        return Err(Error::request(format!("{} cannot be resumed: {why}", run.display())));
    }
    let record: Record = serde_json::from_slice(&read_bounded(&path, MOST)?)
        .map_err(|error| Error::request(format!("{} is damaged: {error}", path.display())))?;
    let Request { circuit, scale, seconds, seed, format, max_rate_hz } = record.request;
    let format = RecordFormat::ALL.into_iter().find(|own| own.name() == format).unwrap_or_default();
    let max_rate_hz = max_rate_hz.unwrap_or(f64::INFINITY);
    let out = Some(PathBuf::from(run));
    let verb = Simulate { scale, seconds, seed, format, max_rate_hz, out, ..Simulate::new(circuit) };
    Ok(Simulate { overwrite: true, resume: true, ..verb })
}

/// Writes recording and state.
pub(super) fn write(out: &Path, simulation: &mut Simulation, recording: &Recording) -> Result<()> {
    fs::create_dir_all(out).map_err(Error::io("create", out))?;
    let path = out.join(CHECKPOINT);
    let mut failure = None;
    let fill = |file: &mut File| {
        let mut to = BufWriter::new(file);
        let saved = recording.save(&mut to).and_then(|()| simulation.save(&mut to));
        failure = saved.err();
        to.flush()
    };
    fill_atomically(&path, fill).map_err(Error::io("write", &path))?;
    match failure {
        Some(error) => {
            let _ = fs::remove_file(&path);
            Err(error.into())
        }
        None => Ok(()),
    }
}

/// Reads recording and state.
pub(super) fn load(out: &Path, circuit: &Circuit) -> Result<(gyrus_simulate::Result<Simulation>, Recording)> {
    let path = out.join(CHECKPOINT);
    let mut from = BufReader::new(File::open(&path).map_err(Error::io("read", &path))?);
    let recording = Recording::load(&mut from)?;
    Ok((Simulation::resume(circuit, &mut from), recording))
}

/// Removes the state of a run that is finished.
pub(super) fn remove(out: &Path) {
    let _ = fs::remove_file(out.join(CHECKPOINT));
}
