//! From what a run folder holds to the plain data that pages of `gyrus-report` show.

use gyrus_blueprint::{Blueprint, Integration};
use gyrus_data::{Augment, Preprocessing};
use gyrus_nn::{Encoder, Readout, SpikingSettings};
use gyrus_report::{
    ConversionReport, CurvePoint, Energy, ExactReport, Facts, LayerActivity, LayerRate, Part, Quality,
    Skipped, SpikingReport, StepsRow, duration, grouped, number,
};
use gyrus_train::{Conversion, MetricsRow, OverTime, RunRecord};

/// Points of the learning curves, over what `at` counts: epochs or steps.
pub(crate) fn curve(rows: &[MetricsRow], at: fn(&MetricsRow) -> f64) -> Vec<CurvePoint> {
    let mut before = (0, 0.0);
    let point = |row: &MetricsRow| {
        let end = (row.step, at(row));
        let (steps, length) = (row.step.saturating_sub(before.0).max(1) as f64, end.1 - before.1);
        let place = |step: u64| match step {
            // Exactly where the other lines have their point.
            step if step == row.step => end.1,
            step => before.1 + length * step.saturating_sub(before.0) as f64 / steps,
        };
        let losses = row.losses.iter().map(|(step, loss)| (place(*step), *loss)).collect();
        before = end;
        CurvePoint {
            at: end.1,
            learning_rate: row.learning_rate,
            train_loss: row.train_loss,
            validation_loss: row.validation_loss,
            train_accuracy: row.train_accuracy,
            validation_accuracy: row.validation_accuracy,
            losses,
        }
    };
    rows.iter().map(point).collect()
}

/// How good the kept weights are on each part of the data.
pub(crate) fn quality(record: &RunRecord) -> Vec<(Part, Quality)> {
    let Some(results) = &record.results else { return Vec::new() };
    let parts = [
        (Part::Training, &results.train),
        (Part::Validation, &results.validation),
        (Part::Test, &results.test),
    ];
    let known = parts.into_iter().filter_map(|(part, metrics)| Some((part, metrics.as_ref()?)));
    let quality = known.map(|(part, metrics)| {
        let quality = Quality {
            examples: metrics.examples,
            loss: metrics.loss,
            accuracy: metrics.accuracy,
            mean_absolute_error: metrics.mean_absolute_error,
        };
        (part, quality)
    });
    quality.collect()
}

/// What to see the result beside: simple rules, and a cross-validation.
pub(crate) fn beside(record: &RunRecord) -> Vec<(String, String)> {
    let Some(results) = &record.results else { return Vec::new() };
    let value = |accuracy: Option<f64>, error: Option<f64>| match (accuracy, error) {
        (Some(accuracy), _) => format!("{:.2} %", 100.0 * accuracy),
        (_, Some(error)) => number(error),
        _ => "–".to_owned(),
    };
    let rules = results.baselines.iter();
    let rules = rules.map(|rule| (rule.name.clone(), value(rule.accuracy, rule.mean_absolute_error)));
    let folds = results.folds.iter().enumerate();
    let folds = folds.map(|(at, part)| {
        let name = format!("cross-validation, fold {} of {}", at + 1, results.folds.len());
        (name, value(part.accuracy, part.mean_absolute_error))
    });
    rules.chain(folds).collect()
}

/// Files of the data set that could not be used.
pub(crate) fn skipped(record: &RunRecord) -> Skipped<'_> {
    let files = record.skipped.files.iter().map(|file| (file.path.as_str(), file.reason.as_str()));
    Skipped { count: record.skipped.count, files: files.collect() }
}

