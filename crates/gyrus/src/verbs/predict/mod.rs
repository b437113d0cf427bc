//! What a run, or the network of a NIR file, answers for new images, table rows or recordings.

mod csv;
mod events;
mod nir;
mod run;

use std::path::{Path, PathBuf};

use gyrus_blueprint::Discretization;
use gyrus_data::Preprocessing;
use gyrus_data::image_files::InputImage;
use gyrus_nn::Readout;
use gyrus_tensor::with_threads;
use serde::Serialize;

use super::inspect::is_nir;
use super::{pretrained, serialized};
use crate::{Error, Result};

pub use events::EventWork;
pub use nir::{NirOptions, Recorded, RecordedSignal};

/// Classifies images, table rows or event recordings with a trained network.
#[derive(Clone, Debug)]
pub struct Predict {
    /// A run folder of `learn` or `spike`, a NIR file (.nir), or a vision network of another program: a model file
    /// (.safetensors, .pth, .onnx) or a folder with one.
    pub network: PathBuf,
    /// Images (PNG, JPEG, WebP, BMP, GIF, TIFF) and folders of them, CSV tables with the columns that the run learned from, or
    /// event recordings; for a NIR network also currents or spikes of each step, as CSV or `.npy`.
    pub inputs: Vec<PathBuf>,
    /// The names of the classes of another program's network, one a line or as a JSON array, where it does not know them.
    pub classes: Option<PathBuf>,
    /// What a NIR file does not specify; not for runs.
    pub nir: NirOptions,
    /// For a NIR network: write its output at each step, or what [`NirOptions::record`] names, to this `.csv` or `.npy` file.
    pub out: Option<PathBuf>,
    /// The body that runs a spiking network.
    pub body: Body,
    /// `cpu`, or a device that the build has.
    pub device: String,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// The bodies of a spiking network. Their spikes are the same, bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// All neurons at every step. A dense network has this one pass only.
    #[default]
    Clocked,
    /// Event by event: work only where spikes occur, and it is counted. On the CPU.
    Events,
}

impl Body {
    /// Every body.
    pub const ALL: [Self; 2] = [Self::Clocked, Self::Events];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clocked => "clocked",
            Self::Events => "events",
        }
    }
}

/// The answers.
#[derive(Clone, Debug, Serialize)]
pub struct PredictReport {
    /// The network that answers.
    #[serde(flatten)]
    pub network: PredictingNetwork,
    /// For each file, and each row of it, in their order.
    pub predictions: Vec<Prediction>,
    /// The files that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedFile>,
    /// Ambiguities of a NIR file, and what is wrong with a run.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// A file that could not be used.
#[derive(Clone, Debug, Serialize)]
pub struct FailedFile {
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub file: PathBuf,
    /// Why, in one sentence.
    pub reason: String,
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
    /// That of another program.
    Model {
        /// The file or folder.
        #[serde(serialize_with = "serialized::path")]
        model: PathBuf,
        /// The family of networks.
        family: &'static str,
    },
    /// That of a NIR file.
    Nir {
        /// The file.
        #[serde(serialize_with = "serialized::path")]
        network: PathBuf,
        /// Time steps per image.
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
    /// The line of a table's row in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// How the file was changed to resemble those that the network learned from, and cells that could not be used; only with
    /// the first answer of a file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The network's answer.
    #[serde(flatten)]
    pub answer: Answer,
    /// The work that it took, if the body counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<EventWork>,
}

/// The answer of a network.
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
    /// Default device.
    pub const DEVICE: &str = "cpu";

    /// With this run folder or NIR file, on all cores.
    pub fn new(network: impl Into<PathBuf>) -> Self {
        Self {
            network: network.into(),
            inputs: Vec::new(),
            classes: None,
            nir: NirOptions::default(),
            out: None,
            body: Body::default(),
            device: Self::DEVICE.to_owned(),
            threads: 0,
        }
    }

