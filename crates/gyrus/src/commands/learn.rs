//! `gyrus learn`: from data to a run folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use gyrus_blueprint::{Blueprint, preset, preset_names};
use gyrus_data::{Augment, Dataset, EventOptions, Preprocessing};
use gyrus_nn::{SpikingSettings, spiking_form};
use gyrus_tensor::{device, with_threads};
use gyrus_train::{
    Begin, Existing, Outcome, PartMetrics, RunFolder, RunRecord, RunStatus, Settings, check, learn, outputs,
    split_validation,
};
use serde_json::json;

use super::fit::{check_fit, input_shape};
use super::learn_text::TextArguments;
use super::recipe::Recipe;
use super::report;
use super::time::TimeArguments;
use crate::failure::Failure;
use crate::progress::Watcher;
use crate::say::{note, say};

/// Train a network and leave a run folder.
///
/// DATA is `digits` (built in), `mnist`, `fashion-mnist`, `cifar10`, a folder with one sub-folder of pictures for each
/// class, or a CSV table; with --spiking also a folder of recordings of event cameras (N-MNIST's .bin, AEDAT, Prophesee's
/// .dat and .raw, .es), or an .h5 file of SHD or SSC. A .txt or .jsonl file or a folder of .txt files is a corpus, from
/// which a language model is learnt.
#[derive(Args)]
pub(crate) struct Arguments {
    /// digits | mnist | fashion-mnist | cifar10 | FOLDER | TABLE.csv | SPIKES.h5 | CORPUS.txt
    #[arg(required_unless_present = "resume")]
    pub(super) data: Option<String>,
    /// Folder with the standard files of mnist, fashion-mnist or cifar10; without it they come from the Hugging Face hub
    #[arg(long = "data", value_name = "DIR", id = "data_directory")]
    pub(super) directory: Option<PathBuf>,
    /// Column of the table to predict
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Side in pixels that pictures of a folder are brought to, or longer side of the frames of events [default: from the
    /// data]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(8..=512))]
    picture_size: Option<u16>,
    /// A built-in blueprint or a TOML file [default: by the data]
    #[arg(long, value_name = "NAME|FILE.toml")]
    blueprint: Option<String>,
    /// Passes over the training examples [default: by the data]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    epochs: Option<u32>,
    /// Examples a step [default: by the data]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) batch_size: Option<u32>,
    /// Highest learning rate of the schedule [default: by the data]
    #[arg(long, value_parser = positive)]
    pub(super) learning_rate: Option<f64>,
    /// adamw | sgd
    #[arg(long)]
    optimizer: Option<String>,
    /// one-cycle | cosine | wsd | constant
    #[arg(long)]
    pub(super) schedule: Option<String>,
    /// none | light | digits | strong | photos
    #[arg(long)]
    augment: Option<String>,
    /// Decoupled weight decay
    #[arg(long, value_parser = fraction)]
    pub(super) weight_decay: Option<f64>,
    /// Share of the target spread over all classes
    #[arg(long, value_parser = fraction)]
    label_smoothing: Option<f64>,
    /// Where all random numbers come from
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Threads; 0 for one a core. The result does not depend on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    pub(super) threads: usize,
    /// cpu, or a device that this program was built with: cuda | wgpu | vulkan | metal
    #[arg(long, default_value = "cpu")]
    pub(super) device: String,
    #[command(flatten)]
    time: TimeArguments,
    #[command(flatten)]
    pub(super) text: TextArguments,
    /// The run folder [default: runs/DATA, or runs/DATA-spiking]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Replace a run that is in the run folder already
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Go on with an unfinished run
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "data", "target", "picture_size", "blueprint", "epochs", "batch_size", "learning_rate", "optimizer",
        "schedule", "augment", "weight_decay", "label_smoothing", "seed", "device", "out", "overwrite", "spiking",
        "tokenizer", "vocabulary", "layers", "width", "heads", "key_value_heads", "context", "train_steps", "accumulate",
    ])]
    pub(super) resume: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Far more than any machine has cores; each costs memory.
const MAXIMUM_THREADS: usize = 4096;

pub(crate) fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if threads <= MAXIMUM_THREADS => Ok(threads),
        _ => Err(format!("expected a whole number from 0 to {MAXIMUM_THREADS}")),
    }
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("expected a number above 0".into()) }
}

pub(super) fn fraction(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..1.0).contains(&value) { Ok(value) } else { Err("expected a number from 0 to below 1".into()) }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let device_name = &arguments.device;
    device(device_name)?;
    if super::learn_text::is_asked(arguments) {
        return with_threads(arguments.threads, || super::learn_text::run(arguments))?;
    }
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

