//! A network learns from examples: from data to a run folder.

mod defaults;
mod folds;
mod page;
mod report;
mod source;
mod spiking;
mod transfer;

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_blueprint::{Blueprint, preset, preset_names};
use gyrus_data::{Augment, Dataset, Preprocessing};
use gyrus_nn::{SpikingSettings, spiking_form};
use gyrus_tensor::{device, with_threads};
use gyrus_train::{
    Begin, Existing, Learned, Outcome, RunFolder, RunRecord, Settings, check, learn, outputs,
    split_validation,
};

use super::learn_language::LearnLanguage;
use super::pretrained;
use super::quoted::quoted;
use super::shapes_match::{check_fit, input_shape};
use super::watch::Watched;
use crate::observer::{Note, Observer, Plan};
use crate::{Error, Result};
use defaults::Defaults;
use source::{Source, note_twins};
use transfer::{Going, check_pictures};

pub use report::{BaselineReport, FoldsReport, LearnReport, PartReport};
pub use spiking::SpikingOptions;
pub use transfer::Freeze;

pub(crate) use page::{Seen, example, render};
pub(crate) use source::{reload, standard_images};

/// Trains a network on examples and writes a run folder.
///
/// Settings that are `None` are chosen by the data.
#[derive(Clone, Debug)]
pub struct Learn {
    /// `digits` (built in), `mnist`, `fashion-mnist`, `cifar10`, a folder with one sub-folder of images per class, or a CSV
    /// table; with `spiking` also a folder of event-camera recordings, or an .h5 file of SHD or SSC.
    pub data: String,
    /// Folder with the standard files of `mnist`, `fashion-mnist` or `cifar10`; without it they are downloaded from the hub.
    pub directory: Option<PathBuf>,
    /// Column of a table to predict.
    pub target: Option<String>,
    /// Another table, on whose rows the result is measured; without, a fifth of the table's own rows.
    pub test: Option<PathBuf>,
    /// Of a table: cross-validation with so many folds before the training.
    pub folds: Option<usize>,
    /// Side in pixels to which images of a folder are scaled, or longer side of event frames.
    pub image_size: Option<usize>,
    /// The network.
    pub architecture: Option<Architecture>,
    /// A trained network of images to go on from: a run folder, a model file or folder of another program, or a name on the
    /// Hugging Face hub.
    pub from: Option<PathBuf>,
    /// What of it stays as it is.
    pub freeze: Freeze,
    /// Of a network with attention: learn low-rank adapters of this rank (LoRA) and the last layer, and leave the rest as it is.
    pub lora: Option<usize>,
    /// Passes over the training examples.
    pub epochs: Option<u32>,
    /// Examples per step.
    pub batch_size: Option<usize>,
    /// Peak learning rate of the schedule.
    pub learning_rate: Option<f64>,
    /// Optimizer: adamw | sgd.
    pub optimizer: Option<String>,
    /// Learning rate over the steps: one-cycle | cosine | wsd | constant.
    pub schedule: Option<String>,
    /// Augmentation of images: none | light | digits | strong | photos.
    pub augment: Option<String>,
    /// Decoupled weight decay.
    pub weight_decay: Option<f64>,
    /// Label smoothing: share of the target that is spread over all classes.
    pub label_smoothing: Option<f64>,
    /// Random seed.
    pub seed: u64,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
    /// `cpu`, or a device that the build has.
    pub device: String,
    /// Train a spiking network, through time.
    pub spiking: Option<SpikingOptions>,
    /// The run folder. Default: runs/DATA, or runs/DATA-spiking.
    pub out: Option<PathBuf>,
    /// Replace the run that the folder already holds.
    pub overwrite: bool,
}

/// The network that learns.
#[derive(Clone, Debug)]
pub enum Architecture {
    /// A built-in blueprint, or a TOML file.
    Named(String),
    /// A blueprint.
    Blueprint(Blueprint),
}

impl From<&str> for Architecture {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl From<String> for Architecture {
    fn from(name: String) -> Self {
        Self::Named(name)
    }
}

impl From<Blueprint> for Architecture {
    fn from(blueprint: Blueprint) -> Self {
        Self::Blueprint(blueprint)
    }
}

/// A run that is about to train.
struct Prepared {
    dataset: Dataset,
    blueprint: Blueprint,
    record: RunRecord,
    folder: RunFolder,
    /// The data sets of a cross-validation.
    folds: Vec<(Dataset, Blueprint)>,
}

impl Learn {
    /// Default device.
    pub const DEVICE: &str = "cpu";

