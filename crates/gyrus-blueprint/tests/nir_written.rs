//! NIR files written by Gyrus: they are read back unchanged, other libraries read the same from them, and warnings tell where
//! other libraries would compute something else.
//!
//! With `GYRUS_NIR_OUT=FOLDER` the files are left in that folder with a JSON file of their expected contents, for
//! `golden/nir_files.py --check FOLDER`.

use std::path::PathBuf;

use crate::in_nir::in_nir;
use gyrus_blueprint::{
    Array, Blueprint, Conv2d, Discretization, Error, Integration, Node, NodeKind, Padding, Parameters,
    Pool2d, read_nir, with_standardization, write_nir,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const EULER: Discretization = Discretization { dt_ms: 0.5, integration: Integration::Euler };

/// Parameters for a blueprint: a pattern of signed numbers for weights, positive ones for constants of neurons.
fn parameters(blueprint: &Blueprint) -> Parameters {
    let shapes = blueprint.shapes().unwrap();
    let mut parameters = Parameters::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        for spec in shapes.parameters(index) {
            let value = |i: u64| match node.kind.neuron() {
                // Exact in decimal and in binary, so that seconds are a division.
                Some(_) => 1.0 + (i % 4) as f32 / 8.0,
                None => ((7 * i % 11) as f32 - 5.0) / 8.0,
            };
            let array =
                Array { shape: spec.shape.to_vec(), values: (0..spec.elements()).map(value).collect() };
            parameters.insert(format!("{}.{}", node.name, spec.name), array);
        }
    }
    parameters
}

fn conv2d(name: &str, options: Conv2d) -> (String, NodeKind) {
    (name.to_owned(), options.into())
}

fn toml(text: &str) -> Blueprint {
    Blueprint::from_toml(text).unwrap()
}

/// Blueprints with all kinds that NIR has, in topological order; and whether Python infers their shapes correctly.
fn cases() -> Vec<(Blueprint, Discretization, bool)> {
    let pictures = toml(
        r#"
        name = "pictures"
        node = [
            { name = "input", kind = "Input", shape = [2, 8, 6] },
            { name = "first conv", kind = "Conv2d", out_channels = 4, kernel = 3, padding = "same" },
            { name = "soft", kind = "IF", reset = "subtract", v_threshold = 1.5, v_start = 0.75, per_neuron = ["v_threshold"] },
            { name = "sum", kind = "SumPool2d", kernel = 2 },
            { name = "conv.2", kind = "Conv2d", out_channels = 2, kernel = 3, stride = [1, 2], padding = 1, bias = false },
            { name = "lif", kind = "LIF", tau_membrane_ms = 20.0, resistance = 1.5, v_leak = 0.1, v_reset = -0.2, reset = "subtract", learned = ["tau_membrane_ms"] },
            { name = "avg", kind = "AvgPool2d", kernel = 2 },
            { name = "flat", kind = "Flatten" },
            { name = "fc", kind = "Affine", out_features = 3 },
            { name = "cuba", kind = "CubaLIF", tau_synapse_ms = 5.0, tau_membrane_ms = 10.0, w_in = 0.5, reset = "none", per_neuron = ["tau_membrane_ms", "resistance"], learned = ["tau_membrane_ms"] },
            { name = "output", kind = "Output" },
        ]
        "#,
    );
    let signals = toml(
        r#"
        name = "signals and branches"
        edges = [
            ["input", "conv"], ["conv", "scale"], ["scale", "threshold"], ["threshold", "delay"], ["delay", "flat"],
            ["flat", "linear"], ["linear", "a"], ["linear", "b"], ["linear", "c"], ["a", "output"], ["b", "output"],
            ["c", "output"], ["linear", "output"],
        ]
        node = [
            { name = "input", kind = "Input", shape = [2, 12] },
            { name = "conv", kind = "Conv1d", out_channels = 4, kernel = 3, stride = 2, padding = 1 },
            { name = "scale", kind = "Scale" },
            { name = "threshold", kind = "Threshold", threshold = 0.25 },
            { name = "delay", kind = "Delay", delay_ms = 3.0 },
            { name = "flat", kind = "Flatten", start_axis = 0, end_axis = 1 },
            { name = "linear", kind = "Linear", out_features = 5 },
            { name = "a", kind = "I", resistance = 2.0 },
            { name = "b", kind = "LI", tau_membrane_ms = 10.0, per_neuron = ["v_leak"] },
            { name = "c", kind = "CubaLI", tau_synapse_ms = 2.0, tau_membrane_ms = 10.0, w_in = 0.5 },
            { name = "output", kind = "Output" },
        ]
        "#,
    );
    let recurrent = toml(
        r#"
        name = "größer"
        edges = [
            ["input", "fc"], ["fc", "lif"], ["lif", "back"], ["back", "lif"], ["lif", "delay"], ["delay", "last"],
            ["last", "if"], ["if", "output"],
        ]
        node = [
            { name = "input", kind = "Input", shape = [3] },
            { name = "fc", kind = "Affine", out_features = 4 },
            { name = "lif", kind = "LIF", tau_membrane_ms = 20.0 },
            { name = "back", kind = "Affine", out_features = 4 },
            { name = "delay", kind = "Delay", delay_ms = 2.0 },
            { name = "last", kind = "Linear", out_features = 2 },
            { name = "if", kind = "IF", resistance = 0.5, per_neuron = ["v_start"] },
            { name = "output", kind = "Output" },
        ]
        "#,
    );
    let odd = Blueprint::builder("odd convolutions").input([4, 7, 9]);
    let odd = [
        conv2d("same", NodeKind::conv2d(4, 3).groups(2).dilation(2).padding(Padding::Same)),
        conv2d("grouped", NodeKind::conv2d(8, 3).groups(4).bias(false)),
    ]
    .into_iter()
    .fold(odd, |builder, (name, kind)| builder.node(name, kind));
    let flat = Conv2d {
        out_channels: 2,
        kernel: [1, 5],
        stride: [2, 1],
        padding: Padding::Explicit([0, 1]),
        dilation: [1, 1],
        groups: 1,
        bias: true,
    };
    let odd = odd.node("flat", flat).node("lif", NodeKind::lif(5.0)).build().unwrap();
    let lines = Blueprint::builder("odd lines").input([4, 20]);
    let lines = lines
        .node("same", NodeKind::conv1d(4, 4).padding(Padding::Same))
        .node("valid", NodeKind::conv1d(2, 3).dilation(3).bias(false));
    vec![
        (pictures, Discretization::default(), true),
        (signals, EULER, true),
        (recurrent, EULER, true),
        (odd, EULER, false),
        (lines.build().unwrap(), EULER, true),
    ]
}

