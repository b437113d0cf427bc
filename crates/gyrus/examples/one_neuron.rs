//! One neuron, from the first model of it to the hidden layer: `cargo run --release --example one_neuron`.
//!
//! A neuron's dendrites gather signals, its synapses weigh them, and its axon fires if the sum, the potential, is above
//! zero: `potential = weight · signals + bias`. McCulloch and Pitts (1943) set the synapses by hand; Rosenblatt's
//! perceptron (1958) learns them; Minsky and Papert (1969) showed what no single neuron can learn; and error carried
//! back through a hidden layer (Rumelhart, Hinton and Williams 1986) learns that too.

use std::fmt::Write;

use gyrus::blueprint::{self, Blueprint, NodeKind};
use gyrus::nn::{self, Network, StateTensor, floats};
use gyrus::tensor::{Operation, Tensor, cpu};
use gyrus::train::Optimizer;

/// All that two dendrites can tell.
const SIGNALS: [[f32; 2]; 4] = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];

/// What the axon should do on each of the [`SIGNALS`].
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    pub(crate) fires: [bool; 4],
}

pub(crate) const AND: Gate = Gate { name: "AND", fires: [false, false, false, true] };
pub(crate) const OR: Gate = Gate { name: "OR", fires: [false, true, true, true] };
pub(crate) const XOR: Gate = Gate { name: "XOR", fires: [false, true, true, false] };

/// The smallest blueprint there is.
pub(crate) fn one_neuron() -> blueprint::Result<Blueprint> {
    Blueprint::builder("one neuron")
        .node("dendrites", NodeKind::Input { shape: [2].into() })
        .node("synapses", NodeKind::affine(1))
        .node("axon", NodeKind::Output)
        .build()
}

/// The same with three neurons between the dendrites and the last one.
pub(crate) fn hidden_layer() -> blueprint::Result<Blueprint> {
    Blueprint::builder("hidden layer")
        .node("dendrites", NodeKind::Input { shape: [2].into() })
        .node("hidden_synapses", NodeKind::affine(3))
        .node("hidden_axons", NodeKind::Tanh)
        .node("synapses", NodeKind::affine(1))
        .node("axon", NodeKind::Output)
        .build()
}

/// Whether the axon fires, all or none, on each of the [`SIGNALS`].
pub(crate) fn fires(network: &Network) -> [bool; 4] {
    let potentials = floats(network.infer(Tensor::from_floats(SIGNALS, &cpu())));
    std::array::from_fn(|i| potentials[i] > 0.0)
}

/// On how many of the four signals the axon does what the gate does.
pub(crate) fn correct(network: &Network, gate: &Gate) -> usize {
    fires(network).iter().zip(gate.fires).filter(|(fired, should)| **fired == *should).count()
}

/// McCulloch and Pitts: a neuron whose synapses are set by hand.
pub(crate) fn by_hand(weights: [f32; 2], bias: f32) -> nn::Result<Network> {
    let state = [
        ("synapses.weight".to_owned(), StateTensor { shape: vec![1, 2], values: weights.into() }),
        ("synapses.bias".to_owned(), StateTensor { shape: vec![1], values: vec![bias] }),
    ];
    Network::from_state(&one_neuron()?, &state.into(), &cpu())
}

/// What learning came to.
pub(crate) struct Learned {
    pub(crate) network: Network,
    /// Passes over the four signals until all were right, or until it gave up.
    pub(crate) sweeps: usize,
}

/// Rosenblatt: each wrong answer moves the active synapses one step towards the right one.
pub(crate) fn perceptron(gate: &Gate, most_sweeps: usize) -> nn::Result<Learned> {
    let mut network = by_hand([0.0, 0.0], 0.0)?;
    for sweep in 1..=most_sweeps {
        for (case, signals) in SIGNALS.iter().enumerate() {
            let error = f32::from(gate.fires[case]) - f32::from(fires(&network)[case]);
            network.update(|_, parameter, value| match parameter.name.as_str() {
                "synapses.weight" => value + Tensor::<1>::from_floats(*signals, &cpu()) * error,
                _ => value + error,
            });
        }
        if correct(&network, gate) == SIGNALS.len() {
            return Ok(Learned { network, sweeps: sweep });
        }
    }
    Ok(Learned { network, sweeps: most_sweeps })
}

