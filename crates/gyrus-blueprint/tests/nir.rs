//! NIR files of other programs: the NIR paper's networks, and files of the Python package with every kind of node
//! (`golden/nir_files.py`).

use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, NirNetwork, NodeKind, load_nir};

fn golden(name: &str) -> NirNetwork {
    load_nir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nir").join(name)).unwrap()
}

/// A file of the NIR paper, if the real data is available.
fn paper(name: &str) -> Option<NirNetwork> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("GYRUS_DATA").map_or(beside, PathBuf::from);
    let path = data.join("nir").join(name);
    if !path.exists() {
        eprintln!("skipped: {} does not exist (set GYRUS_DATA)", path.display());
        return None;
    }
    Some(load_nir(path).unwrap())
}

/// The weights of the golden files.
fn pattern(elements: usize) -> Vec<f32> {
    (0..elements).map(|i| ((7 * i % 11) as f32 - 5.0) / 8.0).collect()
}

fn values<'a>(network: &'a NirNetwork, name: &str) -> &'a [f32] {
    &network.parameters[name].values
}

fn kind<'a>(network: &'a NirNetwork, name: &str) -> &'a NodeKind {
    &network.blueprint.nodes()[network.blueprint.index_of(name).unwrap()].kind
}

fn constant(network: &NirNetwork, node: &str, name: &str) -> f64 {
    let neuron = kind(network, node).neuron().unwrap();
    neuron.constants.iter().find(|constant| constant.0 == name).unwrap().1
}

/// Checks that nodes and edges match the text, with the nodes in any order, and that stored parameters have these shapes.
fn assert_graph(network: &NirNetwork, text: &str, parameters: &[(&str, &[usize])]) {
    let expected = Blueprint::from_toml(text).unwrap();
    let sorted = |blueprint: &Blueprint| {
        let name = |node: usize| blueprint.nodes()[node].name.clone();
        let mut nodes: Vec<String> = blueprint.nodes().iter().map(|node| format!("{node:?}")).collect();
        let mut edges: Vec<_> = blueprint.edges().iter().map(|&(from, to)| (name(from), name(to))).collect();
        nodes.sort();
        edges.sort();
        (nodes, edges)
    };
    assert_eq!(sorted(&network.blueprint), sorted(&expected));
    let shapes: Vec<(&str, &[usize])> =
        network.parameters.iter().map(|(name, array)| (name.as_str(), &array.shape[..])).collect();
    assert_eq!(shapes, parameters);
    // The nodes are in topological order.
    let back = network.blueprint.back_edges();
    assert!(network.blueprint.edges().iter().all(|edge| edge.0 < edge.1 || back.contains(edge)));
}

#[test]
fn images() {
    let network = golden("pictures.nir");
    assert_eq!((network.version.as_str(), network.time), ("1.0.8", None));
    assert_graph(
        &network,
        r#"
            name = "nir"
            node = [
                { name = "input", kind = "Input", shape = [2, 8, 6] },
                { name = "conv", kind = "Conv2d", out_channels = 4, kernel = 3, padding = "same" },
                { name = "if", kind = "IF", per_neuron = ["v_threshold"] },
                { name = "sum", kind = "SumPool2d", kernel = 2 },
                { name = "conv2", kind = "Conv2d", out_channels = 2, kernel = 3, stride = [1, 2], padding = 1 },
                { name = "lif", kind = "LIF", tau_membrane_ms = 20.0, resistance = 1.5, v_leak = 0.1, v_reset = -0.2 },
                { name = "avg", kind = "AvgPool2d", kernel = 2 },
                { name = "flat", kind = "Flatten" },
                { name = "fc", kind = "Affine", out_features = 3 },
                { name = "cuba", kind = "CubaLIF", tau_synapse_ms = 5.0, tau_membrane_ms = 10.0, resistance = 2.0, v_threshold = 1.25, per_neuron = ["tau_synapse_ms"] },
                { name = "output", kind = "Output" },
            ]
        "#,
        &[
            ("conv.bias", &[4]),
            ("conv.weight", &[4, 2, 3, 3]),
            ("conv2.bias", &[2]),
            ("conv2.weight", &[2, 4, 3, 3]),
            ("cuba.tau_synapse_ms", &[3]),
            ("fc.bias", &[3]),
            ("fc.weight", &[3, 4]),
            ("if.v_threshold", &[4, 8, 6]),
        ],
    );
    for name in ["conv.bias", "conv.weight", "conv2.weight", "fc.weight", "fc.bias"] {
        let stored = values(&network, name);
        assert_eq!(stored, pattern(stored.len()), "{name}");
    }
    assert_eq!(values(&network, "cuba.tau_synapse_ms"), [5.0, 6.0, 7.0]);
    let thresholds: Vec<f32> = (0..192).map(|i| 1.0 + 0.25 * (i % 4) as f32).collect();
    assert_eq!(values(&network, "if.v_threshold"), thresholds);
    assert_eq!(network.warnings.len(), 1);
    assert!(
        network.warnings[0].starts_with("`lif`: the membrane starts at v_leak"),
        "{:?}",
        network.warnings
    );
}

