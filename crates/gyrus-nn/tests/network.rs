//! Networks as a whole: every preset, graphs that branch, fusion, repeatability and state.

use std::collections::{BTreeMap, HashMap};

use gyrus_blueprint::{Blueprint, BlueprintBuilder, NodeKind, Padding, preset, preset_names};
use gyrus_nn::{Network, State, floats, from_safetensors, to_safetensors};
use gyrus_tensor::{
    Activation, AdamW, Convolution, Operation, Pooling, Tensor, TensorData, adamw_step, composed, cpu,
    with_threads,
};

/// Repeatable values in -1 ..= 1.
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn batch(rows: usize, elements: usize) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values(rows * elements, 1), [rows, elements]), &cpu())
}

fn cross_entropy(rows: usize, classes: usize) -> Operation {
    let targets = (0..rows).map(|row| (row * 3 % classes) as u32).collect();
    Operation::CrossEntropy { targets, classes, smoothing: 0.0 }
}

/// A network in which every number, including biases and statistics, differs from its initial value.
fn stirred(blueprint: &Blueprint) -> Network {
    let network = Network::new(blueprint, 1, &cpu()).unwrap();
    let mut state = network.state();
    for (seed, (name, tensor)) in state.iter_mut().enumerate() {
        let around = if name.ends_with("running_var") { 1.5 } else { 0.0 };
        let noise = values(tensor.values.len(), seed);
        tensor.values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.3 * noise + around);
    }
    Network::from_state(blueprint, &state, &cpu()).unwrap()
}

#[track_caller]
fn close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.1f32, |most, e| most.max(e.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 2e-5 * scale, "{what}: element {i} is {got}, not {expected}");
    }
}

fn conv(outputs: usize) -> NodeKind {
    NodeKind::conv2d(outputs, 3).padding(Padding::Same).bias(false).into()
}

#[test]
fn every_preset_runs_and_gives_every_parameter_a_gradient() {
    for name in preset_names() {
        let shape: &[usize] = match *name {
            "mnist-cnn" | "picture-cnn" | "cnn" | "mlp" => &[1, 12, 12],
            "resnet20" => &[3, 8, 8],
            "photo-cnn" => &[3, 32, 32],
            "digits-cnn" => &[1, 8, 8],
            _ => &[9],
        };
        let mut network = Network::new(&preset(name, shape, 5).unwrap(), 0, &cpu()).unwrap();
        let x = batch(6, shape.iter().product());
        assert_eq!(network.infer(x.clone()).dims(), [6, 5], "{name}");
        let (loss, gradients) = network.gradients(x, 3, cross_entropy(6, 5)).unwrap();
        assert!(loss.is_finite() && loss > 0.0, "{name}: {loss}");
        assert_eq!(gradients.len(), network.parameters().len(), "{name}");
        let mut count = 0;
        for (parameter, gradient) in network.parameters().iter().zip(gradients) {
            let what = format!("{name}: {}", parameter.name);
            let gradient = floats(gradient.unwrap_or_else(|| panic!("{what} has no gradient")));
            assert_eq!(gradient.len(), parameter.shape.iter().product::<usize>(), "{what}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{what}");
            assert!(gradient.iter().any(|g| *g != 0.0), "{what} has only zeros for a gradient");
            count += gradient.len();
        }
        assert_eq!(network.parameter_count(), count, "{name}");
    }
}

/// A test's network, written by hand with Burn's operations.
struct ByHand {
    leaves: HashMap<String, Tensor<1>>,
    statistics: State,
    training: bool,
}

impl ByHand {
    fn new(network: &Network, training: bool) -> Self {
        let leaf = |tensor: Tensor<1>| {
            if training { Tensor::from_inner(tensor).require_grad() } else { tensor }
        };
        let parameters = network.parameters().iter();
        let leaves = parameters.map(|p| (p.name.clone(), leaf(p.value.clone()))).collect();
        Self { leaves, statistics: network.state(), training }
    }

