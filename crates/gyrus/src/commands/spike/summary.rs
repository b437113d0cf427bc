//! What `gyrus spike` says at its end.

use std::path::Path;

use gyrus_data::Preprocessing;
use gyrus_nn::neurobench::NeuroBenchMetrics;
use gyrus_train::{AfterSteps, Agreement, Conversion, ExactRecord, RunFolder, RunRecord};
use serde_json::json;

use super::Arguments;
use crate::commands::learn::quoted;
use crate::failure::Failure;
use crate::say::{note, say};

/// What there is to say.
pub(super) struct Summary<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) record: &'a RunRecord,
    pub(super) folder: &'a RunFolder,
    pub(super) test_examples: u64,
    /// Of a sample.
    pub(super) neurons: u64,
    pub(super) steps: usize,
    /// The NIR file that was written, and where others would read it differently.
    pub(super) nir: Option<(&'a Path, Vec<String>)>,
    pub(super) neurobench: Option<NeuroBenchMetrics>,
}

/// Says it.
pub(super) fn conclude(summary: &Summary<'_>) -> Result<(), Failure> {
    let &Summary { arguments, record, folder, test_examples, neurons, steps, .. } = summary;
    let Some(conversion) = &record.conversion else { return Ok(()) };
    if arguments.json {
        let after = |row: &AfterSteps| {
            json!({
                "steps": row.steps,
                "accuracy": row.accuracy,
                "spikes_per_neuron": row.spikes_per_neuron,
                "synaptic_operations": row.accumulates + row.multiply_accumulates,
                "accumulates": row.accumulates,
                "multiply_accumulates": row.multiply_accumulates,
                "energy": row.energy,
            })
        };
        let exact = conversion.exact.map(|ExactRecord { agreement, settled_after, enough_steps }| {
            let Agreement { examples, differing_answers, differing_classes } = agreement;
            json!({"examples": examples, "differing_answers": differing_answers, "differing_classes": differing_classes,
                "settled_after": settled_after, "enough_steps": enough_steps})
        });
        return say(json!({
            "run": folder.path(),
            "from": arguments.run,
            "data": record.data.name,
            "levels": conversion.levels,
            "steps": steps,
            "neurons": neurons,
            "test_examples": test_examples,
            "dense_accuracy": conversion.dense_accuracy,
            "quantized_accuracy": conversion.quantized_accuracy,
            "after": conversion.after.iter().map(after).collect::<Vec<_>>(),
            "exact": exact,
            "nir": summary.nir.as_ref().map(|(file, _)| file),
            "nir_warnings": summary.nir.as_ref().map(|(_, warnings)| warnings),
            "neurobench": summary.neurobench,
            "fine_tuning_epochs": conversion.fine_tuning_epochs,
            "fine_tuning_seconds": conversion.fine_tuning_seconds,
            "through_time_epochs": conversion.through_time_epochs,
            "through_time_seconds": conversion.through_time_seconds,
            "total_seconds": record.timings.total_seconds,
        }));
    }
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    say(format_args!(
        "dense network: {} of {} test examples; with activations of {} levels: {}\n",
        percent(conversion.dense_accuracy),
        test_examples,
        conversion.levels,
        percent(conversion.quantized_accuracy)
    ))?;
    say(table(conversion))?;
    if let Some(exact) = &conversion.exact {
        let agreement = &exact.agreement;
        say(format_args!(
            "\nanswers that differ from those of the quantised network in any bit: {} of {}; nothing fired after step {} \
             ({} steps are enough for any input)",
            agreement.differing_answers, agreement.examples, exact.settled_after, exact.enough_steps
        ))?;
    }
    if conversion.fine_tuning_epochs + conversion.through_time_epochs > 0 {
        note(format_args!(
            "fine-tuning: {} epochs with quantised activations, {:.1} s; {} epochs through time, {:.1} s; in all {:.1} s",
            conversion.fine_tuning_epochs,
            conversion.fine_tuning_seconds,
            conversion.through_time_epochs,
            conversion.through_time_seconds,
            record.timings.total_seconds
        ));
    }
    if let Some(metrics) = &summary.neurobench {
        say(neurobench_text(metrics))?;
    }
    if let Some((file, warnings)) = &summary.nir {
        say(format_args!("\n{}", nir_text(file, warnings)))?;
    }
    let file = match record.preprocessing {
        Preprocessing::Image { .. } => "PICTURE.png",
        Preprocessing::Table { .. } => "ROWS.csv",
        Preprocessing::Events { .. } => "RECORDING",
    };
    say(format_args!(
        "\nNext:\n  gyrus predict {} {file}      what it says after {} steps\n  open {}      spikes, potentials, accuracy \
         and energy over the steps{}",
        quoted(folder.path()),
        steps,
        quoted(&folder.report_path()),
        match conversion.exact {
            Some(_) => String::new(),
            None => format!(
                "\n  gyrus spike {} --exact --out DIR      signed spikes, which equal the quantised network",
                quoted(&arguments.run)
            ),
        }
    ))
}

/// The accounts as a person reads them.
fn table(conversion: &Conversion) -> String {
    let mut text = String::from(
        "                                                  energy of an answer, nJ\n\
         \x20        accu-  beside     spikes/  synaptic  operations         with              quantised,\n\
         steps     racy   dense     neuron  operations  only (dense)      memory (dense)    equal bits\n",
    );
    for row in &conversion.after {
        let nanojoules = |picojoules: f64| short(picojoules / 1000.0);
        let pair = |spiking: f64, dense: f64| format!("{} ({})", nanojoules(spiking), nanojoules(dense));
        let energy = &row.energy;
        text += &format!(
            "{:>5}  {:>5.2} %  {:>+6.2}  {:>9}  {:>10}  {:<16}  {:<16}  {}\n",
            row.steps,
            row.accuracy * 100.0,
            (row.accuracy - conversion.dense_accuracy) * 100.0,
            short(row.spikes_per_neuron),
            format!("{:.0}", row.accumulates + row.multiply_accumulates),
            pair(energy.spiking.operations_pj, energy.dense.operations_pj),
            pair(energy.spiking.with_memory_pj, energy.dense.with_memory_pj),
            nanojoules(energy.quantized.with_memory_pj),
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
pub(super) fn nir_text(file: &Path, warnings: &[String]) -> String {
    let mut text = format!("wrote {}", quoted(file));
    for warning in warnings {
        text.push_str(&format!("\n  note: {warning}"));
    }
    text
}