#[test]
fn signals_and_branches() {
    let network = golden("signals.nir");
    assert_graph(
        &network,
        r#"
            name = "nir"
            edges = [
                ["input", "conv"], ["conv", "scale"], ["scale", "threshold"], ["threshold", "delay"], ["delay", "flat"],
                ["flat", "fc"], ["fc", "i"], ["fc", "li"], ["fc", "cubali"], ["i", "output"], ["li", "output"],
                ["cubali", "output"],
            ]
            node = [
                { name = "input", kind = "Input", shape = [2, 12] },
                { name = "conv", kind = "Conv1d", out_channels = 4, kernel = 3, stride = 2, padding = 1 },
                { name = "scale", kind = "Scale" },
                { name = "threshold", kind = "Threshold", threshold = 0.25 },
                { name = "delay", kind = "Delay", delay_ms = 3.0 },
                { name = "flat", kind = "Flatten", end_axis = 1 },
                { name = "fc", kind = "Linear", out_features = 5 },
                { name = "i", kind = "I" },
                { name = "li", kind = "LI", tau_membrane_ms = 10.0 },
                { name = "cubali", kind = "CubaLI", tau_synapse_ms = 2.0, tau_membrane_ms = 10.0, w_in = 0.5 },
                { name = "output", kind = "Output" },
            ]
        "#,
        &[
            ("conv.bias", &[4]),
            ("conv.weight", &[4, 2, 3]),
            ("fc.weight", &[5, 24]),
            ("scale.scale", &[4, 6]),
        ],
    );
    assert_eq!(values(&network, "fc.weight"), pattern(120));
    assert_eq!(network.warnings, [""; 0]);
}

#[test]
fn graphs_within_graphs() {
    let network = golden("nested.nir");
    assert_graph(
        &network,
        r#"
            name = "nir"
            edges = [
                ["input", "hidden.fc"], ["hidden.fc", "hidden.lif"], ["hidden.lif", "hidden.w_rec"],
                ["hidden.w_rec", "hidden.lif"], ["hidden.lif", "fc"], ["fc", "output"],
            ]
            node = [
                { name = "input", kind = "Input", shape = [3] },
                { name = "hidden.fc", kind = "Affine", out_features = 4 },
                { name = "hidden.lif", kind = "CubaLIF", tau_synapse_ms = 5.0, tau_membrane_ms = 10.0 },
                { name = "hidden.w_rec", kind = "Linear", out_features = 4 },
                { name = "fc", kind = "Linear", out_features = 2 },
                { name = "output", kind = "Output" },
            ]
        "#,
        &[
            ("fc.weight", &[2, 4]),
            ("hidden.fc.bias", &[4]),
            ("hidden.fc.weight", &[4, 3]),
            ("hidden.w_rec.weight", &[4, 4]),
        ],
    );
    let back = network.blueprint.back_edges();
    let place = |name: &str| network.blueprint.index_of(name).unwrap();
    assert_eq!(back, [(place("hidden.w_rec"), place("hidden.lif"))]);
}

#[test]
fn delays_and_thresholds_that_differ_become_one_node_each() {
    let network = golden("differing.nir");
    assert_eq!(network.blueprint.nodes().len(), 2 + 6 + 6);
    for (part, delay, mask) in
        [(0, 1.0, [1., 0., 1., 0.]), (1, 2.0, [0., 1., 0., 0.]), (2, 3.0, [0., 0., 0., 1.])]
    {
        assert_eq!(*kind(&network, &format!("delay.{part}")), NodeKind::Delay { delay_ms: delay });
        assert_eq!(values(&network, &format!("delay.{part}.mask.scale")), mask);
    }
    for (part, threshold, mask) in
        [(0, -0.5, [1., 0., 0., 0.]), (1, 0.5, [0., 1., 1., 0.]), (2, 2.0, [0., 0., 0., 1.])]
    {
        assert_eq!(*kind(&network, &format!("threshold.{part}")), NodeKind::Threshold { threshold });
        assert_eq!(values(&network, &format!("threshold.{part}.mask.scale")), mask);
    }
    let sources = network.blueprint.sources();
    assert_eq!(sources[network.blueprint.index_of("threshold.1").unwrap()].len(), 3);
    assert_eq!(sources[network.blueprint.index_of("output").unwrap()].len(), 3);
}

#[test]
fn a_graph_without_ends_gets_them() {
    let network = golden("bare.nir");
    assert_graph(
        &network,
        r#"
            name = "nir"
            node = [
                { name = "input_fc", kind = "Input", shape = [3] },
                { name = "fc", kind = "Linear", out_features = 2 },
                { name = "lif", kind = "LIF", tau_membrane_ms = 20.0 },
                { name = "output_lif", kind = "Output" },
            ]
        "#,
        &[("fc.weight", &[2, 3])],
    );
}

