//! What a circuit of any size would take.

use std::path::PathBuf;

use gyrus_kernels::with_threads;
use gyrus_simulate::estimate::{Costs, HUMAN_BRAIN};
use serde::Serialize;

use super::source::Source;
use crate::{Error, Result};

/// Estimates memory and time of a circuit from measurements on this machine.
#[derive(Clone, Debug)]
pub struct EstimateCircuit {
    /// A built-in circuit or a file, as for [`Simulate`](super::Simulate).
    pub circuit: PathBuf,
    /// Numbers of neurons to estimate besides the circuit's own.
    pub neurons: Vec<f64>,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was measured and what follows.
#[derive(Clone, Debug, Serialize)]
pub struct EstimateReport {
    /// The circuit's name.
    pub circuit: String,
    /// Synapses onto a neuron, on average.
    pub synapses_per_neuron: f64,
    /// Spikes per neuron and second that were measured.
    pub rate_hz: f64,
    /// Neurons of the measured circuit.
    pub measured_neurons: f64,
    /// Its synapses.
    pub measured_synapses: f64,
    /// Nanoseconds to build a synapse.
    pub build_ns: f64,
    /// Nanoseconds for a neuron's step.
    pub step_ns: f64,
    /// Nanoseconds for a synaptic event.
    pub event_ns: f64,
    /// Bytes for a neuron.
    pub neuron_bytes: f64,
    /// Bytes for a synapse.
    pub synapse_bytes: f64,
    /// Memory of this machine that is free.
    pub memory_bytes: f64,
    /// Threads that were used.
    pub threads: usize,
    /// The sizes.
    pub sizes: Vec<EstimatedSize>,
}

/// What one size takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EstimatedSize {
    /// Neurons.
    pub neurons: f64,
    /// Synapses.
    pub synapses: f64,
    /// Memory.
    pub bytes: f64,
    /// Machines such as this one that hold it.
    pub machines: f64,
    /// Time to build it on them.
    pub build_seconds: f64,
    /// Time for a second of activity on them, over a second.
    pub real_time_factor: f64,
    /// Machines such as this one that would run it in real time, messages between them left out.
    pub machines_for_real_time: f64,
    /// `memory` or `time`: what asks for more machines.
    pub limited_by: &'static str,
}

impl EstimateCircuit {
    /// Of this circuit, up to the size of a human brain.
    pub fn new(circuit: impl Into<PathBuf>) -> Self {
        Self { circuit: circuit.into(), neurons: vec![1e6, 1e8, HUMAN_BRAIN], threads: 0 }
    }

    /// Measures for some seconds, and estimates.
    ///
    /// # Errors
    /// If the circuit is impossible, or cannot be made smaller to be measured.
    pub fn run(&self) -> Result<EstimateReport> {
        let Source::Circuit(file, None) = Source::open(&self.circuit)? else {
            return Err(Error::request("a SONATA network has one size: there is nothing to estimate"));
        };
        if let Some(wrong) = self.neurons.iter().find(|neurons| !(neurons.is_finite() && **neurons >= 1.0)) {
            return Err(Error::request(format!("{wrong} neurons; expected a number of at least 1")));
        }
        let Some(memory) = gyrus_simulate::available_memory() else {
            return Err(Error::failed("this system does not say how much memory is free"));
        };
        let costs = with_threads(self.threads, || Costs::measure(&file))??;
        let memory_bytes = memory as f64;
        let mut neurons = vec![costs.neurons];
        neurons.extend(&self.neurons);
        neurons.sort_by(f64::total_cmp);
        neurons.dedup();
        let sizes = neurons.into_iter().map(|neurons| {
            let size = costs.of(neurons, memory_bytes);
            EstimatedSize {
                neurons,
                synapses: size.synapses,
                bytes: size.bytes,
                machines: size.machines,
                build_seconds: size.build_seconds,
                real_time_factor: size.real_time_factor,
                machines_for_real_time: size.machines_for_real_time,
                limited_by: if size.is_limited_by_memory { "memory" } else { "time" },
            }
        });
        Ok(EstimateReport {
            circuit: file.name.clone(),
            synapses_per_neuron: costs.synapses / costs.neurons,
            rate_hz: costs.rate_hz,
            measured_neurons: costs.measured_neurons,
            measured_synapses: costs.measured_synapses,
            build_ns: costs.build_ns,
            step_ns: costs.step_ns,
            event_ns: costs.event_ns,
            neuron_bytes: costs.neuron_bytes,
            synapse_bytes: costs.synapse_bytes,
            memory_bytes,
            threads: costs.threads,
            sizes: sizes.collect(),
        })
    }
}
