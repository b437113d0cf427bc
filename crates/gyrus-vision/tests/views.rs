//! Layers, receptive fields, best pictures and circuits, on networks whose answers are known.

use gyrus_blueprint::{Blueprint, NodeKind, Padding, preset};
use gyrus_nn::{Network, Signal, State, StateTensor, floats};
use gyrus_tensor::{cpu, filled_tensor, splitmix64};
use gyrus_vision::see::circuits::{connections, layers_below};
use gyrus_vision::see::spikes::Trigger;
use gyrus_vision::see::{Layer, Maximize, Patch, layers, maximize};

fn noise(count: usize, seed: u64) -> Vec<f32> {
    (0..count as u64).map(|i| (splitmix64(seed + i) >> 40) as f32 / (1 << 24) as f32 - 0.5).collect()
}

#[test]
fn layers_end_with_their_activation() {
    let blueprint = preset("mnist-cnn", [1, 28, 28], 10).unwrap();
    let found = layers(&blueprint).unwrap();
    let names: Vec<&str> = found.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["conv1", "conv2", "conv3", "conv4", "hidden", "classifier"]);
    let outputs: Vec<&str> =
        found.iter().map(|layer| blueprint.nodes()[layer.output].name.as_str()).collect();
    assert_eq!(outputs, ["relu1", "relu2", "relu3", "relu4", "relu5", "classifier"]);
    let before: Vec<&str> =
        found.iter().map(|layer| blueprint.nodes()[layer.before_activation].name.as_str()).collect();
    assert_eq!(before, ["norm1", "norm2", "norm3", "norm4", "norm5", "classifier"]);
    let sizes: Vec<Option<[usize; 2]>> =
        found.iter().map(|layer| layer.field.map(|field| field.size)).collect();
    assert_eq!(sizes, [Some([3, 3]), Some([5, 5]), Some([10, 10]), Some([14, 14]), None, None]);
    assert_eq!(layers_below(&blueprint, &found), [vec![], vec![0], vec![1], vec![2], vec![3], vec![4]]);
}

#[test]
fn residual_blocks_have_their_sum_as_result() {
    let blueprint = preset("resnet20", [3, 32, 32], 10).unwrap();
    let found = layers(&blueprint).unwrap();
    let node = |index: usize| blueprint.nodes()[index].name.as_str();
    let second = found.iter().find(|layer| layer.name == "stage1.block1.conv2").unwrap();
    assert_eq!(
        (node(second.output), node(second.before_activation)),
        ("stage1.block1.relu2", "stage1.block1.relu2")
    );
    let shortcut = found.iter().find(|layer| layer.name == "stage2.block1.shortcut").unwrap();
    assert_eq!(node(shortcut.output), "stage2.block1.shortcut_norm");
    // Every node is the result of at most one layer.
    let mut outputs: Vec<usize> = found.iter().map(|layer| layer.output).collect();
    outputs.sort_unstable();
    outputs.dedup();
    assert_eq!(outputs.len(), found.len());
}

/// The rows and columns of the input with a gradient, at a place of a layer.
fn reach(network: &Network, layer: &Layer, place: [usize; 2], extents: [usize; 2], channels: usize) -> Patch {
    let elements = extents[0] * extents[1] * channels;
    let units = layer.units();
    let start = (place[0] * layer.image.width + place[1]) * units;
    let mut seen = vec![false; extents[0] * extents[1]];
    // Several inputs, because a maximum passes one of its pixels only.
    for seed in 0..40u64 {
        let x = filled_tensor(1, elements, |x| x.copy_from_slice(&noise(elements, seed * 10_000)));
        let weights = |output: &gyrus_tensor::Tensor<2>| {
            let width = output.dims()[1];
            filled_tensor(1, width, |weights| {
                weights.fill(0.0);
                weights[start..start + units].fill(1.0);
            })
        };
        let found = network.pull_back(x, layer.before_activation, weights, &[Signal::Input]).unwrap();
        let gradient = floats(found.gradients[0].clone());
        for (pixel, values) in gradient.chunks_exact(channels).enumerate() {
            seen[pixel] |= values.iter().any(|value| *value != 0.0);
        }
    }
    let rows: Vec<usize> = (0..seen.len()).filter(|i| seen[*i]).map(|i| i / extents[1]).collect();
    let columns: Vec<usize> = (0..seen.len()).filter(|i| seen[*i]).map(|i| i % extents[1]).collect();
    let (top, left) = (*rows.iter().min().unwrap(), *columns.iter().min().unwrap());
    let (height, width) = (rows.iter().max().unwrap() - top + 1, columns.iter().max().unwrap() - left + 1);
    Patch { top, left, height, width }
}

