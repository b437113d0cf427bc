//! A spiking network as a NIR file, for other tools and chips.

use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, NirTarget, portable, with_standardization, write_nir};
use gyrus_data::Preprocessing;
use gyrus_files::write_atomically;
use gyrus_nn::convert::folded_form;
use gyrus_nn::{Encoder, Network, SpikingSettings, State, from_safetensors};
use gyrus_tensor::{cpu, with_threads};
use gyrus_train::{RunFolder, RunRecord, RunStatus};
use serde::Serialize;

use super::quoted::quoted;
use super::serialized;
use crate::{Error, Result};

/// Writes a spiking run as a NIR file.
#[derive(Clone, Debug)]
pub struct ExportNir {
    /// A finished run folder whose network spikes.
    pub run: PathBuf,
    /// The file to write; it is replaced where it exists.
    pub nir: PathBuf,
    /// The program that shall read it.
    pub target: NirTarget,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExportNirReport {
    /// The run folder.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub nir: PathBuf,
    /// Where other programs would compute something else, one sentence each.
    pub nir_warnings: Vec<String>,
}

impl ExportNir {
    /// Of this run, to this file.
    pub fn new(run: impl Into<PathBuf>, nir: impl Into<PathBuf>) -> Self {
        Self { run: run.into(), nir: nir.into(), target: NirTarget::Any, threads: 0 }
    }

    /// Whether the network of the run spikes. A dense one is first turned into a spiking one: see
    /// [`Spike`](super::Spike).
    ///
    /// # Errors
    /// If the folder holds no run.
    pub fn is_spiking(&self) -> Result<bool> {
        Ok(RunFolder::open(&self.run)?.read_record::<RunRecord>()?.settings.spiking.is_some())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If the run is dense or not finished, or a node has no form in NIR, which is then named.
    pub fn run(&self) -> Result<ExportNirReport> {
        check_folder(&self.nir)?;
        with_threads(self.threads, || self.export())?
    }

    fn export(&self) -> Result<ExportNirReport> {
        let folder = RunFolder::open(&self.run)?;
        let record: RunRecord = folder.read_record()?;
        let Some(settings) = &record.settings.spiking else {
            return Err(Error::Request(format!(
                "the run in {} is dense; expected a spiking run, as `gyrus spike` writes it",
                quoted(&self.run)
            )));
        };
        finished(&self.run, &record)?;
        let blueprint = folder.read_blueprint()?;
        let (state, _) = from_safetensors(&folder.read_model()?)?;
        // Whether the stored numbers are those of the blueprint.
        Network::with_state(&blueprint, Some(settings), &state, &cpu())?;
        let nir = NirFile::new((&blueprint, &state), settings, &record.preprocessing, self.target)?;
        nir.write(&self.nir)?;
        Ok(ExportNirReport { run: self.run.clone(), nir: self.nir.clone(), nir_warnings: nir.warnings })
    }
}

/// Refuses a file whose folder does not exist, before anything takes long.
pub(super) fn check_folder(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        Some(folder) => Err(Error::Request(format!(
            "{} is not a folder; expected one for the NIR file {}",
            folder.display(),
            file.display()
        ))),
        None => Ok(()),
    }
}

/// Refuses a run that is not finished.
pub(super) fn finished(run: &Path, record: &RunRecord) -> Result<()> {
    let place = quoted(run);
    match record.status {
        RunStatus::Finished => Ok(()),
        status => Err(Error::Request(format!(
            "the run in {place} is not finished ({}); finish it with: gyrus learn --resume {place}",
            status.name()
        ))),
    }
}

/// One sentence for all nodes of which the same is said, as in "`a`, `b`: ...".
fn together(warnings: Vec<String>) -> Vec<String> {
    let mut groups: Vec<(String, String)> = Vec::new();
    for warning in warnings {
        let (names, text) = warning.split_once(": ").unwrap_or(("", &warning));
        match groups.iter_mut().find(|(_, known)| known == text && !names.is_empty()) {
            Some((known, _)) => known.push_str(&format!(", {names}")),
            None => groups.push((names.to_owned(), text.to_owned())),
        }
    }
    let joined = groups.into_iter().map(|(names, text)| match names.is_empty() {
        true => text,
        false => format!("{names}: {text}"),
    });
    joined.collect()
}

/// A NIR file, ready to be written.
pub(crate) struct NirFile {
    bytes: Vec<u8>,
    /// Where other programs would compute something else, one sentence each.
    pub(crate) warnings: Vec<String>,
}

impl NirFile {
    /// The network as a file, without batch norms, in the form that `target` reads. If it takes pixels as currents, their standardization becomes a part of it, so that the file
    /// takes pixels from 0 to 1.
    ///
    /// # Errors
    /// If a node has no form in NIR, which is then named.
    pub(crate) fn new(
        (blueprint, state): (&Blueprint, &State),
        settings: &SpikingSettings,
        preprocessing: &Preprocessing,
        target: NirTarget,
    ) -> Result<Self> {
        let (blueprint, state) = folded_form(blueprint, state)?;
        let (blueprint, state) = match (preprocessing, &settings.encoder) {
            (Preprocessing::Image { mean, deviation, .. }, Encoder::Direct) => {
                with_standardization(&blueprint, &state, mean, deviation)?
            }
            _ => (blueprint, state),
        };
        let form = portable(&blueprint, &state, settings.time, target)?;
        let (bytes, written) = write_nir(&form.blueprint, &form.parameters, form.time)?;
        let mut warnings = together(form.warnings);
        // What is written for one program has its time step, and needs no word on the others.
        let own = |warning: &String| {
            let timed =
                ["NIR stores no time step", "integrated exactly here", "r is written as the gain of a step"]
                    .iter()
                    .any(|text| warning.contains(text));
            let reset = warning.contains("reset by subtraction");
            match target {
                NirTarget::Any => true,
                NirTarget::Sinabs => !timed && !reset,
                _ => !timed,
            }
        };
        warnings.extend(written.into_iter().filter(own));
        if let Preprocessing::Table { .. } = preprocessing {
            warnings.push(
                "the network takes columns standardized as in run.json, which the file cannot express".into(),
            );
        }
        Ok(Self { bytes, warnings })
    }

    /// Writes it, new or replaced as a whole.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.bytes).map_err(Error::io("write", path))
    }
}
