//! `gyrus spike`: from a trained dense run to a spiking one, and what that costs and saves.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gyrus::blueprint::NirTarget;
use gyrus::{ExportNir, Spike};

use super::help::{JSON, SEED, THREADS};
use super::spike_summary::{conclude, nir_text};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{say, say_json};
use crate::progress::Watcher;

/// Convert a trained dense run into a spiking one, and report what that costs and saves
///
/// The network is fine-tuned with quantized ReLUs, batch norms are folded, every activation becomes integrate-and-fire neurons,
/// and the spiking network is fine-tuned through time for the few steps that it will run for. Energies are estimates for
/// 45 nm silicon in three accountings: operations only; with memory traffic; and beside the same network with activations
/// quantized to as many bits as the spikes can express.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Finished run folder of `gyrus learn`; with --nir also one that already spikes
    #[arg(required_unless_present = "resume")]
    run: Option<PathBuf>,
    /// Spiking run folder to write [default: RUN-spiking, with --exact RUN-exact, with --nir RUN-nir]
    #[arg(long, alias = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Levels of a quantized activation; a run trained with quantized activations keeps its own [default: 8, with --exact 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    levels: Option<u32>,
    /// Epochs of fine-tuning with quantized activations; 0 for no fine-tuning [default: a quarter of the run's, half with
    /// --exact]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    epochs: Option<u32>,
    /// Epochs of fine-tuning through time, a third of them over 8 steps, the others over 4; 0 for none [default: a third of
    /// the run's]
    #[arg(long, conflicts_with = "exact", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    time_epochs: Option<u32>,
    /// Numbers of steps after which to evaluate; the spiking run takes the one that is best on the validation examples [default:
    /// 1 2 4 8 16 32]
    #[arg(long, value_name = "T", num_args = 1.., conflicts_with = "exact",
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    steps: Vec<u32>,
    /// Signed spikes, whose answers equal the quantized network's in every bit after enough steps
    #[arg(long)]
    exact: bool,
    /// Also write the spiking network as a NIR file; max pooling becomes average pooling, which NIR has
    #[arg(long, value_name = "FILE.nir", conflicts_with = "exact")]
    nir: Option<PathBuf>,
    /// The program that shall read the NIR file: any | snntorch | norse | sinabs; its importer's time step and pooling are then
    /// those of the file
    #[arg(long, value_name = "PROGRAM", default_value = NirTarget::Any.name(), requires = "nir", value_parser = targets())]
    nir_for: NirTarget,
    /// Also print the NeuroBench 2.3 metrics over the test examples
    #[arg(long, conflicts_with = "exact")]
    neurobench: bool,
    #[arg(long, help = SEED, default_value_t = 0)]
    seed: u64,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Folder with the data, if it is no longer where the run read it
    #[arg(long = "data", value_name = "DIR", id = "data_directory")]
    directory: Option<PathBuf>,
    /// Replace the run that the spiking run folder already holds
    #[arg(long)]
    overwrite: bool,
    /// Continue a conversion that was stopped, with the settings that it began with
    #[arg(long, value_name = "RUN", conflicts_with_all = ["run", "out", "levels", "epochs", "time_epochs", "steps", "exact", "nir",
        "nir_for", "neurobench", "seed", "data_directory", "overwrite"])]
    resume: Option<PathBuf>,
    #[arg(long, help = JSON)]
    json: bool,
}

fn targets() -> impl TypedValueParser<Value = NirTarget> {
    let named = |name: String| NirTarget::ALL.into_iter().find(|target| target.name() == name);
    PossibleValuesParser::new(NirTarget::ALL.map(NirTarget::name))
        .map(move |name| named(name).unwrap_or_default())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(run) = &arguments.resume {
        let report = Spike::resume(run, arguments.threads, &mut Watcher::new())?;
        return if arguments.json { say_json(&report) } else { conclude(&report) };
    }
    let run = arguments.run.clone().unwrap_or_default();
    if let Some(file) = &arguments.nir {
        let export =
            ExportNir { threads: arguments.threads, target: arguments.nir_for, ..ExportNir::new(&run, file) };
        if export.is_spiking()? {
            let report = export.run()?;
            if arguments.json {
                return say_json(&report);
            }
            return say(nir_text(&report.nir, &report.nir_warnings));
        }
    }
    let report = Spike {
        out: arguments.out.clone(),
        levels: arguments.levels,
        epochs: arguments.epochs,
        time_epochs: arguments.time_epochs,
        steps: arguments.steps.clone(),
        exact: arguments.exact,
        nir: arguments.nir.clone(),
        nir_for: arguments.nir_for,
        neurobench: arguments.neurobench,
        seed: arguments.seed,
        threads: arguments.threads,
        directory: arguments.directory.clone(),
        overwrite: arguments.overwrite,
        ..Spike::new(run)
    }
    .run(&mut Watcher::new())?;
    if arguments.json { say_json(&report) } else { conclude(&report) }
}
