//! Attributions: equal to Captum's, complete, and different once weights are.
//!
//! `golden/see.json` comes from `golden/see.py`.

use gyrus_blueprint::{Blueprint, Image, NodeKind, Padding};
use gyrus_nn::{Network, Signal, State, StateTensor, floats};
use gyrus_tensor::{Tensor, TensorData, cpu, filled_tensor};
use gyrus_vision::Error;
use gyrus_vision::see::{Attribution, Method};
use serde_json::Value;

const IMAGE: Image = Image { height: 10, width: 14, channels: 2 };

fn numbers(value: &Value) -> (Vec<usize>, Vec<f32>) {
    let shape = value["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize);
    let values = value["values"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32);
    (shape.collect(), values.collect())
}

/// `[batch, channels, height, width]` as rows of channels-last images.
fn channels_last(value: &Value) -> Vec<f32> {
    let (shape, values) = numbers(value);
    let [_, channels, height, width] = shape[..] else { panic!("not pictures") };
    let image = Image { height, width, channels };
    values.chunks_exact(channels * height * width).flat_map(|row| image.channels_last(row)).collect()
}

fn residual() -> Blueprint {
    let same = |channels| NodeKind::conv2d(channels, 3).padding(Padding::Same);
    Blueprint::builder("residual")
        .input([2, 10, 14])
        .node("conv1", same(4))
        .node("norm1", NodeKind::batch_norm())
        .node("relu1", NodeKind::ReLU)
        .node("conv2", same(4).bias(false))
        .node("norm2", NodeKind::batch_norm())
        .node("relu2", NodeKind::ReLU)
        .edge("relu1", "relu2")
        .node("pool", NodeKind::max_pool2d(2))
        .node("conv3", NodeKind::conv2d(5, 3).stride(2))
        .node("relu3", NodeKind::ReLU)
        .node("flatten", NodeKind::flatten())
        .node("classifier", NodeKind::affine(3))
        .build()
        .unwrap()
}

struct Golden {
    values: Value,
    network: Network,
    pictures: Vec<f32>,
    targets: Vec<usize>,
}

fn golden() -> Golden {
    let values: Value = serde_json::from_str(include_str!("golden/see.json")).unwrap();
    let state: State = (values["state"].as_object().unwrap().iter())
        .map(|(name, value)| {
            let (shape, values) = numbers(value);
            (name.clone(), StateTensor { shape, values })
        })
        .collect();
    let network = Network::from_state(&residual(), &state, &cpu()).unwrap();
    let pictures = channels_last(&values["pictures"]);
    let targets =
        values["targets"].as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as usize).collect();
    Golden { values, network, pictures, targets }
}

#[track_caller]
fn close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.0f32, |most, e| most.max(e.abs()));
    assert!(scale > 0.0, "{what}: nothing but zeros is expected, which proves little");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-4 * scale, "{what}: element {i} is {got}, not {expected}");
    }
}

#[test]
fn attributions_equal_captum() {
    let Golden { values, network, pictures, targets } = golden();
    let node = |name: &str| network.blueprint().index_of(name).unwrap();
    for (name, method) in [
        ("gradient", Method::Gradient),
        ("input_times_gradient", Method::InputTimesGradient),
        ("integrated_gradients", Method::IntegratedGradients { steps: 50 }),
        ("occlusion", Method::Occlusion { window: 4, stride: 3 }),
        ("grad_cam_relu1", Method::GradCam { node: node("relu1") }),
        ("grad_cam_relu2", Method::GradCam { node: node("relu2") }),
        ("grad_cam_relu3", Method::GradCam { node: node("relu3") }),
    ] {
        let got = Attribution::new(&network, &pictures, &targets, method).unwrap();
        close(name, &got.maps, &channels_last(&values[name]));
        let (_, outputs) = numbers(&values["outputs"]);
        let expected: Vec<f32> =
            targets.iter().enumerate().map(|(row, target)| outputs[3 * row + target]).collect();
        close("outputs", &got.outputs, &expected);
    }
    let baseline = channels_last(&values["baseline"]);
    let got = Attribution::integrated_from(&network, &pictures, &targets, &baseline, 20).unwrap();
    close("from a baseline", &got.maps, &channels_last(&values["integrated_from_baseline"]));
}

#[test]
fn integrated_gradients_sum_to_the_difference_of_outputs() {
    let Golden { network, pictures, targets, .. } = golden();
    let method = Method::IntegratedGradients { steps: 200 };
    let found = Attribution::new(&network, &pictures, &targets, method).unwrap();
    for row in 0..3 {
        let error = found.completeness_error(row).unwrap();
        assert!(error < 0.01, "row {row} is off by {error}");
    }
}

/// Correlation of two lists.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|v| f64::from(*v)).sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| f(f64::from(*a) - ma, f64::from(*b) - mb)).sum()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt().max(1e-30)
}

