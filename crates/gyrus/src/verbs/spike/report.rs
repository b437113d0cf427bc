//! What `spike` returns.

use std::path::PathBuf;

use gyrus_nn::neurobench::NeuroBenchMetrics;
use gyrus_train::energy::Comparison;
use gyrus_train::{AfterSteps, Agreement, ExactRecord, RunFolder, RunRecord};
use serde::Serialize;

use crate::verbs::serialized;
use crate::{Error, Result};

/// What a spiking network costs and saves beside the dense one that it comes from.
#[derive(Clone, Debug, Serialize)]
pub struct SpikeReport {
    /// The spiking run folder.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// The dense run folder.
    #[serde(serialize_with = "serialized::path")]
    pub from: PathBuf,
    /// The data as it was asked for.
    pub data: String,
    /// Most levels of a quantized activation.
    pub levels: usize,
    /// Steps for which the spiking run shows an example.
    pub steps: usize,
    /// Spiking neurons.
    pub neurons: u64,
    /// Examples of the test.
    pub test_examples: u64,
    /// Test accuracy of the dense network, 0 to 1.
    pub dense_accuracy: f64,
    /// Test accuracy of the dense network with quantized activations, 0 to 1.
    pub quantized_accuracy: f64,
    /// After each number of steps that was asked for.
    pub after: Vec<SpikeAccount>,
    /// Of the exact form: how its answers compare to those of the quantized network.
    pub exact: Option<SpikeAgreement>,
    /// The NIR file that was written.
    #[serde(serialize_with = "serialized::some_path")]
    pub nir: Option<PathBuf>,
    /// In which ways others would compute something else from it.
    pub nir_warnings: Option<Vec<String>>,
    /// NeuroBench's metrics over the test examples.
    pub neurobench: Option<NeuroBenchMetrics>,
    /// Epochs of fine-tuning with quantized activations.
    pub fine_tuning_epochs: u32,
    /// Seconds of that.
    pub fine_tuning_seconds: f64,
    /// Epochs of fine-tuning through time.
    pub through_time_epochs: u32,
    /// Seconds of that.
    pub through_time_seconds: f64,
    /// Seconds of everything.
    pub total_seconds: f64,
    /// The report page.
    #[serde(serialize_with = "serialized::path")]
    pub page: PathBuf,
    /// Everything that `run.json` says.
    #[serde(skip)]
    pub record: RunRecord,
}

/// What a spiking network does within some steps, for a test example on average.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SpikeAccount {
    /// Steps so far.
    pub steps: usize,
    /// Share of the test examples that is classified correctly.
    pub accuracy: f64,
    /// Spikes of a neuron.
    pub spikes_per_neuron: f64,
    /// All synaptic operations.
    pub synaptic_operations: f64,
    /// Those that only add.
    pub accumulates: f64,
    /// Those that multiply.
    pub multiply_accumulates: f64,
    /// Of an answer, in three accountings.
    pub energy: Comparison,
}

/// How the exact form's answers compare to those of the quantized network.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SpikeAgreement {
    /// Examples that were compared.
    pub examples: u64,
    /// Those whose answers differ in any bit.
    pub differing_answers: u64,
    /// Those whose classes differ.
    pub differing_classes: u64,
    /// The last step at which anything fired for any test example.
    pub settled_after: usize,
    /// Steps that are enough for any input.
    pub enough_steps: usize,
}

impl From<&AfterSteps> for SpikeAccount {
    fn from(row: &AfterSteps) -> Self {
        Self {
            steps: row.steps,
            accuracy: row.accuracy,
            spikes_per_neuron: row.spikes_per_neuron,
            synaptic_operations: row.accumulates + row.multiply_accumulates,
            accumulates: row.accumulates,
            multiply_accumulates: row.multiply_accumulates,
            energy: row.energy,
        }
    }
}

impl From<ExactRecord> for SpikeAgreement {
    fn from(record: ExactRecord) -> Self {
        let ExactRecord { agreement, settled_after, enough_steps } = record;
        let Agreement { examples, differing_answers, differing_classes } = agreement;
        Self { examples, differing_answers, differing_classes, settled_after, enough_steps }
    }
}

impl SpikeReport {
    /// Of a run that was left in a folder; `neurons` is what its network has.
    pub(super) fn new(
        from: PathBuf,
        record: RunRecord,
        folder: &RunFolder,
        (test_examples, neurons, steps): (u64, u64, usize),
    ) -> Result<Self> {
        let conversion = record
            .conversion
            .as_ref()
            .ok_or_else(|| Error::failed("the run does not say where it came from"))?;
        Ok(Self {
            run: folder.path().to_owned(),
            from,
            data: record.data.name.clone(),
            levels: conversion.levels,
            steps,
            neurons,
            test_examples,
            dense_accuracy: conversion.dense_accuracy,
            quantized_accuracy: conversion.quantized_accuracy,
            after: conversion.after.iter().map(SpikeAccount::from).collect(),
            exact: conversion.exact.map(SpikeAgreement::from),
            nir: None,
            nir_warnings: None,
            neurobench: None,
            fine_tuning_epochs: conversion.fine_tuning_epochs,
            fine_tuning_seconds: conversion.fine_tuning_seconds,
            through_time_epochs: conversion.through_time_epochs,
            through_time_seconds: conversion.through_time_seconds,
            total_seconds: record.timings.total_seconds,
            page: folder.report_path(),
            record,
        })
    }
}
