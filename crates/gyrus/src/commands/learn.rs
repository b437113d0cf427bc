//! `gyrus learn`: from data to a run folder.

use std::path::{Path, PathBuf};

use clap::Args;
use gyrus::data::Preprocessing;
use gyrus::verbs::{Architecture, Freeze, RunKind, counted, quoted};
use gyrus::{Learn, LearnLanguage, LearnReport, LearnShapes, Resume, ResumeReport};

use super::help::{DEVICE, JSON, RESUME, SCHEDULE, SEED, THREADS, WEIGHT_DECAY};
use super::learn_language::{self, LanguageArguments};
use super::learn_shapes;
use super::spiking::SpikingArguments;
use super::values::{fraction, positive, threads};
use crate::exit::Failure;
use crate::output::{next, page, say, say_json};
use crate::progress::Watcher;

/// Train a network, or a language model from scratch, and write a run folder
///
/// DATA is `digits` (built in), `mnist`, `fashion-mnist`, `cifar10`, a folder with one sub-folder of images for each class, or
/// a CSV table; with --spiking also a folder of event-camera recordings (N-MNIST's .bin, AEDAT, Prophesee's .dat and .raw,
/// .es) or an .h5 file of SHD or SSC. A .txt or .jsonl file or a folder of .txt files is a corpus: a language model learns
/// from it. `shapes --procedural` trains a network that makes solids of pictures and sentences (for `gyrus sculpt`) on objects
/// that are drawn anew for each step, and measures it beside retrieval and other baselines.
#[derive(Args)]
pub(crate) struct Arguments {
    /// digits | mnist | fashion-mnist | cifar10 | shapes | FOLDER | TABLE.csv | SPIKES.h5 | CORPUS.txt
    #[arg(required_unless_present = "resume")]
    data: Option<String>,
    /// Folder with the standard files of mnist, fashion-mnist or cifar10; without it they are downloaded from the Hugging Face hub
    #[arg(long = "data", value_name = "DIR", id = "data_directory")]
    directory: Option<PathBuf>,
    /// With DATA `shapes`: learn from procedural objects
    #[arg(long, conflicts_with = "resume")]
    procedural: bool,
    /// Column of the table to predict
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Measure the result on the rows of this table, and learn from all rows of DATA
    #[arg(long, value_name = "FILE.csv", conflicts_with = "folds")]
    test: Option<PathBuf>,
    /// Before the training, cross-validate a table with this many folds
    #[arg(long, value_name = "FOLDS", value_parser = clap::value_parser!(u16).range(2..=100))]
    folds: Option<u16>,
    /// Side in pixels to which images of a folder are scaled, or longer side of event frames [default: from the data]
    #[arg(long, alias = "picture-size", value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(8..=512))]
    image_size: Option<u16>,
    /// Built-in blueprint or TOML file [default: chosen by the data]
    #[arg(long, value_name = "NAME|FILE.toml")]
    blueprint: Option<String>,
    /// Go on from a trained network of images: a run folder, a model file (.safetensors, .pth, .onnx) or folder of timm, torchvision
    /// or transformers, or a name on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Of the network of --from, train the last layer only, or what comes behind NODE (such as layer3)
    #[arg(long, value_name = "NODE", num_args = 0..=1, default_missing_value = "")]
    freeze: Option<String>,
    /// Of a vision transformer of --from, train low-rank adapters of this rank and the last layer only
    #[arg(long, value_name = "RANK", value_parser = clap::value_parser!(u16).range(1..=4096))]
    lora: Option<u16>,
    /// Passes over the training examples [default: chosen by the data]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    epochs: Option<u32>,
    /// Examples per step; of a corpus, windows [default: chosen by the data]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: Option<u32>,
    /// Peak learning rate of the schedule [default: chosen by the data]
    #[arg(long, value_parser = positive)]
    learning_rate: Option<f64>,
    /// Optimizer of a network: adamw | sgd
    #[arg(long)]
    optimizer: Option<String>,
    #[arg(long, help = SCHEDULE)]
    schedule: Option<String>,
    /// Augmentation of images: none | light | digits | strong | photos
    #[arg(long)]
    augment: Option<String>,
    #[arg(long, help = WEIGHT_DECAY, value_parser = fraction)]
    weight_decay: Option<f64>,
    /// Label smoothing: share of the target spread over all classes
    #[arg(long, value_parser = fraction)]
    label_smoothing: Option<f64>,
    #[arg(long, help = SEED, default_value_t = 0)]
    seed: u64,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = DEVICE, default_value = Learn::DEVICE)]
    device: String,
    /// Run folder to write [default: runs/DATA, or runs/DATA-spiking]
    #[arg(long, alias = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace the run that the run folder already holds
    #[arg(long)]
    overwrite: bool,
    #[arg(long, help = RESUME, value_name = "RUN")]
    resume: Option<PathBuf>,
    #[arg(long, help = JSON)]
    json: bool,
    #[command(flatten)]
    spiking: SpikingArguments,
    #[command(flatten)]
    language: LanguageArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut watcher = Watcher::new();
    if !arguments.json {
        watcher.show_plan();
    }
    match (&arguments.resume, &arguments.data) {
        (Some(run), _) => resume(arguments, run, &mut watcher),
        (None, Some(data)) if arguments.procedural => {
            if data != "shapes" {
                return Err(Failure::Input(format!("--procedural is for `shapes`, and the data is {data}")));
            }
            let of_text =
                arguments.language.given().map(|(name, given)| (name, given && name != "--train-steps"));
            let of_networks = of_networks(arguments);
            refuse(&of_text, "shapes are no corpus of text", "language models")?;
            refuse(&of_networks, "these are procedural shapes", "networks that learn from examples")?;
            learn_shapes::conclude(&shapes(arguments).run(&mut watcher)?, arguments.json)
        }
        (None, Some(data)) if data == "shapes" && !Path::new(data).exists() => {
            Err(Failure::Input("say what shapes to learn: `gyrus learn shapes --procedural`".to_owned()))
        }
        (None, Some(data)) if LearnLanguage::takes(data) => {
            refuse(
                &of_networks(arguments),
                &format!("{data} is a corpus of text"),
                "networks that learn from examples",
            )?;
            learn_language::conclude(&language(arguments, data).run(&mut watcher)?, arguments.json)
        }
        (None, data) => {
            let data = data.as_deref().unwrap_or_default();
            let given = arguments.language.given();
            refuse(&given, &format!("{data} is no corpus of text"), "language models")?;
            conclude(&network(arguments, data).run(&mut watcher)?, arguments.json)
        }
    }
}

