//! Tests of convolutions of spikes by every algorithm.

use proptest::prelude::*;

use super::*;
use crate::oracle::spikes::pack;
use crate::oracle::{self, assert_close, spike_values, values};

/// All algorithms; the forward ones must agree bit for bit.
fn check_all(shape: &Convolution, share: f64) {
    let x = spike_values(shape.input_len(), share, 1);
    let bits = pack(&x, image_len(shape));
    let (w, b) = (values(shape.weight_len(), 2), values(shape.outputs, 3));
    let dy = values(shape.output_len(), 4);
    let expected = oracle::spikes::spike_convolution(shape, &x, &w, &b);
    let mut y = vec![f32::NAN; dy.len()];
    for way in 0..3 {
        y.fill(f32::NAN);
        match way {
            0 => spike_convolution(shape, &bits, &w, Some(&b), &mut y),
            1 => dense(shape, &bits, &w, Some(&b), &mut y),
            _ if shape.groups == 1 => sparse(shape, &bits, &w, Some(&b), &mut y),
            _ => continue,
        }
        assert!(y.iter().map(|y| y.to_bits()).eq(expected.iter().map(|y| y.to_bits())), "algorithm {way}");
    }
    let (_, expected, _) = oracle::convolution::convolution_gradients(shape, &x, &w, &dy);
    let mut dw = vec![f32::NAN; w.len()];
    for way in 0..3 {
        dw.fill(f32::NAN);
        match way {
            0 => spike_convolution_weight_gradient(shape, &bits, &dy, &mut dw),
            1 => dense_weight_gradient(shape, &bits, &dy, &mut dw),
            _ if shape.groups == 1 => sparse_weight_gradient(shape, &bits, &dy, &mut dw),
            _ => continue,
        }
        assert_close(&dw, &expected, 1e-3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn all_ways_match_the_oracle(
        batch in 1usize..4, height in 5usize..9, width in 5usize..9, channels in 1usize..24,
        outputs in 1usize..40, kernel in 1usize..4, stride in 1usize..3, padding in 0usize..3,
        dilation in 1usize..3, grouped: bool, share in 0.0f64..1.0,
    ) {
        let groups = if grouped { 2 } else { 1 };
        check_all(&Convolution {
            batch,
            height,
            width,
            channels: channels * groups,
            outputs: outputs * groups,
            kernel: [kernel, 3],
            stride: [stride, 3 - stride],
            padding: [padding, 1, 2, padding],
            dilation: [1, dilation],
            groups,
        }, share);
    }
}

#[test]
fn shapes_of_winograd_and_wide_kernels_match_the_oracle() {
    let shape = Convolution {
        batch: 3,
        height: 9,
        width: 8,
        channels: 32,
        outputs: 80,
        kernel: [3, 3],
        stride: [1; 2],
        padding: [1; 4],
        dilation: [1; 2],
        groups: 1,
    };
    check_all(&shape, 0.1);
    check_all(&shape, 0.7);
    check_all(&Convolution { channels: 12, outputs: 12, groups: 12, ..shape }, 0.2);
}

#[test]
fn gradients_do_not_depend_on_threads() {
    let shape = Convolution {
        batch: 40,
        height: 12,
        width: 12,
        channels: 8,
        outputs: 20,
        kernel: [3, 3],
        stride: [1; 2],
        padding: [1; 4],
        dilation: [1; 2],
        groups: 1,
    };
    let dy = values(shape.output_len(), 4);
    for share in [0.1, 0.6] {
        let bits = pack(&spike_values(shape.input_len(), share, 1), image_len(&shape));
        let run = |threads| {
            let mut dw = vec![0.0; shape.weight_len()];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| spike_convolution_weight_gradient(&shape, &bits, &dy, &mut dw));
            dw
        };
        assert_eq!(run(1), run(3));
    }
}