struct Prepared {
    dataset: Dataset,
    blueprint: Blueprint,
    record: RunRecord,
    folder: RunFolder,
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let start = Instant::now();
    let prepared = match &arguments.resume {
        Some(path) => resume(path, arguments)?,
        None => prepare(arguments)?,
    };
    let Prepared { dataset, blueprint, mut record, folder } = prepared;
    if record.timings.data_seconds == 0.0 {
        record.timings.data_seconds = start.elapsed().as_secs_f64();
    }
    let mut watcher = Watcher::new();
    announce(arguments, &dataset, &blueprint, &record)?;
    let device = device(&record.settings.device)?;
    let begin = if arguments.resume.is_some() { Begin::Checkpoint } else { Begin::Fresh };
    let outcome = learn(&dataset, &blueprint, record, &folder, &device, begin, &mut watcher);
    watcher.finish();
    match outcome? {
        Outcome::Interrupted { step, steps } => Err(Failure::Interrupted(format!(
            "stopped after step {step} of {steps}, everything is saved; go on with: gyrus learn --resume {}",
            quoted(folder.path())
        ))),
        Outcome::Finished { test, mut record } => {
            let timings = &mut record.timings;
            let parts = timings.data_seconds + timings.train_seconds + timings.test_seconds;
            // Of a run that was stopped or killed, the training before that counts too.
            timings.total_seconds = parts.max(start.elapsed().as_secs_f64());
            folder.finish(&record, &report::render(&dataset, &blueprint, &record, &folder, &test, None)?)?;
            conclude(arguments, &record, &folder, &blueprint)
        }
    }
}

/// Reads the data and sets up a new run.
fn prepare(arguments: &Arguments) -> Result<Prepared, Failure> {
    let name = arguments.data.as_deref().unwrap_or_default();
    let source = Source {
        name,
        directory: arguments.directory.as_deref(),
        target: arguments.target.as_deref(),
        picture_size: arguments.picture_size.map(usize::from),
    };
    let side = source.picture_size;
    let (dataset, path) = source.load(&|steps| arguments.time.events(steps, side))?;
    // The run may be resumed from elsewhere.
    let path = path.map(|path| std::path::absolute(&path).unwrap_or(path));
    let recipe = Recipe::for_dataset(&dataset);
    let spiking = arguments.time.settings(&dataset.preprocessing)?;
    let blueprint = match arguments.blueprint.as_deref() {
        Some(file) if !preset_names().contains(&file) => from_file(file, &dataset, spiking.as_ref())?,
        named => {
            let name = named.unwrap_or(recipe.blueprint);
            let shape = input_shape(&dataset.preprocessing, spiking.as_ref())?;
            preset(name, shape, outputs(&dataset))?
        }
    };
    let blueprint = match &spiking {
        Some(settings) => spiking_form(&blueprint, arguments.time.tau, settings)?,
        None => blueprint,
    };
    let augment: Augment =
        arguments.augment.as_deref().unwrap_or(recipe.augment).parse().map_err(Failure::caller)?;
    let augment = match dataset.preprocessing {
        gyrus_data::Preprocessing::Image { height, width, .. } => augment.scaled_to(height.min(width)),
        gyrus_data::Preprocessing::Table { .. } => augment,
        gyrus_data::Preprocessing::Events { .. } if augment == Augment::default() => augment,
        gyrus_data::Preprocessing::Events { .. } => {
            return Err(Failure::Caller("recordings of events are not augmented; say --augment none".into()));
        }
    };
    let settings = Settings {
        seed: arguments.seed,
        epochs: arguments.epochs.unwrap_or(recipe.epochs),
        batch_size: arguments.batch_size.map_or(recipe.batch_size, |size| size as usize),
        learning_rate: arguments.learning_rate.unwrap_or(recipe.learning_rate),
        optimizer: arguments.optimizer.clone().unwrap_or(recipe.optimizer.into()),
        schedule: arguments.schedule.clone().unwrap_or(recipe.schedule.into()),
        augment,
        weight_decay: arguments.weight_decay.unwrap_or(recipe.weight_decay),
        label_smoothing: arguments.label_smoothing.unwrap_or(recipe.label_smoothing),
        threads: arguments.threads,
        device: arguments.device.clone(),
        spiking,
    };
    check(&blueprint, &settings)?;
    let validation = split_validation(&dataset.train).1.len();
    let mut record = RunRecord::new(&dataset, path.as_deref(), validation, settings);
    record.data.name = name.to_owned();
    let out = arguments.out.clone().unwrap_or_else(|| {
        let kind = if record.settings.spiking.is_some() { "-spiking" } else { "" };
        Path::new("runs").join(format!("{}{kind}", dataset.name))
    });
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    let folder = RunFolder::create(&out, existing)?;
    folder.write_record(&record)?;
    folder.write_blueprint(&blueprint)?;
    Ok(Prepared { dataset, blueprint, record, folder })
}

