//! Built-in blueprints for any input shape that fits them.

use crate::{Blueprint, BlueprintBuilder, Error, NodeKind, Padding, Result, Shape};

const NAMES: [&str; 11] = [
    "digits-cnn",
    "mnist-cnn",
    "picture-cnn",
    "photo-cnn",
    "cnn",
    "mlp",
    "resnet20",
    "table-mlp",
    "table-mlp-small",
    "table-mlp-wide",
    "perceptron",
];

/// The names that [`preset`] knows.
pub fn preset_names() -> &'static [&'static str] {
    &NAMES
}

/// A built-in blueprint for samples of `input_shape` and this many outputs (classes, or regression targets).
///
/// - `digits-cnn`: three convolutions for images of about 8×8.
/// - `mnist-cnn`: four narrow convolutions for simple images of about 28×28.
/// - `picture-cnn`: the same, twice as wide, for more complex images.
/// - `photo-cnn`: five convolutions for photographs of 64 pixels and more; the first halves the image, the last are averaged.
/// - `cnn`: two convolutions and two affine layers; used by the benchmarks.
/// - `mlp`: 512 and 256 hidden ReLU units.
/// - `resnet20`: the residual network of He et al. 2015 (arXiv:1512.03385) for CIFAR-10, with convolutions as
///   shortcuts where the shape changes (their option B).
/// - `table-mlp`: two hidden layers of 128 ReLU units with dropout.
/// - `table-mlp-small`: two hidden layers of 64 ReLU units with more dropout, for few rows.
/// - `table-mlp-wide`: two hidden layers of 256 ReLU units without dropout, for many rows.
/// - `perceptron`: one affine node, no hidden layer.
///
/// The first five and `resnet20` take `[channels, height, width]`; the others flatten their input if needed.
pub fn preset(name: &str, input_shape: impl Into<Shape>, outputs: usize) -> Result<Blueprint> {
    let shape = input_shape.into();
    let flat = shape.len() == 1;
    let start = Blueprint::builder(name).input(shape);
    let builder = match name {
        "digits-cnn" => digits_cnn(start),
        "mnist-cnn" => picture_cnn(start, 16, 0.3),
        "picture-cnn" => picture_cnn(start, 32, 0.5),
        "photo-cnn" => photo_cnn(start),
        "cnn" => cnn(start),
        "mlp" => mlp(flatten_unless(flat, start)),
        "resnet20" => resnet20(start),
        "table-mlp" => table_mlp(flatten_unless(flat, start), 128, 0.1),
        "table-mlp-small" => table_mlp(flatten_unless(flat, start), 64, 0.2),
        "table-mlp-wide" => table_mlp_wide(flatten_unless(flat, start)),
        "perceptron" => flatten_unless(flat, start),
        _ => return Err(Error::UnknownPreset { name: name.to_owned(), known: &NAMES }),
    };
    builder.node("classifier", NodeKind::affine(outputs)).build()
}

fn flatten_unless(flat: bool, builder: BlueprintBuilder) -> BlueprintBuilder {
    if flat { builder } else { builder.node("flatten", NodeKind::flatten()) }
}

/// Convolution, batch norm and ReLU; the norm's shift replaces the convolution's bias.
fn conv_block(builder: BlueprintBuilder, number: usize, channels: usize) -> BlueprintBuilder {
    let conv = NodeKind::conv2d(channels, 3).padding(Padding::Same).bias(false);
    builder
        .node(format!("conv{number}"), conv)
        .node(format!("norm{number}"), NodeKind::batch_norm())
        .node(format!("relu{number}"), NodeKind::ReLU)
}

fn digits_cnn(builder: BlueprintBuilder) -> BlueprintBuilder {
    let builder = conv_block(builder, 1, 32);
    let builder = conv_block(builder, 2, 64).node("pool", NodeKind::max_pool2d(2));
    conv_block(builder, 3, 64).node("flatten", NodeKind::flatten()).node("dropout", NodeKind::dropout(0.3))
}

fn picture_cnn(builder: BlueprintBuilder, channels: usize, dropout: f64) -> BlueprintBuilder {
    let builder = conv_block(builder, 1, channels);
    let builder = conv_block(builder, 2, channels).node("pool1", NodeKind::max_pool2d(2));
    let builder = conv_block(builder, 3, 2 * channels);
    conv_block(builder, 4, 2 * channels)
        .node("pool2", NodeKind::max_pool2d(2))
        .node("flatten", NodeKind::flatten())
        .node("hidden", NodeKind::linear(128))
        .node("norm5", NodeKind::batch_norm())
        .node("relu5", NodeKind::ReLU)
        .node("dropout", NodeKind::dropout(dropout))
}

