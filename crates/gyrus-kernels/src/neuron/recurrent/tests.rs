//! Tests of recurrent layers against the oracle's forward-mode differentiation.

use proptest::prelude::*;

use super::*;
use crate::neuron::surrogate::EVERY;
use crate::neuron::{BackwardOptions, NeuronKind, NeuronShape, NeuronState};
use crate::oracle::neuron::{self as oracle, Layer};
use crate::oracle::spikes::pack;
use crate::oracle::{assert_close, spike_values, values};

fn firing_kinds() -> Vec<NeuronKind> {
    oracle::every_kind().into_iter().filter(|kind| kind.fires).collect()
}

fn values_of(duals: &[oracle::Dual]) -> Vec<f32> {
    duals.iter().map(|dual| dual.value).collect()
}

fn check(layer: &Layer) {
    let Layer { kind, shape, surrogate, detach_reset, truncate, .. } = *layer;
    let neurons = shape.neurons;
    let (constants, x) = (values_of(&layer.constants), values_of(&layer.x));
    let (weight, bias) = layer.recurrent.as_ref().map(|(w, b)| (values_of(w), values_of(b))).unwrap();
    let feedback = Feedback { weight: &weight, bias: Some(&bias) };
    let mut bits = vec![u32::MAX; shape.output_words()];
    let mut after = layer.state.clone();
    assert_eq!(recurrent_forward(kind, shape, &constants, &x, feedback, after.as_mut(), &mut bits), None);
    assert_eq!(bits, pack(&values_of(&oracle::run(layer)), neurons), "{kind:?}");

    let dz = values(shape.output_len(), 22);
    let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; weight.len()]);
    let (mut db, mut dc) = (vec![f32::NAN; neurons], vec![f32::NAN; constants.len()]);
    let options = BackwardOptions { detach_reset, truncate, initial: layer.state.as_ref() };
    let gradients =
        RecurrentGradients { x: &mut dx, weight: &mut dw, bias: Some(&mut db), constants: Some(&mut dc) };
    recurrent_backward(kind, shape, &constants, &x, feedback, &bits, surrogate, &dz, options, gradients);
    let expected = |part: fn(&mut Layer) -> &mut Vec<oracle::Dual>| oracle::gradient(layer, &dz, part);
    assert_close(&dx, &expected(|layer| &mut layer.x), 5e-4);
    assert_close(&dw, &expected(|layer| &mut layer.recurrent.as_mut().unwrap().0), 5e-4);
    assert_close(&db, &expected(|layer| &mut layer.recurrent.as_mut().unwrap().1), 5e-4);
    assert_close(&dc, &expected(|layer| &mut layer.constants), 5e-4);
}

fn layer(kind: NeuronKind, shape: NeuronShape, columns: usize, with_state: bool) -> Layer {
    let (n, len) = (shape.neurons, shape.batch * shape.neurons);
    let weight: Vec<f32> = values(n * n, 8).iter().map(|w| w / (n as f32).sqrt()).collect();
    let bias: Vec<f32> = values(n, 9).iter().map(|b| 0.2 * b).collect();
    Layer {
        kind,
        shape,
        surrogate: EVERY[0],
        detach_reset: false,
        truncate: None,
        constants: oracle::constant(&oracle::constants(columns, 5)),
        x: oracle::constant(&values(shape.input_len(), 21)),
        recurrent: Some((oracle::constant(&weight), oracle::constant(&bias))),
        state: with_state.then(|| NeuronState {
            v: values(len, 31),
            i: values(len, 32),
            a: values(len, 33).iter().map(|a| a.abs()).collect(),
            z: pack(&spike_values(len, 0.5, 34), n),
        }),
    }
}

#[test]
fn every_kind_and_option_matches_forward_mode_differentiation() {
    let shape = NeuronShape { steps: 6, batch: 3, neurons: 4, constant_input: false };
    let mut surrogates = EVERY.into_iter().cycle();
    for kind in firing_kinds() {
        for detach_reset in [false, true] {
            for (truncate, with_state) in [(None, true), (Some(1), false), (Some(2), true)] {
                let mut layer = layer(kind, shape, if detach_reset { 1 } else { 4 }, with_state);
                layer.surrogate = surrogates.next().unwrap();
                (layer.detach_reset, layer.truncate) = (detach_reset, truncate);
                check(&layer);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_shape_matches_forward_mode_differentiation(
        steps in 0usize..4, batch in 1usize..4, neurons in 1usize..36, constant_input: bool,
        kind in proptest::sample::select(firing_kinds()),
    ) {
        check(&layer(kind, NeuronShape { steps, batch, neurons, constant_input }, 1, false));
    }
}

#[test]
fn state_carries_on_and_threads_do_not_matter() {
    let whole = NeuronShape { steps: 20, batch: 19, neurons: 150, constant_input: false };
    let half = NeuronShape { steps: 10, ..whole };
    for kind in firing_kinds() {
        let layer = layer(kind, whole, 150, false);
        let (constants, x) = (values_of(&layer.constants), values_of(&layer.x));
        let (weight, _) = layer.recurrent.as_ref().map(|(w, b)| (values_of(w), values_of(b))).unwrap();
        let feedback = Feedback { weight: &weight, bias: None };
        let run = |shape: NeuronShape, x: &[f32], state: &mut NeuronState, threads| {
            let mut bits = vec![0; shape.output_words()];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                recurrent_forward(kind, shape, &constants, x, feedback, Some(state), &mut bits);
            });
            bits
        };
        let (mut once, mut twice) = (NeuronState::new(kind, whole), NeuronState::new(kind, whole));
        let all = run(whole, &x, &mut once, 1);
        let (early, late) = x.split_at(half.input_len());
        let mut parts = run(half, early, &mut twice, 3);
        parts.extend(run(half, late, &mut twice, 2));
        assert_eq!(all, parts);
        assert_eq!(once, twice);

        let dz = values(whole.output_len(), 2);
        let gradients = |threads| {
            let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = BackwardOptions::default();
            let to = RecurrentGradients { x: &mut dx, weight: &mut dw, bias: None, constants: None };
            pool.install(|| {
                recurrent_backward(kind, whole, &constants, &x, feedback, &all, EVERY[0], &dz, options, to);
            });
            (dx, dw)
        };
        assert_eq!(gradients(1), gradients(3));
    }
}

#[test]
fn a_potential_that_is_not_finite_is_named() {
    let shape = NeuronShape { steps: 5, batch: 3, neurons: 40, constant_input: false };
    let layer = layer(firing_kinds()[0], shape, 1, false);
    let (constants, mut x) = (values_of(&layer.constants), values_of(&layer.x));
    x[(2 * 3 + 1) * 40 + 39] = f32::NAN;
    let weight = values(1600, 1);
    let feedback = Feedback { weight: &weight, bias: None };
    let mut bits = vec![0; shape.output_words()];
    let place = recurrent_forward(layer.kind, shape, &constants, &x, feedback, None, &mut bits);
    assert_eq!(place, Some((2, 39)));
}
