//! Tests of neurons against the oracle's forward-mode differentiation.

use proptest::prelude::*;

use super::surrogate::EVERY;
use super::*;
use crate::oracle::neuron::{self as oracle, Layer};
use crate::oracle::spikes::pack;
use crate::oracle::{assert_close, values};
use crate::spikes::packed::words;

/// A state as if the layer had run before.
fn state(shape: NeuronShape) -> NeuronState {
    let len = shape.batch * shape.neurons;
    let a = values(len, 33).iter().map(|a| a.abs()).collect();
    let z = vec![0; shape.batch * words(shape.neurons)];
    NeuronState { v: values(len, 31), i: values(len, 32), a, z }
}

fn layer(kind: NeuronKind, shape: NeuronShape, constants: Vec<f32>, with_state: bool) -> Layer {
    Layer {
        kind,
        shape,
        surrogate: EVERY[0],
        detach_reset: false,
        truncate: None,
        constants: oracle::constant(&constants),
        x: oracle::constant(&values(shape.input_len(), 21)),
        recurrent: None,
        state: with_state.then(|| state(shape)),
    }
}

/// Compares the output bit for bit, and the gradients.
fn check(layer: &Layer) {
    let Layer { kind, shape, .. } = *layer;
    let values_of = |duals: &[oracle::Dual]| duals.iter().map(|d| d.value).collect::<Vec<f32>>();
    let (constants, x) = (values_of(&layer.constants), values_of(&layer.x));
    let expected = values_of(&oracle::run(layer));
    let mut after = layer.state.clone();
    if kind.fires {
        let mut bits = vec![u32::MAX; shape.output_words()];
        let output = NeuronOutput::Spikes(&mut bits);
        assert_eq!(neuron_forward(kind, shape, &constants, &x, after.as_mut(), output), None);
        assert_eq!(bits, pack(&expected, shape.neurons), "{kind:?}");
    } else {
        let mut u = vec![f32::NAN; shape.output_len()];
        let output = NeuronOutput::Potentials(&mut u);
        assert_eq!(neuron_forward(kind, shape, &constants, &x, after.as_mut(), output), None);
        assert_eq!(u, expected, "{kind:?}");
    }
    let dz = values(shape.output_len(), 22);
    let (mut dx, mut dconstants) = (vec![f32::NAN; x.len()], vec![f32::NAN; constants.len()]);
    let Layer { surrogate, detach_reset, truncate, .. } = *layer;
    let options = BackwardOptions { detach_reset, truncate, initial: layer.state.as_ref() };
    let gradients = NeuronGradients { x: &mut dx, constants: Some(&mut dconstants) };
    neuron_backward(kind, shape, &constants, &x, surrogate, &dz, options, gradients);
    assert_close(&dx, &oracle::gradient(layer, &dz, |layer| &mut layer.x), 2e-4);
    assert_close(&dconstants, &oracle::gradient(layer, &dz, |layer| &mut layer.constants), 2e-4);
    let mut alone = vec![f32::NAN; x.len()];
    let gradients = NeuronGradients { x: &mut alone, constants: None };
    neuron_backward(kind, shape, &constants, &x, surrogate, &dz, options, gradients);
    assert_eq!(alone, dx, "wanting less does not change the rest");
    if kind.fires {
        check_counts(layer, &constants, &x, &expected);
    }
}

/// Counts are the sums of `spikes` over time, and their gradient is that of spikes that all count the same.
fn check_counts(layer: &Layer, constants: &[f32], x: &[f32], spikes: &[f32]) {
    let Layer { kind, shape, surrogate, detach_reset, truncate, .. } = *layer;
    let step = shape.batch * shape.neurons;
    let mut counts = vec![f32::NAN; step];
    let output = NeuronOutput::Counts(&mut counts);
    assert_eq!(neuron_forward(kind, shape, constants, x, layer.state.clone().as_mut(), output), None);
    let count = |index: usize| (0..shape.steps).map(|t| spikes[t * step + index]).sum::<f32>();
    assert_eq!(counts, (0..step).map(count).collect::<Vec<_>>(), "{kind:?}");
    let of_counts = values(step, 23);
    let options = BackwardOptions { detach_reset, truncate, initial: layer.state.as_ref() };
    let gradient = |dz: &[f32]| {
        let mut dx = vec![f32::NAN; x.len()];
        let gradients = NeuronGradients { x: &mut dx, constants: None };
        neuron_backward(kind, shape, constants, x, surrogate, dz, options, gradients);
        dx
    };
    assert_eq!(gradient(&of_counts), gradient(&of_counts.repeat(shape.steps)), "{kind:?}");
}