    /// From this data, with defaults for everything else.
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            directory: None,
            target: None,
            test: None,
            folds: None,
            image_size: None,
            architecture: None,
            from: None,
            freeze: Freeze::Nothing,
            lora: None,
            epochs: None,
            batch_size: None,
            learning_rate: None,
            optimizer: None,
            schedule: None,
            augment: None,
            weight_decay: None,
            label_smoothing: None,
            seed: 0,
            threads: 0,
            device: Self::DEVICE.to_owned(),
            spiking: None,
            out: None,
            overwrite: false,
        }
    }

    /// Writes the run to this folder.
    #[must_use]
    pub fn out(self, folder: impl Into<PathBuf>) -> Self {
        Self { out: Some(folder.into()), ..self }
    }

    /// With this network: a built-in blueprint's name, a TOML file or a [`Blueprint`].
    #[must_use]
    pub fn architecture(self, architecture: impl Into<Architecture>) -> Self {
        Self { architecture: Some(architecture.into()), ..self }
    }

    /// This many passes over the training examples.
    #[must_use]
    pub fn epochs(self, epochs: u32) -> Self {
        Self { epochs: Some(epochs), ..self }
    }

    /// Trains, and measures the result on the test examples.
    ///
    /// # Errors
    /// If the data, the network and the settings do not fit together; if the folder already holds a run; if training diverges;
    /// if the observer wants to stop, which leaves a run that [`crate::Resume`] continues.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<LearnReport> {
        device(&self.device)?;
        if LearnLanguage::takes(&self.data) {
            return Err(Error::Request(format!(
                "{} is a corpus of text: train a language model on it with `LearnLanguage`",
                self.data
            )));
        }
        with_threads(self.threads, || {
            let start = Instant::now();
            self.prepare()?.train(Begin::Fresh, start, observer)
        })?
    }

    /// Reads the data and sets up the run.
    fn prepare(&self) -> Result<Prepared> {
        let source = Source {
            name: &self.data,
            directory: self.directory.as_deref(),
            target: self.target.as_deref(),
            test: self.test.as_deref(),
            image_size: self.image_size,
            seen: None,
        };
        source.check()?;
        transfer::check(self)?;
        let model = self.from.as_deref().map(|from| pretrained::open(from, None)).transpose()?;
        let frames = |steps| self.spiking.as_ref().map(|own| own.events(steps, self.image_size)).transpose();
        let seen = model.as_ref().map(|model| &model.preprocessing);
        let (mut dataset, path) = Source { seen, ..source }.load(&frames)?;
        self.check_kind(&dataset)?;
        note_twins(&mut dataset);
        // The run may be resumed from elsewhere.
        let path = path.map(|path| std::path::absolute(&path).unwrap_or(path));
        let going = match (&self.from, &model) {
            (Some(from), Some(model)) => {
                check_pictures(&dataset)?;
                Some(Going::new(
                    from,
                    model,
                    &dataset,
                    (&self.freeze, self.lora, self.seed, &device(&self.device)?),
                )?)
            }
            _ => None,
        };
        let usual = going.as_ref().map(|going| going.defaults.clone());
        let defaults = usual.unwrap_or_else(|| Defaults::for_dataset(&dataset));
        let spiking = self.spiking.as_ref().map(|own| own.settings(&dataset.preprocessing)).transpose()?;
        let blueprint = match &going {
            Some(going) => going.blueprint.clone(),
            None => self.blueprint(&dataset, defaults.blueprint, spiking.as_ref())?,
        };
        let or = |given: &Option<String>, usual: &str| {
            given.as_ref().map_or_else(|| usual.to_owned(), |given| given.to_lowercase())
        };
        let settings = Settings {
            augment: self.augmentation(&dataset.preprocessing, defaults.augment)?,
            seed: self.seed,
            epochs: self.epochs.unwrap_or(defaults.epochs),
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            optimizer: or(&self.optimizer, defaults.optimizer),
            schedule: or(&self.schedule, defaults.schedule),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            label_smoothing: self.label_smoothing.unwrap_or(defaults.label_smoothing),
            threads: self.threads,
            device: self.device.clone(),
            spiking,
        };
        check(&blueprint, &settings)?;
        let validation = split_validation(&dataset).1.len();
        let mut record = RunRecord::new(&dataset, path.as_deref(), validation, settings);
        record.data.name = source::canonical(&self.data).unwrap_or(&self.data).to_owned();
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        record.data.test_path = self.test.as_ref().map(|path| absolute(path).to_string_lossy().into_owned());
        let folds = self.folds(path.as_deref(), defaults.blueprint, record.settings.spiking.as_ref())?;
        let out = self.out.clone().unwrap_or_else(|| {
            let kind = if record.settings.spiking.is_some() { "-spiking" } else { "" };
            Path::new("runs").join(format!("{}{kind}", dataset.name))
        });
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        let folder = RunFolder::create(&out, existing)?;
        record.transfer = going.as_ref().map(|going| going.transfer.clone());
        folder.write_record(&record)?;
        folder.write_blueprint(&blueprint)?;
        if let Some(going) = &going {
            going.write(&folder)?;
        }
        Ok(Prepared { dataset, blueprint, record, folder, folds })
    }

    /// Refuses options that this kind of data does not have.
    fn check_kind(&self, dataset: &Dataset) -> Result<()> {
        let (kind, is_table) = match dataset.preprocessing {
            Preprocessing::Table { .. } => ("a table", true),
            Preprocessing::Image { .. } => ("a data set of images", false),
            Preprocessing::Events { .. } => ("a data set of event recordings", false),
        };
        let named = source::canonical(&self.data).is_some();
        let given = [
            ("--target", self.target.is_some() && !is_table, "tables"),
            ("--test", self.test.is_some() && !is_table, "tables"),
            ("--folds", self.folds.is_some() && !is_table, "tables"),
            (
                "--image-size",
                self.image_size.is_some() && (is_table || named),
                "folders of images or recordings",
            ),
        ];
        match given.iter().find(|(_, wrong, _)| *wrong) {
            Some((option, _, right)) => Err(Error::Request(format!(
                "{option} is for {right}, and {} is {}",
                self.data,
                if named { "a data set of images of one size" } else { kind }
            ))),
            None => Ok(()),
        }
    }

    /// The data sets of a cross-validation, with a network for each.
    fn folds(
        &self,
        path: Option<&Path>,
        usual: &str,
        spiking: Option<&SpikingSettings>,
    ) -> Result<Vec<(Dataset, Blueprint)>> {
        let (Some(folds), Some(path), Some(target)) = (self.folds, path, &self.target) else {
            return Ok(Vec::new());
        };
        let folds = gyrus_data::table_folds(path, target, folds)?;
        folds
            .into_iter()
            .map(|fold| {
                let blueprint = self.blueprint(&fold, usual, spiking)?;
                Ok((fold, blueprint))
            })
            .collect()
    }

    /// The network for this data.
    fn blueprint(
        &self,
        dataset: &Dataset,
        usual: &str,
        spiking: Option<&SpikingSettings>,
    ) -> Result<Blueprint> {
        let fits = |blueprint: Blueprint, place: &str| -> Result<Blueprint> {
            check_fit(&blueprint, place, (&dataset.preprocessing, spiking), &dataset.task, &dataset.name)?;
            Ok(blueprint)
        };
        let named = |name: &str| -> Result<Blueprint> {
            let shape = input_shape(&dataset.preprocessing, spiking)?;
            Ok(preset(name, shape, outputs(dataset))?)
        };
        let blueprint = match &self.architecture {
            Some(Architecture::Named(file)) if !preset_names().contains(&file.as_str()) => {
                if !Path::new(file).exists() {
                    return Err(Error::Request(format!(
                        "unknown blueprint `{file}`; expected a TOML file or one of {}",
                        preset_names().join(", ")
                    )));
                }
                fits(Blueprint::load(file)?, file)?
            }
            Some(Architecture::Named(name)) => named(name)?,
            Some(Architecture::Blueprint(blueprint)) => fits(blueprint.clone(), &blueprint.name)?,
            None => named(usual)?,
        };
        match (&self.spiking, spiking) {
            (Some(options), Some(settings)) => {
                Ok(spiking_form(&blueprint, options.tau_ms, options.reset()?, settings)?)
            }
            _ => Ok(blueprint),
        }
    }

    fn augmentation(&self, preprocessing: &Preprocessing, usual: &str) -> Result<Augment> {
        let augment: Augment =
            self.augment.as_deref().unwrap_or(usual).to_lowercase().parse().map_err(Error::request)?;
        match preprocessing {
            Preprocessing::Image { height, width, .. } => Ok(augment.scaled_to(*height.min(width))),
            Preprocessing::Table { .. } => Ok(augment),
            Preprocessing::Events { .. } if augment == Augment::default() => Ok(augment),
            Preprocessing::Events { .. } => {
                Err(Error::request("event recordings cannot be augmented; use --augment none"))
            }
        }
    }
}

