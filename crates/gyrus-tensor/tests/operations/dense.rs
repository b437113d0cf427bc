//! Operations without weight matrices: activations, pools, normalizations, sums, losses.

use std::sync::Arc;

use gyrus_tensor::{Activation, Operation, Pooling, dropout_mask};

use super::case::{Case, distinct, floats, pick, quarters, test_device};

#[test]
fn activation() {
    for f in Activation::ALL {
        for columns in [1, 50, 9000] {
            let x = pick(4 * columns, 7, &[-6.25, -2.5, -0.75, -0.125, 0.125, 0.5, 1.75, 5.5]);
            Case::new(format!("{f:?} of 4x{columns}"), Operation::Activation(f), 4, x).check();
        }
    }
}

#[test]
fn pooling() {
    let plain = Pooling {
        batch: 1,
        height: 6,
        width: 7,
        channels: 5,
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0; 4],
    };
    let shapes = [
        ("touching", plain),
        ("overlapping", Pooling { kernel: [3, 3], stride: [1, 2], ..plain }),
        ("padded", Pooling { kernel: [3, 2], stride: [2, 1], padding: [1; 4], ..plain }),
        ("gaps", Pooling { stride: [3, 3], ..plain }),
        ("the whole image", Pooling { kernel: [6, 7], stride: [1, 1], ..plain }),
        ("large", Pooling { height: 24, width: 24, channels: 33, ..plain }),
    ];
    for (name, shape) in shapes {
        let count = shape.input_len();
        let x: Vec<f32> = [distinct(count), distinct(count).into_iter().rev().collect()].concat();
        Case::new(format!("max pool, {name}"), Operation::MaxPool(shape), 2, x).check();
        for scale in [1.0, 1.0 / (shape.kernel[0] * shape.kernel[1]) as f32] {
            let operation = Operation::SumPool { shape, scale };
            Case::new(format!("sum pool, {name}, times {scale}"), operation, 2, quarters(2 * count, 8))
                .check();
        }
    }
}

#[test]
fn normalization() {
    for (rows, pixels, channels) in [(5, 1, 3), (3, 4, 17), (6, 100, 24)] {
        let size = format!("{rows}x{pixels}x{channels}");
        // Two far clusters: a normalized value is at least 1/2 from 0, more than shift and residual together.
        let x = pick(rows * pixels * channels, 9, &[-1.25, -1.0, 1.0, 1.25]);
        let residual = pick(x.len(), 10, &[-0.125, -0.0625, 0.0625, 0.125]);
        let gamma = pick(channels, 11, &[0.75, 1.25, -1.0]);
        let beta = pick(channels, 12, &[-0.0625, 0.03125, 0.0625]);
        let running = [pick(channels, 13, &[-0.125, 0.25]), pick(channels, 14, &[0.5, 1.5])].concat();
        Case::new(format!("statistics of {size}"), Operation::Statistics { channels }, rows, x.clone())
            .constant(&[0])
            .check();
        for (own, relu) in [(true, false), (true, true), (false, false), (false, true)] {
            for with_residual in [false, true] {
                let name = format!("batch norm {size}, own {own}, relu {relu}, residual {with_residual}");
                let activation = relu.then_some(Activation::Relu);
                let operation = Operation::BatchNorm { own, epsilon: 1e-5, activation };
                let case = Case::new(name, operation, rows, x.clone())
                    .parameters([gamma.clone(), beta.clone(), running.clone()])
                    .constant(&[3]);
                let case = if with_residual { case.second(residual.clone()) } else { case };
                case.check();
            }
        }
        Case::new(format!("layer norm {size}"), Operation::LayerNorm { epsilon: 1e-5 }, rows, x)
            .parameters([gamma, beta])
            .check();
    }
}

#[test]
fn elementwise() {
    for (rows, columns) in [(1, 1), (3, 20), (4, 12_000)] {
        let size = format!("{rows}x{columns}");
        let count = rows * columns;
        let (a, b) = (quarters(count, 15), quarters(count, 16));
        Case::new(format!("add {size}"), Operation::Add, rows, a.clone()).second(b).check();
        let mask = floats(dropout_mask(rows, columns, 0.25, 1, &test_device()));
        // A mask takes no gradient.
        Case::new(format!("multiply {size}"), Operation::Multiply, rows, a)
            .second(mask)
            .constant(&[1])
            .check();
    }
    for (pixels, channels) in [(1, 4), (6, 5), (49, 16)] {
        let x = quarters(3 * pixels * channels, 17);
        let name = format!("channels first {pixels}x{channels}");
        Case::new(name, Operation::ChannelsFirst { pixels, channels }, 3, x.clone()).check();
        let name = format!("softmax over {channels} of {pixels}");
        Case::new(name, Operation::Softmax { columns: channels }, 3, x).check();
    }
}

#[test]
fn losses() {
    for (rows, classes) in [(1, 2), (5, 10), (300, 7)] {
        let targets: Arc<[u32]> = (0..rows).map(|row| (row * 3 % classes) as u32).collect();
        let logits = quarters(rows * classes, 18);
        for smoothing in [0.0, 0.1] {
            let operation = Operation::CrossEntropy { targets: targets.clone(), classes, smoothing };
            let name = format!("cross-entropy {rows}x{classes}, smoothing {smoothing}");
            Case::new(name, operation, rows, logits.clone()).check();
        }
        let targets: Arc<[f32]> = quarters(rows * classes, 19).into();
        let operation = Operation::MeanSquaredError { targets };
        Case::new(format!("mean squared error {rows}x{classes}"), operation, rows, logits).check();
    }
}
