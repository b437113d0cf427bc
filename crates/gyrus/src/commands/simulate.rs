//! `gyrus simulate`: circuits of spiking neurons as neuroscience builds them.

use std::path::{Path, PathBuf};

use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gyrus::simulate::processes::Processes;
use gyrus::verbs::{LearningTask, RecordFormat, SimulateLearning, quoted};
use gyrus::{EstimateCircuit, Simulate};

use super::help::{JSON, SEED};
use super::simulate_summary::{conclude, estimated, learned};
use super::simulate_watch::Watch;
use super::values::{positive, threads};
use crate::exit::Failure;
use crate::output::{manner, say, say_json};

/// Simulate a circuit of spiking neurons as neuroscience builds them
///
/// CIRCUIT is built in (brunel, cuba, coba, microcircuit), or a .toml file in NEST's words with the units in the names (--show prints
/// those of the built-in circuits), a SONATA configuration, or a .nir file. Writes spikes, recorded traces and a page with raster, rates, power
/// spectra and a picture of the circuit. Spikes are the same for any number of threads.
///
/// digits, mnist, fashion-mnist and edges are circuits that learn without labels: neurons compete for what they are shown, and the page has
/// their receptive fields.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Built-in circuit (brunel | cuba | coba | microcircuit), .toml file, SONATA configuration (.json or its folder), or .nir file; or what
    /// is to be learned (digits | mnist | fashion-mnist | edges)
    #[arg(required_unless_present = "resume")]
    circuit: Option<PathBuf>,
    /// Times as many neurons, and synapses onto each
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive)]
    scale: f64,
    /// Simulated time [default: what the circuit says]
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    seconds: Option<f64>,
    #[arg(long, help = SEED, default_value_t = 0)]
    seed: u64,
    /// Stop when all neurons together fire faster than this over 50 ms, in spikes per neuron and second
    #[arg(long, value_name = "HZ", default_value_t = Simulate::MAX_RATE_HZ, value_parser = positive)]
    max_rate: f64,
    /// Draw raster and rates in the terminal while it runs
    #[arg(long)]
    watch: bool,
    /// Print the file of a built-in circuit, to begin one of your own with
    #[arg(long, conflicts_with_all = ["scale", "seconds", "seed", "max_rate", "watch", "estimate", "dt", "input_rate", "out", "overwrite", "format", "json"])]
    show: bool,
    /// Measure this machine for some seconds, and print memory and time for this circuit and larger ones of its kind
    #[arg(long, conflicts_with_all = ["scale", "seconds", "seed", "max_rate", "watch", "dt", "input_rate", "out", "overwrite", "format"])]
    estimate: bool,
    /// Numbers of neurons to estimate [default: the circuit's, 1e6, 1e8, and a human brain's 86e9]
    #[arg(long, value_name = "N", num_args = 1.., requires = "estimate", value_parser = positive)]
    neurons: Vec<f64>,
    /// Of a .nir file: time step in milliseconds [default: what the file says]
    #[arg(long, value_name = "MS", value_parser = positive)]
    dt: Option<f64>,
    /// Of a .nir file: rate of the Poisson spikes of each element of its input
    #[arg(long, value_name = "HZ", default_value_t = Simulate::INPUT_RATE_HZ, value_parser = positive)]
    input_rate: f64,
    /// Of learning: folder with the standard files, or for edges with photographs [default: the hub, where it has them]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Of learning: number of presentations [default: 6000 (digits), 60000 (mnist), 20000 (edges)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    examples: Option<u32>,
    /// Folder to write [default: runs/NAME]
    #[arg(long, alias = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Format of spikes and traces: sonata (HDF5) | csv | parquet
    #[arg(long, value_name = "FORMAT", default_value = RecordFormat::Sonata.name(), value_parser = formats())]
    format: RecordFormat,
    /// Replace a simulation that the folder holds
    #[arg(long)]
    overwrite: bool,
    /// Go on with a run that Ctrl-C stopped, to the end that it was asked for; the spikes are those of an uninterrupted run
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Worker threads; 0 = one per core. Spikes do not depend on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

fn formats() -> impl TypedValueParser<Value = RecordFormat> {
    let named = |name: String| RecordFormat::ALL.into_iter().find(|format| format.name() == name);
    PossibleValuesParser::new(RecordFormat::ALL.map(RecordFormat::name))
        .map(move |name| named(name).unwrap_or_default())
}