/// A spiking network beside the dense one that it was converted from.
pub(crate) fn conversion(conversion: &Conversion) -> ConversionReport {
    let energy = |energy: gyrus_train::energy::Energy| Energy {
        operations_pj: energy.operations_pj,
        with_memory_pj: energy.with_memory_pj,
    };
    let row = |row: &gyrus_train::AfterSteps| StepsRow {
        steps: row.steps,
        accuracy: row.accuracy,
        spikes_per_neuron: row.spikes_per_neuron,
        accumulates: row.accumulates,
        multiply_accumulates: row.multiply_accumulates,
        spiking: energy(row.energy.spiking),
        dense: energy(row.energy.dense),
        quantized: energy(row.energy.quantized),
    };
    ConversionReport {
        dense_accuracy: conversion.dense_accuracy,
        quantized_accuracy: conversion.quantized_accuracy,
        after: conversion.after.iter().map(row).collect(),
        exact: conversion.exact.map(|exact| ExactReport {
            examples: exact.agreement.examples,
            differing_answers: exact.agreement.differing_answers,
            settled_after: exact.settled_after,
            enough_steps: exact.enough_steps,
        }),
    }
}

/// Some neurons of one layer over time.
pub(crate) fn layer(layer: gyrus_train::LayerActivity) -> LayerActivity {
    let gyrus_train::LayerActivity { node, neurons, active, spikes, potentials } = layer;
    LayerActivity { node, neurons, active, spikes, potentials }
}

/// What a spiking network does on its test examples, after so many steps as its settings say; `weight_bytes` are those of all
/// its weights.
pub(crate) fn spiking(
    blueprint: &Blueprint,
    settings: &SpikingSettings,
    work: &OverTime,
    weight_bytes: u64,
) -> SpikingReport {
    let SpikingSettings { steps, time, encoder, readout, surrogate, .. } = settings;
    let integration = match time.integration {
        Integration::Exact => "exact",
        Integration::Euler => "Euler",
    };
    let encoder = match encoder {
        Encoder::Direct => "direct: numbers are currents, the same at every step".to_owned(),
        Encoder::Once { fraction_bits, .. } => format!("once, in {fraction_bits} fraction bits"),
        Encoder::Rate { .. } => "rate: brighter means more spikes, at random times".to_owned(),
        Encoder::Latency { .. } => "latency: brighter means an earlier spike".to_owned(),
        Encoder::Population { neurons, .. } => format!("population of {neurons} neurons a number"),
        Encoder::Delta { threshold } => format!("delta: a spike where a number rises by {threshold}"),
        Encoder::Frames { binary: true } => "frames of spikes".to_owned(),
        Encoder::Frames { binary: false } => "frames of counts".to_owned(),
    };
    let readout = match readout {
        Readout::Membrane => "mean output over the steps",
        Readout::Sum => "sum of the output over the steps",
        Readout::Counts => "number of spikes",
        Readout::FirstSpike => "first spike",
    };
    let last = steps.saturating_sub(1);
    let layers = work.neurons.iter().map(|layer| {
        let node = &blueprint.nodes()[layer.node];
        let spikes = layer.spikes.get(last).copied().unwrap_or(0) as f64;
        LayerRate {
            node: node.name.clone(),
            neuron: neuron_text(node),
            neurons: layer.neurons,
            spikes_per_neuron: spikes / (work.examples * layer.neurons).max(1) as f64,
        }
    });
    let (accumulates, multiply_accumulates) = work.operations(last);
    let energy = gyrus_train::energy::of_spikes(work, last, weight_bytes);
    SpikingReport {
        settings: vec![
            ("time step", format!("{} ms, integrated {}", number(time.dt_ms), integration.to_lowercase())),
            ("steps of an answer", steps.to_string()),
            ("encoder", encoder),
            ("readout", readout.to_owned()),
            ("surrogate derivative", surrogate.clone()),
        ],
        examples: work.examples,
        steps: *steps,
        dt_ms: time.dt_ms,
        layers: layers.collect(),
        accuracy: work.accuracy.iter().take(*steps).copied().collect(),
        accumulates,
        multiply_accumulates,
        energy: Energy { operations_pj: energy.operations_pj, with_memory_pj: energy.with_memory_pj },
    }
}

