//! Continuing a conversion that was stopped: what was asked for, how far it is, and the quantized network lie in its folder
//! until it is finished. The results are those of a conversion without an interruption.

use std::path::{Path, PathBuf};

use gyrus_nn::{from_safetensors, to_safetensors};
use gyrus_train::{RunFolder, RunStatus, Tick};
use serde::{Deserialize, Serialize};

use super::Spike;
use super::tuning::Tuning;
use crate::observer::{Observer, Stage};
use crate::verbs::quoted::quoted;
use crate::{Error, Result};

/// The files of a conversion that is not finished.
const REQUEST: &str = "conversion.json";
const QUANTIZED: &str = "quantized.safetensors";
/// Longest such files.
const MAX_REQUEST_BYTES: u64 = 256 << 20;
const MAX_QUANTIZED_BYTES: u64 = 16 << 30;

/// The parts of a conversion, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// Fine-tuning with quantized activations.
    #[default]
    Quantized,
    /// Fine-tuning through many steps.
    ManySteps,
    /// Fine-tuning through few steps.
    FewSteps,
    /// The spiking network is ready, and is being measured.
    Measuring,
}

/// What `conversion.json` holds.
#[derive(Serialize, Deserialize)]
struct Saved<Verb, Done> {
    verb: Verb,
    tuning: Done,
}

/// The command that continues a conversion.
pub(super) fn continued(folder: &Path) -> String {
    format!("gyrus spike --resume {}", quoted(folder))
}

/// Whether a folder holds a conversion that is not finished.
pub(crate) fn is_unfinished(folder: &Path) -> bool {
    folder.join(REQUEST).is_file()
        && RunFolder::header(folder).is_ok_and(|header| header.status != RunStatus::Finished)
}

/// Leaves what a continued conversion needs.
pub(super) fn save(folder: &RunFolder, verb: &Spike, tuning: &Tuning) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let all = |path: &Option<PathBuf>| path.as_deref().map(absolute);
    // It may be continued from another folder.
    let verb = &Spike {
        run: absolute(&verb.run),
        out: None,
        nir: all(&verb.nir),
        directory: all(&verb.directory),
        ..verb.clone()
    };
    if !tuning.quantized.is_empty() {
        folder.write_file(QUANTIZED, &to_safetensors(&tuning.quantized, &Default::default())?)?;
    }
    let text = serde_json::to_vec_pretty(&Saved { verb, tuning }).map_err(Error::failed)?;
    Ok(folder.write_file(REQUEST, &text)?)
}

/// What [`save`] left, and the folder.
pub(super) fn load(run: &Path) -> Result<(Spike, Tuning, RunFolder)> {
    if !is_unfinished(run) {
        // The errors of a folder that is no run at all come first.
        RunFolder::header(run)?;
        return Err(Error::Request(format!(
            "the run in {} is not a conversion that was stopped; expected the folder that a stopped gyrus spike named",
            quoted(run)
        )));
    }
    let (folder, _) = RunFolder::resume::<gyrus_train::RunRecord>(run)?;
    let bytes = folder.read_file(REQUEST, MAX_REQUEST_BYTES)?;
    let saved: Saved<Spike, Tuning> = serde_json::from_slice(&bytes).map_err(|error| {
        Error::Request(format!("{}: {error}; expected what gyrus spike wrote", run.join(REQUEST).display()))
    })?;
    let Saved { verb, mut tuning } = saved;
    if run.join(QUANTIZED).is_file() {
        tuning.quantized = from_safetensors(&folder.read_file(QUANTIZED, MAX_QUANTIZED_BYTES)?)?.0;
    }
    if tuning.part != Part::Measuring {
        // A part that was killed before its first checkpoint begins again.
        tuning.from_checkpoint = folder.read_checkpoint()?.is_some();
        if tuning.part == Part::FewSteps && !tuning.from_checkpoint {
            // What it began with is gone, and made again by the part before it.
            tuning.part = Part::ManySteps;
            (tuning.time_epochs, tuning.time_seconds) = (0, 0.0);
            tuning.rows.truncate(tuning.epochs as usize);
        }
    }
    if tuning.part != Part::Quantized && tuning.quantized.is_empty() {
        return Err(Error::Request(format!(
            "{} is missing; expected it beside {REQUEST}",
            run.join(QUANTIZED).display()
        )));
    }
    Ok((Spike { out: Some(run.to_owned()), ..verb }, tuning, folder))
}

/// Removes what a finished conversion does not need.
pub(super) fn forget(folder: &RunFolder) -> Result<()> {
    for name in [REQUEST, QUANTIZED] {
        let path = folder.path().join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Measures something that takes long, and that the observer may stop.
pub(super) fn watched<T>(
    observer: &mut dyn Observer,
    name: &str,
    (run, next): (&Path, &str),
    measure: impl FnOnce(&mut Tick<'_>) -> gyrus_train::Result<T>,
) -> Result<T> {
    let mut so_far = (0, 0);
    let measured = measure(&mut |done, total| {
        so_far = (done, total);
        observer.stage(&Stage { name, done, total });
        !observer.wants_to_stop()
    });
    match measured {
        Err(gyrus_train::Error::Stopped) => Err(Error::Interrupted {
            run: run.to_owned(),
            step: so_far.0,
            steps: so_far.1,
            part: " of a measurement",
            next: next.to_owned(),
        }),
        other => Ok(other?),
    }
}