    fn run(&self, operation: Operation, x: Tensor<2>, names: &[&str]) -> Tensor<2> {
        composed::apply(&operation, x, names.iter().map(|name| self.leaves[*name].clone()).collect(), None)
    }

    fn relu(&self, x: Tensor<2>) -> Tensor<2> {
        self.run(Operation::Activation(Activation::Relu), x, &[])
    }

    fn norm(&self, node: &str, x: Tensor<2>) -> Tensor<2> {
        let statistics: Vec<f32> = ["running_mean", "running_var"]
            .iter()
            .flat_map(|name| self.statistics[&format!("{node}.{name}")].values.clone())
            .collect();
        let statistics =
            Tensor::<1>::from_data(TensorData::new(statistics.clone(), [statistics.len()]), &cpu());
        let statistics = if self.training { Tensor::from_inner(statistics) } else { statistics };
        let [gamma, beta] = ["weight", "bias"].map(|name| self.leaves[&format!("{node}.{name}")].clone());
        let operation = Operation::BatchNorm { own: self.training, epsilon: 1e-5, activation: None };
        composed::apply(&operation, x, vec![gamma, beta, statistics], None)
    }
}

/// Compares inference, loss and all gradients of `network` with `by_hand`.
fn check_by_hand(mut network: Network, x: &Tensor<2>, by_hand: impl Fn(&ByHand, Tensor<2>) -> Tensor<2>) {
    let hand = ByHand::new(&network, false);
    close("inference", &floats(network.infer(x.clone())), &floats(by_hand(&hand, x.clone())));

    let hand = ByHand::new(&network, true);
    let answer = by_hand(&hand, Tensor::from_inner(x.clone()));
    let [rows, classes] = answer.dims();
    let loss = composed::apply(&cross_entropy(rows, classes), answer, vec![], None);
    let expected = loss.backward();
    let (got_loss, gradients) = network.gradients(x.clone(), 0, cross_entropy(rows, classes)).unwrap();
    close("loss", &[got_loss], &floats(loss.clone().inner()));
    for (parameter, got) in network.parameters().iter().zip(gradients) {
        let expected = floats(hand.leaves[&parameter.name].grad(&expected).unwrap());
        close(&format!("gradient of {}", parameter.name), &floats(got.unwrap()), &expected);
    }
}

fn convolution(channels: usize, outputs: usize) -> Operation {
    let shape = Convolution {
        batch: 1,
        height: 6,
        width: 6,
        channels,
        outputs,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
    };
    Operation::Convolution { shape, activation: None, residual: false }
}

fn mean_of_image(channels: usize) -> Operation {
    let shape =
        Pooling { batch: 1, height: 6, width: 6, channels, kernel: [6, 6], stride: [1, 1], padding: [0; 4] };
    Operation::SumPool { shape, scale: 1.0 / 36.0 }
}

#[test]
fn a_residual_block_computes_what_its_blueprint_describes() {
    for skip_first in [false, true] {
        let builder = Blueprint::builder("residual")
            .input([2, 6, 6])
            .node("conv1", conv(3))
            .node("norm1", NodeKind::batch_norm())
            .node("relu1", NodeKind::ReLU)
            .node("conv2", conv(3))
            .node("norm2", NodeKind::batch_norm());
        // The order of a node's edges does not matter.
        let builder = if skip_first {
            builder.edge("relu1", "relu2").node("relu2", NodeKind::ReLU)
        } else {
            builder.node("relu2", NodeKind::ReLU).edge("relu1", "relu2")
        };
        let blueprint = builder
            .node("pool", NodeKind::GlobalAvgPool)
            .node("classifier", NodeKind::affine(4))
            .build()
            .unwrap();
        check_by_hand(stirred(&blueprint), &batch(5, 72), |hand, x| {
            let x = hand.run(convolution(2, 3), x, &["conv1.weight"]);
            let entry = hand.relu(hand.norm("norm1", x));
            let x = hand.run(convolution(3, 3), entry.clone(), &["conv2.weight"]);
            let x = hand.relu(hand.norm("norm2", x) + entry);
            let x = hand.run(mean_of_image(3), x, &[]);
            let last = Operation::Linear { inputs: 3, outputs: 4, relu: false };
            hand.run(last, x, &["classifier.weight", "classifier.bias"])
        });
    }
}

