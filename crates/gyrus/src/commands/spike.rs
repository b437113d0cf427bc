//! `gyrus spike`: from a trained dense run to a spiking one, and what that costs and saves.

mod summary;
mod tuning;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use gyrus_blueprint::{Blueprint, Node, NodeKind};
use gyrus_data::{Dataset, Examples, Preprocessing, Targets, Task, fill_batch};
use gyrus_nn::convert::{
    average_pooled_form, exact_form, folded_form, integrate_and_fire_form, quantized_form,
};
use gyrus_nn::neurobench::{NeuroBenchMetrics, neurobench_metrics};
use gyrus_nn::workload::footprint;
use gyrus_nn::{Network, SpikingSettings, State, from_safetensors, to_safetensors};
use gyrus_report::Activity;
use gyrus_tensor::{cpu, filled_tensor, with_threads};
use gyrus_train::{
    Conversion, ExactRecord, Existing, OverTime, Results, RunFolder, RunRecord, RunStatus, Settings,
    TrainError, accounts, activity, agreement, calibrate, evaluate, evaluate_over_time, split_validation,
};
use serde_json::json;

use self::summary::Summary;
use self::tuning::Tuning;
use super::export_nir::NirFile;
use super::fit::check_fit;
use super::learn::{quoted, reload, threads};
use super::{page_data, report};
use crate::failure::Failure;
use crate::say::{note, say};

/// Levels of a quantised activation where nothing else is said. Signed spikes settle the sooner the fewer there are.
const LEVELS: u32 = 8;
const EXACT_LEVELS: u32 = 4;
/// Steps times examples of one pass that NeuroBench's metrics are counted over.
const NEUROBENCH_ROWS: usize = 1024;

/// Turn a trained dense run into a spiking one, and say what that costs and saves.
///
/// ReLUs are fine-tuned as quantised ones, batch norms folded, every activation becomes integrate-and-fire neurons, and the
/// spiking network is fine-tuned through time for the few steps that it is to be run for.
/// The energies are computed for 45 nm silicon, in three accountings: operations only; with memory traffic; and beside the
/// same network with activations quantised to as many bits as the spikes can say.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A finished run folder that `gyrus learn` has left; with --nir also one that spikes already
    run: PathBuf,
    /// The spiking run folder [default: RUN-spiking]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Levels of a quantised activation; a run that was trained with quantised activations keeps its own [default: 8, with --exact 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    levels: Option<u32>,
    /// Epochs of fine-tuning with quantised activations; 0 for no fine-tuning [default: a quarter of those of the run, with
    /// --exact half]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    epochs: Option<u32>,
    /// Epochs of fine-tuning through time, a third of them over 8 steps, the others over 4; 0 for none [default: a third of
    /// those of the run]
    #[arg(long, conflicts_with = "exact", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    time_epochs: Option<u32>,
    /// Numbers of steps to judge after; the spiking run takes the largest [default: 1 2 4 8 16 32]
    #[arg(long, value_name = "T", num_args = 1.., conflicts_with = "exact",
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    steps: Vec<u32>,
    /// Signed spikes, whose answers equal those of the quantised network in every bit, after enough steps
    #[arg(long)]
    exact: bool,
    /// Also write the spiking network as a NIR file; maxima become averages, which NIR can say
    #[arg(long, value_name = "FILE.nir", conflicts_with = "exact")]
    nir: Option<PathBuf>,
    /// Also print the metrics of NeuroBench 2.3 over the test examples
    #[arg(long, conflicts_with = "exact")]
    neurobench: bool,
    /// Where all random numbers come from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; 0 for one a core. The result does not depend on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Folder with the data, if it is no longer where the run read it
    #[arg(long = "data", value_name = "DIR", id = "data_directory")]
    directory: Option<PathBuf>,
    /// Replace a run that is in the spiking run folder already
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
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

/// A network with quantised activations.
struct Quantized {
    blueprint: Blueprint,
    state: State,
    levels: usize,
    /// Epochs to train it for.
    epochs: u32,
}

