//! From a trained dense run to a spiking one, and what that costs and saves.

mod forms;
mod report;
mod resume;
mod tuning;

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_blueprint::{Blueprint, NirTarget};
use gyrus_data::{Dataset, Examples, Preprocessing, Task, fill_batch};
use gyrus_nn::convert::{average_pooled_form, quantized_form};
use gyrus_nn::neurobench::{NeuroBenchMetrics, neurobench_metrics};
use gyrus_nn::workload::footprint;
use gyrus_nn::{Network, SpikingSettings, State, from_safetensors, to_safetensors};
use gyrus_report::SpikingReport;
use gyrus_tensor::{cpu, filled_tensor, with_threads};
use gyrus_train::{
    Conversion, Evaluation, ExactRecord, Existing, OverTime, Results, RunFolder, RunRecord, Settings, Tick,
    accounts, agreement, evaluate_over_time, evaluate_watched, split_validation,
};
use serde::{Deserialize, Serialize};

use self::forms::{Spiking, calibrated, spiking, time_epochs};
use self::resume::{Part, continued, forget, load, save, watched};
use self::tuning::Tuning;
use super::export_nir::{NirFile, check_folder, finished};
use super::learn::{Seen, example, reload, render};
use super::page_data;
use super::quoted::quoted;
use super::shapes_match::check_fit;
use crate::observer::{Note, Observer};
use crate::{Error, Result};

pub(crate) use resume::is_unfinished;

pub use report::{SpikeAccount, SpikeAgreement, SpikeReport};

/// Steps times examples of one pass that NeuroBench's metrics are counted over.
const NEUROBENCH_ROWS: usize = 1024;

/// Examples by which the number of steps is chosen, at least, where the data set has as many.
const JUDGES: usize = 1000;