/// Continues a run from its checkpoint, with the data that it began with.
pub(super) fn resume(
    run: &Path,
    directory: Option<&Path>,
    (threads, epochs): (usize, Option<u32>),
    observer: &mut dyn Observer,
) -> Result<LearnReport> {
    with_threads(threads, || {
        let start = Instant::now();
        let (folder, mut record) = RunFolder::reopen::<RunRecord>(run, epochs.is_some())?;
        if let Some(epochs) = epochs {
            beyond(&mut record, epochs, run, observer)?;
        }
        let (dataset, _) = reload(&record, directory)?;
        let blueprint = folder.read_blueprint()?;
        let file = folder.path().join("blueprint.toml").display().to_string();
        let shown = (&dataset.preprocessing, record.settings.spiking.as_ref());
        check_fit(&blueprint, &file, shown, &dataset.task, &dataset.name)?;
        check(&blueprint, &record.settings)?;
        let folds = Vec::new();
        Prepared { dataset, blueprint, record, folder, folds }.train(Begin::Checkpoint, start, observer)
    })?
}

/// Sets the new end of a run, and says what its schedule makes of it.
fn beyond(record: &mut RunRecord, epochs: u32, run: &Path, observer: &mut dyn Observer) -> Result<()> {
    let before = record.settings.epochs;
    if epochs <= before {
        return Err(Error::Request(format!(
            "the run in {} has {before} epochs; --epochs is the new number of all of them, and must be larger",
            quoted(run)
        )));
    }
    record.settings.epochs = epochs;
    record.folds =
        record.results.as_mut().map_or_else(Vec::new, |results| std::mem::take(&mut results.folds));
    let text = match record.settings.schedule.as_str() {
        "constant" => {
            format!("the learning rate is constant: the answer is that of one run of {epochs} epochs")
        }
        schedule => format!(
            "the {schedule} schedule was made for {before} epochs; from here on the learning rate is that of a run of \
             {epochs} epochs, so that the answer differs from that of one run"
        ),
    };
    observer.note(&Note::Text(&text));
    Ok(())
}

