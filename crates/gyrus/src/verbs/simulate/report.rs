//! What a simulation reports.

use std::path::PathBuf;

use serde::Serialize;

use super::SimulateRequest;
use crate::verbs::serialized;

/// What was simulated, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct SimulateReport {
    /// The circuit's name.
    pub circuit: String,
    /// Neurons, those that only send given spikes included.
    pub neurons: usize,
    /// Synapses.
    pub synapses: u64,
    /// Simulated time.
    pub duration_ms: f64,
    /// Simulated time that was asked for.
    pub planned_ms: f64,
    /// Length of a step.
    pub resolution_ms: f64,
    /// How much of the beginning the statistics leave out.
    pub discard_ms: f64,
    /// Times as many neurons, and synapses onto each, as in the whole circuit.
    pub scale: f64,
    /// The seed.
    pub seed: u64,
    /// Each population.
    pub populations: Vec<PopulationReport>,
    /// Spikes of all neurons during the whole time.
    pub spikes: u64,
    /// Synaptic events during the whole time.
    pub synaptic_events: u64,
    /// Time to build the circuit.
    pub build_seconds: f64,
    /// Time to simulate it.
    pub run_seconds: f64,
    /// Time taken over time simulated.
    pub real_time_factor: f64,
    /// Synaptic events over the time taken.
    pub synaptic_events_per_second: f64,
    /// Memory of weights, targets and delays for each synapse; none without synapses.
    pub bytes_per_synapse: Option<f64>,
    /// Memory of the whole circuit; of this process's share where there are several.
    pub circuit_bytes: u64,
    /// Processes that simulated together.
    pub processes: usize,
    /// Steps of single neurons.
    pub neuron_updates: u64,
    /// Draws of Poisson input.
    pub poisson_draws: u64,
    /// Energy that the processors took while simulating, whatever else they did; none where the machine does not show it.
    pub energy_joules: Option<f64>,
    /// `finished`, `interrupted`, or `stopped`.
    pub status: &'static str,
    /// Why it stopped early; none if it did not.
    pub stopped: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What was asked for.
    pub request: SimulateRequest,
    /// The folder that was written.
    #[serde(serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// The page.
    #[serde(serialize_with = "serialized::path")]
    pub page: PathBuf,
    /// The other files that were written.
    #[serde(serialize_with = "paths")]
    pub files: Vec<PathBuf>,
}

/// A population and its activity in the time that counts.
#[derive(Clone, Debug, Serialize)]
pub struct PopulationReport {
    /// Its name.
    pub name: String,
    /// Its neurons.
    pub neurons: usize,
    /// Its model.
    pub model: String,
    /// Spikes per neuron and second; none where spikes were not recorded, as for the others below.
    pub rate_hz: Option<f64>,
    /// Mean CV of the intervals between spikes.
    pub cv_of_intervals: Option<f64>,
    /// Neurons that have a CV.
    pub neurons_with_cv: usize,
    /// Variance over mean of the spikes in bins of 1 ms.
    pub synchrony: Option<f64>,
    /// Mean correlation of pairs.
    pub correlation: Option<f64>,
}

fn paths<S: serde::Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.display().to_string()))
}