/// Both branches into the ReLU are normalizations; either may add the other.
#[test]
fn a_shortcut_with_its_own_normalization_computes_what_its_blueprint_describes() {
    let blueprint = Blueprint::builder("shortcut")
        .input([2, 6, 6])
        .node("conv1", conv(3))
        .node("norm1", NodeKind::batch_norm())
        .from("input")
        .node("conv2", conv(3))
        .node("norm2", NodeKind::batch_norm())
        .node("relu", NodeKind::ReLU)
        .edge("norm1", "relu")
        .node("pool", NodeKind::GlobalAvgPool)
        .build()
        .unwrap();
    check_by_hand(stirred(&blueprint), &batch(5, 72), |hand, x| {
        let a = hand.norm("norm1", hand.run(convolution(2, 3), x.clone(), &["conv1.weight"]));
        let b = hand.norm("norm2", hand.run(convolution(2, 3), x, &["conv2.weight"]));
        hand.run(mean_of_image(3), hand.relu(a + b), &[])
    });
}

/// Nodes whose result is used twice must not be fused away, and three edges into one node add up.
#[test]
fn branches_that_meet_add_up() {
    let blueprint = Blueprint::builder("branches")
        .input([7])
        .node("stem", NodeKind::affine(5))
        .node("relu", NodeKind::ReLU)
        .from("stem")
        .node("tanh", NodeKind::Tanh)
        .from("relu")
        .node("again", NodeKind::ReLU)
        .node("classifier", NodeKind::affine(3))
        .add_edges([("tanh", "classifier"), ("stem", "classifier")])
        .node("softmax", NodeKind::softmax())
        .from("input")
        .node("direct", NodeKind::linear(3))
        .from("softmax")
        .node("output", NodeKind::Output)
        .edge("direct", "output")
        .build()
        .unwrap();
    check_by_hand(stirred(&blueprint), &batch(6, 7), |hand, x| {
        let linear = |inputs, outputs| Operation::Linear { inputs, outputs, relu: false };
        let stem = hand.run(linear(7, 5), x.clone(), &["stem.weight", "stem.bias"]);
        let tanh = hand.run(Operation::Activation(Activation::Tanh), stem.clone(), &[]);
        let sum = hand.relu(stem.clone()) + tanh + stem;
        let y = hand.run(linear(5, 3), sum, &["classifier.weight", "classifier.bias"]);
        let y = hand.run(Operation::Softmax { columns: 3 }, y, &[]);
        y + hand.run(linear(7, 3), x, &["direct.weight"])
    });
}

/// A dropout of probability 0 changes nothing, but prevents fusion across it.
#[test]
fn fused_and_unfused_plans_agree() {
    let build = |fused: bool| {
        let gap = |builder: BlueprintBuilder, name: &str| {
            if fused { builder } else { builder.node(name, NodeKind::dropout(0.0)) }
        };
        let builder = Blueprint::builder("fusion").input([2, 6, 6]);
        let builder = builder.node("conv1", NodeKind::conv2d(6, 3).padding(Padding::Same));
        let builder = gap(builder, "gap1").node("relu1", NodeKind::ReLU);
        let builder = builder.node("conv2", conv(6)).node("norm2", NodeKind::batch_norm());
        let builder = gap(builder, "gap2").node("relu2", NodeKind::ReLU);
        let builder = builder.node("conv3", conv(6)).node("norm3", NodeKind::batch_norm());
        let builder = gap(builder, "gap3").node("relu3", NodeKind::ReLU).edge("relu2", "relu3");
        let builder = builder.node("flatten", NodeKind::flatten()).node("hidden", NodeKind::affine(8));
        let builder = gap(builder, "gap4").node("relu4", NodeKind::ReLU);
        builder.node("classifier", NodeKind::affine(3)).build().unwrap()
    };
    let mut fused = stirred(&build(true));
    let mut unfused = Network::from_state(&build(false), &fused.state(), &cpu()).unwrap();
    let x = batch(5, 72);
    close("inference", &floats(fused.infer(x.clone())), &floats(unfused.infer(x.clone())));
    let (loss, gradients) = fused.gradients(x.clone(), 0, cross_entropy(5, 3)).unwrap();
    let (expected_loss, expected) = unfused.gradients(x, 0, cross_entropy(5, 3)).unwrap();
    close("loss", &[loss], &[expected_loss]);
    for (parameter, (got, expected)) in fused.parameters().iter().zip(gradients.into_iter().zip(expected)) {
        close(&parameter.name, &floats(got.unwrap()), &floats(expected.unwrap()));
    }
    for (name, expected) in unfused.state() {
        close(&name, &fused.state()[&name].values, &expected.values);
    }
}