#[test]
fn receptive_fields_are_where_gradients_are() {
    let extents = [18, 22];
    let blueprint = Blueprint::builder("fields")
        .input([1, 18, 22])
        .node("conv1", NodeKind::conv2d(6, 3).padding(Padding::Same))
        .node("relu1", NodeKind::ReLU)
        .node("pool1", NodeKind::max_pool2d(2))
        .node("conv2", NodeKind::conv2d(6, 5).padding(2))
        .node("relu2", NodeKind::ReLU)
        .node("conv3", NodeKind::conv2d(6, 3).stride(2).padding(1))
        .node("relu3", NodeKind::ReLU)
        .node("flatten", NodeKind::flatten())
        .node("classifier", NodeKind::affine(2))
        .build()
        .unwrap();
    let network = Network::new(&blueprint, 3, &cpu()).unwrap();
    let layers = layers(&blueprint).unwrap();
    for layer in layers.iter().filter(|layer| layer.is_map()) {
        let (last_row, last_column) = (layer.image.height - 1, layer.image.width - 1);
        for place in [[0, 0], [1, 2], [last_row, last_column]] {
            let expected = layer.field.unwrap().patch(place, extents);
            assert_eq!(reach(&network, layer, place, extents, 1), expected, "{} at {place:?}", layer.name);
        }
    }
    assert_eq!(layers.last().unwrap().field, None);
}

#[test]
fn a_dilated_filter_reaches_as_far_as_a_larger_one() {
    let field = |kind: NodeKind| {
        let nodes = Blueprint::builder("one").input([1, 18, 22]).node("conv", kind);
        let blueprint =
            nodes.node("flatten", NodeKind::flatten()).node("out", NodeKind::affine(2)).build().unwrap();
        layers(&blueprint).unwrap()[0].field
    };
    let dilated = field(NodeKind::conv2d(2, 3).dilation(2).padding(2).into());
    assert_eq!(dilated, field(NodeKind::conv2d(2, 5).padding(2).into()));
    assert_eq!(dilated.unwrap().patch([0, 3], [18, 22]), Patch { top: 0, left: 1, height: 3, width: 5 });
}

/// The best picture of a linear unit is known: each pixel at the end of its range that the weight's sign says.
#[test]
fn the_best_picture_of_a_linear_unit_is_its_weights_sign() {
    let blueprint = Blueprint::builder("linear")
        .input([1, 12, 12])
        .node("flatten", NodeKind::flatten())
        .node("classifier", NodeKind::affine(2))
        .build()
        .unwrap();
    // A bright square in the middle, and its opposite.
    let inside = |i: usize| (3..9).contains(&(i / 12)) && (3..9).contains(&(i % 12));
    let square: Vec<f32> = (0..144).map(|i| if inside(i) { 1.0 } else { -1.0 }).collect();
    let weights: Vec<f32> = square.iter().copied().chain(square.iter().map(|w| -w)).collect();
    let mut state = State::new();
    state.insert("classifier.weight".to_owned(), StateTensor { shape: vec![2, 144], values: weights });
    state.insert("classifier.bias".to_owned(), StateTensor { shape: vec![2], values: vec![0.0; 2] });
    let network = Network::from_state(&blueprint, &state, &cpu()).unwrap();
    let layers = layers(&blueprint).unwrap();
    let image = gyrus_blueprint::Image { height: 12, width: 12, channels: 1 };
    let best = maximize(&network, &layers[0], &[0, 1], &[(-1.0, 1.0)], &Maximize::for_image(image)).unwrap();
    // The optimum is 144; turned and shifted, the square's rim is uncertain.
    assert!(best.values.iter().all(|value| *value > 100.0), "{:?}", best.values);
    assert!(best.images[6 * 12 + 6] > 0.8 && best.images[0] < -0.8, "{:?}", &best.images[..144]);
    assert!(best.images[144 + 6 * 12 + 6] < -0.8);
    let same = maximize(&network, &layers[0], &[1], &[(-1.0, 1.0)], &Maximize::for_image(image));
    assert!(same.unwrap().values[0] > 100.0);
    assert!(maximize(&network, &layers[0], &[2], &[(-1.0, 1.0)], &Maximize::for_image(image)).is_err());
}