#[test]
fn what_is_written_is_read_back() {
    for (blueprint, time, type_check) in cases() {
        let parameters = parameters(&blueprint);
        let (bytes, _) = write_nir(&blueprint, &parameters, time).unwrap();
        leave(&blueprint, &parameters, time, type_check, &bytes);
        let read = read_nir(bytes).unwrap();
        assert_eq!(read.parameters, parameters);
        assert_eq!(read.time, Some(time));
        assert_eq!(read.version, "1.0.8");
        assert_eq!(normal(&read.blueprint, &parameters), normal(&blueprint, &parameters));
    }
}

/// A per-neuron constant has no value for the whole node; the first neuron's value represents it.
fn normal(blueprint: &Blueprint, parameters: &Parameters) -> Blueprint {
    let first = |node: &Node, name: &str| parameters[&format!("{}.{name}", node.name)].values[0];
    let mut nodes = blueprint.nodes().to_vec();
    for node in &mut nodes {
        let Some(neuron) = node.kind.neuron() else { continue };
        let stored: Vec<&str> = neuron
            .constants
            .iter()
            .map(|constant| constant.0)
            .filter(|name| neuron.is_stored(name))
            .collect();
        let firsts: Vec<(String, f64)> =
            stored.into_iter().map(|name| (name.to_owned(), f64::from(first(node, name)))).collect();
        let mut value = toml_of(&node.kind);
        for (name, number) in firsts {
            value[node.kind.name()][&name] = json!(number);
        }
        node.kind = serde_json::from_value(value).unwrap();
    }
    Blueprint::new(blueprint.name.clone(), nodes, blueprint.edges().to_vec()).unwrap()
}

fn toml_of(kind: &NodeKind) -> Value {
    serde_json::to_value(kind).unwrap()
}

/// Leaves a file for the Python package, if requested.
fn leave(
    blueprint: &Blueprint,
    parameters: &Parameters,
    time: Discretization,
    type_check: bool,
    bytes: &[u8],
) {
    let Some(folder) = std::env::var_os("GYRUS_NIR_OUT").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let name = |node: usize| blueprint.nodes()[node].name.as_str();
    let edges: Vec<[&str; 2]> = blueprint.edges().iter().map(|&(from, to)| [name(from), name(to)]).collect();
    let nodes = in_nir(blueprint, parameters, time);
    let json = json!({"type_check": type_check, "nodes": nodes, "edges": edges});
    std::fs::write(folder.join(format!("{}.nir", blueprint.name)), bytes).unwrap();
    std::fs::write(folder.join(format!("{}.json", blueprint.name)), json.to_string()).unwrap();
}

