//! The NIR paper's networks, read from their files and run, compared with the activity stored with the paper and with the
//! answers of Norse.
//!
//! The paper's files hold the input of the single neuron and its activity in several simulators. The stored activity of the
//! recurrent network and of the convolutions cannot be compared: the files do not include the inputs of these recordings.
//! Instead, the recurrent network is compared with Norse on made-up spikes (`golden/nir_files.py`).

use std::path::{Path, PathBuf};

use gyrus_blueprint::{
    Blueprint, Discretization, Integration, NirNetwork, Node, NodeKind, load_nir, read_nir, write_nir,
};
use gyrus_nn::{Encoder, Network, SpikingSettings, floats};
use gyrus_tensor::{cpu, filled_tensor};

/// A file of the NIR paper, if the real data is available.
fn data(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("GYRUS_DATA").map_or(beside, PathBuf::from);
    let path = data.join("nir").join(name);
    if !path.exists() {
        println!("skipped: {} does not exist (set GYRUS_DATA)", path.display());
        return None;
    }
    Some(path)
}

/// The network's output at each step, `[steps, outputs]`, for an input `[steps, inputs]` at steps of 0.1 ms.
fn run(network: &NirNetwork, input: &[f32], steps: usize, integration: Integration) -> Vec<f32> {
    let time = Discretization { dt_ms: 0.1, integration };
    let settings = SpikingSettings {
        steps,
        time,
        encoder: Encoder::Frames { binary: false },
        ..SpikingSettings::default()
    };
    let body = Network::with_state(&network.blueprint, Some(&settings), &network.parameters, &cpu()).unwrap();
    let x = filled_tensor(1, input.len(), |to| to.copy_from_slice(input));
    let (answer, _) = body.observe(x).unwrap();
    floats(answer)
}

/// The steps at which the only output fires.
fn spikes(output: &[f32]) -> Vec<usize> {
    assert!(output.iter().all(|&z| z == 0.0 || z == 1.0));
    (0..output.len()).filter(|&step| output[step] == 1.0).collect()
}

/// Columns of a stored run: input, membrane potential, spikes.
fn stored(path: &Path) -> [Vec<f32>; 3] {
    let text = std::fs::read_to_string(path).unwrap();
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for line in text.lines() {
        for (column, number) in columns.iter_mut().zip(line.split(',')) {
            column.push(number.parse().unwrap());
        }
    }
    columns
}

/// The same neuron without spikes.
fn without_spikes(network: &NirNetwork) -> NirNetwork {
    let integrate = |node: &Node| match &node.kind {
        NodeKind::LIF { tau_membrane_ms, resistance, v_leak, .. } => {
            let (tau_membrane_ms, resistance, v_leak) = (*tau_membrane_ms, *resistance, *v_leak);
            let (per_neuron, learned) = (Vec::new(), Vec::new());
            let kind = NodeKind::LI { tau_membrane_ms, resistance, v_leak, per_neuron, learned };
            Node { name: node.name.clone(), kind }
        }
        _ => node.clone(),
    };
    let nodes = network.blueprint.nodes().iter().map(integrate).collect();
    let blueprint = Blueprint::new("li", nodes, network.blueprint.edges().to_vec()).unwrap();
    NirNetwork { blueprint, ..network.clone() }
}

#[test]
fn the_papers_neuron_fires_when_the_stored_ones_do() {
    let Some(file) = data("lif_norse.nir") else { return };
    let network = load_nir(&file).unwrap();
    // The gain of one step, in the units of each library: snnTorch's potentials are 1 / (dt / τ) times ours.
    for (name, integration, unit) in [
        ("lif_exact.csv", Integration::Exact, 1.0),
        ("lif_norse.csv", Integration::Euler, 1.0),
        ("lif_snntorch.csv", Integration::Euler, 0.04),
    ] {
        let [input, potential, fired] = stored(&file.with_file_name(name));
        assert_eq!(input.len(), 1000);
        let ours = run(&network, &input, 1000, integration);
        assert_eq!(spikes(&ours), spikes(&fired), "{name}");
        assert_eq!(spikes(&fired), [460, 510, 710, 760], "{name}");
        // Until the first spike the potential is that of a neuron that never fires.
        let potentials = run(&without_spikes(&network), &input, 1000, integration);
        for step in 0..460 {
            let (ours, stored) = (potentials[step], potential[step] * unit);
            assert!((ours - stored).abs() < 1e-6, "{name}, step {step}: {ours} instead of {stored}");
        }
    }
}

/// No activity of these two is stored, but their behavior is known: the resting potential of the first, 1.2, drives it over
/// its threshold of 1 once in τ ln(1.2 / 0.2) = 17.92 ms, which is 180 steps; the second never reaches 20.
#[test]
fn the_papers_two_neurons_follow_their_equations() {
    let Some(file) = data("two_lif_neurons.nir") else { return };
    let network = load_nir(&file).unwrap();
    assert_eq!(spikes(&run(&network, &[0.0; 1000], 1000, Integration::Exact)), [0usize; 0]);
    // The first alone: its spikes are the output.
    let mut nodes = network.blueprint.nodes().to_vec();
    nodes.retain(|node| !["linear2", "lif2"].contains(&node.name.as_str()));
    let edges = (1..nodes.len()).map(|node| (node - 1, node)).collect();
    let blueprint = Blueprint::new("first", nodes, edges).unwrap();
    let mut first = NirNetwork { blueprint, ..network };
    first.parameters.remove("linear2.weight");
    let spikes = spikes(&run(&first, &[0.0; 1000], 1000, Integration::Exact));
    // It starts at rest, above its threshold, and so fires immediately.
    assert_eq!(spikes, [0, 180, 360, 540, 720, 900]);
}

#[test]
fn the_papers_recurrent_network_answers_as_in_norse() {
    let Some(file) = data("braille_noDelay_bias_zero.nir") else { return };
    let network = load_nir(file).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nir_braille.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let (steps, inputs, outputs) = (256, 12, 7);
    let mut input = vec![0.0; steps * inputs];
    for pair in golden["input"].as_array().unwrap() {
        input[pair[0].as_u64().unwrap() as usize * inputs + pair[1].as_u64().unwrap() as usize] = 1.0;
    }
    let mut expected = vec![0.0; steps * outputs];
    for pair in golden["output"].as_array().unwrap() {
        expected[pair[0].as_u64().unwrap() as usize * outputs + pair[1].as_u64().unwrap() as usize] = 1.0;
    }
    assert!(expected.iter().sum::<f32>() > 500.0);
    let ours = run(&network, &input, steps, Integration::Euler);
    let differing: Vec<usize> = (0..ours.len()).filter(|&at| ours[at] != expected[at]).collect();
    assert_eq!(differing, [0usize; 0]);
    // The same after a round trip through a file written by Gyrus.
    let time = Discretization { dt_ms: 0.1, integration: Integration::Euler };
    let (bytes, _) = write_nir(&network.blueprint, &network.parameters, time).unwrap();
    assert_eq!(run(&read_nir(bytes).unwrap(), &input, steps, Integration::Euler), ours);
}