/// What the neurons of a node are.
fn neuron_text(node: &gyrus_blueprint::Node) -> String {
    let mut text = node.kind.name().to_owned();
    let Some(neuron) = node.kind.neuron() else { return text };
    for (constant, value) in &neuron.constants {
        let learned = neuron.learned.iter().any(|learned| learned == constant);
        let own = if learned { " (learned)" } else { "" };
        let shown = match *constant {
            "tau_membrane_ms" => format!(", τ {} ms{own}", number(*value)),
            "tau_synapse_ms" => format!(", τ of synapses {} ms{own}", number(*value)),
            "tau_adaptation_ms" => format!(", τ of adaptation {} ms{own}", number(*value)),
            "v_threshold" => format!(", threshold {}{own}", number(*value)),
            _ => continue,
        };
        text.push_str(&shown);
    }
    text
}

/// Settings, data and machine of a run.
pub(crate) fn provenance(record: &RunRecord) -> Vec<(&'static str, Facts<'static>)> {
    let settings = &record.settings;
    let data = &record.data;
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let learning = vec![
        ("seed", settings.seed.to_string()),
        ("epochs", settings.epochs.to_string()),
        ("batch size", settings.batch_size.to_string()),
        ("optimizer", settings.optimizer.clone()),
        ("learning rate", number(settings.learning_rate)),
        ("schedule", settings.schedule.clone()),
        ("weight decay", number(settings.weight_decay)),
        ("label smoothing", number(settings.label_smoothing)),
        ("augmentation", augmentation(&settings.augment)),
    ];
    let origin = vec![
        ("data", data.name.clone()),
        ("read from", optional(&data.path)),
        ("target", optional(&data.target)),
        (
            "examples",
            format!(
                "{} training, {} validation, {} test",
                grouped(u128::from(data.train_examples)),
                grouped(u128::from(data.validation_examples)),
                grouped(u128::from(data.test_examples))
            ),
        ),
        ("network input", input(&record.preprocessing)),
        ("data fingerprint", data.fingerprint.clone()),
    ];
    let machine = vec![
        ("Gyrus", format!("{} (run format {})", record.gyrus_version, record.format_version)),
        ("started", record.created.clone()),
        ("device", settings.device.clone()),
        ("threads", settings.threads.to_string()),
        ("reading the data", duration(record.timings.data_seconds)),
        ("training", duration(record.timings.train_seconds)),
        ("testing", duration(record.timings.test_seconds)),
        ("total", duration(record.timings.total_seconds)),
    ];
    let mut groups = vec![("Training", learning), ("Data", origin), ("Machine", machine)];
    groups.iter_mut().for_each(|(_, rows)| rows.retain(|row| !row.1.is_empty()));
    groups
}

/// What the network reads.
fn input(preprocessing: &Preprocessing) -> String {
    match preprocessing {
        Preprocessing::Image { height, width, channels, .. } => {
            let color = if *channels == 1 { "gray" } else { "color" };
            format!("{height} × {width} pixels, {color}")
        }
        Preprocessing::Events { steps, height, width, polarity, .. } => {
            let polarity = if *polarity { ", darker and brighter separately" } else { "" };
            format!("{steps} frames of {height} × {width} event counts{polarity}")
        }
        Preprocessing::Table { columns, .. } => {
            format!("{} columns, {} numbers", columns.len(), preprocessing.shape().iter().sum::<usize>())
        }
    }
}

/// The enabled changes, in words.
fn augmentation(augment: &Augment) -> String {
    let amounts = [
        ("shift", augment.shift_pixels, " px"),
        ("rotate", augment.rotate_degrees, "°"),
        ("scale", augment.scale * 100.0, " %"),
        ("shear", augment.shear_degrees, "°"),
        ("erase", augment.erase_fraction * 100.0, " %"),
        ("noise", augment.noise, ""),
    ];
    let mut words: Vec<String> = amounts
        .iter()
        .filter(|(_, amount, _)| *amount != 0.0)
        .map(|(name, amount, unit)| format!("{name} {}{unit}", number(f64::from(*amount))))
        .collect();
    if augment.flip_horizontal {
        words.push("mirror".to_owned());
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn augmentation_is_described_in_words() {
        let digits: Augment = "digits".parse().expect("a known augmentation");
        assert!(augmentation(&digits).contains("rotate 12°"), "{}", augmentation(&digits));
        assert_eq!(augmentation(&Augment::default()), "none");
    }
}
