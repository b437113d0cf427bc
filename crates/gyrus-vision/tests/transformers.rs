//! Vision transformers: maps of heads, rollout, positions; and low-rank adapters.

use std::path::Path;

use gyrus_blueprint::NodeKind;
use gyrus_nn::Network;
use gyrus_tensor::{Operation, Tensor, cpu, filled_tensor, floats};
use gyrus_vision::see::attention::{Grid, attention_maps, position_similarity, rollout};
use gyrus_vision::{Model, adapters};

fn model(name: &str) -> Model {
    Model::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name), None).unwrap()
}

fn input(model: &Model) -> Vec<f32> {
    let count: usize = model.preprocessing.shape().iter().product();
    (0..count).map(|place| ((place * 37 % 101) as f32 - 50.0) / 32.0).collect()
}

fn tensor(values: &[f32]) -> Tensor<2> {
    filled_tensor(1, values.len(), |x| x.copy_from_slice(values))
}

#[test]
fn maps_times_values_are_what_attention_gives() {
    for (name, before, side, more) in
        [("vit_timm", 1, 3, 0), ("dino_transformers", 1, 4, 0), ("two_towers/siglip", 0, 3, 1)]
    {
        let model = model(name);
        let network = model.network(&cpu()).unwrap();
        let blueprint = &model.blueprint;
        let grid = Grid::of(blueprint).unwrap().unwrap();
        assert_eq!(grid, Grid { before, height: side, width: side }, "{name}");
        let input = input(&model);
        let maps = attention_maps(&network, &input).unwrap();
        assert_eq!(maps.len(), 2 + more, "{name}");
        let (shapes, sources) = (blueprint.shapes().unwrap(), blueprint.sources());
        for own in &maps {
            let node = blueprint.index_of(&own.node).unwrap();
            let (width, tokens) = (shapes.output(node)[0], own.tokens);
            let given = network.activations(tensor(&input), &[sources[node][0], node]).unwrap();
            let [parts, mixed] = [&given[0], &given[1]].map(|values| floats(values.clone()));
            let head_width = width / own.heads;
            for (head, map) in own.maps.chunks_exact(tokens * tokens).enumerate() {
                for (token, row) in map.chunks_exact(tokens).enumerate() {
                    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{name}");
                    for at in head * head_width..(head + 1) * head_width {
                        let value = |other: usize| parts[other * 3 * width + 2 * width + at];
                        let sum: f32 =
                            row.iter().enumerate().map(|(other, share)| share * value(other)).sum();
                        assert!((sum - mixed[token * width + at]).abs() < 1e-4, "{name}, {}", own.node);
                    }
                }
                assert!(own.mean_distance(head, &grid) < 1.5 * side as f64);
                let patches = own.to_patches(head, &grid);
                assert!(patches.len() == side * side && patches.iter().sum::<f32>() <= 1.0 + 1e-5);
            }
        }
        // Shares of all tokens add up to 1; that of the class token is left out.
        let shares = rollout(&maps, &grid);
        let sum: f32 = shares.iter().sum();
        assert!(shares.len() == side * side && sum <= 1.0 + 1e-4, "{name}: {sum}");
        assert!(before == 1 || (sum - 1.0).abs() < 1e-4, "{name}: {sum}");
        let alike = position_similarity(blueprint, &network.state(), &grid).unwrap().unwrap();
        for patch in 0..side * side {
            assert!((alike[patch * (side * side + 1)] - 1.0).abs() < 1e-5, "{name}");
        }
    }
    assert_eq!(Grid::of(&model("resnet_basic").blueprint).unwrap(), None);
}

#[test]
fn rollout_of_one_block_is_half_of_the_mean_map() {
    let model = model("vit_timm");
    let grid = Grid::of(&model.blueprint).unwrap().unwrap();
    let maps = attention_maps(&model.network(&cpu()).unwrap(), &input(&model)).unwrap();
    let first = &maps[..1];
    let own = &first[0];
    let size = own.tokens * own.tokens;
    let mean = |at: usize| own.maps.iter().skip(at).step_by(size).sum::<f32>() / own.heads as f32;
    for (patch, share) in rollout(first, &grid).into_iter().enumerate() {
        assert!((share - mean(1 + patch) / 2.0).abs() < 1e-6, "{patch}");
    }
}

#[test]
fn adapters_begin_with_the_network_learn_alone_and_become_part_of_it() {
    let model = model("vit_transformers");
    let (blueprint, state) = adapters::add(&model.blueprint, &model.parameters, 3, 7, &cpu()).unwrap();
    let answer = |blueprint: &gyrus_blueprint::Blueprint, state: &gyrus_files::State| -> Vec<f32> {
        let network = Network::from_state(blueprint, state, &cpu()).unwrap();
        floats(network.infer(tensor(&input(&model))))
    };
    let before = answer(&model.blueprint, &model.parameters);
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(close(&before, &answer(&blueprint, &state)));

    let learned = adapters::learned(&blueprint).unwrap();
    let mut network = Network::from_state(&blueprint, &state, &cpu()).unwrap();
    network.freeze(|name| !learned(name));
    let loss = Operation::CrossEntropy { targets: [2u32].to_vec().into(), classes: 5, smoothing: 0.0 };
    let (_, gradients) = network.gradients(tensor(&input(&model)), 0, loss).unwrap();
    for (parameter, gradient) in network.parameters().iter().zip(&gradients) {
        let name = &parameter.name;
        assert_eq!(gradient.is_some(), name.contains(".lora_") || name.starts_with("classifier."), "{name}");
    }

    let mut trained = state.clone();
    for (name, tensor) in &mut trained {
        if name.contains(".lora_b.") {
            let fill = |(at, value): (usize, &mut f32)| *value = ((at * 13 % 29) as f32 - 14.0) / 60.0;
            tensor.values.iter_mut().enumerate().for_each(fill);
        }
    }
    let changed = answer(&blueprint, &trained);
    assert!(!close(&before, &changed));
    let (merged, numbers) = adapters::merged(&blueprint, &trained).unwrap();
    assert_eq!(merged.nodes(), model.blueprint.nodes());
    assert!(numbers.keys().eq(model.parameters.keys()));
    assert!(close(&changed, &answer(&merged, &numbers)));
    let plain =
        model.blueprint.nodes().iter().filter(|node| matches!(node.kind, NodeKind::Conv1d(_))).count();
    assert_eq!(blueprint.nodes().len(), model.blueprint.nodes().len() + 2 * plain);
}

#[test]
fn what_cannot_be_adapted_is_said() {
    let resnet = model("resnet_basic");
    let said = adapters::add(&resnet.blueprint, &resnet.parameters, 4, 0, &cpu()).unwrap_err().to_string();
    assert!(said.contains("no attention") && said.contains("vision transformer"), "{said}");
    let vit = model("vit_timm");
    let said = adapters::add(&vit.blueprint, &vit.parameters, 0, 0, &cpu()).unwrap_err().to_string();
    assert!(said.contains("the rank is 0"), "{said}");
}