/// Refuses the first of these options that was given.
fn refuse(given: &[(&str, bool)], what: &str, right: &str) -> Result<(), Failure> {
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(Failure::Input(format!("{option} is for {right}, and {what}"))),
        None => Ok(()),
    }
}

/// Options that only networks have, and whether they were given.
fn of_networks(arguments: &Arguments) -> [(&'static str, bool); 14] {
    [
        ("--data", arguments.directory.is_some()),
        ("--target", arguments.target.is_some()),
        ("--test", arguments.test.is_some()),
        ("--folds", arguments.folds.is_some()),
        ("--image-size", arguments.image_size.is_some()),
        ("--blueprint", arguments.blueprint.is_some()),
        ("--from", arguments.from.is_some()),
        ("--freeze", arguments.freeze.is_some()),
        ("--lora", arguments.lora.is_some()),
        ("--epochs", arguments.epochs.is_some()),
        ("--optimizer", arguments.optimizer.is_some()),
        ("--augment", arguments.augment.is_some()),
        ("--label-smoothing", arguments.label_smoothing.is_some()),
        ("--spiking", arguments.spiking.options().is_some()),
    ]
}

/// A network that learns from examples.
fn network(arguments: &Arguments, data: &str) -> Learn {
    Learn {
        directory: arguments.directory.clone(),
        target: arguments.target.clone(),
        test: arguments.test.clone(),
        folds: arguments.folds.map(usize::from),
        image_size: arguments.image_size.map(usize::from),
        architecture: arguments.blueprint.clone().map(Architecture::Named),
        from: arguments.from.clone(),
        freeze: match arguments.freeze.as_deref() {
            None => Freeze::Nothing,
            Some("") => Freeze::Body,
            Some(node) => Freeze::Until(node.to_owned()),
        },
        lora: arguments.lora.map(usize::from),
        epochs: arguments.epochs,
        batch_size: arguments.batch_size.map(|size| size as usize),
        learning_rate: arguments.learning_rate,
        optimizer: arguments.optimizer.clone(),
        schedule: arguments.schedule.clone(),
        augment: arguments.augment.clone(),
        weight_decay: arguments.weight_decay,
        label_smoothing: arguments.label_smoothing,
        seed: arguments.seed,
        threads: arguments.threads,
        device: arguments.device.clone(),
        spiking: arguments.spiking.options(),
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        ..Learn::new(data)
    }
}

/// A language model that learns from a corpus.
fn language(arguments: &Arguments, corpus: &str) -> LearnLanguage {
    let verb = arguments.language.apply(LearnLanguage::new(corpus));
    LearnLanguage {
        batch_size: arguments.batch_size.map(|size| size as usize),
        learning_rate: arguments.learning_rate.unwrap_or(verb.learning_rate),
        schedule: arguments.schedule.clone().unwrap_or(verb.schedule),
        weight_decay: arguments.weight_decay.unwrap_or(verb.weight_decay),
        seed: arguments.seed,
        threads: arguments.threads,
        device: arguments.device.clone(),
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        ..verb
    }
}

/// A network that learns shapes.
fn shapes(arguments: &Arguments) -> LearnShapes {
    let verb = LearnShapes::new();
    LearnShapes {
        steps: arguments.language.train_steps.unwrap_or(verb.steps),
        batch_size: arguments.batch_size.map_or(verb.batch_size, |size| size as usize),
        learning_rate: arguments.learning_rate.unwrap_or(verb.learning_rate),
        schedule: arguments.schedule.clone().unwrap_or(verb.schedule),
        weight_decay: arguments.weight_decay.unwrap_or(verb.weight_decay),
        seed: arguments.seed,
        threads: arguments.threads,
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        ..verb
    }
}

/// Continues a run of either.
fn resume(arguments: &Arguments, run: &Path, watcher: &mut Watcher) -> Result<(), Failure> {
    let resume = Resume {
        directory: arguments.directory.clone(),
        threads: arguments.threads,
        epochs: arguments.epochs,
        ..Resume::new(run)
    };
    if resume.kind() == RunKind::Tune {
        return Err(Failure::Input(format!(
            "the run in {0} tunes a model; continue it with: gyrus tune --resume {0}",
            quoted(run)
        )));
    }
    if resume.kind() == RunKind::Spike {
        return Err(Failure::Input(format!(
            "the run in {0} is becoming a spiking one; continue it with: gyrus spike --resume {0}",
            quoted(run)
        )));
    }
    match resume.run(watcher)? {
        ResumeReport::Learn(report) => conclude(&report, arguments.json),
        ResumeReport::LearnLanguage(report) => learn_language::conclude(&report, arguments.json),
        ResumeReport::LearnShapes(report) => learn_shapes::conclude(&report, arguments.json),
        _ => Ok(()),
    }
}

fn conclude(report: &LearnReport, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(report);
    }
    if let Some(test) = &report.test {
        let (value, what) = match (test.accuracy, test.mean_absolute_error) {
            (Some(accuracy), _) => (format!("{:.2} %", accuracy * 100.0), "test accuracy"),
            (_, Some(error)) => (format!("{error:.4}"), "mean absolute error on the test rows"),
            _ => (format!("{:.4}", test.loss), "test loss"),
        };
        let examples = counted(test.examples, "example");
        say(format_args!("{what}: {value} ({examples}), in {:.1} s", report.total_seconds))?;
    }
    for rule in &report.baselines {
        let value = match (rule.accuracy, rule.mean_absolute_error) {
            (Some(accuracy), _) => format!("{:.2} %", accuracy * 100.0),
            (_, Some(error)) => format!("{error:.4}"),
            _ => continue,
        };
        next(format_args!("  beside it, {}: {value}", rule.name))?;
    }
    if let (Some(transfer), Some(reached)) = (&report.record.transfer, report.test_accuracy) {
        let best = report.baselines.iter().filter_map(|rule| Some((rule.accuracy?, &rule.name)));
        if let Some((accuracy, name)) = best.max_by(|a, b| a.0.total_cmp(&b.0)) {
            let points = 100.0 * (reached - accuracy);
            match points > 0.0 {
                true => say(format_args!("  {points:.1} points above {name}, from {}", transfer.from))?,
                false => say(format_args!("  no gain over {name}: {} brought nothing here", transfer.from))?,
            }
        }
    }
    if let Some(found) = &report.cross_validation {
        let (mean, deviation) = (found.mean, found.deviation);
        let value = match found.folds.first().and_then(|fold| fold.accuracy) {
            Some(_) => format!("accuracy {:.2} % ± {:.2}", 100.0 * mean, 100.0 * deviation),
            None => format!("root mean squared error {mean:.4} ± {deviation:.4}"),
        };
        say(format_args!("  cross-validation with {} folds: {value}", found.folds.len()))?;
    }
    let file = match report.record.preprocessing {
        Preprocessing::Image { .. } => "IMAGE.png",
        Preprocessing::Table { .. } => "ROWS.csv",
        Preprocessing::Events { window_us: Some(_), .. } => "SPIKES.h5",
        Preprocessing::Events { .. } => "RECORDING",
    };
    next(format_args!(
        "\nNext:\n  gyrus predict {} {file}      classifies new data\n  open {}      curves, confusions, mistakes, \
         blueprint",
        quoted(&report.run),
        page(&report.page)
    ))
}