/// The spiking network, and the dense one whose answers it approaches.
struct Spiking {
    blueprint: Blueprint,
    state: State,
    settings: SpikingSettings,
    /// Numbers of steps to judge after.
    steps: Vec<usize>,
    quantized: Network,
    /// Steps that are enough for any input, for the exact form.
    enough_steps: Option<usize>,
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let start = Instant::now();
    if let Some(file) = &arguments.nir {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(Failure::Caller(format!(
                "{} is not a folder; expected one for the NIR file {}",
                folder.display(),
                file.display()
            )));
        }
        if export_spiking(arguments, file)? {
            return Ok(());
        }
    }
    let dense = open(arguments)?;
    let levels = arguments.levels.unwrap_or(if arguments.exact { EXACT_LEVELS } else { LEVELS }) as usize;
    let mut blueprint = quantized_form(&dense.blueprint, levels)?;
    if arguments.nir.is_some() {
        let maxima = blueprint;
        blueprint = average_pooled_form(&maxima)?;
        if blueprint != maxima {
            note("note: maxima become averages, because NIR has none");
        }
    }
    let mut quantized = calibrated(arguments, &dense, blueprint)?;
    // Whatever cannot be converted or exported is named before anything is written or trained.
    let preprocessing = &dense.dataset.preprocessing;
    let untrained = spiking(arguments, &dense, &quantized.folded()?)?;
    if arguments.nir.is_some() {
        NirFile::new((&untrained.blueprint, &untrained.state), &untrained.settings, preprocessing)?;
    }
    let folder = create(arguments)?;
    let mut tuning = Tuning::default();
    let start_tuning = (&quantized.blueprint, &mut quantized.state);
    tuning.quantized((arguments, &dense), start_tuning, quantized.epochs, &folder)?;
    let quantized = quantized.folded()?;
    let mut spiking = spiking(arguments, &dense, &quantized)?;
    let epochs = time_epochs(arguments, &dense);
    let converted = (&spiking.blueprint, &mut spiking.state);
    tuning.through_time((arguments, &dense), converted, &spiking.settings, epochs, &folder)?;
    let device = cpu();
    let network = Network::with_state(&spiking.blueprint, Some(&spiking.settings), &spiking.state, &device)?;

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
        from: arguments.run.to_string_lossy().into_owned(),
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
    let nir = match &arguments.nir {
        Some(file) => {
            let nir = NirFile::new((&spiking.blueprint, &spiking.state), &spiking.settings, preprocessing)?;
            nir.write(file)?;
            Some((file.as_path(), nir.warnings))
        }
        None => None,
    };
    let neurobench = match arguments.neurobench {
        true => Some(measured(&network, test, preprocessing)?),
        false => None,
    };
    let neurons = over_time.neurons.iter().map(|work| work.neurons).sum();
    summary::conclude(&Summary {
        arguments,
        record: &record,
        folder: &folder,
        test_examples: over_time.examples,
        neurons,
        steps: spiking.settings.steps,
        nir,
        neurobench,
    })
}

/// Writes a run that spikes already as a NIR file; false if it is a dense run.
fn export_spiking(arguments: &Arguments, file: &Path) -> Result<bool, Failure> {
    let folder = RunFolder::open(&arguments.run)?;
    let record = folder.read_record()?;
    let Some(settings) = &record.settings.spiking else { return Ok(false) };
    finished(&arguments.run, &record)?;
    let blueprint = folder.read_blueprint()?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    // Whether the stored numbers are those of the blueprint.
    Network::with_state(&blueprint, Some(settings), &state, &cpu())?;
    let nir = NirFile::new((&blueprint, &state), settings, &record.preprocessing)?;
    nir.write(file)?;
    if arguments.json {
        say(json!({"run": arguments.run, "nir": file, "nir_warnings": nir.warnings}))?;
    } else {
        say(summary::nir_text(file, &nir.warnings))?;
    }
    Ok(true)
}

/// NeuroBench's metrics over these examples.
fn measured(
    network: &Network,
    examples: &Examples,
    preprocessing: &Preprocessing,
) -> Result<NeuroBenchMetrics, Failure> {
    let steps = network.spiking().map_or(1, |settings| settings.steps);
    let indices: Vec<u32> = (0..examples.len() as u32).collect();
    let mut buffer = Vec::new();
    let batches = indices.chunks((NEUROBENCH_ROWS / steps).max(1)).map(|batch| {
        fill_batch(examples, preprocessing, batch, None, &mut buffer);
        filled_tensor(batch.len(), buffer.len() / batch.len(), |x| x.copy_from_slice(&buffer))
    });
    Ok(neurobench_metrics(network, batches)?)
}

