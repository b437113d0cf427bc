//! The built-in blueprints, compared with counts worked out by hand.

use gyrus_blueprint::{Blueprint, NodeKind, Shape, preset, preset_names};

fn output_of(blueprint: &Blueprint, node: &str) -> Shape {
    blueprint.shapes().unwrap().output(blueprint.index_of(node).unwrap()).clone()
}

fn trainable(name: &str, shape: Shape, outputs: usize) -> u64 {
    preset(name, shape, outputs).unwrap().shapes().unwrap().trainable_parameters()
}

#[test]
fn resnet20_has_the_papers_parameters() {
    let blueprint = preset("resnet20", [3, 32, 32], 10).unwrap();
    let first = 3 * 16 * 9 + 2 * 16;
    let stage1 = 6 * (16 * 16 * 9 + 2 * 16);
    let stage2 = 16 * 32 * 9 + 5 * 32 * 32 * 9 + 6 * 2 * 32 + (16 * 32 + 2 * 32);
    let stage3 = 32 * 64 * 9 + 5 * 64 * 64 * 9 + 6 * 2 * 64 + (32 * 64 + 2 * 64);
    let last = 64 * 10 + 10;
    assert_eq!(first + stage1 + stage2 + stage3 + last, 272_474);
    let shapes = blueprint.shapes().unwrap();
    assert_eq!(shapes.trainable_parameters(), 272_474);
    // Two running statistics beside the two trained numbers of each normalized channel.
    let normalized = 16 + 6 * 16 + 6 * 32 + 32 + 6 * 64 + 64;
    assert_eq!(shapes.stored_statistics(), 2 * normalized);
    let convolutions = |kind: &NodeKind| matches!(kind, NodeKind::Conv2d(_));
    assert_eq!(blueprint.nodes().iter().filter(|node| convolutions(&node.kind)).count(), 19 + 2);
    assert_eq!(output_of(&blueprint, "stage1.block3.relu2").to_string(), "[16, 32, 32]");
    assert_eq!(output_of(&blueprint, "stage2.block1.relu2").to_string(), "[32, 16, 16]");
    assert_eq!(output_of(&blueprint, "stage3.block3.relu2").to_string(), "[64, 8, 8]");
    assert_eq!(output_of(&blueprint, "pool").to_string(), "[64]");
    let multiply_accumulates = 32 * 32 * (3 * 16 * 9 + 6 * 16 * 16 * 9)
        + 16 * 16 * (16 * 32 * 9 + 5 * 32 * 32 * 9 + 16 * 32)
        + 8 * 8 * (32 * 64 * 9 + 5 * 64 * 64 * 9 + 32 * 64)
        + 640;
    assert_eq!(shapes.multiply_accumulates(), multiply_accumulates);
}

#[test]
fn mlp_and_cnn_counts() {
    let mlp = 784 * 512 + 512 + 512 * 256 + 256 + 256 * 10 + 10;
    assert_eq!(trainable("mlp", [784].into(), 10), mlp);
    assert_eq!(trainable("mlp", [1, 28, 28].into(), 10), mlp);
    let cnn = 9 * 32 + 32 + 32 * 64 * 9 + 64 + 64 * 7 * 7 * 128 + 128 + 128 * 10 + 10;
    assert_eq!(trainable("cnn", [1, 28, 28].into(), 10), cnn);
    assert_eq!(cnn, 421_642);
    assert_eq!(trainable("perceptron", [2].into(), 1), 3);
    assert_eq!(trainable("table-mlp", [4].into(), 3), 4 * 128 + 128 + 128 * 128 + 128 + 128 * 3 + 3);
    let digits = (9 * 32 + 64) + (32 * 64 * 9 + 128) + (64 * 64 * 9 + 128) + (64 * 4 * 4 * 10 + 10);
    assert_eq!(trainable("digits-cnn", [1, 8, 8].into(), 10), digits);
    for (name, n) in [("mnist-cnn", 16), ("picture-cnn", 32)] {
        let picture = (9 * n + 2 * n)
            + (n * n * 9 + 2 * n)
            + (n * 2 * n * 9 + 4 * n)
            + (2 * n * 2 * n * 9 + 4 * n)
            + (2 * n * 7 * 7 * 128 + 256)
            + (128 * 10 + 10);
        assert_eq!(trainable(name, [1, 28, 28].into(), 10), picture);
    }
}

#[test]
fn every_preset_round_trips_and_ends_in_the_outputs() {
    for name in preset_names() {
        let blueprint = preset(name, [1, 28, 28], 7).unwrap();
        assert_eq!(blueprint.name, *name);
        assert_eq!(output_of(&blueprint, "output"), Shape::from([7]), "{name}");
        let toml = blueprint.to_toml().unwrap();
        assert_eq!(Blueprint::from_toml(&toml).unwrap(), blueprint, "{name}:\n{toml}");
    }
}

#[test]
fn a_wrong_preset_or_shape_is_explained() {
    assert_eq!(
        preset("resnet18", [3, 32, 32], 10).unwrap_err().to_string(),
        "there is no built-in blueprint \"resnet18\"; there are digits-cnn, mnist-cnn, picture-cnn, photo-cnn, cnn, \
         mlp, resnet20, table-mlp, table-mlp-small, table-mlp-wide, perceptron"
    );
    assert_eq!(
        preset("cnn", [13], 3).unwrap_err().to_string(),
        "node `conv1` (Conv2d) expects an input of shape [channels, height, width], got [13]"
    );
    assert_eq!(
        preset("mlp", [4], 0).unwrap_err().to_string(),
        "node `classifier` (Affine): out_features is 0; expected a whole number from 1 to 2147483648"
    );
    assert_eq!(
        preset("mnist-cnn", [1, 3, 3], 10).unwrap_err().to_string(),
        "node `pool2` (MaxPool2d): the kernel spans 2 elements along the height, more than the padded input's \
         1 (input [32, 1, 1])"
    );
}