/// Rumelhart, Hinton and Williams: the error is carried back to every synapse, hidden ones too.
pub(crate) fn backpropagation(gate: &Gate, most_sweeps: usize) -> anyhow::Result<Learned> {
    // About one start in twenty gets stuck with two signals right; this one does not.
    let seed = 1;
    let mut network = Network::new(&hidden_layer()?, seed, &cpu())?;
    let mut optimizer = Optimizer::new("adamw", 0.0, &network)?;
    let targets = gate.fires.map(|fires| if fires { 1.0 } else { -1.0 });
    for sweep in 1..=most_sweeps {
        let loss = Operation::MeanSquaredError { targets: targets.into() };
        let signals = Tensor::from_floats(SIGNALS, &cpu());
        let (loss, gradients) = network.gradients(signals, sweep as u64, loss)?;
        // Not only on the right side of zero, but sure.
        if loss < 0.01 {
            return Ok(Learned { network, sweeps: sweep });
        }
        optimizer.step(&mut network, gradients, 0.05);
    }
    Ok(Learned { network, sweeps: most_sweeps })
}

/// A line of the account: the gate, the synapses of a single neuron, and when the axon fires.
fn line(gate: &Gate, network: &Network, remark: &str) -> String {
    let numbers: Vec<f32> = network.parameters().iter().flat_map(|p| floats(p.value.clone())).collect();
    let synapses = match numbers[..] {
        [first, second, bias] => format!("{first:+.1} {second:+.1}, bias {bias:+.1}"),
        _ => format!("{} in two layers", numbers.len()),
    };
    let spikes = fires(network).map(|fires| if fires { "●" } else { "·" }).join("  ");
    let correct = correct(network, gate);
    format!("    {:<5}{synapses:<23}{spikes}    {correct} of 4{remark}", gate.name)
}

/// Everything that the example has to tell.
pub(crate) fn account() -> anyhow::Result<String> {
    let mut text = String::new();
    let heading = "         synapses               00 01 10 11   right";
    writeln!(text, "One neuron\n")?;
    writeln!(text, "    dendrites ──► synapses ──► axon")?;
    writeln!(text, "    2 signals     2 weights    fires (●) if the potential,")?;
    writeln!(text, "                  and a bias   weight · signals + bias, is above 0\n")?;

    writeln!(text, "1943  McCulloch and Pitts: a neuron is logic. Its synapses are set by hand.")?;
    writeln!(text, "{heading}")?;
    writeln!(text, "{}", line(&AND, &by_hand([1.0, 1.0], -1.5)?, ""))?;
    writeln!(text, "{}\n", line(&OR, &by_hand([1.0, 1.0], -0.5)?, ""))?;

    writeln!(text, "1958  Rosenblatt's perceptron: a neuron learns from its mistakes.")?;
    writeln!(text, "{heading}")?;
    for gate in [&AND, &OR] {
        let learned = perceptron(gate, 100)?;
        writeln!(text, "{}", line(gate, &learned.network, &format!(" after {} sweeps", learned.sweeps)))?;
    }
    let stuck = perceptron(&XOR, 100)?;
    let remark = format!(" after {} sweeps: it never settles", stuck.sweeps);
    writeln!(text, "{}\n", line(&XOR, &stuck.network, &remark))?;

    writeln!(text, "1969  Minsky and Papert: one neuron cannot do XOR, whatever its synapses.")?;
    writeln!(text, "    Its potentials for 00 and 11 sum to those for 01 and 10. XOR wants the first")?;
    writeln!(text, "    sum at most 0 and the second above 0, so 3 of 4 is the most it can reach:")?;
    writeln!(text, "{heading}")?;
    writeln!(text, "{}\n", line(&XOR, &by_hand([1.0, 1.0], -0.5)?, " with the synapses of OR"))?;

    writeln!(text, "1986  Rumelhart, Hinton and Williams: a hidden layer, taught by errors sent back.")?;
    writeln!(text, "{heading}")?;
    let learned = backpropagation(&XOR, 1000)?;
    writeln!(text, "{}", line(&XOR, &learned.network, &format!(" after {} sweeps", learned.sweeps)))?;
    Ok(text)
}

fn main() -> anyhow::Result<()> {
    print!("{}", account()?);
    Ok(())
}
