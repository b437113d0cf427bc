//! From a trained dense run to a spiking one, and what that costs and saves.

mod forms;
mod report;
mod tuning;

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_blueprint::Blueprint;
use gyrus_data::{Dataset, Examples, Preprocessing, Targets, Task, fill_batch};
use gyrus_nn::convert::{average_pooled_form, quantized_form};
use gyrus_nn::neurobench::{NeuroBenchMetrics, neurobench_metrics};
use gyrus_nn::workload::footprint;
use gyrus_nn::{Network, State, from_safetensors, to_safetensors};
use gyrus_report::Activity;
use gyrus_tensor::{cpu, filled_tensor, with_threads};
use gyrus_train::{
    Conversion, ExactRecord, Existing, OverTime, Results, RunFolder, RunRecord, Settings, accounts, activity,
    agreement, evaluate, evaluate_over_time, split_validation,
};

use self::forms::{Spiking, calibrated, spiking, time_epochs};
use self::tuning::Tuning;
use super::export_nir::{NirFile, check_folder, finished};
use super::learn::{reload, render};
use super::page_data;
use super::quoted::quoted;
use super::shapes_match::check_fit;
use crate::observer::{Note, Observer};
use crate::{Error, Result};

pub use report::{SpikeAccount, SpikeAgreement, SpikeReport};

/// Steps times examples of one pass that NeuroBench's metrics are counted over.
const NEUROBENCH_ROWS: usize = 1024;

/// Turns a trained dense run into a spiking one, and measures what that costs and saves.
///
/// The network is fine-tuned with quantized ReLUs, batch norms are folded, every activation becomes integrate-and-fire neurons,
/// and the spiking network is fine-tuned through time for the few steps that it will run for.
#[derive(Clone, Debug)]
pub struct Spike {
    /// A finished run folder of `learn`.
    pub run: PathBuf,
    /// The spiking run folder. Default: RUN-spiking.
    pub out: Option<PathBuf>,
    /// Levels of a quantized activation; a run that was trained with quantized activations keeps its own. Default:
    /// [`Spike::LEVELS`], or [`Spike::EXACT_LEVELS`] for the exact form.
    pub levels: Option<u32>,
    /// Epochs of fine-tuning with quantized activations; 0 for no fine-tuning. Default: a quarter of the run's, or half
    /// for the exact form.
    pub epochs: Option<u32>,
    /// Epochs of fine-tuning through time, a third of them over 8 steps, the others over 4; 0 for none. Default: a third
    /// of the run's; the exact form needs none.
    pub time_epochs: Option<u32>,
    /// Numbers of steps after which the network is evaluated; the spiking run takes the largest. If empty,
    /// [`Spike::STEPS`].
    pub steps: Vec<u32>,
    /// Signed spikes, whose answers equal those of the quantized network in every bit, after enough steps.
    pub exact: bool,
    /// Also write the spiking network as a NIR file; max pooling becomes average pooling, which NIR has.
    pub nir: Option<PathBuf>,
    /// Also count the metrics of NeuroBench 2.3 over the test examples.
    pub neurobench: bool,
    /// Random seed.
    pub seed: u64,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
    /// Folder with the data, if it is no longer where the run read it.
    pub directory: Option<PathBuf>,
    /// Replace the run that the spiking run folder already holds.
    pub overwrite: bool,
}

impl Spike {
    /// Default levels of a quantized activation.
    pub const LEVELS: u32 = 8;
    /// The same for the exact form: with fewer levels, signed spikes settle sooner.
    pub const EXACT_LEVELS: u32 = 4;
    /// Default numbers of steps after which the network is evaluated.
    pub const STEPS: [u32; 6] = [1, 2, 4, 8, 16, 32];

    /// Of this run, with defaults for everything else.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            out: None,
            levels: None,
            epochs: None,
            time_epochs: None,
            steps: Vec::new(),
            exact: false,
            nir: None,
            neurobench: false,
            seed: 0,
            threads: 0,
            directory: None,
            overwrite: false,
        }
    }

    /// Writes the spiking run to this folder.
    #[must_use]
    pub fn out(self, folder: impl Into<PathBuf>) -> Self {
        Self { out: Some(folder.into()), ..self }
    }

    /// Converts, fine-tunes and measures.
    ///
    /// # Errors
    /// If the run is not finished, spikes already, predicts a number or cannot be converted; if its data has changed; if the
    /// observer wants to stop, which leaves a run that [`Resume`](super::Resume) continues.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<SpikeReport> {
        with_threads(self.threads, || self.convert(observer))?
    }
}

/// A dense run, checked, with its data.
struct Dense {
    record: RunRecord,
    blueprint: Blueprint,
    state: State,
    dataset: Dataset,
    /// Where the data was read from.
    path: Option<PathBuf>,
}

