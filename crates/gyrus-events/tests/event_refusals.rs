//! Errors of the event-driven body, and what it supports beyond the clocked one.

use gyrus_blueprint::{Array, Blueprint, Discretization, NodeKind, Parameters};
use gyrus_events::{EventNetwork, EventState, Recorded, Stimulus, StimulusKind};

fn parameters(entries: &[(&str, &[usize], Vec<f32>)]) -> Parameters {
    let array = |shape: &[usize], values: &[f32]| Array { shape: shape.to_vec(), values: values.to_vec() };
    entries.iter().map(|(name, shape, values)| ((*name).to_owned(), array(shape, values))).collect()
}

fn made(blueprint: &Blueprint, parameters: &Parameters, kind: StimulusKind) -> Result<EventNetwork, String> {
    EventNetwork::new(blueprint, parameters, Discretization::default(), kind)
        .map_err(|error| error.to_string())
}

fn one_layer() -> (Blueprint, Parameters) {
    let blueprint = Blueprint::builder("layer")
        .input([2])
        .node("weights", NodeKind::linear(3))
        .node("neurons", NodeKind::soft_if(1.0))
        .build()
        .unwrap();
    (blueprint, parameters(&[("weights.weight", &[3, 2], vec![0.6, 0.0, 0.0, 0.6, 0.3, 0.3])]))
}

#[test]
fn nodes_without_an_event_driven_form_are_named() {
    for (kind, reason) in [
        (NodeKind::ReLU, "convert the network first"),
        (NodeKind::batch_norm(), "fold batch norms"),
        (NodeKind::softmax(), "it has no spiking form"),
    ] {
        let blueprint = Blueprint::builder("b").input([2]).node("odd", kind).build().unwrap();
        let error = made(&blueprint, &Parameters::new(), StimulusKind::Constant).err().unwrap();
        assert!(error.starts_with("node `odd` (") && error.contains(reason), "{error}");
    }
    let late = NodeKind::Delay { delay_ms: 1.5 };
    let blueprint = Blueprint::builder("b").input([2]).node("late", late).build().unwrap();
    let error = made(&blueprint, &Parameters::new(), StimulusKind::Spikes).err().unwrap();
    assert!(error.contains("`late`") && error.contains("whole number of steps"), "{error}");
}

#[test]
fn parameters_of_the_wrong_size_are_named() {
    let (blueprint, mut numbers) = one_layer();
    numbers.get_mut("weights.weight").unwrap().values.pop();
    let error = made(&blueprint, &numbers, StimulusKind::Constant).err().unwrap();
    assert_eq!(
        error,
        "parameter `weights.weight` has 5 numbers; the blueprint needs 6 numbers of shape [3, 2]"
    );
    let error = made(&blueprint, &Parameters::new(), StimulusKind::Constant).err().unwrap();
    assert!(error.contains("`weights.weight` has 0 numbers"), "{error}");
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let (blueprint, numbers) = one_layer();
    let network = made(&blueprint, &numbers, StimulusKind::Spikes).unwrap();
    let run =
        |stimulus| network.run(&mut EventState::default(), stimulus, 2, false).map_err(|e| e.to_string());
    assert!(run(Stimulus::Spikes(&[1, 3])).is_ok());
    assert!(run(Stimulus::Spikes(&[1, 4])).unwrap_err().contains("beyond element 1 at step 1"));
    assert!(run(Stimulus::Spikes(&[1])).unwrap_err().contains("1 per step for 2 steps"));
    assert!(run(Stimulus::Constant(&[1.0, 2.0])).unwrap_err().contains("Spikes"));
}

#[test]
fn a_potential_that_is_not_a_number_names_node_and_step() {
    let (blueprint, numbers) = one_layer();
    let network = made(&blueprint, &numbers, StimulusKind::Frames).unwrap();
    let x = [0.5, 0.5, 0.1, f32::NAN, 0.0, 0.0];
    let error =
        network.run(&mut EventState::default(), Stimulus::Frames(&x), 3, false).unwrap_err().to_string();
    assert_eq!(error, "the membrane potential of node `neurons` is not a finite number at step 1 (neuron 0)");
}

/// Integrate-and-fire neurons without input are not updated, once a step has shown that they rest.
#[test]
fn neurons_that_no_spike_reaches_cost_nothing() {
    let blueprint = Blueprint::builder("quiet")
        .input([1, 2048])
        .node("weights", NodeKind::conv1d(1, 1).bias(false))
        .node("neurons", NodeKind::soft_if(1.0))
        .build()
        .unwrap();
    let numbers = parameters(&[("weights.weight", &[1, 1, 1], vec![0.1])]);
    let network = made(&blueprint, &numbers, StimulusKind::Spikes).unwrap();
    let mut bits = vec![0u32; 20 * 64];
    bits[10 * 64 + 1] = 4;
    let outcome = network.run(&mut EventState::default(), Stimulus::Spikes(&bits), 20, false).unwrap();
    let [_, weights, neurons, _] = outcome.counts[..] else { panic!("four nodes") };
    assert_eq!((weights.accumulates, neurons.spikes), (1, 0));
    // All neurons at the first step, and the 256 around the spike at its arrival and once more.
    assert_eq!(neurons.membrane_updates, 2048 + 2 * 256);
}

/// Two populations that excite each other: a cycle that the clocked body does not support. By hand: the input makes `a` fire
/// at step 0, and `b` with it; the spikes of `b` arrive back one step later.
#[test]
fn cycles_of_several_nodes_deliver_one_step_later() {
    let blueprint = Blueprint::builder("cycle")
        .input([1])
        .node("a", NodeKind::soft_if(0.5))
        .node("forth", NodeKind::linear(1))
        .node("b", NodeKind::soft_if(0.5))
        .node("back", NodeKind::linear(1))
        .edge("back", "a")
        .from("b")
        .node("output", NodeKind::Output)
        .build()
        .unwrap();
    let numbers = parameters(&[("forth.weight", &[1, 1], vec![1.0]), ("back.weight", &[1, 1], vec![0.5])]);
    let network = made(&blueprint, &numbers, StimulusKind::Spikes).unwrap();
    let outcome = network.run(&mut EventState::default(), Stimulus::Spikes(&[1, 0, 0, 0]), 4, true).unwrap();
    let of = |name: &str| {
        let node = blueprint.index_of(name).unwrap();
        outcome.records.iter().find(|record| record.node == node).map(|record| record.output.clone()).unwrap()
    };
    // A soft IF starts at half its threshold.
    let Recorded::Spikes(a) = of("a") else { panic!("a fires") };
    let Recorded::Spikes(b) = of("b") else { panic!("b fires") };
    assert_eq!((a[0], b[0]), (1, 1));
    let mut v = [0.25f32; 2];
    let mut from_b = 0.0;
    for step in 0..4 {
        v[0] += if step == 0 { 1.0 } else { 0.0 } + from_b;
        let fires = v[0] > 0.5;
        v[0] -= if fires { 0.5 } else { 0.0 };
        v[1] += if fires { 1.0 } else { 0.0 };
        let answers = v[1] > 0.5;
        v[1] -= if answers { 0.5 } else { 0.0 };
        from_b = if answers { 0.5 } else { 0.0 };
        assert_eq!((a[step], b[step]), (u32::from(fires), u32::from(answers)), "step {step}");
    }
}
