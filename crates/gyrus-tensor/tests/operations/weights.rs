//! Linear layers and convolutions.

use gyrus_tensor::{Activation, Convolution, Operation};

use super::case::{Case, biases, quarters};

#[test]
fn linear() {
    // The number of inputs is odd, so that a sum of odd multiples of 1/16 is never 0, with or without bias.
    for (rows, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (5, 33, 18), (37, 129, 70)] {
        for (bias, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let name = format!("linear {rows}x{inputs}x{outputs}, bias {bias}, relu {relu}");
            let operation = Operation::Linear { inputs, outputs, relu };
            Case::new(name, operation, rows, quarters(rows * inputs, 1))
                .parameters([quarters(inputs * outputs, 2)])
                .parameters(bias.then(|| biases(outputs, 3)))
                .check();
        }
    }
}

#[test]
fn convolution() {
    let plain = Convolution {
        batch: 1,
        height: 6,
        width: 7,
        channels: 4,
        outputs: 6,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
    };
    let same = Convolution { padding: [1; 4], ..plain };
    let shapes = [
        ("plain", plain),
        ("padded", same),
        ("one channel", Convolution { channels: 1, ..same }),
        ("strided", Convolution { stride: [2, 3], padding: [1; 4], ..plain }),
        ("strided past the end", Convolution { stride: [2, 2], height: 7, width: 8, ..plain }),
        ("dilated", Convolution { dilation: [2, 1], padding: [2, 2, 1, 1], ..plain }),
        ("strided and dilated", Convolution { dilation: [2, 2], stride: [2, 1], padding: [2; 4], ..plain }),
        ("asymmetric padding", Convolution { padding: [0, 2, 1, 0], ..plain }),
        ("asymmetric, even kernel", Convolution { kernel: [2, 4], padding: [0, 1, 1, 2], ..plain }),
        ("grouped", Convolution { groups: 2, ..same }),
        ("grouped and strided", Convolution { groups: 2, stride: [2, 2], ..same }),
        ("depthwise", Convolution { groups: 4, outputs: 4, ..same }),
        ("depthwise, strided", Convolution { groups: 4, outputs: 4, stride: [2, 2], ..same }),
        ("depthwise, two outputs a channel", Convolution { groups: 4, outputs: 8, ..same }),
        ("1x1", Convolution { kernel: [1, 1], ..plain }),
        ("1x1, strided", Convolution { kernel: [1, 1], stride: [2, 2], ..plain }),
        ("one row", Convolution { height: 1, kernel: [1, 3], padding: [0, 0, 1, 1], ..plain }),
        ("winograd", Convolution { channels: 32, outputs: 48, ..same }),
        (
            "winograd, asymmetric padding",
            Convolution { channels: 32, outputs: 32, padding: [2, 0, 1, 2], ..plain },
        ),
        ("wide", Convolution { height: 12, width: 13, channels: 17, outputs: 40, ..same }),
    ];
    for (name, shape) in shapes {
        for (bias, relu) in [(true, false), (true, true), (false, false)] {
            let rows = 3;
            let name = format!("convolution, {name}, bias {bias}, relu {relu}");
            let x = quarters(rows * shape.height * shape.width * shape.channels, 4);
            Case::new(
                name,
                Operation::Convolution {
                    shape,
                    activation: relu.then_some(Activation::Relu),
                    residual: false,
                },
                rows,
                x,
            )
            .parameters([quarters(shape.weight_len(), 5)])
            .parameters(bias.then(|| biases(shape.outputs, 6)))
            .check();
        }
    }
}

#[test]
fn convolution_with_residual() {
    let shape = Convolution {
        batch: 1,
        height: 9,
        width: 7,
        channels: 5,
        outputs: 19,
        kernel: [3, 3],
        stride: [2, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
    };
    let depthwise = Convolution { channels: 19, groups: 19, ..shape };
    let one_by_one = Convolution { kernel: [1, 1], stride: [1, 1], padding: [0; 4], ..shape };
    for (name, shape) in [("3x3", shape), ("depthwise", depthwise), ("1x1", one_by_one)] {
        for activation in [None, Some(Activation::Relu), Some(Activation::Relu6)] {
            let name = format!("convolution with residual, {name}, {activation:?}");
            let x = quarters(3 * shape.input_len(), 22);
            Case::new(name, Operation::Convolution { shape, activation, residual: true }, 3, x)
                .parameters([quarters(shape.weight_len(), 23), biases(shape.outputs, 24)])
                .second(quarters(3 * shape.output_len(), 25))
                .check();
        }
    }
}