/// Reads the data that a run began with, again.
fn resume(path: &Path, arguments: &Arguments) -> Result<Prepared, Failure> {
    let folder = RunFolder::open_to_resume(path)?;
    let record = folder.read_record()?;
    if record.status == RunStatus::Finished {
        // One that was killed right before its end may have left it.
        folder.remove_checkpoint()?;
        return Err(Failure::Caller(format!("the run in {} is finished already", path.display())));
    }
    let (dataset, _) = reload(&record, arguments.directory.as_deref())?;
    let blueprint = folder.read_blueprint()?;
    let file = folder.path().join("blueprint.toml").display().to_string();
    let shown = (&dataset.preprocessing, record.settings.spiking.as_ref());
    check_fit(&blueprint, &file, shown, &dataset.task, &dataset.name)?;
    check(&blueprint, &record.settings)?;
    Ok(Prepared { dataset, blueprint, record, folder })
}

/// The data that a run learnt from, from where it was read or from `directory`, and the file or folder it was read from.
pub(super) fn reload(
    record: &RunRecord,
    directory: Option<&Path>,
) -> Result<(Dataset, Option<PathBuf>), Failure> {
    let (size, events) = match &record.preprocessing {
        Preprocessing::Image { height, .. } => (Some(*height), None),
        Preprocessing::Table { .. } => (None, None),
        Preprocessing::Events { steps, binary, height, width, .. } => {
            let side = Some(*height.max(width));
            (side, Some(EventOptions { steps: *steps, binary: *binary, side }))
        }
    };
    let path = directory.or(record.data.path.as_deref().map(Path::new));
    let name = match path {
        Some(path) if !STANDARD.contains(&record.data.name.as_str()) => path.to_string_lossy(),
        _ => record.data.name.as_str().into(),
    };
    let source =
        Source { name: &name, directory: path, target: record.data.target.as_deref(), picture_size: size };
    source.load(&|_| Ok(events))
}

/// Data sets that are known by name.
const STANDARD: [&str; 4] = ["digits", "mnist", "fashion-mnist", "cifar10"];

/// Where data comes from, as the command line says it.
struct Source<'a> {
    name: &'a str,
    directory: Option<&'a Path>,
    target: Option<&'a str>,
    picture_size: Option<usize>,
}

/// How events become frames, given the usual number of steps; `None` where no spiking network is asked for.
type EventFrames<'a> = &'a dyn Fn(usize) -> Result<Option<EventOptions>, Failure>;

/// Frames of a recording of an event camera, and of a cochlea, where the caller says nothing else.
const CAMERA_STEPS: usize = 10;
const COCHLEA_STEPS: usize = 100;

impl Source<'_> {
    /// The data, and the file or folder that it was read from, if any.
    fn load(&self, event_frames: EventFrames<'_>) -> Result<(Dataset, Option<PathBuf>), Failure> {
        let directory = self.directory.map(Path::to_owned);
        let dataset = match (self.name, self.directory) {
            ("digits", _) => return Ok((gyrus_data::digits(), None)),
            ("mnist", Some(directory)) => gyrus_data::mnist(directory)?,
            ("fashion-mnist", Some(directory)) => gyrus_data::fashion_mnist(directory)?,
            ("cifar10", Some(directory)) => gyrus_data::cifar10(directory)?,
            #[cfg(feature = "hub")]
            ("mnist", None) => gyrus_data::Hub::from_environment()?.mnist()?,
            #[cfg(feature = "hub")]
            ("fashion-mnist", None) => gyrus_data::Hub::from_environment()?.fashion_mnist()?,
            #[cfg(feature = "hub")]
            ("cifar10", None) => gyrus_data::Hub::from_environment()?.cifar10()?,
            #[cfg(not(feature = "hub"))]
            ("mnist" | "fashion-mnist" | "cifar10", None) => {
                let text = "this build cannot download; give the folder with the files by --data DIR";
                return Err(Failure::Caller(text.into()));
            }
            (path, _) => {
                let path = Path::new(path);
                let events = |steps| {
                    event_frames(steps)?.ok_or_else(|| {
                        let path = path.display();
                        Failure::Caller(format!(
                            "{path} holds events in time, which spiking networks take: add --spiking"
                        ))
                    })
                };
                if path.is_dir() && gyrus_data::is_event_folder(path) {
                    let dataset = gyrus_data::event_folder(path, events(CAMERA_STEPS)?)?;
                    return Ok((dataset, Some(path.to_owned())));
                }
                if path.is_file() && gyrus_data::is_cochlea_file(path) {
                    let dataset = gyrus_data::event_recordings(path, events(COCHLEA_STEPS)?)?;
                    return Ok((dataset, Some(path.to_owned())));
                }
                if path.is_dir() {
                    return Ok((gyrus_data::folder(path, self.picture_size)?, Some(path.to_owned())));
                }
                if !path.exists() {
                    return Err(Failure::Caller(format!(
                        "there is no data `{}`: expected digits, mnist, fashion-mnist, cifar10, a folder of pictures \
                         or recordings, a CSV table, a .txt or .jsonl file of text or an .h5 file of spikes",
                        path.display()
                    )));
                }
                let Some(target) = self.target else {
                    return Err(Failure::Caller(format!(
                        "which column of {} shall be predicted? Say --target COLUMN",
                        path.display()
                    )));
                };
                return Ok((gyrus_data::table(path, target)?, Some(path.to_owned())));
            }
        };
        Ok((dataset, directory))
    }
}

