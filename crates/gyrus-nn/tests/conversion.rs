//! Conversion of dense networks to spiking ones: their answers, and what cannot be converted.

use gyrus_blueprint::{Blueprint, NodeKind, Padding, preset};
use gyrus_nn::convert::{exact_form, folded_form, integrate_and_fire_form, quantized_form};
use gyrus_nn::{Error, Network, SpikingSettings, State, floats, rounded};
use gyrus_tensor::{Tensor, TensorData, cpu};

/// Numbers between −1 and 1 that are the same on every machine.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

fn tensor(values: &[f32], rows: usize) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, values.len() / rows]), &cpu())
}

/// A residual edge, batch norms, all pools, a dropout; uneven windows, so that an average is not over a power of two.
fn many_kinds() -> Blueprint {
    let conv = |channels| NodeKind::conv2d(channels, 3).padding(Padding::Same);
    Blueprint::builder("many-kinds")
        .input([2, 12, 12])
        .node("conv1", conv(6).bias(false))
        .node("norm1", NodeKind::batch_norm())
        .node("relu1", NodeKind::ReLU)
        .node("max", NodeKind::max_pool2d(2))
        .node("conv2", conv(6))
        .node("norm2", NodeKind::batch_norm())
        .node("relu2", NodeKind::ReLU)
        .edge("max", "relu2")
        .node("average", NodeKind::avg_pool2d(3))
        .node("conv3", conv(8))
        .node("max3", NodeKind::max_pool2d(2))
        .node("relu3", NodeKind::ReLU)
        .node("flatten", NodeKind::flatten())
        .node("dropout", NodeKind::dropout(0.5))
        .node("hidden", NodeKind::linear(10))
        .node("norm4", NodeKind::batch_norm())
        .node("relu4", NodeKind::ReLU)
        .node("classifier", NodeKind::affine(4))
        .build()
        .unwrap()
}

/// A folded, quantized network with random numbers, norms that change activations, and thresholds that clip a little.
fn quantized(blueprint: &Blueprint, levels: usize) -> (Blueprint, State) {
    let quantized = quantized_form(blueprint, levels).unwrap();
    let mut state = Network::new(&quantized, 3, &cpu()).unwrap().state();
    for (seed, (name, tensor)) in state.iter_mut().enumerate() {
        let noise = values(tensor.values.len(), seed as u32);
        let with = |f: fn(f32, f32) -> f32, tensor: &mut Vec<f32>| {
            tensor.iter_mut().zip(&noise).for_each(|(x, n)| *x = f(*x, *n));
        };
        match name.rsplit_once('.').map(|(_, parameter)| parameter) {
            Some("bias" | "running_mean") => with(|_, n| 0.2 * n, &mut tensor.values),
            Some("running_var") => with(|_, n| 1.0 + 0.5 * n, &mut tensor.values),
            Some("threshold") => with(|_, n| 1.7 + 0.3 * n, &mut tensor.values),
            _ => {}
        }
    }
    folded_form(&quantized, &state).unwrap()
}

#[test]
fn folding_changes_no_answer() {
    let blueprint = many_kinds();
    let dense = Network::new(&blueprint, 3, &cpu()).unwrap();
    let (folded, state) = folded_form(&blueprint, &dense.state()).unwrap();
    let left = |kind: &NodeKind| matches!(kind, NodeKind::BatchNorm { .. } | NodeKind::Dropout { .. });
    assert!(!folded.nodes().iter().any(|node| left(&node.kind)));
    let x = tensor(&values(5 * 288, 9), 5);
    let expected = floats(dense.infer(x.clone()));
    let got = floats(Network::from_state(&folded, &state, &cpu()).unwrap().infer(x));
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-4, "{got} is not {expected}");
    }
}

