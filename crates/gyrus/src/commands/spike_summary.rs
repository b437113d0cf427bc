//! What `gyrus spike` prints at its end.

use std::path::Path;

use gyrus::SpikeReport;
use gyrus::data::Preprocessing;
use gyrus::nn::neurobench::NeuroBenchMetrics;
use gyrus::report::EnergyUnit;
use gyrus::train::energy::Comparison;
use gyrus::verbs::{counted, quoted};

use crate::exit::Failure;
use crate::output::{next, note, page, say};

/// Prints it.
pub(crate) fn conclude(report: &SpikeReport) -> Result<(), Failure> {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    say(format_args!(
        "dense network: {} of {} test examples; with activations of {} levels: {}\n",
        percent(report.dense_accuracy),
        report.test_examples,
        report.levels,
        percent(report.quantized_accuracy)
    ))?;
    say(table(report))?;
    if let Some(exact) = &report.exact {
        say(format_args!(
            "\nanswers that differ from those of the quantized network in any bit: {} of {}; nothing fired after step {} \
             ({} steps are enough for any input)",
            exact.differing_answers, exact.examples, exact.settled_after, exact.enough_steps
        ))?;
    }
    if report.fine_tuning_epochs + report.through_time_epochs > 0 {
        note(format_args!(
            "fine-tuning: {} with quantized activations, {:.1} s; {} through time, {:.1} s; in all {:.1} s",
            counted(report.fine_tuning_epochs.into(), "epoch"),
            report.fine_tuning_seconds,
            counted(report.through_time_epochs.into(), "epoch"),
            report.through_time_seconds,
            report.total_seconds
        ));
    }
    if let Some(metrics) = &report.neurobench {
        say(neurobench_text(metrics))?;
    }
    if let (Some(file), Some(warnings)) = (&report.nir, &report.nir_warnings) {
        say(format_args!("\n{}", nir_text(file, warnings)))?;
    }
    let file = match report.record.preprocessing {
        Preprocessing::Image { .. } => "IMAGE.png",
        Preprocessing::Table { .. } => "ROWS.csv",
        Preprocessing::Events { .. } => "RECORDING",
    };
    next(format_args!(
        "\nNext:\n  gyrus predict {} {file}      classifies after {} steps\n  open {}      spikes, potentials, accuracy \
         and energy over the steps{}",
        quoted(&report.run),
        report.steps,
        page(&report.page),
        match report.exact {
            Some(_) => String::new(),
            None => format!(
                "\n  gyrus spike {} --exact      signed spikes, which equal the quantized network",
                quoted(&report.from)
            ),
        }
    ))
}

/// The accounts as a person reads them.
fn table(report: &SpikeReport) -> String {
    let all = report.after.iter().flat_map(|row| {
        let Comparison { spiking, dense, quantized } = row.energy;
        [spiking.with_memory_pj, dense.with_memory_pj, quantized.with_memory_pj]
    });
    let unit = EnergyUnit::of(all.fold(0.0, f64::max));
    let mut text = format!(
        "                                                  energy of an answer, {}\n\
         \x20        accu-  beside     spikes/  synaptic  operations         with              quantized,\n\
         steps     racy   dense     neuron  operations  only (dense)      memory (dense)    equal bits\n",
        unit.name
    );
    for row in &report.after {
        let in_unit = |picojoules: f64| short(picojoules / unit.pj);
        let pair = |spiking: f64, dense: f64| format!("{} ({})", in_unit(spiking), in_unit(dense));
        let kept = if row.steps == report.steps && report.after.len() > 1 { "  kept" } else { "" };
        let energy = &row.energy;
        text += &format!(
            "{:>5}  {:>5.2} %  {:>+6.2}  {:>9}  {:>10}  {:<16}  {:<16}  {}{kept}\n",
            row.steps,
            row.accuracy * 100.0,
            (row.accuracy - report.dense_accuracy) * 100.0,
            short(row.spikes_per_neuron),
            format!("{:.0}", row.synaptic_operations),
            pair(energy.spiking.operations_pj, energy.dense.operations_pj),
            pair(energy.spiking.with_memory_pj, energy.dense.with_memory_pj),
            in_unit(energy.quantized.with_memory_pj),
        );
    }
    text.pop();
    text
}

/// Three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size < 1.0 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}

/// NeuroBench's metrics as a person reads them.
fn neurobench_text(metrics: &NeuroBenchMetrics) -> String {
    format!(
        "\nNeuroBench: footprint {} bytes, {} parameters, connection sparsity {}, activation sparsity {:.4};\n  of an \
         example {:.1} effective MACs, {:.1} effective ACs, {:.0} dense operations, {:.1} membrane updates",
        metrics.footprint_bytes,
        metrics.parameters,
        metrics.connection_sparsity,
        metrics.activation_sparsity,
        metrics.effective_macs,
        metrics.effective_acs,
        metrics.dense_operations,
        metrics.membrane_updates,
    )
}

/// What is said of a NIR file that was written.
pub(crate) fn nir_text(file: &Path, warnings: &[String]) -> String {
    let mut text = format!("wrote {}", quoted(file));
    for warning in warnings {
        text.push_str(&format!("\n  note: {warning}"));
    }
    text
}