fn finished(run: &Path, record: &RunRecord) -> Result<(), Failure> {
    let place = quoted(run);
    match record.status {
        RunStatus::Finished => Ok(()),
        status => Err(Failure::Caller(format!(
            "the run in {place} is not finished ({}); finish it with: gyrus learn --resume {place}",
            status.name()
        ))),
    }
}

/// Reads the dense run and its data, and refuses what cannot be converted.
fn open(arguments: &Arguments) -> Result<Dense, Failure> {
    let folder = RunFolder::open(&arguments.run)?;
    let record = folder.read_record()?;
    let place = quoted(&arguments.run);
    if record.settings.spiking.is_some() {
        return Err(Failure::Caller(format!(
            "the run in {place} spikes already; expected a dense run, as `gyrus learn` leaves it without --spiking"
        )));
    }
    finished(&arguments.run, &record)?;
    if let Task::Regression { target, .. } = &record.task {
        return Err(Failure::Caller(format!(
            "the run in {place} predicts a number, {target:?}; expected a run that tells classes apart, whose accuracy \
             can be compared"
        )));
    }
    let blueprint = folder.read_blueprint()?;
    let file = folder.path().join("blueprint.toml").display().to_string();
    check_fit(&blueprint, &file, (&record.preprocessing, None), &record.task, "run.json")?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    // Whether the stored numbers are those of the blueprint.
    Network::from_state(&blueprint, &state, &cpu())?;
    let (dataset, path) = reload(&record, arguments.directory.as_deref())?;
    if dataset.fingerprint != record.data.fingerprint {
        return Err(TrainError::OtherData { run: arguments.run.clone() }.into());
    }
    Ok(Dense { record, blueprint, state, dataset, path })
}

fn create(arguments: &Arguments) -> Result<RunFolder, Failure> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let run = absolute(&arguments.run);
    let out = arguments.out.clone().unwrap_or_else(|| {
        let mut name = run.file_name().unwrap_or_default().to_owned();
        name.push("-spiking");
        // As the caller wrote it, where that ends in a name.
        let beside = if arguments.run.file_name().is_some() { &arguments.run } else { &run };
        beside.with_file_name(name)
    });
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(&out, &run) {
        return Err(Failure::Caller(format!(
            "the spiking run would replace the dense one in {}; expected another folder for --out",
            out.display()
        )));
    }
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    Ok(RunFolder::create(&out, existing)?)
}

/// The network with quantised activations, their thresholds calibrated unless the run was trained so.
fn calibrated(arguments: &Arguments, dense: &Dense, blueprint: Blueprint) -> Result<Quantized, Failure> {
    let dataset = &dense.dataset;
    let state = calibrate(&blueprint, &dense.state, &dataset.train, &dataset.preprocessing, &cpu())?;
    let levels = |node: &Node| match node.kind {
        NodeKind::QuantizedReLU { levels } => Some(levels),
        _ => None,
    };
    let levels = blueprint.nodes().iter().filter_map(levels).max().unwrap_or(0);
    let epochs = match arguments.epochs {
        Some(epochs) => epochs,
        None if blueprint == dense.blueprint => 0,
        None => dense.record.settings.epochs.div_ceil(if arguments.exact { 2 } else { 4 }),
    };
    Ok(Quantized { blueprint, state, levels, epochs })
}

/// Epochs of fine-tuning through time.
fn time_epochs(arguments: &Arguments, dense: &Dense) -> u32 {
    match arguments.time_epochs {
        Some(epochs) => epochs,
        // What is exact stays so, and who wants no fine-tuning gets none.
        None if arguments.exact || arguments.epochs == Some(0) => 0,
        None => (dense.record.settings.epochs / 3).max(1),
    }
}

impl Quantized {
    /// Batch norms and dropouts folded.
    fn folded(&self) -> Result<Self, Failure> {
        let (blueprint, state) = folded_form(&self.blueprint, &self.state)?;
        Ok(Self { blueprint, state, ..*self })
    }
}