#[test]
fn the_spiking_network_approaches_the_quantized_one() {
    // Enough levels that the quantized network is almost continuous, as spikes over many steps are.
    let (blueprint, state) = quantized(&many_kinds(), 256);
    let x = tensor(&values(6 * 288, 5), 6);
    let expected = floats(Network::from_state(&blueprint, &state, &cpu()).unwrap().infer(x.clone()));
    let size = expected.iter().map(|x| x.abs()).sum::<f32>() / expected.len() as f32;
    let (spiking, spiking_state) = integrate_and_fire_form(&blueprint, &state).unwrap();
    let error = |steps| {
        let settings = SpikingSettings { steps, ..SpikingSettings::default() };
        let network = Network::with_state(&spiking, Some(&settings), &spiking_state, &cpu()).unwrap();
        let got = floats(network.infer(x.clone()));
        got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f32>() / expected.len() as f32 / size
    };
    let errors = [4, 32, 256].map(error);
    assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
    assert!(errors[2] < 0.02, "{errors:?}");
}

/// Both networks of the exact form, on `rows` inputs.
fn exact_answers(blueprint: &Blueprint, levels: usize, rows: usize) -> (Vec<f32>, Vec<f32>, usize, usize) {
    let (blueprint, state) = quantized(blueprint, levels);
    let exact = exact_form(&blueprint, &state, 3.0).unwrap();
    let inputs: usize = blueprint.shapes().unwrap().output(0).iter().product();
    let x: Vec<f32> = values(rows * inputs, 8).iter().map(|x| 4.0 * x).collect();
    let dense = Network::from_state(&exact.quantized.0, &exact.quantized.1, &cpu()).unwrap();
    let cut: Vec<f32> = x.iter().map(|x| rounded(*x, exact.fraction_bits, 3.0)).collect();
    let expected = floats(dense.infer(tensor(&cut, rows)));
    let network =
        Network::with_state(&exact.spiking.0, Some(&exact.settings), &exact.spiking.1, &cpu()).unwrap();
    let (said, observations) = network.observe(tensor(&x, rows)).unwrap();
    let spikes_at = |step: usize| {
        let own = observations.iter().filter(|o| o.what == gyrus_nn::Observed::NeuronOutput);
        own.flat_map(|o| {
            let all = floats(o.tensor.clone());
            let width = all.len() / exact.settings.steps;
            all[step * width..][..width].to_vec()
        })
        .filter(|spike| *spike != 0.0)
        .count()
    };
    let last = (0..exact.settings.steps).rev().find(|step| spikes_at(*step) > 0).unwrap();
    assert_eq!(said.dims()[0], exact.settings.steps * rows);
    (expected, floats(network.infer(tensor(&x, rows))), last + 1, exact.enough_steps)
}

#[test]
fn the_exact_form_answers_as_the_quantized_network_bit_for_bit() {
    for (blueprint, levels, rows) in [
        (many_kinds(), 4, 40),
        (many_kinds(), 7, 10),
        (preset("mlp", [1, 8, 8], 10).unwrap(), 8, 40),
        (preset("digits-cnn", [1, 8, 8], 10).unwrap(), 8, 20),
        // Residual blocks with shortcuts, fast convolutions, and a mean over 3 x 3 pixels.
        (preset("resnet20", [3, 12, 12], 10).unwrap(), 4, 3),
    ] {
        let (expected, got, settled, enough) = exact_answers(&blueprint, levels, rows);
        assert!(expected.iter().any(|x| *x != expected[0]));
        assert_eq!(got, expected, "{}, {levels} levels", blueprint.name);
        assert!(settled <= enough, "{}: settled after {settled}, {enough} should be enough", blueprint.name);
    }
}