/// Between two convolutions, expanded weights are those of the upper one with the factor of its normalization.
#[test]
fn expanded_weights_are_the_folded_weights() {
    let blueprint = Blueprint::builder("circuit")
        .input([1, 9, 9])
        .node("conv1", NodeKind::conv2d(2, 3).padding(Padding::Same))
        .node("relu1", NodeKind::ReLU)
        .node("conv2", NodeKind::conv2d(3, 3).padding(Padding::Same).bias(false))
        .node("norm2", NodeKind::batch_norm())
        .node("relu2", NodeKind::ReLU)
        .node("flatten", NodeKind::flatten())
        .node("classifier", NodeKind::affine(2))
        .build()
        .unwrap();
    let network = Network::new(&blueprint, 1, &cpu()).unwrap();
    let mut state = network.state();
    state.get_mut("norm2.weight").unwrap().values = vec![1.0, 2.0, -0.5];
    state.get_mut("norm2.running_var").unwrap().values = vec![1.0, 4.0, 0.25];
    let network = Network::from_state(&blueprint, &state, &cpu()).unwrap();
    let layers = layers(&blueprint).unwrap();
    let examples = noise(2 * 81, 5);
    let found = connections(&network, &layers, (0, 1), &[0, 1, 2], &examples).unwrap();
    assert_eq!((found.extents, found.all.len()), ([3, 3], 6));
    let weights = &state["conv2.weight"].values;
    for connection in &found.all {
        let factor = [1.0, 2.0, -0.5][connection.to] / ([1.0f32, 4.0, 0.25][connection.to] + 1e-5).sqrt();
        let own = &weights[(connection.to * 2 + connection.from) * 9..][..9];
        for (got, weight) in connection.weights.iter().zip(own) {
            assert!((got - factor * weight).abs() < 1e-5, "{connection:?}");
        }
    }
    // A flattened map is connected place by place: [outputs, channels, height, width].
    let found = connections(&network, &layers, (1, 2), &[0, 1], &examples).unwrap();
    assert_eq!(found.extents, [9, 9]);
    let weights = &state["classifier.weight"].values;
    let strongest = found.into_unit(1, 1)[0];
    let own = &weights[243 + strongest.from * 81..][..81];
    assert!(strongest.weights.iter().zip(own).all(|(a, b)| (a - b).abs() < 1e-6));
    let norm = |from: usize| weights[243 + from * 81..][..81].iter().map(|w| w * w).sum::<f32>().sqrt();
    assert!((0..3).all(|from| norm(from) <= strongest.norm + 1e-5));
}

/// For inputs without structure, the triggered average of a rectified linear unit is its filter, up to scale (Chichilnisky 2001).
#[test]
fn the_triggered_average_of_a_linear_filter_is_the_filter() {
    let blueprint = Blueprint::builder("filter")
        .input([1, 10, 11])
        .node("conv", NodeKind::conv2d(2, 3).padding(Padding::Same).bias(false))
        .node("relu", NodeKind::ReLU)
        .node("flatten", NodeKind::flatten())
        .node("out", NodeKind::affine(2))
        .build()
        .unwrap();
    let network = Network::new(&blueprint, 4, &cpu()).unwrap();
    let layers = layers(&blueprint).unwrap();
    let image = gyrus_blueprint::Image { height: 10, width: 11, channels: 1 };
    let mut trigger = Trigger::new(&layers[0], image).unwrap();
    for batch in 0..6u64 {
        let x = noise(100 * 110, batch * 1_000_000);
        let input = filled_tensor(100, 110, |to| to.copy_from_slice(&x));
        let activations = network.activations(input, &[layers[0].output]).unwrap();
        trigger.add(&x, &floats(activations[0].clone()));
    }
    let found = trigger.finish();
    assert_eq!((found.image.height, found.image.width), (3, 3));
    let weights = &network.state()["conv.weight"].values;
    for (average, filter) in found.averages.chunks_exact(9).zip(weights.chunks_exact(9)) {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosine = dot(average, filter) / (dot(average, average) * dot(filter, filter)).sqrt();
        assert!(cosine > 0.99, "{cosine}: {average:?} {filter:?}");
    }
}