    /// Adds an input file, or a folder of images.
    #[must_use]
    pub fn input(mut self, file: impl Into<PathBuf>) -> Self {
        self.inputs.push(file.into());
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    /// Classifies all inputs. Of several, those that cannot be used are listed in [`PredictReport::failed`].
    ///
    /// # Errors
    /// If the network cannot be read, or if no input can be used: then the error of the first.
    pub fn run(&self) -> Result<PredictReport> {
        with_threads(self.threads, || {
            let predictor = self.open()?;
            let (mut predictions, mut failed, mut first) = (Vec::new(), Vec::new(), None);
            for file in predictor.files(&self.inputs)? {
                match predictor.predict(&file) {
                    Ok(answers) => predictions.extend(answers),
                    Err(error) => {
                        failed.push(FailedFile { file, reason: error.to_string() });
                        first.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = first.filter(|_| predictions.is_empty()) {
                return Err(error);
            }
            predictor.write_recorded()?;
            let warnings = predictor.warnings().to_vec();
            Ok(PredictReport { network: predictor.network(), predictions, failed, warnings })
        })?
    }

    /// Opens the network, to classify one file after another. It runs on the caller's thread pool: see
    /// [`crate::tensor::with_threads`].
    ///
    /// # Errors
    /// If the network cannot be read.
    pub fn open(&self) -> Result<Predictor> {
        let foreign = pretrained::is_foreign(&self.network);
        if self.classes.is_some() && !foreign {
            return Err(Error::Request(format!(
                "--classes is for networks of other programs, and {} knows its classes",
                self.network.display()
            )));
        }
        if is_nir(&self.network) {
            return Ok(Predictor(Kind::Nir(Box::new(nir::NirPredictor::open(self)?))));
        }
        if let Some(option) = self.nir.given() {
            return Err(Error::Request(format!(
                "{option} is for NIR files, but {} is a run folder, whose own settings apply",
                self.network.display()
            )));
        }
        let run = match foreign {
            true => run::RunPredictor::open_model(self, &self.network)?,
            false => run::RunPredictor::open(self)?,
        };
        Ok(Predictor(Kind::Run(Box::new(run))))
    }
}

/// A network that is open.
pub struct Predictor(Kind);

enum Kind {
    Run(Box<run::RunPredictor>),
    Nir(Box<nir::NirPredictor>),
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

    /// Ambiguities of a NIR file.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match &self.0 {
            Kind::Run(run) => run.warnings(),
            Kind::Nir(nir) => nir.warnings(),
        }
    }

    /// These files, and the images in these folders and their sub-folders, sorted.
    ///
    /// # Errors
    /// A folder that cannot be listed or holds no image.
    pub fn files(&self, inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for input in inputs {
            if !input.is_dir() {
                files.push(input.clone());
                continue;
            }
            let within = gyrus_data::images_within(input)?;
            if within.is_empty() {
                return Err(Error::Request(format!(
                    "{} is a folder without images; expected a file, or a folder of images",
                    input.display()
                )));
            }
            files.extend(within);
        }
        Ok(files)
    }

    /// What the network sees of an image; `None` where it takes something else.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn input_image(&self, file: &Path) -> Result<Option<InputImage>> {
        match &self.0 {
            Kind::Run(run) => input_image(run.preprocessing(), file),
            Kind::Nir(_) => Ok(None),
        }
    }

    /// The answers for a file: one for an image, one for each row of a table or recording in a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what the network takes.
    pub fn predict(&self, file: &Path) -> Result<Vec<Prediction>> {
        match &self.0 {
            Kind::Run(run) => run.predict(file),
            Kind::Nir(nir) => nir.predict(file),
        }
    }

    /// Writes the signals of the files that were predicted so far to [`Predict::out`]; returns the files, none if nothing was
    /// to be recorded.
    ///
    /// # Errors
    /// If inputs of different lengths are to be one `.npy` array, or the operating system refuses.
    pub fn write_recorded(&self) -> Result<Vec<PathBuf>> {
        match &self.0 {
            Kind::Run(_) => Ok(Vec::new()),
            Kind::Nir(nir) => nir.write_recorded(),
        }
    }
}

fn input_image(preprocessing: &Preprocessing, file: &Path) -> Result<Option<InputImage>> {
    let Preprocessing::Image { height, width, channels, .. } = *preprocessing else { return Ok(None) };
    let pixels = preprocessing.see_file(file)?.pixels;
    Ok(Some(InputImage { pixels, height, width, channels }))
}

/// Indices by descending value; of equal values the first comes first.
#[must_use]
pub fn ranking(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order
}