/// In inference, a normalization is folded into the weights before it, but only if these feed nothing else and have the same
/// channels.
#[test]
fn inference_folds_normalizations_only_where_it_may() {
    let shared = Blueprint::builder("shared")
        .input([2, 6, 6])
        .node("conv", conv(3))
        .node("gap", NodeKind::dropout(0.0))
        .node("norm", NodeKind::batch_norm())
        .node("relu", NodeKind::ReLU)
        .edge("conv", "relu")
        .node("pool", NodeKind::GlobalAvgPool)
        .build()
        .unwrap();
    check_by_hand(stirred(&shared), &batch(5, 72), |hand, x| {
        let x = hand.run(convolution(2, 3), x, &["conv.weight"]);
        hand.run(mean_of_image(3), hand.relu(hand.norm("norm", x.clone()) + x), &[])
    });
    let flattened = Blueprint::builder("flattened")
        .input([2, 6, 6])
        .node("conv", conv(1))
        .node("flatten", NodeKind::flatten())
        .node("norm", NodeKind::batch_norm())
        .build()
        .unwrap();
    check_by_hand(stirred(&flattened), &batch(5, 72), |hand, x| {
        hand.norm("norm", hand.run(convolution(2, 1), x, &["conv.weight"]))
    });
}

/// Answers use the current parameters, not those of the last answer.
#[test]
fn answers_follow_the_numbers() {
    let blueprint = preset("digits-cnn", [1, 8, 8], 10).unwrap();
    let mut network = Network::new(&blueprint, 0, &cpu()).unwrap();
    let x = batch(3, 64);
    let mut seen = vec![floats(network.infer(x.clone()))];
    let mut changed = |network: &Network, what: &str| {
        let answer = floats(network.infer(x.clone()));
        let fresh = Network::from_state(&blueprint, &network.state(), &cpu()).unwrap();
        assert_eq!(answer, floats(fresh.infer(x.clone())), "{what}");
        assert!(!seen.contains(&answer), "{what} changed nothing");
        seen.push(answer);
    };
    // A training step moves the running statistics.
    network.gradients(batch(3, 64), 0, cross_entropy(3, 10)).unwrap();
    changed(&network, "gradients");
    network.update(|_, _, value| value * 0.5);
    changed(&network, "update");
    network.load_state(&stirred(&blueprint).state()).unwrap();
    changed(&network, "load_state");
}