#[test]
fn standardization_becomes_a_node() {
    let builder = Blueprint::builder("x").input([3, 4, 4]).node("flat", NodeKind::flatten());
    let blueprint = builder.node("fc", NodeKind::linear(2)).build().unwrap();
    let (mean, std) = ([0.5, 0.25, 0.125], [0.5, 0.25, 0.5]);
    let stored = parameters(&blueprint);
    let (with, parameters) = with_standardization(&blueprint, &stored, &mean, &std).unwrap();
    let names: Vec<&str> = with.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["input", "standardize", "flat", "fc", "output"]);
    assert_eq!(with.edges(), [(0, 1), (1, 2), (2, 3), (3, 4)]);
    assert_eq!(parameters["standardize.weight"].values, [2.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 2.0]);
    assert_eq!(parameters["standardize.bias"].values, [-1.0, -1.0, -0.25]);
    assert_eq!(parameters["fc.weight"], stored["fc.weight"]);
    let error = |mean: &[f32], std: &[f32]| {
        with_standardization(&blueprint, &stored, mean, std).unwrap_err().to_string()
    };
    assert!(error(&[0.5], &[0.5]).contains("[channels, height, width] with a mean"));
    assert!(error(&mean, &[0.5, 0.0, 1.0]).contains("std is 0"));
}

fn warnings(blueprint: &Blueprint, time: Discretization) -> Vec<String> {
    write_nir(blueprint, &parameters(blueprint), time).unwrap().1
}

#[test]
fn warnings_tell_what_other_libraries_would_compute_differently() {
    let [pictures, signals, recurrent, odd, lines] =
        <[_; 5]>::try_from(cases()).unwrap().map(|(blueprint, time, _)| warnings(&blueprint, time));
    assert_eq!(
        pictures,
        [
            "`soft`, `lif`: reset by subtraction, which NIR cannot express; other libraries set the membrane to v_reset at a spike",
            "`cuba`: not reset by spikes, which NIR cannot express; other libraries set the membrane to v_reset at a spike",
            "`soft`: the membrane starts at v_start, in other libraries at 0",
            "`lif`: the membrane starts at v_leak, not at 0 as in most other libraries",
            "NIR stores no time step: run the network with steps of 1 ms in other libraries",
            "neurons are integrated exactly here and by Euler's rule in most other libraries, where the membrane of \
             `lif` keeps 0.0000 of itself in a step instead of 0.3679",
        ]
    );
    let step = "NIR stores no time step: run the network with steps of 0.5 ms in other libraries";
    let adds = "r is written as the gain of a step of 0.5 ms; NIR defines no unit for it";
    let rests = "`b`: the membrane starts at v_leak, not at 0 as in most other libraries";
    assert_eq!(signals, [rests, step, &format!("`a`: {adds}")]);
    let starts = "`if`: the membrane starts at v_start, in other libraries at 0";
    let back = "`back`: its bias acts from the first step on, in Norse from the second step on";
    assert_eq!(recurrent, [starts, step, &format!("`if`: {adds}"), back]);
    let shapes = "`same`, `grouped`, `flat`: the Python package nir 1.0.8 mistakes the shapes of grouped convolutions and \
                  of kernels that are not square, and reads the file with type_check=False only";
    assert_eq!(odd, [step, shapes]);
    assert_eq!(lines, [""; 0]);
    let plain = toml(
        "name = \"plain\"\nnode = [{name = \"in\", kind = \"Input\", shape = [2]}, {name = \"if\", kind = \"IF\"}, {name = \"out\", kind = \"Output\"}]",
    );
    assert_eq!(warnings(&plain, Discretization::default()), [""; 0]);
}

