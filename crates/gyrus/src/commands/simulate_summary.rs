//! What `gyrus simulate` prints at its end.

use gyrus::report::{duration, grouped, number};
use gyrus::verbs::{EstimatedSize, LearningReport, counted, quoted};
use gyrus::{EstimateReport, SimulateReport};

use crate::exit::Failure;
use crate::output::{next, note, page, say};

/// Prints a simulation's numbers.
pub(crate) fn conclude(report: &SimulateReport) -> Result<(), Failure> {
    report.notes.iter().for_each(|text| note(format_args!("note: {text}")));
    say(format_args!(
        "{}: {}, {}; {} ms in steps of {} ms\n",
        report.circuit,
        counted(report.neurons as u64, "neuron"),
        counted(report.synapses, "synapse"),
        number(report.duration_ms),
        number(report.resolution_ms),
    ))?;
    let width = report.populations.iter().map(|own| own.name.chars().count()).max().unwrap_or(0).max(10);
    say(format_args!("{:<width$}  neurons  rate, Hz     CV  synchrony  correlation", "population"))?;
    for own in &report.populations {
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
        };
        say(format_args!(
            "{:<width$}  {:>7}  {:>8}  {:>5}  {:>9}  {:>11}",
            own.name,
            own.neurons,
            shown(own.rate_hz, 2),
            shown(own.cv_of_intervals, 3),
            shown(own.synchrony, 2),
            shown(own.correlation, 4),
        ))?;
    }
    let factor = report.real_time_factor;
    let pace = match factor {
        factor if factor < 1.0 => format!("{} times faster than real time", number(1.0 / factor)),
        factor => format!("{} times the simulated time", number(factor)),
    };
    say(format_args!(
        "\n{} spikes, {} synaptic events; built in {}, simulated in {} ({pace}), {:.1} million events a second",
        grouped(report.spikes.into()),
        grouped(report.synaptic_events.into()),
        duration(report.build_seconds),
        duration(report.run_seconds),
        report.synaptic_events_per_second / 1e6,
    ))?;
    if let Some(bytes) = report.bytes_per_synapse {
        say(format_args!(
            "{} bytes a synapse, {:.1} MiB for the circuit",
            number(bytes),
            report.circuit_bytes as f64 / f64::from(1 << 20),
        ))?;
    }
    let spikes = report.files.first().map_or(String::new(), |file| quoted(file));
    next(format_args!(
        "\nNext:\n  open {}      raster, rates, power spectra, the circuit\n  {spikes}      the spikes",
        page(&report.page)
    ))
}

/// Prints what was learned.
pub(crate) fn learned(report: &LearningReport) -> Result<(), Failure> {
    report.notes.iter().for_each(|text| note(format_args!("note: {text}")));
    let what = match (report.accuracy, report.edge_detectors) {
        (Some(accuracy), _) => format!(
            "{:.2} % of {} recognized",
            100.0 * accuracy,
            counted(report.test_examples as u64, "test image"),
        ),
        (None, Some(count)) => format!(
            "{count} of {} neurons became edge detectors ({:.0} % of random fields would count)",
            report.neurons,
            100.0 * report.by_chance.unwrap_or_default(),
        ),
        (None, None) => counted(report.neurons as u64, "neuron"),
    };
    say(format_args!(
        "{}: {what}\n{} with {} each learned from {} without labels: {} of activity in {}, answers in {}\n{} synaptic events",
        report.task,
        counted(report.neurons as u64, "neuron"),
        counted(report.inputs as u64, "input"),
        counted(report.examples as u64, "presentation"),
        duration(report.simulated_seconds),
        duration(report.learn_seconds),
        duration(report.answer_seconds),
        grouped(report.synaptic_events.into()),
    ))?;
    next(format_args!(
        "\nNext:\n  open {}      the receptive fields\n  {}      weights and thresholds",
        page(&report.page),
        quoted(&report.weights),
    ))
}

/// Prints an estimate.
pub(crate) fn estimated(report: &EstimateReport) -> Result<(), Failure> {
    say(format_args!(
        "{}: {} synapses onto each neuron, {} spikes a second\n\
         measured here with {} neurons, {} synapses and {}: {} ns to build a synapse, {} ns for a neuron's\n\
         step, {} ns for a synaptic event; {} bytes a neuron, {} bytes a synapse\n",
        report.circuit,
        grouped(report.synapses_per_neuron.round() as u128),
        number(report.rate_hz),
        grouped(report.measured_neurons as u128),
        grouped(report.measured_synapses as u128),
        counted(report.threads as u64, "thread"),
        number(report.build_ns),
        number(report.step_ns),
        number(report.event_ns),
        number(report.neuron_bytes),
        number(report.synapse_bytes),
    ))?;
    say(format_args!(
        "                                                       on so many machines such as this one\n\
         {:>9}  {:>9}  {:>9}  {:>10}  {:>11}  {:>16}  {:>9}  limited by",
        "neurons", "synapses", "memory", "machines", "built in", "× simulated time", "real time"
    ))?;
    for own in &report.sizes {
        say(row(own))?;
    }
    say(format_args!(
        "\nMachines: as many as hold the circuit, with the {} that are free here. Real time: machines that keep up with\n\
         the simulated time. Messages between machines are left out: they cost the more the more there are.",
        bytes(report.memory_bytes)
    ))
}

fn row(own: &EstimatedSize) -> String {
    format!(
        "{:>9}  {:>9}  {:>9}  {:>10}  {:>11}  {:>16}  {:>9}  {}",
        large(own.neurons),
        large(own.synapses),
        bytes(own.bytes),
        large(own.machines),
        duration(own.build_seconds),
        large_or_small(own.real_time_factor),
        large(own.machines_for_real_time),
        own.limited_by,
    )
}

/// About three digits: `12,500`, `15.6 M`, `86 G`, `1.5 P`.
fn large(value: f64) -> String {
    let units = [(1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M")];
    match units.into_iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) => format!("{}{unit}", three(value / size)),
        None => grouped(value.round() as u128),
    }
}

fn large_or_small(value: f64) -> String {
    if value < 1000.0 { three(value) } else { large(value) }
}

fn bytes(value: f64) -> String {
    let units = [(50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB")];
    let size = |power: i32| 2f64.powi(power);
    let (power, unit) = units.into_iter().find(|(power, _)| value >= size(*power)).unwrap_or((10, "KiB"));
    format!("{} {unit}", three(value / size(power)))
}

fn three(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => grouped(value.round() as u128),
    }
}