impl Prepared {
    fn train(self, begin: Begin<'_>, start: Instant, observer: &mut dyn Observer) -> Result<LearnReport> {
        let Self { dataset, blueprint, mut record, folder, folds } = self;
        if record.timings.data_seconds == 0.0 {
            record.timings.data_seconds = start.elapsed().as_secs_f64();
        }
        announce(&dataset, &blueprint, &record, observer)?;
        let device = device(&record.settings.device)?;
        if !folds.is_empty() {
            record.folds = folds::cross_validate(&folds, &record, &folder, &device, observer)?;
        }
        let outcome = match record.transfer.clone() {
            None => {
                learn(&dataset, &blueprint, record, &folder, &device, begin, &mut Watched::network(observer))
                    .map_err(Error::from)
            }
            Some(transfer) => {
                let resumed = (&device, matches!(begin, Begin::Checkpoint));
                transfer::train((&dataset, &blueprint), &transfer, record, &folder, resumed, observer)
            }
        };
        observer.trained();
        match outcome? {
            Outcome::Interrupted { step, steps } => {
                Err(Error::interrupted("gyrus learn", folder.path(), (step, steps)))
            }
            Outcome::Finished(Learned { test, mut record }) => {
                let seen = page::seen(&dataset, &blueprint, &record, &folder, observer)?;
                folder.finish(&mut record, start.elapsed(), |record, rows| {
                    render(&dataset, &blueprint, record, rows, &test, seen)
                })?;
                folder.remove_pretrained()?;
                LearnReport::new(record, &folder, &blueprint)
            }
        }
    }
}

/// Reports skipped files, notes on the data, and the plan.
fn announce(
    dataset: &Dataset,
    blueprint: &Blueprint,
    record: &RunRecord,
    observer: &mut dyn Observer,
) -> Result<()> {
    dataset.skipped.iter().for_each(|file| observer.note(&Note::Skipped(file)));
    if !dataset.skipped.is_empty() {
        let events = matches!(dataset.preprocessing, Preprocessing::Events { .. });
        let what = if events { "files" } else { "images" };
        observer.note(&Note::SkippedFiles { count: dataset.skipped.len(), what });
    }
    dataset.notes.iter().for_each(|text| observer.note(&Note::Text(text)));
    observer.plan(&Plan::Examples {
        data: dataset.name.clone(),
        train: record.data.train_examples,
        validation: record.data.validation_examples,
        test: record.data.test_examples,
        blueprint: blueprint.name.clone(),
        parameters: match &record.transfer {
            Some(transfer) => transfer.trained_parameters,
            None => blueprint.shapes()?.trainable_parameters(),
        },
    });
    Ok(())
}