/// The state after some steps of AdamW, and the losses.
fn trained(blueprint: &Blueprint, [rows, elements]: [usize; 2], seed: u64) -> (State, Vec<f32>) {
    let mut network = Network::new(blueprint, seed, &cpu()).unwrap();
    let zeros = |p: &gyrus_nn::Parameter| Tensor::<1>::zeros(p.value.dims(), &cpu());
    let mut moments: Vec<_> = network.parameters().iter().map(|p| (zeros(p), zeros(p))).collect();
    let mut losses = Vec::new();
    for step in 1..=3 {
        let (loss, gradients) =
            network.gradients(batch(rows, elements), step, cross_entropy(rows, 10)).unwrap();
        losses.push(loss);
        let mut gradients = gradients.into_iter();
        network.update(|index, _, value| {
            let (first, second) = moments[index].clone();
            let rule = AdamW {
                learning_rate: 1e-3,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.01,
                step,
                gradient_scale: 1.0,
            };
            let gradient = gradients.next().flatten().unwrap();
            let (value, first, second) = adamw_step(rule, value, gradient, first, second);
            moments[index] = (first, second);
            value
        });
    }
    (network.state(), losses)
}

#[test]
fn the_same_seed_gives_the_same_bits_for_any_number_of_threads() {
    for (name, shape, rows) in [("picture-cnn", [1, 14, 14], 24), ("resnet20", [3, 16, 16], 10)] {
        let blueprint = preset(name, shape, 10).unwrap();
        let size = [rows, shape.iter().product()];
        let run = |threads| with_threads(threads, || trained(&blueprint, size, 5)).unwrap();
        let bits = |state: &State| -> Vec<u32> {
            state.values().flat_map(|tensor| tensor.values.iter().map(|value| value.to_bits())).collect()
        };
        let (state, losses) = run(1);
        assert!(losses.iter().all(|loss| loss.is_finite()), "{name}: {losses:?}");
        for threads in [2, 3] {
            let (other, other_losses) = run(threads);
            assert_eq!(losses, other_losses, "{name} on {threads} threads");
            assert!(bits(&state) == bits(&other), "{name} on {threads} threads has other weights");
        }
        let other_seed = with_threads(2, || trained(&blueprint, size, 6)).unwrap();
        assert_ne!(losses, other_seed.1, "{name}: the seed has no effect");
    }
}

/// The choice of kernels depends on the layers alone, so an image gets the same answer in any batch.
#[test]
fn an_image_alone_and_in_a_batch_gets_the_same_bits() {
    for (name, shape) in [("mlp", [1, 28, 28]), ("picture-cnn", [1, 28, 28]), ("resnet20", [3, 32, 32])] {
        let network = Network::new(&preset(name, shape, 10).unwrap(), 3, &cpu()).unwrap();
        let (rows, columns) = (7, shape.iter().product::<usize>());
        let x = batch(rows, columns);
        let together = floats(network.infer(x.clone()));
        for row in 0..rows {
            let alone = floats(network.infer(x.clone().narrow(0, row, 1)));
            assert_eq!(alone, together[row * 10..][..10], "{name}, row {row}");
        }
    }
}

#[test]
fn dropout_is_drawn_from_the_noise_alone() {
    let blueprint = preset("table-mlp", [9], 4).unwrap();
    let loss = |noise| {
        let mut network = Network::new(&blueprint, 0, &cpu()).unwrap();
        network.gradients(batch(8, 9), noise, cross_entropy(8, 4)).unwrap().0
    };
    assert_eq!(loss(1), loss(1));
    assert_ne!(loss(1), loss(2));
}

#[test]
fn a_state_round_trips_through_a_file() {
    let blueprint = preset("digits-cnn", [1, 8, 8], 10).unwrap();
    let (state, _) = trained(&blueprint, [6, 64], 0);
    assert!(state.contains_key("norm1.running_var"));
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = to_safetensors(&state, &metadata).unwrap();
    let (read, read_metadata) = from_safetensors(&bytes).unwrap();
    assert_eq!((&read, &read_metadata), (&state, &metadata));
    let network = Network::from_state(&blueprint, &read, &cpu()).unwrap();
    assert_eq!(network.state(), state);
    let mut other = Network::new(&blueprint, 9, &cpu()).unwrap();
    let fresh = floats(other.infer(batch(3, 64)));
    other.load_state(&state).unwrap();
    let loaded = floats(other.infer(batch(3, 64)));
    assert_eq!(loaded, floats(network.infer(batch(3, 64))));
    assert_ne!(loaded, fresh);
}