#[test]
fn a_global_pool_is_written_as_its_parts_and_dropout_left_out() {
    let builder = Blueprint::builder("pool").input([3, 4, 6]).node("drop", NodeKind::dropout(0.5));
    let blueprint =
        builder.node("pool", NodeKind::GlobalAvgPool).node("fc", NodeKind::affine(2)).build().unwrap();
    let parameters = parameters(&blueprint);
    let (bytes, warnings) = write_nir(&blueprint, &parameters, Discretization::default()).unwrap();
    assert_eq!(warnings, ["`drop`: left out, since dropout does nothing after training"]);
    let read = read_nir(bytes).unwrap();
    assert_eq!(read.parameters, parameters);
    let nodes: Vec<(&str, NodeKind)> =
        read.blueprint.nodes().iter().map(|node| (node.name.as_str(), node.kind.clone())).collect();
    assert_eq!(
        nodes,
        [
            ("input", NodeKind::Input { shape: [3, 4, 6].into() }),
            ("pool", NodeKind::AvgPool2d(Pool2d { kernel: [4, 6], stride: [4, 6], padding: [0, 0] })),
            ("pool.flatten", NodeKind::flatten()),
            ("fc", NodeKind::affine(2)),
            ("output", NodeKind::Output),
        ]
    );
    assert_eq!(read.blueprint.edges().len(), 4);
}

#[test]
fn kinds_that_nir_lacks_are_named() {
    let adaptive = toml(
        r#"
        name = "a"
        node = [
            { name = "in", kind = "Input", shape = [2] },
            { name = "alif", kind = "AdaptiveLIF", tau_membrane_ms = 1.0, tau_adaptation_ms = 9.0, adaptation_strength = 1.0 },
            { name = "out", kind = "Output" },
        ]
        "#,
    );
    let error = |blueprint: &Blueprint| {
        let error = write_nir(blueprint, &parameters(blueprint), Discretization::default()).unwrap_err();
        assert!(matches!(error, Error::NoNirForm { .. }), "{error}");
        error.to_string()
    };
    assert_eq!(
        error(&adaptive),
        "node `alif` (AdaptiveLIF) has no form in NIR: NIR has no adaptive threshold"
    );
    let kinds = [
        NodeKind::ReLU,
        NodeKind::GELU,
        NodeKind::Tanh,
        NodeKind::softmax(),
        NodeKind::batch_norm(),
        NodeKind::layer_norm(),
        NodeKind::max_pool2d(2),
        NodeKind::CountMaxPool2d(Pool2d::square(2)),
        NodeKind::QuantizedReLU { levels: 4 },
        NodeKind::SignedIF { levels: 4, threshold: 1.0 },
    ];
    for kind in kinds {
        let name = kind.name();
        let blueprint = Blueprint::builder("x").input([2, 4, 4]).node("this", kind).build().unwrap();
        assert!(error(&blueprint).starts_with(&format!("node `this` ({name}) has no form in NIR")), "{name}");
    }
    let dot = Blueprint::builder("x").input([2]).node(".", NodeKind::Scale).build().unwrap();
    assert!(error(&dot).contains("rename it"));
}

#[test]
fn parameters_must_be_there_and_fit() {
    let blueprint = Blueprint::builder("x").input([3]).node("fc", NodeKind::affine(2)).build().unwrap();
    let good = parameters(&blueprint);
    let error = |change: &dyn Fn(&mut Parameters)| {
        let mut parameters = good.clone();
        change(&mut parameters);
        write_nir(&blueprint, &parameters, Discretization::default()).unwrap_err().to_string()
    };
    assert_eq!(
        error(&|p| drop(p.remove("fc.bias"))),
        "node `fc` (Affine): `fc.bias` should have shape [2], got none"
    );
    let transposed = Array { shape: vec![3, 2], values: vec![0.0; 6] };
    assert_eq!(
        error(&|p| drop(p.insert("fc.weight".into(), transposed.clone()))),
        "node `fc` (Affine): `fc.weight` should have shape [2, 3], got [3, 2]"
    );
    assert!(error(&|p| p.get_mut("fc.bias").unwrap().values[1] = f32::NAN).contains("bias is NaN"));
    let time = Discretization { dt_ms: -1.0, ..Discretization::default() };
    let lif = Blueprint::builder("x").input([3]).node("lif", NodeKind::lif(2.0)).build().unwrap();
    let error = write_nir(&lif, &Parameters::new(), time).unwrap_err().to_string();
    assert!(error.contains("dt_ms is -1"), "{error}");
}

/// A number with at most nine digits, as in files written by hand or in single precision.
fn number(from: f32, to: f32) -> impl Strategy<Value = f64> {
    (from..to).prop_map(|value: f32| value.to_string().parse().unwrap())
}