/// A blueprint from a file; it must take this data and give as many outputs as there are classes.
fn from_file(file: &str, dataset: &Dataset, spiking: Option<&SpikingSettings>) -> Result<Blueprint, Failure> {
    if !Path::new(file).exists() {
        return Err(Failure::Caller(format!(
            "there is no blueprint `{file}`: expected a TOML file or one of {}",
            preset_names().join(", ")
        )));
    }
    let blueprint = Blueprint::load(file)?;
    check_fit(&blueprint, file, (&dataset.preprocessing, spiking), &dataset.task, &dataset.name)?;
    Ok(blueprint)
}

fn announce(
    arguments: &Arguments,
    dataset: &Dataset,
    blueprint: &Blueprint,
    record: &RunRecord,
) -> Result<(), Failure> {
    for skipped in &dataset.skipped {
        note(format_args!("skipped {}: {}", skipped.path.display(), skipped.reason));
    }
    if !dataset.skipped.is_empty() {
        let what =
            if matches!(dataset.preprocessing, Preprocessing::Events { .. }) { "files" } else { "pictures" };
        note(format_args!("{} {what} skipped", dataset.skipped.len()));
    }
    for text in &dataset.notes {
        note(format_args!("note: {text}"));
    }
    if !arguments.json {
        let parameters = blueprint.shapes()?.trainable_parameters();
        // Who does not read this may still want the run.
        let _ = say(format_args!(
            "{}: {} to learn from, {} to choose by, {} to judge by; blueprint {}, {parameters} parameters",
            dataset.name,
            record.data.train_examples,
            record.data.validation_examples,
            record.data.test_examples,
            blueprint.name,
        ));
    }
    Ok(())
}

fn conclude(
    arguments: &Arguments,
    record: &RunRecord,
    folder: &RunFolder,
    blueprint: &Blueprint,
) -> Result<(), Failure> {
    let results = record.results.as_ref();
    let test = results.and_then(|results| results.test.as_ref());
    if arguments.json {
        let part = |part: Option<&PartMetrics>| {
            part.map(|part| {
                json!({"examples": part.examples, "loss": part.loss, "accuracy": part.accuracy,
                    "mean_absolute_error": part.mean_absolute_error})
            })
        };
        let object = json!({
            "run": folder.path(),
            "data": record.data.name,
            "blueprint": blueprint.name,
            "parameters": blueprint.shapes()?.trainable_parameters(),
            "seed": record.settings.seed,
            "epochs": record.settings.epochs,
            "chosen_epoch": results.map(|results| results.chosen_epoch),
            "test_accuracy": test.and_then(|test| test.accuracy),
            "test": part(test),
            "validation": part(results.and_then(|results| results.validation.as_ref())),
            "train_seconds": record.timings.train_seconds,
            "total_seconds": record.timings.total_seconds,
            "skipped": record.skipped.count,
        });
        return say(object);
    }
    if let Some(test) = test {
        let (value, what) = match (test.accuracy, test.mean_absolute_error) {
            (Some(accuracy), _) => (format!("{:.2} %", accuracy * 100.0), "test accuracy"),
            (_, Some(error)) => (format!("{error:.4}"), "mean absolute error on the test rows"),
            _ => (format!("{:.4}", test.loss), "test loss"),
        };
        let seconds = record.timings.total_seconds;
        say(format_args!("{what}: {value} ({} examples), in {seconds:.1} s", test.examples))?;
    }
    let path = quoted(folder.path());
    let file = match record.preprocessing {
        Preprocessing::Image { .. } => "PICTURE.png",
        Preprocessing::Table { .. } => "ROWS.csv",
        Preprocessing::Events { window_us: Some(_), .. } => "SPIKES.h5",
        Preprocessing::Events { .. } => "RECORDING",
    };
    say(format_args!(
        "\nNext:\n  gyrus predict {path} {file}      what it says of new data\n  open {}      curves, confusions, \
         mistakes, blueprint",
        quoted(&folder.report_path())
    ))
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
