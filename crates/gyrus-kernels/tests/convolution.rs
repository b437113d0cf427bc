//! Convolutions of every kind against the oracle.

use gyrus_kernels::convolution::{Convolution, ConvolutionGradients, convolution, convolution_backward};
use gyrus_kernels::dense::elementwise::{Activation, activation};
use gyrus_kernels::oracle::{self, assert_close, values};
use gyrus_kernels::with_threads;
use proptest::prelude::*;

fn check(shape: &Convolution, relu: bool) {
    let x = values(shape.input_len(), 1);
    let weight = values(shape.weight_len(), 2);
    let bias = values(shape.outputs, 3);
    let mut dy = values(shape.output_len(), 4);
    let mut y = vec![f32::NAN; shape.output_len()];
    let residual = values(shape.output_len(), 5);
    let activation = relu.then_some(Activation::Relu);
    convolution(shape, &x, &weight, Some(&bias), Some(&residual), activation, &mut y);
    let mut expected = oracle::convolution::convolution(shape, &x, &weight, Some(&bias), false);
    for (expected, residual) in expected.iter_mut().zip(&residual) {
        *expected += residual;
        *expected = if relu { expected.max(0.0) } else { *expected };
    }
    assert_close(&y, &expected, 1e-4);
    convolution(shape, &x, &weight, Some(&bias), None, activation, &mut y);
    assert_close(&y, &oracle::convolution::convolution(shape, &x, &weight, Some(&bias), relu), 1e-4);

    let mut dx = vec![f32::NAN; x.len()];
    let mut dw = vec![f32::NAN; weight.len()];
    let mut db = vec![f32::NAN; shape.outputs];
    let gradients = ConvolutionGradients { input: Some(&mut dx), weight: Some(&mut dw), bias: Some(&mut db) };
    convolution_backward(shape, &x, &weight, &dy, relu.then_some(&y[..]), gradients);
    if relu {
        dy.iter_mut().zip(&y).for_each(|(dy, y)| *dy = if *y > 0.0 { *dy } else { 0.0 });
    }
    let (expected_dx, expected_dw, expected_db) =
        oracle::convolution::convolution_gradients(shape, &x, &weight, &dy);
    assert_close(&dx, &expected_dx, 1e-4);
    assert_close(&dw, &expected_dw, 1e-3);
    assert_close(&db, &expected_db, 1e-3);
}

prop_compose! {
    fn any_shape()(
        batch in 1usize..4, height in 1usize..9, width in 1usize..9, kernel in [1usize..4, 1usize..4],
        stride in [1usize..4, 1usize..4], dilation in [1usize..3, 1usize..3],
        padding in [0usize..3, 0usize..3, 0usize..3, 0usize..3],
        groups in 1usize..4, depth in 1usize..6, results in 1usize..20,
    ) -> Convolution {
        Convolution {
            batch, height: height + kernel[0] * dilation[0], width: width + kernel[1] * dilation[1],
            channels: groups * depth, outputs: groups * results, kernel, stride, padding, dilation, groups,
        }
    }
}

proptest! {
    #[test]
    fn any_convolution_matches_the_oracle(shape in any_shape(), relu: bool) {
        check(&shape, relu);
    }

    #[test]
    fn any_convolution_by_winograds_way_matches_the_oracle(
        shape in any_shape(), channels in 2usize..5, outputs in 2usize..5, relu: bool,
    ) {
        let shape = Convolution { channels: 16 * channels, outputs: 16 * outputs, groups: 1, ..shape };
        let shape = Convolution { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], ..shape };
        check(&Convolution { height: shape.height.max(3), width: shape.width.max(3), ..shape }, relu);
    }

    #[test]
    fn any_depthwise_convolution_matches_the_oracle(
        shape in any_shape(), channels in 2usize..36, wide in 0usize..4, relu: bool,
    ) {
        let kernel = [[1, 5], [5, 3], [7, 7], shape.kernel][wide];
        let reach = |axis: usize| shape.dilation[axis] * (kernel[axis] - 1) + 1;
        let [height, width] = [(shape.height + 6).max(reach(0)), (shape.width + 2 * kernel[1]).max(reach(1))];
        let shape = Convolution { kernel, height, width, ..shape };
        check(&Convolution { channels, outputs: channels, groups: channels, ..shape }, relu);
    }
}

#[test]
fn the_shapes_of_real_networks_match_the_oracle() {
    let base = Convolution {
        batch: 9,
        height: 14,
        width: 14,
        channels: 32,
        outputs: 64,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
    };
    check(&base, true);
    check(&Convolution { stride: [2, 2], ..base }, false);
    check(&Convolution { kernel: [1, 1], padding: [0; 4], stride: [2, 2], ..base }, false);
    check(&Convolution { channels: 1, outputs: 32, height: 28, width: 28, ..base }, true);
    check(&Convolution { batch: 1, height: 32, width: 32, channels: 3, outputs: 16, ..base }, true);
}

/// A convolution of each algorithm.
fn kinds() -> [Convolution; 5] {
    let direct = Convolution {
        batch: 2,
        height: 9,
        width: 11,
        channels: 20,
        outputs: 40,
        kernel: [3, 3],
        stride: [2, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
    };
    let pointwise = Convolution { kernel: [1, 1], stride: [1, 1], padding: [0; 4], ..direct };
    let winograd = Convolution { channels: 32, outputs: 48, stride: [1, 1], ..direct };
    let depthwise = Convolution { channels: 40, groups: 40, kernel: [5, 5], padding: [2; 4], ..direct };
    let strided = Convolution { stride: [2, 2], padding: [1, 2, 0, 3], width: 30, ..depthwise };
    [direct, pointwise, winograd, depthwise, strided]
}

#[test]
fn every_activation_is_fused_into_every_algorithm() {
    for shape in kinds() {
        let x = values(shape.input_len(), 1);
        let weight = values(shape.weight_len(), 2);
        let (bias, residual) = (values(shape.outputs, 3), values(shape.output_len(), 4));
        let run = |f: Option<Activation>| {
            let mut y = vec![f32::NAN; shape.output_len()];
            convolution(&shape, &x, &weight, Some(&bias), Some(&residual), f, &mut y);
            y
        };
        let plain = run(None);
        for f in Activation::ALL {
            let mut expected = vec![0.0; plain.len()];
            activation(f, &plain, &mut expected);
            assert_close(&run(Some(f)), &expected, 1e-6);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for shape in kinds() {
        let shape = Convolution { batch: 9, ..shape };
        let (x, dy) = (values(shape.input_len(), 1), values(shape.output_len(), 2));
        let (weight, bias) = (values(shape.weight_len(), 3), values(shape.outputs, 4));
        let run = || {
            let mut y = vec![f32::NAN; dy.len()];
            convolution(&shape, &x, &weight, Some(&bias), None, Some(Activation::Silu), &mut y);
            let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; weight.len()]);
            let mut db = vec![f32::NAN; bias.len()];
            let gradients =
                ConvolutionGradients { input: Some(&mut dx), weight: Some(&mut dw), bias: Some(&mut db) };
            convolution_backward(&shape, &x, &weight, &dy, None, gradients);
            (y, dx, dw, db)
        };
        let one = with_threads(1, run).unwrap();
        assert!(with_threads(3, run).unwrap() == one);
        // An image has the same bits alone.
        let alone = Convolution { batch: 1, ..shape };
        let mut y = vec![f32::NAN; alone.output_len()];
        let x = &x[..alone.input_len()];
        convolution(&alone, x, &weight, Some(&bias), None, Some(Activation::Silu), &mut y);
        assert!(y == one.0[..y.len()]);
    }
}