impl Spike {
    fn convert(&self, observer: &mut dyn Observer) -> Result<SpikeReport> {
        let start = Instant::now();
        if let Some(file) = &self.nir {
            check_folder(file)?;
        }
        let dense = open(self)?;
        let levels =
            self.levels.unwrap_or(if self.exact { Self::EXACT_LEVELS } else { Self::LEVELS }) as usize;
        let mut blueprint = quantized_form(&dense.blueprint, levels)?;
        if self.nir.is_some() {
            let maxima = blueprint;
            blueprint = average_pooled_form(&maxima)?;
            if blueprint != maxima {
                observer
                    .note(&Note::Text("max pooling becomes average pooling, because NIR has no max pooling"));
            }
        }
        let mut quantized = calibrated(self, &dense, blueprint)?;
        // Whatever cannot be converted or exported is named before anything is written or trained.
        let preprocessing = &dense.dataset.preprocessing;
        let untrained = spiking(self, &dense, &quantized.folded()?)?;
        if self.nir.is_some() {
            NirFile::new((&untrained.blueprint, &untrained.state), &untrained.settings, preprocessing)?;
        }
        let folder = create(self)?;
        let mut tuning = Tuning::default();
        let start_tuning = (&quantized.blueprint, &mut quantized.state);
        tuning.quantized((self, &dense), start_tuning, (quantized.epochs, &folder), observer)?;
        let quantized = quantized.folded()?;
        let mut spiking = spiking(self, &dense, &quantized)?;
        let epochs = time_epochs(self, &dense);
        let converted = (&spiking.blueprint, &mut spiking.state);
        tuning.through_time((self, &dense), converted, &spiking.settings, (epochs, &folder), observer)?;
        let device = cpu();
        let network =
            Network::with_state(&spiking.blueprint, Some(&spiking.settings), &spiking.state, &device)?;

        let judging = Instant::now();
        let test = &dense.dataset.test;
        let over_time = evaluate_over_time(&network, test, preprocessing, None)?;
        let dense_network = Network::from_state(&dense.blueprint, &dense.state, &device)?;
        let dense_work = evaluate_over_time(&dense_network, test, preprocessing, None)?;
        let encoder = Some(&spiking.settings.encoder);
        let quantized_work = evaluate_over_time(&spiking.quantized, test, preprocessing, encoder)?;
        let exact = spiking.enough_steps.map(|enough_steps| ExactRecord {
            agreement: agreement(&spiking.quantized, &network, test, preprocessing),
            settled_after: over_time.settled_after(),
            enough_steps,
        });
        let last = |work: &OverTime| work.accuracy.last().copied().unwrap_or(0.0);
        let footprint = footprint(&quantized.blueprint, &quantized.state)?;
        let conversion = Conversion {
            from: self.run.to_string_lossy().into_owned(),
            levels: quantized.levels,
            fine_tuning_epochs: tuning.epochs,
            fine_tuning_seconds: tuning.seconds,
            through_time_epochs: tuning.time_epochs,
            through_time_seconds: tuning.time_seconds,
            dense_accuracy: last(&dense_work),
            quantized_accuracy: last(&quantized_work),
            after: accounts(&over_time, &dense_work, &quantized_work, footprint, &spiking.steps),
            exact,
        };

        let record = leave(&dense, tuning, &spiking, &network, conversion, &folder, (start, judging))?;
        let (mut nir, mut nir_warnings) = (None, None);
        if let Some(file) = &self.nir {
            let written =
                NirFile::new((&spiking.blueprint, &spiking.state), &spiking.settings, preprocessing)?;
            written.write(file)?;
            (nir, nir_warnings) = (Some(file.clone()), Some(written.warnings));
        }
        let neurobench = match self.neurobench {
            true => Some(measured(&network, test, preprocessing)?),
            false => None,
        };
        let neurons = over_time.neurons.iter().map(|work| work.neurons).sum();
        let sizes = (over_time.examples, neurons, spiking.settings.steps);
        let report = SpikeReport::new(self.run.clone(), record, &folder, sizes)?;
        Ok(SpikeReport { nir, nir_warnings, neurobench, ..report })
    }
}

/// NeuroBench's metrics over these examples.
fn measured(
    network: &Network,
    examples: &Examples,
    preprocessing: &Preprocessing,
) -> Result<NeuroBenchMetrics> {
    let steps = network.spiking().map_or(1, |settings| settings.steps);
    let indices: Vec<u32> = (0..examples.len() as u32).collect();
    let mut buffer = Vec::new();
    let batches = indices.chunks((NEUROBENCH_ROWS / steps).max(1)).map(|batch| {
        fill_batch(examples, preprocessing, batch, None, &mut buffer);
        filled_tensor(batch.len(), buffer.len() / batch.len(), |x| x.copy_from_slice(&buffer))
    });
    Ok(neurobench_metrics(network, batches)?)
}

