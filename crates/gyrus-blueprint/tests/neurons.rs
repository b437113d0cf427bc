//! Spiking nodes: constants, steps of time, and cycles through neurons.

use gyrus_blueprint::neuron::NeuronConstant::{Decay, Drive, Gain, SynapseDecay, SynapseGain, Threshold};
use gyrus_blueprint::{
    Array, Blueprint, Discretization, Integration, NeuronModel, Node, NodeKind, Parameters, Reset, svg,
};

fn lif(per_neuron: &[&str], learned: &[&str]) -> NodeKind {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeKind::LIF {
        tau_membrane_ms: 10.0,
        resistance: 2.0,
        v_leak: -0.5,
        v_threshold: 1.0,
        v_reset: 0.0,
        reset: Reset::Subtract,
        per_neuron: names(per_neuron),
        learned: names(learned),
    }
}

fn model(kind: NodeKind, parameters: &Parameters, time: Discretization) -> Result<NeuronModel, String> {
    let node = Node { name: "cell".into(), kind };
    NeuronModel::new(&node, 3, parameters, time).map(Option::unwrap).map_err(|error| error.to_string())
}

/// A constant input for one step of dt must give what the closed form of the equation gives.
#[test]
fn constants_follow_the_equations() {
    let time = Discretization { dt_ms: 0.5, integration: Integration::Exact };
    let none = Parameters::new();
    let leaky = model(lif(&[], &[]), &none, time).unwrap();
    // v(dt) = v_inf + (v0 − v_inf) e^(−dt/τ), v_inf = v_leak + R I
    let (v0, current) = (0.25f64, 0.75f64);
    let v_inf = -0.5 + 2.0 * current;
    let closed = v_inf + (v0 - v_inf) * (-0.5f64 / 10.0).exp();
    let [d, g, c] = [Decay, Gain, Drive].map(|which| f64::from(leaky.constant(which, 2)));
    assert!((d * v0 + g * current + c - closed).abs() < 1e-7);
    assert_eq!((leaky.v_start.as_slice(), leaky.reset, leaky.fires), (&[-0.5f32][..], Reset::Subtract, true));

    let euler = Discretization { integration: Integration::Euler, ..time };
    let leaky = model(lif(&[], &[]), &none, euler).unwrap();
    let step = v0 + 0.5 / 10.0 * (-0.5 - v0 + 2.0 * current);
    let [d, g, c] = [Decay, Gain, Drive].map(|which| f64::from(leaky.constant(which, 0)));
    assert!((d * v0 + g * current + c - step).abs() < 1e-7);

    let counts = model(NodeKind::soft_if(4.0), &none, Discretization::default()).unwrap();
    let seen = [Decay, Gain, Drive, Threshold].map(|which| counts.constant(which, 1));
    assert_eq!((seen, counts.v_start[0]), ([1.0, 1.0, 0.0, 4.0], 2.0));

    let text = "tau_synapse_ms = 5\ntau_membrane_ms = 10\nw_in = 3";
    let text = format!(
        "name = 'c'\n[[node]]\nname='i'\nkind='Input'\nshape=[3]\n[[node]]\nname='n'\nkind='CubaLI'\n{text}\n[[node]]\nname='o'\nkind='Output'"
    );
    let kind = Blueprint::from_toml(&text).unwrap().nodes()[1].kind.clone();
    let cuba = model(kind, &none, time).unwrap();
    let decay = (-0.5f64 / 5.0).exp();
    assert_eq!(cuba.constant(SynapseDecay, 0), decay as f32);
    assert_eq!(cuba.constant(SynapseGain, 0), ((1.0 - decay) * 3.0) as f32);
    assert!(cuba.synapse && !cuba.fires);
}

#[test]
fn constants_may_differ_between_neurons_and_be_learned() {
    let kind = lif(&["tau_membrane_ms"], &["tau_membrane_ms", "v_threshold"]);
    let blueprint = Blueprint::builder("own").input([3]).node("cell", kind.clone()).build().unwrap();
    let shapes = blueprint.shapes().unwrap();
    let specs: Vec<_> =
        shapes.parameters(1).iter().map(|spec| (spec.name, spec.shape.to_vec(), spec.trainable)).collect();
    assert_eq!(specs, [("tau_membrane_ms", vec![3], true), ("v_threshold", vec![1], true)]);
    assert_eq!(Blueprint::from_toml(&blueprint.to_toml().unwrap()).unwrap(), blueprint);

    let array = |values: &[f32]| Array { shape: vec![values.len()], values: values.to_vec() };
    let mut parameters = Parameters::from([
        ("cell.tau_membrane_ms".to_owned(), array(&[5.0, 10.0, 20.0])),
        ("cell.v_threshold".to_owned(), array(&[0.5])),
    ]);
    let time = Discretization::default();
    let cells = model(kind.clone(), &parameters, time).unwrap();
    assert_eq!(cells.constant(Decay, 2), (-1.0f64 / 20.0).exp() as f32);
    assert_eq!(cells.constant(Threshold, 2), 0.5);
    assert!(cells.constants.iter().all(|row| row.len() == 3));

    parameters.insert("cell.tau_membrane_ms".to_owned(), array(&[5.0, -1.0, 2.0]));
    let error = model(kind.clone(), &parameters, time).unwrap_err();
    assert_eq!(error, "node `cell` (LIF): tau_membrane_ms is -1; expected a finite number above 0");
    parameters.insert("cell.tau_membrane_ms".to_owned(), array(&[5.0]));
    let error = model(kind, &parameters, time).unwrap_err();
    assert!(error.contains("should have 3 stored values `cell.tau_membrane_ms`, got 1"), "{error}");

    let wrong = Blueprint::builder("own").input([3]).node("cell", lif(&["tau"], &[])).build().unwrap_err();
    assert!(wrong.to_string().contains("node `cell` (LIF) has no constant `tau`"), "{wrong}");
}

#[test]
fn a_cycle_through_a_neuron_delivers_a_step_later() {
    let recurrent = Blueprint::builder("recurrent")
        .input([4])
        .node("in", NodeKind::linear(3))
        .node("cell", NodeKind::lif(10.0))
        .node("feedback", NodeKind::linear(3))
        .edge("feedback", "cell")
        .from("cell")
        .node("out", NodeKind::affine(2))
        .build()
        .unwrap();
    let index = |name| recurrent.index_of(name).unwrap();
    assert_eq!(recurrent.back_edges(), [(index("feedback"), index("cell"))]);
    let order = recurrent.topological_order().unwrap();
    let place = |name| order.iter().position(|&node| node == index(name)).unwrap();
    assert!(place("cell") < place("feedback") && place("cell") < place("out"));
    assert_eq!(Blueprint::from_toml(&recurrent.to_toml().unwrap()).unwrap(), recurrent);
    assert_eq!(
        svg(&recurrent).unwrap().matches("<path class=\"gyrus-edge\"").count(),
        recurrent.edges().len()
    );

    let wide = Blueprint::builder("wide")
        .input([4])
        .node("cell", NodeKind::lif(10.0))
        .node("feedback", NodeKind::linear(3))
        .edge("feedback", "cell")
        .from("cell")
        .node("out", NodeKind::affine(2));
    let error = wide.build().unwrap_err().to_string();
    assert!(error.contains("`cell` adds up its inputs") && error.contains("`feedback` gives [3]"), "{error}");
}
