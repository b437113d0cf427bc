//! Convolutions of every kind against the oracle.

use gyrus_kernels::convolution::{Convolution, ConvolutionGradients, convolution, convolution_backward};
use gyrus_kernels::oracle::{self, assert_close, values};
use proptest::prelude::*;

fn check(shape: &Convolution, relu: bool) {
    let x = values(shape.input_len(), 1);
    let weight = values(shape.weight_len(), 2);
    let bias = values(shape.outputs, 3);
    let mut dy = values(shape.output_len(), 4);
    let mut y = vec![f32::NAN; shape.output_len()];
    let residual = values(shape.output_len(), 5);
    convolution(shape, &x, &weight, Some(&bias), Some(&residual), relu, &mut y);
    let mut expected = oracle::convolution::convolution(shape, &x, &weight, Some(&bias), false);
    for (expected, residual) in expected.iter_mut().zip(&residual) {
        *expected += residual;
        *expected = if relu { expected.max(0.0) } else { *expected };
    }
    assert_close(&y, &expected, 1e-4);
    convolution(shape, &x, &weight, Some(&bias), None, relu, &mut y);
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
    fn any_depthwise_convolution_matches_the_oracle(shape in any_shape(), channels in 2usize..20, relu: bool) {
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