/// Reads the dense run and its data, and refuses what cannot be converted.
fn open(verb: &Spike) -> Result<Dense> {
    let folder = RunFolder::open(&verb.run)?;
    let record: RunRecord = folder.read_record()?;
    let place = quoted(&verb.run);
    if record.settings.spiking.is_some() {
        return Err(Error::Request(format!(
            "the run in {place} spikes already; expected a dense run, as `gyrus learn` writes it without --spiking"
        )));
    }
    finished(&verb.run, &record)?;
    if let Task::Regression { target, .. } = &record.task {
        return Err(Error::Request(format!(
            "the run in {place} predicts a number, {target:?}; expected a run that classifies, whose accuracy can be \
             compared"
        )));
    }
    let blueprint = folder.read_blueprint()?;
    let file = folder.path().join("blueprint.toml").display().to_string();
    check_fit(&blueprint, &file, (&record.preprocessing, None), &record.task, "run.json")?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    // Whether the stored numbers are those of the blueprint.
    Network::from_state(&blueprint, &state, &cpu())?;
    let (dataset, path) = reload(&record, verb.directory.as_deref())?;
    if dataset.fingerprint != record.data.fingerprint {
        return Err(gyrus_train::Error::OtherData { run: verb.run.clone() }.into());
    }
    Ok(Dense { record, blueprint, state, dataset, path })
}

fn create(verb: &Spike) -> Result<RunFolder> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let run = absolute(&verb.run);
    let out = verb.out.clone().unwrap_or_else(|| {
        let mut name = run.file_name().unwrap_or_default().to_owned();
        name.push("-spiking");
        // As the caller wrote it, where that ends in a name.
        let beside = if verb.run.file_name().is_some() { &verb.run } else { &run };
        beside.with_file_name(name)
    });
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(&out, &run) {
        return Err(Error::Request(format!(
            "the spiking run would replace the dense one in {}; expected another folder for --out",
            out.display()
        )));
    }
    let existing = if verb.overwrite { Existing::Replace } else { Existing::Refuse };
    Ok(RunFolder::create(&out, existing)?)
}

/// Writes the spiking run in place of the fine-tuning.
fn leave(
    dense: &Dense,
    tuning: Tuning,
    spiking: &Spiking,
    network: &Network,
    conversion: Conversion,
    folder: &RunFolder,
    (start, judging): (Instant, Instant),
) -> Result<RunRecord> {
    let dataset = &dense.dataset;
    let (train, held_back) = split_validation(dataset);
    let settings = Settings {
        epochs: tuning.epochs + tuning.time_epochs,
        spiking: Some(spiking.settings.clone()),
        device: "cpu".into(),
        ..dense.record.settings.clone()
    };
    let mut record = RunRecord::new(dataset, dense.path.as_deref(), held_back.len(), settings);
    record.data.name.clone_from(&dense.record.data.name);
    record.data.test_path.clone_from(&dense.record.data.test_path);
    record.data.train_examples = train.len() as u64;
    let part = |examples| evaluate(network, examples, &dataset.preprocessing, &dataset.task);
    let test = part(&dataset.test);
    record.results = Some(Results {
        chosen_epoch: tuning.chosen_epoch,
        train: None,
        validation: Some(part(&dataset.train.subset(&held_back)).metrics),
        test: Some(test.metrics.clone()),
        baselines: dense.record.results.as_ref().map_or_else(Vec::new, |results| results.baselines.clone()),
        folds: Vec::new(),
    });
    record.conversion = Some(conversion);
    record.timings.train_seconds = tuning.seconds + tuning.time_seconds;
    record.timings.test_seconds = judging.elapsed().as_secs_f64();
    // From here on the folder is no run until all of it is there again.
    let folder = RunFolder::create(folder.path(), Existing::Replace)?;
    folder.write_record(&record)?;
    for row in &tuning.rows {
        folder.append_metrics(row)?;
    }
    folder.write_blueprint(&spiking.blueprint)?;
    folder.write_model(&to_safetensors(&spiking.state, &Default::default())?)?;
    let activity = example(dataset, network)?;
    folder.finish(&mut record, start.elapsed(), |record, rows| {
        render(dataset, &spiking.blueprint, record, rows, &test, activity)
    })?;
    Ok(record)
}

/// What the neurons do while they see the first test example.
fn example<'a>(dataset: &'a Dataset, network: &Network) -> Result<Option<Activity<'a>>> {
    let (Targets::Classes(classes), Task::Classification { classes: names }) =
        (&dataset.test.targets, &dataset.task)
    else {
        return Ok(None);
    };
    let Some(label) = classes.first().and_then(|class| names.get(*class as usize)) else { return Ok(None) };
    let mut input = Vec::new();
    fill_batch(&dataset.test, &dataset.preprocessing, &[0], None, &mut input);
    let layers = activity(network, &input)?.into_iter().map(page_data::layer).collect();
    Ok(Some(Activity { label, layers }))
}
