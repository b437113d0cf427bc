//! `gyrus simulate`: circuits of spiking neurons as neuroscience builds them.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gyrus::verbs::RecordFormat;
use gyrus::{EstimateCircuit, Simulate};

use super::help::{JSON, SEED};
use super::simulate_summary::{conclude, estimated};
use super::simulate_watch::Watch;
use super::values::{positive, threads};
use crate::exit::Failure;
use crate::output::{manner, say, say_json};

/// Simulate a circuit of spiking neurons as neuroscience builds them
///
/// CIRCUIT is built in (brunel, cuba, coba, microcircuit), a .toml file in NEST's words with the units in the names (--show prints
/// those of the built-in circuits), or a SONATA configuration. Writes spikes, recorded traces and a page with raster, rates, power
/// spectra and a picture of the circuit. Spikes are the same for any number of threads.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Built-in circuit (brunel | cuba | coba | microcircuit), .toml file, or SONATA configuration (.json or its folder)
    circuit: PathBuf,
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
    #[arg(long, conflicts_with_all = ["scale", "seconds", "seed", "max_rate", "watch", "estimate", "out", "overwrite", "format", "json"])]
    show: bool,
    /// Measure this machine for some seconds, and print memory and time for this circuit and larger ones of its kind
    #[arg(long, conflicts_with_all = ["scale", "seconds", "seed", "max_rate", "watch", "out", "overwrite", "format"])]
    estimate: bool,
    /// Numbers of neurons to estimate [default: the circuit's, 1e6, 1e8, and a human brain's 86e9]
    #[arg(long, value_name = "N", num_args = 1.., requires = "estimate", value_parser = positive)]
    neurons: Vec<f64>,
    /// Folder to write [default: runs/NAME]
    #[arg(long, alias = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Format of spikes and traces: sonata (HDF5) | csv | parquet
    #[arg(long, value_name = "FORMAT", default_value = RecordFormat::Sonata.name(), value_parser = formats())]
    format: RecordFormat,
    /// Replace a simulation that the folder holds
    #[arg(long)]
    overwrite: bool,
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

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { circuit, threads, .. } = arguments;
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
    let report = Simulate {
        scale: arguments.scale,
        seconds: arguments.seconds,
        seed: arguments.seed,
        threads: *threads,
        format: arguments.format,
        max_rate_hz: arguments.max_rate,
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        ..Simulate::new(circuit)
    }
    .run(&mut Watch::new(arguments.watch && !manner().quiet))?;
    match arguments.json {
        true => say_json(&report)?,
        false => conclude(&report)?,
    }
    match report.stopped {
        None => Ok(()),
        Some(why) if report.status == "interrupted" => {
            Err(gyrus::Error::Stopped(format!("{why}; {} holds what was recorded", report.out.display()))
                .into())
        }
        Some(why) => {
            Err(gyrus::Error::Failed(format!("{why}; {} holds what was recorded", report.out.display()))
                .into())
        }
    }
}
