//! A spiking network as a NIR file, for other tools and chips.

use std::path::Path;

use gyrus_blueprint::{Blueprint, with_standardisation, write_nir};
use gyrus_data::Preprocessing;
use gyrus_nn::{Encoder, SpikingSettings, State};
use gyrus_train::{TrainError, write_atomically};

use crate::failure::Failure;

/// A NIR file, ready to be written.
pub(crate) struct NirFile {
    bytes: Vec<u8>,
    /// In which ways others would compute something else, one sentence each.
    pub(crate) warnings: Vec<String>,
}

impl NirFile {
    /// The network as a file. Where it takes pixels as currents, their standardisation becomes a part of it, so that the file
    /// takes pixels from 0 to 1.
    ///
    /// # Errors
    /// If a node has no form in NIR, which is then named.
    pub(crate) fn new(
        (blueprint, state): (&Blueprint, &State),
        settings: &SpikingSettings,
        preprocessing: &Preprocessing,
    ) -> Result<Self, Failure> {
        let (bytes, mut warnings) = match (preprocessing, &settings.encoder) {
            (Preprocessing::Image { mean, deviation, .. }, Encoder::Direct) => {
                let (blueprint, state) = with_standardisation(blueprint, state, mean, deviation)?;
                write_nir(&blueprint, &state, settings.time)?
            }
            _ => write_nir(blueprint, state, settings.time)?,
        };
        if let Preprocessing::Table { .. } = preprocessing {
            warnings.push(
                "the network takes columns as run.json standardises them, which the file cannot say".into(),
            );
        }
        Ok(Self { bytes, warnings })
    }

    /// Writes it, new or replaced as a whole.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        write_atomically(path, &self.bytes)
            .map_err(|source| TrainError::Io { action: "write", path: path.to_owned(), source }.into())
    }
}