/// Turns a trained dense run into a spiking one, and measures what that costs and saves.
///
/// The network is fine-tuned with quantized ReLUs, batch norms are folded, every activation becomes integrate-and-fire neurons,
/// and the spiking network is fine-tuned through time for the few steps that it will run for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spike {
    /// A finished run folder of `learn`.
    pub run: PathBuf,
    /// The spiking run folder. Default: RUN-spiking; RUN-exact for the exact form, RUN-nir with a NIR file.
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
    /// Numbers of steps after which the network is evaluated; the spiking run takes the one that is best on the validation
    /// part (filled up with training examples where it is small). If empty, [`Spike::STEPS`].
    pub steps: Vec<u32>,
    /// Signed spikes, whose answers equal those of the quantized network in every bit, after enough steps.
    pub exact: bool,
    /// Also write the spiking network as a NIR file; max pooling becomes average pooling, which NIR has.
    pub nir: Option<PathBuf>,
    /// The program that shall read it.
    #[serde(default)]
    pub nir_for: NirTarget,
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
            nir_for: NirTarget::Any,
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
    /// observer wants to stop: [`Spike::resume`] goes on from there.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<SpikeReport> {
        let going = Going { tuning: Tuning::default(), folder: None, start: Instant::now() };
        with_threads(self.threads, || self.convert(going, observer))?
    }

    /// Continues a conversion that was stopped, in the folder that its error named, with the settings that it began with.
    ///
    /// # Errors
    /// If the folder holds no such conversion; those of [`Spike::run`].
    pub fn resume(run: &Path, threads: usize, observer: &mut dyn Observer) -> Result<SpikeReport> {
        let (verb, mut tuning, folder) = load(run)?;
        tuning.ready = tuning.part == Part::Measuring;
        let going = Going { tuning, folder: Some(folder), start: Instant::now() };
        with_threads(threads, || verb.convert(going, observer))?
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

/// A conversion that is being made, or continued.
struct Going {
    tuning: Tuning,
    /// The folder of a conversion that is continued.
    folder: Option<RunFolder>,
    start: Instant,
}

impl Spike {
    fn convert(&self, going: Going, observer: &mut dyn Observer) -> Result<SpikeReport> {
        let Going { mut tuning, folder, start } = going;
        if let Some(file) = &self.nir {
            check_folder(file)?;
        }
        // Until there is something to continue, a stopped conversion is begun again.
        let again = format!("gyrus spike {}", quoted(&self.run));
        let dense = watched(observer, "reading the data", (&self.run, &again), |tick| {
            let dense = open(self);
            if tick(0, 1) { Ok(dense) } else { Err(gyrus_train::Error::Stopped) }
        })??;
        let dataset = &dense.dataset;
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
        let mut quantized = if tuning.quantized.is_empty() {
            watched(observer, "finding thresholds", (&self.run, &again), |tick| {
                calibrated(self, &dense, blueprint, tick)
            })?
        } else {
            forms::quantized(self, &dense, blueprint, tuning.quantized.clone())
        };
        // Whatever cannot be converted or exported is named before anything is written or trained.
        let preprocessing = &dataset.preprocessing;
        let untrained = spiking(self, &dense, &quantized.folded()?)?;
        if self.nir.is_some() {
            NirFile::new(
                (&untrained.blueprint, &untrained.state),
                &untrained.settings,
                preprocessing,
                self.nir_for,
            )?;
        }
        let folder = folder.map_or_else(|| create(self), Ok)?;
        let start_tuning = (&quantized.blueprint, &mut quantized.state);
        tuning.quantized((self, &dense), start_tuning, (quantized.epochs, &folder), observer)?;
        let quantized = quantized.folded()?;
        let mut spiking = spiking(self, &dense, &quantized)?;
        let epochs = time_epochs(self, &dense);
        let converted = (&spiking.blueprint, &mut spiking.state);
        tuning.through_time((self, &dense), converted, &spiking.settings, (epochs, &folder), observer)?;
        if tuning.ready {
            spiking.state = from_safetensors(&folder.read_model()?)?.0;
        } else {
            settle(self, &dense, &mut tuning, &spiking, &folder)?;
        }
        measure(self, &dense, tuning, spiking, &quantized, (&folder, start), observer)
    }
}

/// Leaves the spiking network as a run that is not measured yet.
fn settle(
    verb: &Spike,
    dense: &Dense,
    tuning: &mut Tuning,
    spiking: &Spiking,
    folder: &RunFolder,
) -> Result<()> {
    tuning.part = Part::Measuring;
    let folder = RunFolder::create(folder.path(), Existing::Replace)?;
    folder.write_record(&record_of(dense, tuning, &spiking.settings))?;
    for row in &tuning.rows {
        folder.append_metrics(row)?;
    }
    folder.write_blueprint(&spiking.blueprint)?;
    folder.write_model(&to_safetensors(&spiking.state, &Default::default())?)?;
    save(&folder, verb, tuning)
}

/// The record of the spiking run, without its results.
fn record_of(dense: &Dense, tuning: &Tuning, settings: &SpikingSettings) -> RunRecord {
    let dataset = &dense.dataset;
    let (train, held_back) = split_validation(dataset);
    let settings = Settings {
        epochs: tuning.epochs + tuning.time_epochs,
        spiking: Some(settings.clone()),
        device: "cpu".into(),
        ..dense.record.settings.clone()
    };
    let mut record = RunRecord::new(dataset, dense.path.as_deref(), held_back.len(), settings);
    record.data.name.clone_from(&dense.record.data.name);
    record.data.test_path.clone_from(&dense.record.data.test_path);
    record.data.train_examples = train.len() as u64;
    record.timings.train_seconds = tuning.seconds + tuning.time_seconds;
    record
}

/// Measures what the spiking network costs and saves, and finishes its run.
fn measure(
    verb: &Spike,
    dense: &Dense,
    tuning: Tuning,
    mut spiking: Spiking,
    quantized: &forms::Quantized,
    (folder, start): (&RunFolder, Instant),
    observer: &mut dyn Observer,
) -> Result<SpikeReport> {
    let judging = Instant::now();
    let next = continued(folder.path());
    let stopped = (folder.path(), next.as_str());
    let dataset = &dense.dataset;
    let (test, preprocessing) = (&dataset.test, &dataset.preprocessing);
    let held_back = dataset.train.subset(&split_validation(dataset).1);
    let device = cpu();
    let longest = Network::with_state(&spiking.blueprint, Some(&spiking.settings), &spiking.state, &device)?;
    if spiking.enough_steps.is_none() && spiking.steps.len() > 1 {
        let judges = judges(dataset);
        let chosen = watched(observer, "choosing the number of steps", stopped, |tick| {
            evaluate_over_time(&longest, &judges, preprocessing, None, tick)
        })?;
        spiking.settings.steps = best_steps(&spiking.steps, &chosen.accuracy);
    }
    let over_time = watched(observer, "measuring the spiking network", stopped, |tick| {
        evaluate_over_time(&longest, test, preprocessing, None, tick)
    })?;
    let dense_network = Network::from_state(&dense.blueprint, &dense.state, &device)?;
    let dense_work = watched(observer, "measuring the dense network", stopped, |tick| {
        evaluate_over_time(&dense_network, test, preprocessing, None, tick)
    })?;
    let encoder = Some(&spiking.settings.encoder);
    let quantized_work = watched(observer, "measuring the quantized network", stopped, |tick| {
        evaluate_over_time(&spiking.quantized, test, preprocessing, encoder, tick)
    })?;
    let exact = match spiking.enough_steps {
        Some(enough_steps) => Some(ExactRecord {
            agreement: watched(observer, "comparing answers", stopped, |tick| {
                agreement(&spiking.quantized, &longest, test, preprocessing, tick)
            })?,
            settled_after: over_time.settled_after(),
            enough_steps,
        }),
        None => None,
    };
    let last = |work: &OverTime| work.accuracy.last().copied().unwrap_or(0.0);
    let footprint = footprint(&quantized.blueprint, &quantized.state)?;
    let conversion = Conversion {
        from: verb.run.to_string_lossy().into_owned(),
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
    let network = Network::with_state(&spiking.blueprint, Some(&spiking.settings), &spiking.state, &device)?;
    let mut part = |name: &str, examples: &Examples| {
        watched(observer, name, stopped, |tick| {
            evaluate_watched(&network, examples, preprocessing, &dataset.task, tick)
        })
    };
    let judged = (part("testing", test)?, part("validating", &held_back)?);
    let neurobench = match verb.neurobench {
        true => Some(watched(observer, "counting for NeuroBench", stopped, |tick| {
            measured(&network, test, preprocessing, tick)
        })?),
        false => None,
    };
    let work = page_data::spiking(&spiking.blueprint, &spiking.settings, &over_time, footprint.bytes);
    let judged = (judged.0, judged.1, work);
    let record = leave(dense, tuning, &spiking, &network, conversion, judged, folder, (start, judging))?;
    let (mut nir, mut nir_warnings) = (None, None);
    if let Some(file) = &verb.nir {
        let network = (&spiking.blueprint, &spiking.state);
        let written = NirFile::new(network, &spiking.settings, preprocessing, verb.nir_for)?;
        written.write(file)?;
        (nir, nir_warnings) = (Some(file.clone()), Some(written.warnings));
    }
    let neurons = over_time.neurons.iter().map(|work| work.neurons).sum();
    let sizes = (over_time.examples, neurons, spiking.settings.steps);
    let report = SpikeReport::new(verb.run.clone(), record, folder, sizes)?;
    Ok(SpikeReport { nir, nir_warnings, neurobench, ..report })
}

/// The examples that choose the number of steps: the validation part, as for the epoch, since the test part must not choose
/// anything. Where it is small, training examples fill it up: among steps of the same weights they judge as well.
fn judges(dataset: &Dataset) -> Examples {
    let (train, mut chosen) = split_validation(dataset);
    let missing = JUDGES.saturating_sub(chosen.len()).min(train.len());
    chosen.extend((0..missing).map(|place| train[place * train.len() / missing]));
    dataset.train.subset(&chosen)
}

/// Of these numbers of steps, ascending, the first with the highest accuracy.
fn best_steps(steps: &[usize], accuracy: &[f64]) -> usize {
    let of = |steps: &usize| accuracy.get(steps.saturating_sub(1)).copied().unwrap_or(0.0);
    let best = steps.iter().fold(None::<&usize>, |best, steps| match best {
        Some(best) if of(steps) <= of(best) => Some(best),
        _ => Some(steps),
    });
    best.copied().unwrap_or(1)
}

/// NeuroBench's metrics over these examples.
fn measured(
    network: &Network,
    examples: &Examples,
    preprocessing: &Preprocessing,
    tick: &mut Tick<'_>,
) -> gyrus_train::Result<NeuroBenchMetrics> {
    let steps = network.spiking().map_or(1, |settings| settings.steps);
    let indices: Vec<u32> = (0..examples.len() as u32).collect();
    let mut buffer = Vec::new();
    let (mut done, mut stopped) = (0, false);
    let batches = indices.chunks((NEUROBENCH_ROWS / steps).max(1)).map_while(|batch| {
        stopped = !tick(done, examples.len() as u64);
        done += batch.len() as u64;
        if stopped {
            return None;
        }
        fill_batch(examples, preprocessing, batch, None, &mut buffer);
        Some(filled_tensor(batch.len(), buffer.len() / batch.len(), |x| x.copy_from_slice(&buffer)))
    });
    let metrics = neurobench_metrics(network, batches)?;
    if stopped { Err(gyrus_train::Error::Stopped) } else { Ok(metrics) }
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
        // Each form has its own folder, so that one does not stand in the way of another.
        name.push(match (verb.exact, &verb.nir) {
            (true, _) => "-exact",
            (false, Some(_)) => "-nir",
            (false, None) => "-spiking",
        });
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

/// Finishes the spiking run, with its results on the test and the validation part.
#[allow(clippy::too_many_arguments)] // All that a run consists of.
fn leave(
    dense: &Dense,
    tuning: Tuning,
    spiking: &Spiking,
    network: &Network,
    conversion: Conversion,
    (test, validation, work): (Evaluation, Evaluation, SpikingReport),
    folder: &RunFolder,
    (start, judging): (Instant, Instant),
) -> Result<RunRecord> {
    let dataset = &dense.dataset;
    let mut record = record_of(dense, &tuning, &spiking.settings);
    record.results = Some(Results {
        chosen_epoch: tuning.chosen_epoch,
        train: None,
        validation: Some(validation.metrics),
        test: Some(test.metrics.clone()),
        baselines: dense.record.results.as_ref().map_or_else(Vec::new, |results| results.baselines.clone()),
        folds: Vec::new(),
    });
    record.conversion = Some(conversion);
    record.timings.test_seconds = judging.elapsed().as_secs_f64();
    let activity = example(dataset, network)?;
    folder.finish(&mut record, start.elapsed(), |record, rows| {
        render(dataset, &spiking.blueprint, record, rows, &test, Seen { activity, work: Some(work) })
    })?;
    forget(folder)?;
    Ok(record)
}
