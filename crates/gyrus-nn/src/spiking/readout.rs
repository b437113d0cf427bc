//! Readouts: turn the last node's output over time into an answer.

use serde::{Deserialize, Serialize};

/// Answer of a spiking network, one number per output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// Mean over the steps of the last node's potential or current.
    Membrane,
    /// Sum over the steps of the last node's potential or current.
    Sum,
    /// Number of spikes of the last node.
    Counts,
    /// Minus the number of steps before the last node's first spike.
    FirstSpike,
}