fn spiking(arguments: &Arguments, dense: &Dense, quantized: &Quantized) -> Result<Spiking, Failure> {
    let device = cpu();
    if arguments.exact {
        let limit = input_limit(&dense.dataset.preprocessing);
        let exact = exact_form(&quantized.blueprint, &quantized.state, limit)?;
        let all = exact.settings.steps;
        let mut steps: Vec<usize> = (0..).map(|power| 1 << power).take_while(|steps| *steps < all).collect();
        steps.push(all);
        return Ok(Spiking {
            quantized: Network::from_state(&exact.quantized.0, &exact.quantized.1, &device)?,
            blueprint: exact.spiking.0,
            state: exact.spiking.1,
            settings: exact.settings,
            steps,
            enough_steps: Some(exact.enough_steps),
        });
    }
    let (blueprint, state) = integrate_and_fire_form(&quantized.blueprint, &quantized.state)?;
    let mut steps: Vec<usize> = arguments.steps.iter().map(|steps| *steps as usize).collect();
    if steps.is_empty() {
        steps = vec![1, 2, 4, 8, 16, 32];
    }
    steps.sort_unstable();
    steps.dedup();
    let settings =
        SpikingSettings { steps: steps.last().copied().unwrap_or(1), ..SpikingSettings::default() };
    let quantized = Network::from_state(&quantized.blueprint, &quantized.state, &device)?;
    Ok(Spiking { blueprint, state, settings, steps, quantized, enough_steps: None })
}

/// How far numbers of the network's input can lie from 0: pixels have ends; of table columns, what lies beyond 16
/// deviations is cut.
fn input_limit(preprocessing: &Preprocessing) -> f32 {
    match preprocessing {
        Preprocessing::Image { mean, deviation, .. } => {
            let ends = mean.iter().zip(deviation).map(|(mean, deviation)| mean.max(1.0 - mean) / deviation);
            ends.fold(0.0, f32::max)
        }
        // Recordings of events come from spiking runs alone, which are refused; the limit would do for their counts.
        Preprocessing::Table { .. } | Preprocessing::Events { .. } => 16.0,
    }
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
) -> Result<RunRecord, Failure> {
    let dataset = &dense.dataset;
    let (train, held_back) = split_validation(&dataset.train);
    let settings = Settings {
        epochs: tuning.epochs + tuning.time_epochs,
        spiking: Some(spiking.settings.clone()),
        device: "cpu".into(),
        ..dense.record.settings.clone()
    };
    let mut record = RunRecord::new(dataset, dense.path.as_deref(), held_back.len(), settings);
    record.data.name.clone_from(&dense.record.data.name);
    record.data.train_examples = train.len() as u64;
    let part = |examples| evaluate(network, examples, &dataset.preprocessing, &dataset.task);
    let test = part(&dataset.test);
    record.results = Some(Results {
        chosen_epoch: tuning.chosen_epoch,
        train: None,
        validation: Some(part(&dataset.train.subset(&held_back)).metrics),
        test: Some(test.metrics.clone()),
    });
    record.conversion = Some(conversion);
    record.timings.train_seconds = tuning.seconds + tuning.time_seconds;
    record.timings.test_seconds = judging.elapsed().as_secs_f64();
    record.timings.total_seconds = start.elapsed().as_secs_f64();
    // From here on the folder is no run until all of it is there again.
    let folder = RunFolder::create(folder.path(), Existing::Replace)?;
    folder.write_record(&record)?;
    for row in &tuning.rows {
        folder.append_metrics(row)?;
    }
    folder.write_blueprint(&spiking.blueprint)?;
    folder.write_model(&to_safetensors(&spiking.state, &Default::default())?)?;
    record.status = RunStatus::Finished;
    let activity = example(dataset, network)?;
    folder
        .finish(&record, &report::render(dataset, &spiking.blueprint, &record, &folder, &test, activity)?)?;
    Ok(record)
}

/// What the neurons do while they see the first test example.
fn example<'a>(dataset: &'a Dataset, network: &Network) -> Result<Option<Activity<'a>>, Failure> {
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