#[test]
fn the_papers_single_neuron() {
    let Some(network) = paper("lif_norse.nir") else { return };
    assert_eq!(network.version, "0.1.1");
    assert_graph(
        &network,
        r#"
            name = "nir"
            node = [
                { name = "input", kind = "Input", shape = [1] },
                { name = "0", kind = "Affine", out_features = 1 },
                { name = "1", kind = "LIF", tau_membrane_ms = 2.5, v_threshold = 0.1 },
                { name = "output", kind = "Output" },
            ]
        "#,
        &[("0.bias", &[1]), ("0.weight", &[1, 1])],
    );
    assert_eq!((values(&network, "0.weight"), values(&network, "0.bias")), (&[1.0][..], &[0.0][..]));
}

#[test]
fn the_papers_two_neurons() {
    let Some(network) = paper("two_lif_neurons.nir") else { return };
    assert_graph(
        &network,
        r#"
            name = "nir"
            node = [
                { name = "in", kind = "Input", shape = [1] },
                { name = "linear1", kind = "Linear", out_features = 1 },
                { name = "lif1", kind = "LIF", tau_membrane_ms = 10.0, v_leak = 1.2 },
                { name = "linear2", kind = "Linear", out_features = 1 },
                { name = "lif2", kind = "LIF", tau_membrane_ms = 10.0, v_threshold = 20.0 },
                { name = "out", kind = "Output" },
            ]
        "#,
        &[("linear1.weight", &[1, 1]), ("linear2.weight", &[1, 1])],
    );
}

#[test]
fn the_papers_recurrent_network() {
    let Some(network) = paper("braille_noDelay_bias_zero.nir") else { return };
    let shapes: Vec<(&str, &[usize])> =
        network.parameters.iter().map(|(name, array)| (name.as_str(), &array.shape[..])).collect();
    let expected: [(&str, &[usize]); 6] = [
        ("fc1.bias", &[38]),
        ("fc1.weight", &[38, 12]),
        ("fc2.bias", &[7]),
        ("fc2.weight", &[7, 38]),
        ("lif1.w_rec.bias", &[38]),
        ("lif1.w_rec.weight", &[38, 38]),
    ];
    assert_eq!(shapes, expected);
    assert_eq!(network.blueprint.edges().len(), 7);
    let place = |name: &str| network.blueprint.index_of(name).unwrap();
    assert_eq!(network.blueprint.back_edges(), [(place("lif1.w_rec"), place("lif1.lif"))]);
    // Seconds in the file: 0.0009999997615814777 and 0.0002222222281091009.
    assert_eq!(constant(&network, "lif1.lif", "tau_membrane_ms"), 0.9999997615814777);
    assert_eq!(constant(&network, "lif1.lif", "tau_synapse_ms"), 0.2222222281091009);
    assert_eq!(constant(&network, "lif1.lif", "resistance"), 9.999997615814776);
    assert_eq!(constant(&network, "lif2", "tau_synapse_ms"), 0.2);
    assert!(
        matches!(kind(&network, "lif1.lif"), NodeKind::CubaLIF { per_neuron, .. } if per_neuron.is_empty())
    );
    assert_eq!(values(&network, "fc2.bias")[..2], [0.357_325_32, 0.258_371_14]);
}

#[test]
fn the_papers_convolutions() {
    let Some(network) = paper("cnn_sinabs.nir") else { return };
    let shapes = network.blueprint.shapes().unwrap();
    let kinds: Vec<String> = network
        .blueprint
        .nodes()
        .iter()
        .enumerate()
        .map(|(index, node)| format!("{} {} {}", node.name, node.kind.name(), shapes.output(index)))
        .collect();
    assert_eq!(
        kinds,
        [
            "input Input [2, 34, 34]",
            "0 Conv2d [16, 16, 16]",
            "1 IF [16, 16, 16]",
            "2 Conv2d [16, 16, 16]",
            "3 IF [16, 16, 16]",
            "4 SumPool2d [16, 8, 8]",
            "5 Conv2d [8, 8, 8]",
            "6 IF [8, 8, 8]",
            "7 SumPool2d [8, 4, 4]",
            "8 Flatten [128]",
            "9 Affine [256]",
            "10 IF [256]",
            "11 Affine [10]",
            "12 IF [10]",
            "output Output [10]",
        ]
    );
    let stored: usize = network.parameters.values().map(|array| array.values.len()).sum();
    assert_eq!(stored as u64, shapes.trainable_parameters());
    assert_eq!(stored, 16 * 50 + 16 + 16 * 144 + 16 + 8 * 144 + 8 + 256 * 128 + 256 + 10 * 256 + 10);
    assert_eq!(constant(&network, "1", "resistance"), 1.0);
    assert_eq!(network.each_step, ["1", "10", "12", "3", "6"]);
}