/// Adebayo et al. 2018 (arXiv:1810.03292): a map that stays when the weights are random explains nothing of the network.
#[test]
fn maps_change_when_weights_are_random() {
    let Golden { network, pictures, targets, .. } = golden();
    let fresh: Vec<State> =
        (7..12).map(|seed| Network::new(&residual(), seed, &cpu()).unwrap().state()).collect();
    let trained = network.state();
    let relu2 = network.blueprint().index_of("relu2").unwrap();
    for method in [
        Method::Gradient,
        Method::InputTimesGradient,
        Method::IntegratedGradients { steps: 20 },
        Method::GradCam { node: relu2 },
        Method::Occlusion { window: 3, stride: 1 },
    ] {
        let before = Attribution::new(&network, &pictures, &targets, method).unwrap();
        // From the top down, layer after layer, with several draws.
        let mut states = vec![trained.clone(); fresh.len()];
        let mut last = 1.0;
        for node in ["classifier", "conv3", "norm2", "conv2", "norm1", "conv1"] {
            let mut sum = 0.0;
            for (state, fresh) in states.iter_mut().zip(&fresh) {
                for (name, value) in fresh.iter().filter(|(name, _)| name.starts_with(&format!("{node}."))) {
                    state.insert(name.clone(), value.clone());
                }
                let changed = Network::from_state(&residual(), state, &cpu()).unwrap();
                let after = Attribution::new(&changed, &pictures, &targets, method).unwrap();
                sum += correlation(&before.maps, &after.maps);
            }
            last = sum / fresh.len() as f64;
            assert!(last < 0.8, "{method:?} after {node}: correlation {last}");
        }
        assert!(last < 0.5, "{method:?} with random weights: correlation {last}");
    }
}

/// A gradient with respect to the input or a node against differences of outputs.
#[test]
fn gradients_equal_differences() {
    let Golden { network, pictures, .. } = golden();
    let blueprint = network.blueprint();
    let node = |name: &str| blueprint.index_of(name).unwrap();
    let x = |values: &[f32]| filled_tensor(1, 280, |x| x.copy_from_slice(values));
    let picture = &pictures[..280];
    // A node before an activation, which fusion leaves no trace of, a sum, and the answer.
    for (from, element) in [("norm1", 77), ("relu2", 131), ("classifier", 1)] {
        let from = node(from);
        let one = |output: &Tensor<2>| {
            let width = output.dims()[1];
            filled_tensor(1, width, |weights| {
                weights.fill(0.0);
                weights[element] = 1.0;
            })
        };
        let found = network.pull_back(x(picture), from, one, &[Signal::Input]).unwrap();
        let gradient = floats(found.gradients[0].clone());
        let value = |values: &[f32]| {
            f64::from(floats(network.activations(x(values), &[from]).unwrap()[0].clone())[element])
        };
        assert!((value(picture) - f64::from(floats(found.output)[element])).abs() < 1e-5);
        let strongest = (0..280).max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs())).unwrap();
        for place in [strongest, 0, 279] {
            let moved = |by: f32| {
                let mut values = picture.to_vec();
                values[place] += by;
                value(&values)
            };
            let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let got = f64::from(gradient[place]);
            assert!((got - difference).abs() < 2e-2 * difference.abs().max(0.05), "{got} {difference}");
        }
    }
}

/// Several signals in one pass, one above the other, have the gradients that each has alone.
#[test]
fn signals_do_not_disturb_each_other() {
    let Golden { network, pictures, .. } = golden();
    let node = |name: &str| Signal::Node(network.blueprint().index_of(name).unwrap());
    let signals = [Signal::Input, node("relu1"), node("relu2"), node("pool"), node("relu3")];
    let output =
        network.blueprint().index_of("output").or_else(|| network.blueprint().index_of("classifier"));
    let x = || Tensor::<2>::from_data(TensorData::new(pictures.clone(), [3, 280]), &cpu());
    let ones = |output: &Tensor<2>| Tensor::ones(output.dims(), &cpu());
    let together = network.pull_back(x(), output.unwrap(), ones, &signals).unwrap();
    for (index, signal) in signals.iter().enumerate() {
        let alone = network.pull_back(x(), output.unwrap(), ones, &[*signal]).unwrap();
        close("value", &floats(together.values[index].clone()), &floats(alone.values[0].clone()));
        close("gradient", &floats(together.gradients[index].clone()), &floats(alone.gradients[0].clone()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Golden { network, pictures, .. } = golden();
    let of =
        |inputs: &[f32], of: &[usize], method| Attribution::new(&network, inputs, of, method).unwrap_err();
    let gradient = Method::Gradient;
    assert!(matches!(of(&pictures[..279], &[0], gradient), Error::InputLength { got: 279, expected: 280 }));
    assert!(matches!(of(&pictures[..280], &[3], gradient), Error::NoSuchOutput { got: 3, outputs: 3 }));
    let window = Method::Occlusion { window: 11, stride: 1 };
    assert!(matches!(of(&pictures[..280], &[0], window), Error::Setting { .. }));
    let classifier = network.blueprint().index_of("classifier").unwrap();
    let text = of(&pictures[..280], &[0], Method::GradCam { node: classifier }).to_string();
    assert!(text.contains("classifier") && text.contains("rows and columns"), "{text}");
    assert!(matches!(of(&pictures[..280], &[0], Method::GradCam { node: 999 }), Error::Setting { .. }));
    let steps = Method::IntegratedGradients { steps: 0 };
    assert!(matches!(of(&pictures[..280], &[0], steps), Error::Setting { .. }));
    assert_eq!(IMAGE.pixels(), 140);
}