proptest! {
    /// Every constant, reset, step and rule of integration is read back unchanged, whatever is stored per neuron.
    #[test]
    fn neurons_come_back_exactly(
        which in 0usize..6,
        [tau_membrane_ms, tau_synapse_ms] in [number(1e-3, 1e3), number(1e-3, 1e3)],
        [resistance, v_leak, w_in] in [number(0.1, 9.0), number(-1.0, 1.0), number(-2.0, 2.0)],
        [v_threshold, v_reset, v_start] in [number(0.5, 9.0), number(-9.0, 0.4), number(-1.0, 1.0)],
        reset in 0usize..3,
        chosen in any::<[bool; 16]>(),
        // A power of two, so that r dt / dt is r.
        (dt, euler) in (-3i32..3, any::<bool>()),
        seed in 0u32..1000,
    ) {
        let name = ["I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"][which];
        let mut fields = json!({"resistance": resistance});
        let constants: &[(&str, f64)] = match name {
            "I" => &[],
            "IF" => &[("v_threshold", v_threshold), ("v_reset", v_reset), ("v_start", v_start)],
            "LI" => &[("tau_membrane_ms", tau_membrane_ms), ("v_leak", v_leak)],
            "LIF" => &[("tau_membrane_ms", tau_membrane_ms), ("v_leak", v_leak), ("v_threshold", v_threshold),
                ("v_reset", v_reset)],
            "CubaLI" => &[("tau_membrane_ms", tau_membrane_ms), ("tau_synapse_ms", tau_synapse_ms),
                ("v_leak", v_leak), ("w_in", w_in)],
            _ => &[("tau_membrane_ms", tau_membrane_ms), ("tau_synapse_ms", tau_synapse_ms), ("v_leak", v_leak),
                ("w_in", w_in), ("v_threshold", v_threshold), ("v_reset", v_reset)],
        };
        for &(constant, value) in constants {
            fields[constant] = json!(value);
        }
        let names: Vec<&str> = [("resistance", 0.0)].iter().chain(constants).map(|c| c.0).collect();
        let pick = |from: usize| -> Vec<&str> {
            names.iter().enumerate().filter(|(at, _)| chosen[from + at]).map(|(_, name)| *name).collect()
        };
        fields["per_neuron"] = json!(pick(0));
        fields["learned"] = json!(pick(8));
        if name.ends_with("IF") {
            fields["reset"] = json!(["hard", "subtract", "none"][reset]);
        }
        let kind: NodeKind = serde_json::from_value(json!({name: fields})).unwrap();
        let blueprint = Blueprint::builder("n").input([2, 3]).node("neurons", kind).build().unwrap();
        let mut parameters = parameters(&blueprint);
        for (key, array) in &mut parameters {
            let low = key.ends_with("v_reset");
            for (at, value) in array.values.iter_mut().enumerate() {
                *value = if low { -1.0 } else { 0.5 } + (seed + at as u32) as f32 / 1024.0;
            }
        }
        // Resets of single neurons lie below thresholds, as they must.
        if let Some(array) = parameters.get_mut("neurons.v_reset") {
            array.values.iter_mut().for_each(|value| *value -= 9.0);
        }
        if let Some(array) = parameters.get_mut("neurons.v_threshold") {
            array.values.iter_mut().for_each(|value| *value += 1.0);
        }
        let integration = if euler { Integration::Euler } else { Integration::Exact };
        let time = Discretization { dt_ms: 2f64.powi(dt), integration };
        let (bytes, _) = write_nir(&blueprint, &parameters, time).unwrap();
        let read = read_nir(bytes).unwrap();
        prop_assert_eq!(&read.parameters, &parameters);
        prop_assert_eq!(read.time, Some(time));
        prop_assert_eq!(normal(&read.blueprint, &parameters), normal(&blueprint, &parameters));
    }

    /// Numbers with more digits are rounded twice, to seconds and back: within two units in the last place.
    #[test]
    fn time_constants_of_any_length(tau in 1e-6f64..1e6) {
        let blueprint = Blueprint::builder("n").input([1]).node("lif", NodeKind::lif(tau)).build().unwrap();
        let (bytes, _) = write_nir(&blueprint, &Parameters::new(), Discretization::default()).unwrap();
        let read = read_nir(bytes).unwrap();
        let NodeKind::LIF { tau_membrane_ms, .. } = &read.blueprint.nodes()[1].kind else { panic!("no LIF") };
        prop_assert!((tau_membrane_ms - tau).abs() <= 2.0 * tau * f64::EPSILON, "{} {}", tau_membrane_ms, tau);
    }
}