#[test]
fn every_kind_and_option_matches_forward_mode_differentiation() {
    let shape = NeuronShape { steps: 7, batch: 2, neurons: 3, constant_input: false };
    let mut surrogates = EVERY.into_iter().cycle();
    for kind in oracle::every_kind() {
        for detach_reset in [false, true] {
            for truncate in [None, Some(1), Some(3)] {
                for (columns, with_state) in [(1, false), (3, true)] {
                    let mut layer = layer(kind, shape, oracle::constants(columns, 5), with_state);
                    layer.surrogate = surrogates.next().unwrap();
                    (layer.detach_reset, layer.truncate) = (detach_reset, truncate);
                    check(&layer);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_shape_matches_forward_mode_differentiation(
        steps in 0usize..4, batch in 1usize..4, neurons in 1usize..40, constant_input: bool, single: bool,
        kind in proptest::sample::select(oracle::every_kind()),
        surrogate in proptest::sample::select(EVERY.to_vec()),
    ) {
        let shape = NeuronShape { steps, batch, neurons, constant_input };
        let constants = oracle::constants(if single { 1 } else { neurons }, 6);
        let mut layer = layer(kind, shape, constants, false);
        layer.surrogate = surrogate;
        check(&layer);
    }
}

#[test]
fn state_carries_on_where_it_was_left_and_threads_do_not_matter() {
    let whole = NeuronShape { steps: 20, batch: 5, neurons: 600, constant_input: false };
    let x = values(whole.input_len(), 1);
    for kind in oracle::every_kind().into_iter().filter(|kind| kind.fires) {
        let constants = oracle::constants(600, 2);
        let run = |shape: NeuronShape, x: &[f32], state: &mut NeuronState, threads| {
            let mut bits = vec![0; shape.output_words()];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let output = NeuronOutput::Spikes(&mut bits);
            pool.install(|| neuron_forward(kind, shape, &constants, x, Some(state), output));
            bits
        };
        let (mut once, mut twice) = (NeuronState::new(kind, whole), NeuronState::new(kind, whole));
        let all = run(whole, &x, &mut once, 1);
        assert!(all.iter().any(|word| *word != 0), "{kind:?} is silent");
        let half = NeuronShape { steps: 10, ..whole };
        let (early, late) = x.split_at(half.input_len());
        let mut parts = run(half, early, &mut twice, 3);
        parts.extend(run(half, late, &mut twice, 2));
        assert_eq!(all, parts);
        assert_eq!(once, twice);
    }
}

#[test]
fn gradients_of_large_layers_do_not_depend_on_threads() {
    let shape = NeuronShape { steps: 40, batch: 20, neurons: 300, constant_input: false };
    let kind = oracle::every_kind()[9];
    let (x, dz) = (values(shape.input_len(), 1), values(shape.output_len(), 2));
    let run = |threads| {
        let (mut dx, mut dconstants) = (vec![0.0; x.len()], vec![0.0; 9]);
        let gradients = NeuronGradients { x: &mut dx, constants: Some(&mut dconstants) };
        let options = BackwardOptions::default();
        let constants = oracle::constants(1, 2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            neuron_backward(kind, shape, &constants, &x, EVERY[0], &dz, options, gradients);
        });
        (dx, dconstants)
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn the_first_potential_that_is_not_finite_is_named() {
    let shape = NeuronShape { steps: 6, batch: 3, neurons: 700, constant_input: false };
    let constants = oracle::constants(1, 2);
    let place = |step: usize, b: usize, n: usize| (step * 3 + b) * 700 + n;
    for kind in oracle::every_kind() {
        let run = |x: &[f32]| {
            let (mut bits, mut u) = (vec![0; shape.output_words()], vec![0.0; shape.output_len()]);
            let output =
                if kind.fires { NeuronOutput::Spikes(&mut bits) } else { NeuronOutput::Potentials(&mut u) };
            neuron_forward(kind, shape, &constants, x, None, output)
        };
        let mut x = values(shape.input_len(), 1);
        assert_eq!(run(&x), None);
        x[place(4, 0, 3)] = f32::NAN;
        assert_eq!(run(&x), Some((4, 3)));
        x[place(3, 2, 699)] = f32::INFINITY;
        x[place(3, 2, 650)] = f32::NEG_INFINITY;
        assert_eq!(run(&x), Some((3, 650)));
        x[place(3, 1, 698)] = f32::NAN;
        assert_eq!(run(&x), Some((3, 698)), "the smaller sample comes first");
    }
}

#[test]
fn a_leaky_membrane_under_constant_current_follows_its_closed_form() {
    // u(n) = v0 d^n + (1 - d^n) I for decay d and gain 1 - d.
    let kind = NeuronKind { synapse: false, fires: false, adaptive: false, reset: Reset::None, v_start: 0.5 };
    let shape = NeuronShape { steps: 50, batch: 1, neurons: 1, constant_input: true };
    let mut u = [0.0; 50];
    let constants = [0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    neuron_forward(kind, shape, &constants, &[2.0], None, NeuronOutput::Potentials(&mut u));
    let expected: Vec<f32> = (1..=50).map(|n| 2.0 - 1.5 * 0.9f32.powi(n)).collect();
    assert_close(&u, &expected, 1e-5);
}
