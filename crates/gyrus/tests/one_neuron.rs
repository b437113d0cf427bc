//! The example tells the truth.

// The example's own `main` has nothing to do here.
#[allow(dead_code)]
#[path = "../examples/one_neuron.rs"]
mod example;

use example::{AND, OR, XOR, account, backpropagation, by_hand, correct, fires, perceptron};

#[test]
fn one_neuron_does_and_and_or_by_hand_and_by_learning() {
    assert_eq!(fires(&by_hand([1.0, 1.0], -1.5).unwrap()), AND.fires);
    assert_eq!(fires(&by_hand([1.0, 1.0], -0.5).unwrap()), OR.fires);
    for gate in [AND, OR] {
        let learned = perceptron(&gate, 20).unwrap();
        assert_eq!(fires(&learned.network), gate.fires, "{}", gate.name);
        assert!(learned.sweeps < 20, "{}", gate.name);
    }
}

#[test]
fn one_neuron_cannot_do_xor() {
    let learned = perceptron(&XOR, 100).unwrap();
    assert_eq!(learned.sweeps, 100);
    assert!(correct(&learned.network, &XOR) <= 3);
    // Nor do any synapses of a grid; three of four they reach.
    let grid = || (-4..=4).map(|step| step as f32 / 2.0);
    let mut best = 0;
    for (first, second, bias) in
        grid().flat_map(|first| grid().flat_map(move |second| grid().map(move |bias| (first, second, bias))))
    {
        best = best.max(correct(&by_hand([first, second], bias).unwrap(), &XOR));
    }
    assert_eq!(best, 3);
}

#[test]
fn a_hidden_layer_learns_xor() {
    let learned = backpropagation(&XOR, 1000).unwrap();
    assert!(learned.sweeps < 1000);
    assert_eq!(fires(&learned.network), XOR.fires);
}

#[test]
fn the_account_is_the_same_each_time() {
    let text = account().unwrap();
    for word in ["dendrites", "synapses", "axon", "AND", "OR", "XOR", "3 of 4"] {
        assert!(text.contains(word), "no {word} in:\n{text}");
    }
    assert_eq!(text, account().unwrap());
}
