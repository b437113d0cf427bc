//! What one answer costs: three energy estimates.
//!
//! All energies are in picojoules for 45 nm silicon (Horowitz 2014, ISSCC, "Computing's energy problem"). They compare
//! networks with each other; they were not measured on a chip.
//!
//! 1. **Operations only**, as most papers count them: a multiply-accumulate in `f32` costs 4.6 pJ, an accumulate 0.9 pJ; a
//!    membrane update is one accumulate.
//! 2. **With memory traffic**: the cost of reading a weight depends on the size of the memory that holds all weights, that of
//!    activations and membranes on the size of the memory that holds all neurons. Each neuron adds up its own input. The
//!    dense network reads 4 bytes of weight and 4 of activation per connection with a nonzero input, a flag of 1 bit per
//!    other connection, and writes each activation once. The spiking network reads 1 bit per connection and step, 4 bytes of
//!    weight per spike, and reads and writes each membrane at every step.
//! 3. **Against the same network with equally many bits**: T steps of spikes encode T + 1 values, which is ⌈log₂(T + 1)⌉
//!    bits. A quantized network with such activations also skips zeros, runs once, and pays 0.9 pJ per bit of an activation
//!    instead of a multiplication (at most 4.6 pJ); memory as above. The spiking network wins if it fires rarely enough: Yan
//!    et al. 2024 (arXiv:2409.08290) put the crossover near 6 % of neurons per step.

use serde::{Deserialize, Serialize};

use crate::spiking::over_time::OverTime;

/// Multiply-accumulate in `f32`.
const MAC: f64 = 4.6;
/// Addition in `f32`.
const ACCUMULATE: f64 = 0.9;

/// Energy of one answer in picojoules.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Operations only.
    pub operations_pj: f64,
    /// Memory traffic included.
    pub with_memory_pj: f64,
}

/// Energy of one answer of a spiking network after some steps, and of the networks it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The spiking network.
    pub spiking: Energy,
    /// The dense network it was converted from, with 32-bit numbers throughout.
    pub dense: Energy,
    /// The same network with activations of as many bits as the spikes encode.
    pub quantized: Energy,
}

/// Energy to read or write one byte of a memory of this size. For 8 bytes: 10 pJ at 8 KiB, 20 pJ at 32 KiB, 100 pJ at 1 MiB,
/// interpolated and extrapolated by the power law through the nearest two; from 8 MiB on it is DRAM, 1300 pJ.
fn byte_pj(memory_bytes: f64) -> f64 {
    const KIB: f64 = 1024.0;
    if memory_bytes >= 8.0 * KIB * KIB {
        return 1300.0 / 8.0;
    }
    let (size, cost, power) = if memory_bytes < 32.0 * KIB {
        (8.0 * KIB, 10.0, 2.0f64.ln() / 4.0f64.ln())
    } else {
        (32.0 * KIB, 20.0, 5.0f64.ln() / 32.0f64.ln())
    };
    cost / 8.0 * (memory_bytes.max(KIB) / size).powf(power)
}

/// Sizes that the estimates depend on.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of all weights.
    pub weight_bytes: u64,
    /// Number of neurons.
    pub neurons: u64,
    /// Connections that the dense network multiplies per example: all of the first node, and those of the other nodes with a
    /// nonzero input.
    pub dense_operations: f64,
    /// Number of connections.
    pub connections: u64,
}

/// The estimate for a spiking network alone, after step `index`, counted from 0; `weight_bytes` are those of all weights.
#[must_use]
pub fn of_spikes(over_time: &OverTime, index: usize, weight_bytes: u64) -> Energy {
    let steps = (index + 1) as f64;
    let (accumulates, products) = over_time.operations(index);
    let weight = 4.0 * byte_pj(weight_bytes as f64);
    let neurons = over_time.neurons.iter().map(|work| work.neurons).sum::<u64>() as f64;
    let state_byte = byte_pj(4.0 * neurons);
    // Connections with a new input at every step.
    let timed: u64 = over_time.weights.iter().filter(|work| work.timed).map(|work| work.dense).sum();
    let operations = accumulates * ACCUMULATE + products * MAC + steps * neurons * ACCUMULATE;
    Energy {
        operations_pj: operations,
        with_memory_pj: operations
            + (accumulates + products) * weight
            + products * 4.0 * state_byte
            + steps * timed as f64 / 8.0 * state_byte
            + steps * neurons * 8.0 * state_byte,
    }
}

/// The estimates after step `index`, counted from 0.
#[must_use]
pub fn compare(over_time: &OverTime, index: usize, sizes: Sizes) -> Comparison {
    let steps = (index + 1) as f64;
    let weight = 4.0 * byte_pj(sizes.weight_bytes as f64);
    let state_byte = byte_pj(4.0 * sizes.neurons as f64);
    let neurons = sizes.neurons as f64;
    let connections = sizes.connections as f64;
    let spiking = of_spikes(over_time, index, sizes.weight_bytes);
    let rival = |operation: f64, activation_bytes: f64| {
        let operations = sizes.dense_operations * operation;
        let memory = sizes.dense_operations * (weight + activation_bytes * state_byte)
            + (connections - sizes.dense_operations).max(0.0) / 8.0 * state_byte
            + neurons * activation_bytes * state_byte;
        Energy { operations_pj: operations, with_memory_pj: operations + memory }
    };
    let bits = (steps + 1.0).log2().ceil();
    Comparison { spiking, dense: rival(MAC, 4.0), quantized: rival((ACCUMULATE * bits).min(MAC), bits / 8.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiking::over_time::{NeuronWork, WeightWork};

    #[test]
    fn memory_costs_what_horowitz_says() {
        for (kib, pj) in [(8.0, 10.0), (32.0, 20.0), (1024.0, 100.0), (65536.0, 1300.0)] {
            assert!((8.0 * byte_pj(kib * 1024.0) - pj).abs() < 1e-9, "{kib} KiB");
        }
    }

    #[test]
    fn silence_costs_less_and_noise_more_than_the_rivals() {
        let sizes =
            Sizes { weight_bytes: 400_000, neurons: 1000, dense_operations: 50_000.0, connections: 100_000 };
        let with = |operations: u64| {
            let weights = WeightWork {
                node: 1,
                operations: vec![operations; 4],
                accumulates: true,
                timed: true,
                dense: 100_000,
            };
            let neurons = NeuronWork { node: 2, neurons: 1000, spikes: vec![1; 4] };
            let over_time = OverTime {
                examples: 1,
                accuracy: vec![1.0; 4],
                neurons: vec![neurons],
                weights: vec![weights],
            };
            compare(&over_time, 3, sizes)
        };
        let (silent, noisy) = (with(1000), with(300_000));
        assert!(silent.spiking.with_memory_pj < silent.quantized.with_memory_pj);
        assert!(noisy.spiking.with_memory_pj > noisy.dense.with_memory_pj);
        assert_eq!(silent.dense, noisy.dense);
    }
}