/// The verb of a circuit that learns, where one is named.
fn learning(arguments: &Arguments) -> Result<Option<SimulateLearning>, Failure> {
    if let Some(run) = &arguments.resume {
        let verb = SimulateLearning::resumed(run)?;
        return Ok(verb.map(|verb| SimulateLearning { threads: arguments.threads, ..verb }));
    }
    let Some(task) = arguments.circuit.as_deref().and_then(Path::to_str).and_then(LearningTask::named) else {
        return Ok(None);
    };
    let not_for = [
        ("--seconds", arguments.seconds.is_some()),
        ("--watch", arguments.watch),
        ("--show", arguments.show),
        ("--estimate", arguments.estimate),
        ("--dt", arguments.dt.is_some()),
        ("--format", arguments.format != RecordFormat::default()),
    ];
    if let Some((option, _)) = not_for.into_iter().find(|(_, given)| *given) {
        let name = task.name();
        return Err(Failure::Input(format!(
            "{option} is not for {name}, which learns; its length is --examples"
        )));
    }
    Ok(Some(SimulateLearning {
        data: arguments.data.clone(),
        scale: arguments.scale,
        examples: arguments.examples.map(|examples| examples as usize),
        seed: arguments.seed,
        threads: arguments.threads,
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        ..SimulateLearning::new(task)
    }))
}

/// The other processes, where `mpirun` started several.
#[cfg(feature = "mpi")]
fn processes() -> Result<Option<Arc<dyn Processes>>, Failure> {
    let signs = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"];
    if !signs.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(None);
    }
    let world = gyrus::simulate::processes::mpi::World::join().map_err(gyrus::Error::from)?;
    Ok(Some(Arc::new(world)))
}

#[cfg(not(feature = "mpi"))]
#[expect(clippy::unnecessary_wraps, reason = "the same as with MPI, which may fail")]
fn processes() -> Result<Option<Arc<dyn Processes>>, Failure> {
    Ok(None)
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { threads, .. } = arguments;
    let circuit = &arguments.circuit.clone().unwrap_or_default();
    if let Some(verb) = learning(arguments)? {
        let report = verb.run(&mut Watch::new(false))?;
        return if arguments.json { say_json(&report) } else { learned(&report) };
    }
    if arguments.data.is_some() || arguments.examples.is_some() {
        let names = LearningTask::ALL.map(LearningTask::name).join(", ");
        return Err(Failure::Input(format!("--data and --examples are for circuits that learn: {names}")));
    }
    if arguments.show {
        return say(Simulate::show(circuit)?.trim_end());
    }
    if arguments.estimate {
        let mut verb = EstimateCircuit { threads: *threads, ..EstimateCircuit::new(circuit) };
        if !arguments.neurons.is_empty() {
            verb.neurons = arguments.neurons.clone();
        }
        let report = verb.run()?;
        return if arguments.json { say_json(&report) } else { estimated(&report) };
    }
    let processes = processes()?;
    let verb = Simulate {
        processes,
        scale: arguments.scale,
        seconds: arguments.seconds,
        seed: arguments.seed,
        threads: *threads,
        format: arguments.format,
        max_rate_hz: arguments.max_rate,
        dt_ms: arguments.dt,
        input_rate_hz: arguments.input_rate,
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        ..Simulate::new(circuit)
    };
    let verb = match &arguments.resume {
        Some(run) => Simulate { threads: *threads, ..Simulate::resumed(run)? },
        None => verb,
    };
    if !verb.is_first_process() {
        // The first one speaks for all.
        verb.run(&mut gyrus::Quiet)?;
        return Ok(());
    }
    let report = verb.run(&mut Watch::new(arguments.watch && !manner().quiet))?;
    match arguments.json {
        true => say_json(&report)?,
        false => conclude(&report)?,
    }
    match report.stopped {
        None => Ok(()),
        Some(_) if report.status == "interrupted" => Err(gyrus::Error::Interrupted {
            step: (report.duration_ms / report.resolution_ms).round() as u64,
            steps: (report.planned_ms / report.resolution_ms).round() as u64,
            part: "",
            next: format!("gyrus simulate --resume {}", quoted(&report.out)),
            run: report.out,
        }
        .into()),
        Some(why) => {
            Err(gyrus::Error::Failed(format!("{why}; {} holds what was recorded", report.out.display()))
                .into())
        }
    }
}
