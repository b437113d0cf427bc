//! What a run, or the network of a NIR file, answers for new pictures, table rows or recordings.

mod nir;
mod run;

use std::path::{Path, PathBuf};

use gyrus_blueprint::Discretization;
use gyrus_nn::Readout;
use gyrus_tensor::with_threads;
use serde::Serialize;

use super::inspect::is_nir;
use super::serialized;
use crate::{Error, Result};

pub use nir::NirOptions;

/// Asks a trained network about pictures, table rows or recordings of events.
#[derive(Clone, Debug)]
pub struct Predict {
    /// A run folder of `learn` or `spike`, or a NIR file (.nir).
    pub network: PathBuf,
    /// Pictures (PNG, JPEG, WebP), CSV tables with the columns that the run learned from, or recordings of events.
    pub inputs: Vec<PathBuf>,
    /// What a NIR file leaves open; a run knows it.
    pub nir: NirOptions,
    /// `cpu`, or a device that the build has.
    pub device: String,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// The answers.
#[derive(Clone, Debug, Serialize)]
pub struct PredictReport {
    /// Who answers.
    #[serde(flatten)]
    pub network: PredictingNetwork,
    /// For each file, and each row of it, in their order.
    pub predictions: Vec<Prediction>,
    /// Where a NIR file leaves open what it means.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// The network that answers.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum PredictingNetwork {
    /// That of a run.
    Run {
        /// The run folder.
        #[serde(serialize_with = "serialized::path")]
        run: PathBuf,
    },
    /// That of a NIR file.
    Nir {
        /// The file.
        #[serde(serialize_with = "serialized::path")]
        network: PathBuf,
        /// Steps for which a picture is shown.
        steps: usize,
        /// How time is cut into steps.
        time: Discretization,
        /// What the outputs are.
        readout: Readout,
    },
}

/// The answer for an example.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub file: PathBuf,
    /// The row or recording in it, from 1, for files that may hold several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// What the network answers.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What a network answers.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Answer {
    /// A class.
    Class {
        /// The most probable.
        class: String,
        /// Its probability.
        probability: f32,
        /// Of all classes, by name.
        #[serde(serialize_with = "serialized::map")]
        probabilities: Vec<(String, f32)>,
    },
    /// A number.
    Value {
        /// What the number is: the column that the run learned to predict.
        target: String,
        /// In the column's unit.
        value: f32,
    },
    /// The outputs of a NIR network, whose classes have no names.
    Outputs {
        /// The index of the largest.
        class: Option<usize>,
        /// Spikes, or mean potentials.
        outputs: Vec<f32>,
    },
}

impl Predict {
    /// The device where nothing else is said.
    pub const DEVICE: &str = "cpu";

    /// Of this run folder or NIR file, on all cores.
    pub fn new(network: impl Into<PathBuf>) -> Self {
        Self {
            network: network.into(),
            inputs: Vec::new(),
            nir: NirOptions::default(),
            device: Self::DEVICE.to_owned(),
            threads: 0,
        }
    }

    /// A file to ask about.
    #[must_use]
    pub fn input(mut self, file: impl Into<PathBuf>) -> Self {
        self.inputs.push(file.into());
        self
    }

    /// Asks about all inputs.
    ///
    /// # Errors
    /// If the network or an input cannot be read, or they do not belong together.
    pub fn run(&self) -> Result<PredictReport> {
        with_threads(self.threads, || {
            let predictor = self.open()?;
            let mut predictions = Vec::new();
            for file in &self.inputs {
                predictions.extend(predictor.predict(file)?);
            }
            let warnings = predictor.warnings().to_vec();
            Ok(PredictReport { network: predictor.network(), predictions, warnings })
        })?
    }

    /// Opens the network, to ask about one file after the other. It runs on the thread pool of the caller: see
    /// [`crate::tensor::with_threads`].
    ///
    /// # Errors
    /// If the network cannot be read.
    pub fn open(&self) -> Result<Predictor> {
        if is_nir(&self.network) {
            return Ok(Predictor(Kind::Nir(nir::NirPredictor::open(self)?)));
        }
        if let Some(option) = self.nir.given() {
            return Err(Error::Request(format!(
                "{option} is for NIR files; a run's own settings say how it lives in time, and {} is a folder",
                self.network.display()
            )));
        }
        Ok(Predictor(Kind::Run(Box::new(run::RunPredictor::open(self)?))))
    }
}

/// A network that is open.
pub struct Predictor(Kind);

enum Kind {
    Run(Box<run::RunPredictor>),
    Nir(nir::NirPredictor),
}

impl Predictor {
    /// The network.
    #[must_use]
    pub fn network(&self) -> PredictingNetwork {
        match &self.0 {
            Kind::Run(run) => run.network(),
            Kind::Nir(nir) => nir.network(),
        }
    }

    /// Where a NIR file leaves open what it means.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match &self.0 {
            Kind::Run(_) => &[],
            Kind::Nir(nir) => nir.warnings(),
        }
    }

    /// The answers for a file: one for a picture, one for each row of a table or recording of a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what the network takes.
    pub fn predict(&self, file: &Path) -> Result<Vec<Prediction>> {
        match &self.0 {
            Kind::Run(run) => run.predict(file),
            Kind::Nir(nir) => Ok(vec![nir.predict(file)?]),
        }
    }
}

/// Indices by falling value; of equal ones the first wins.
#[must_use]
pub fn ranking(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order
}