#[test]
fn the_grid_of_the_exact_form_is_fine() {
    // With many levels, so that rounding a sum to the next level hardly matters.
    for (blueprint, levels) in [(many_kinds(), 128), (preset("mlp", [1, 8, 8], 10).unwrap(), 64)] {
        let (blueprint, state) = quantized(&blueprint, levels);
        let exact = exact_form(&blueprint, &state, 3.0).unwrap();
        let rows = 10;
        let inputs: usize = blueprint.shapes().unwrap().output(0).iter().product();
        let x: Vec<f32> =
            values(rows * inputs, 8).iter().map(|x| rounded(*x, exact.fraction_bits, 3.0)).collect();
        let answers = |(blueprint, state): (&Blueprint, &State)| {
            floats(Network::from_state(blueprint, state, &cpu()).unwrap().infer(tensor(&x, rows)))
        };
        let before = answers((&blueprint, &state));
        let after = answers((&exact.quantized.0, &exact.quantized.1));
        let size = before.iter().map(|x| x.abs()).sum::<f32>();
        let error = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).sum::<f32>() / size;
        assert!(error < 0.05, "{}: the grid moves answers by {error}", blueprint.name);
    }
}

#[test]
fn sums_that_cannot_be_exact_are_refused_by_name() {
    let (blueprint, state) = quantized(&preset("digits-cnn", [1, 8, 8], 10).unwrap(), 20_000);
    let error = exact_form(&blueprint, &state, 3.0).unwrap_err().to_string();
    assert!(error.contains("`conv") && error.contains("fewer levels"), "{error}");
}

#[test]
fn a_node_without_a_spiking_form_is_named() {
    let with = |kind: NodeKind| {
        Blueprint::builder("odd")
            .input([4])
            .node("first", NodeKind::affine(6))
            .node("odd", kind)
            .node("relu", NodeKind::ReLU)
            .node("last", NodeKind::affine(2))
            .build()
            .unwrap()
    };
    for kind in
        [NodeKind::GELU, NodeKind::Sigmoid, NodeKind::Tanh, NodeKind::softmax(), NodeKind::layer_norm()]
    {
        let name = kind.name();
        let error = quantized_form(&with(kind), 4).unwrap_err();
        assert!(matches!(&error, Error::NotConvertible { node, kind, .. } if node == "odd" && *kind == name));
    }
    let error = quantized_form(&with(NodeKind::lif(2.0)), 4).unwrap_err().to_string();
    assert!(error.contains("`odd`") && error.contains("spikes already"), "{error}");
    let linear = Blueprint::builder("linear").input([4]).node("only", NodeKind::affine(2)).build().unwrap();
    assert!(quantized_form(&linear, 4).unwrap_err().to_string().contains("no ReLU"));
    // A norm that follows no weights cannot be folded.
    let blueprint = Blueprint::builder("norm")
        .input([4])
        .node("norm", NodeKind::batch_norm())
        .node("relu", NodeKind::ReLU)
        .node("last", NodeKind::affine(2))
        .build()
        .unwrap();
    let blueprint = quantized_form(&blueprint, 4).unwrap();
    let state = Network::new(&blueprint, 0, &cpu()).unwrap().state();
    let error = folded_form(&blueprint, &state).unwrap_err().to_string();
    assert!(error.contains("`norm`"), "{error}");
    let error = integrate_and_fire_form(&blueprint, &state).unwrap_err().to_string();
    assert!(error.contains("`norm`") && error.contains("fold"), "{error}");
}

#[test]
fn signed_spikes_are_not_trained_and_counting_maxima_are() {
    let (blueprint, state) = quantized(&many_kinds(), 4);
    let (spiking, _) = integrate_and_fire_form(&blueprint, &state).unwrap();
    assert!(spiking.nodes().iter().any(|node| matches!(node.kind, NodeKind::CountMaxPool2d(_))));
    Network::check(&spiking, Some(&SpikingSettings::default())).unwrap();
    let exact = exact_form(&blueprint, &state, 4.0).unwrap();
    let error = Network::check(&exact.spiking.0, Some(&exact.settings)).unwrap_err().to_string();
    assert!(error.contains("SignedIF") && error.contains("no gradient"), "{error}");
}