fn photo_cnn(builder: BlueprintBuilder) -> BlueprintBuilder {
    let builder = builder
        .node("conv1", NodeKind::conv2d(32, 3).stride(2).padding(1).bias(false))
        .node("norm1", NodeKind::batch_norm())
        .node("relu1", NodeKind::ReLU);
    let builder = conv_block(builder, 2, 32).node("pool1", NodeKind::max_pool2d(2));
    let builder = conv_block(builder, 3, 64).node("pool2", NodeKind::max_pool2d(2));
    let builder = conv_block(builder, 4, 128).node("pool3", NodeKind::max_pool2d(2));
    conv_block(builder, 5, 128).node("pool4", NodeKind::GlobalAvgPool).node("dropout", NodeKind::dropout(0.3))
}

fn cnn(builder: BlueprintBuilder) -> BlueprintBuilder {
    builder
        .node("conv1", NodeKind::conv2d(32, 3).padding(Padding::Same))
        .node("relu1", NodeKind::ReLU)
        .node("pool1", NodeKind::max_pool2d(2))
        .node("conv2", NodeKind::conv2d(64, 3).padding(Padding::Same))
        .node("relu2", NodeKind::ReLU)
        .node("pool2", NodeKind::max_pool2d(2))
        .node("flatten", NodeKind::flatten())
        .node("hidden", NodeKind::affine(128))
        .node("relu3", NodeKind::ReLU)
}

fn mlp(builder: BlueprintBuilder) -> BlueprintBuilder {
    builder
        .node("hidden1", NodeKind::affine(512))
        .node("relu1", NodeKind::ReLU)
        .node("hidden2", NodeKind::affine(256))
        .node("relu2", NodeKind::ReLU)
}

fn table_mlp(builder: BlueprintBuilder, width: usize, dropout: f64) -> BlueprintBuilder {
    builder
        .node("hidden1", NodeKind::affine(width))
        .node("relu1", NodeKind::ReLU)
        .node("dropout1", NodeKind::dropout(dropout))
        .node("hidden2", NodeKind::affine(width))
        .node("relu2", NodeKind::ReLU)
        .node("dropout2", NodeKind::dropout(dropout))
}

fn table_mlp_wide(builder: BlueprintBuilder) -> BlueprintBuilder {
    builder
        .node("hidden1", NodeKind::affine(256))
        .node("relu1", NodeKind::ReLU)
        .node("hidden2", NodeKind::affine(256))
        .node("relu2", NodeKind::ReLU)
}

fn resnet20(builder: BlueprintBuilder) -> BlueprintBuilder {
    let mut builder = conv_block(builder, 0, 16);
    let mut entry = "relu0".to_owned();
    for (stage, channels) in [16, 32, 64].into_iter().enumerate() {
        for block in 1..=3 {
            let prefix = format!("stage{}.block{block}", stage + 1);
            let stride = if stage > 0 && block == 1 { 2 } else { 1 };
            builder = basic_block(builder, &prefix, &entry, channels, stride);
            entry = format!("{prefix}.relu2");
        }
    }
    builder.node("pool", NodeKind::GlobalAvgPool)
}

/// Two convolutions beside a shortcut from `entry`; the last ReLU adds both branches up.
fn basic_block(
    builder: BlueprintBuilder,
    prefix: &str,
    entry: &str,
    channels: usize,
    stride: usize,
) -> BlueprintBuilder {
    let name = |part: &str| format!("{prefix}.{part}");
    let conv = |stride| NodeKind::conv2d(channels, 3).stride(stride).padding(1).bias(false);
    let builder = builder
        .node(name("conv1"), conv(stride))
        .node(name("norm1"), NodeKind::batch_norm())
        .node(name("relu1"), NodeKind::ReLU)
        .node(name("conv2"), conv(1))
        .node(name("norm2"), NodeKind::batch_norm());
    if stride == 1 {
        return builder.node(name("relu2"), NodeKind::ReLU).edge(entry, name("relu2"));
    }
    builder
        .from(entry)
        .node(name("shortcut"), NodeKind::conv2d(channels, 1).stride(stride).bias(false))
        .node(name("shortcut_norm"), NodeKind::batch_norm())
        .node(name("relu2"), NodeKind::ReLU)
        .edge(name("norm2"), name("relu2"))
}
