//! Tests of sums of events against the kernels of the clocked body.

use proptest::prelude::*;

use super::*;
use crate::convolution::Convolution;
use crate::convolution::convolution;
use crate::dense::linear::{linear_packed, pack, packed_len};
use crate::oracle::{self, spike_values, values};
use crate::spikes::convolution::spike_convolution;
use crate::spikes::packed::words;

fn events_of(x: &[f32]) -> (Vec<u32>, Vec<f32>) {
    x.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(i, x)| (i as u32, *x)).unzip()
}

fn same(got: &[f32], expected: &[f32]) {
    assert!(
        got.iter().map(|x| x.to_bits()).eq(expected.iter().map(|x| x.to_bits())),
        "{got:?}\n{expected:?}"
    );
}

fn check_convolution(shape: &Convolution, share: f64) {
    let w = values(shape.outputs * shape.channels / shape.groups * shape.kernel[0] * shape.kernel[1], 1);
    let x = spike_values(shape.input_len(), share, 2);
    let table = ConvolutionTable::new(shape, &w);
    let results = shape.outputs / shape.groups;
    let run = |x: &[f32], graded: bool| {
        let (events, numbers) = events_of(x);
        let mut sums = vec![0.0; table.sums_len()];
        let mut touched = vec![false; sums.len().div_ceil(TOUCHED)];
        let additions = table.add(&events, graded.then_some(&numbers[..]), &mut sums, &mut touched);
        for (at, sum) in sums.iter().enumerate() {
            assert!(*sum == 0.0 || touched[at / TOUCHED]);
        }
        (
            sums.chunks(table.group_len()).flat_map(|group| group[..results].to_vec()).collect::<Vec<_>>(),
            additions,
        )
    };
    let mut expected = vec![0.0; shape.output_len()];
    let bits = oracle::spikes::pack(&x, shape.input_len());
    assert_eq!(bits.len(), words(shape.input_len()));
    spike_convolution(shape, &bits, &w, None, &mut expected);
    let (sums, additions) = run(&x, false);
    same(&sums, &expected);
    let mut products = 0;
    oracle::convolution::convolution_products(shape, |input, _, _| products += u64::from(x[input] != 0.0));
    assert_eq!(additions, products);
    if shape.groups == 1 {
        let graded: Vec<f32> = values(x.len(), 3).iter().zip(&x).map(|(a, b)| a * b).collect();
        convolution(shape, &graded, &w, None, None, None, &mut expected);
        same(&run(&graded, true).0, &expected);
    }
}

proptest! {
    #[test]
    fn linear_sums_are_those_of_the_clocked_products(inputs in 1usize..90, outputs in 1usize..300, share in 0.0f64..1.0) {
        let w = values(inputs * outputs, 1);
        let table = LinearTable::new(&w, (inputs, outputs));
        let x = spike_values(inputs, share, 2);
        let (events, ones) = events_of(&x);
        let mut listed = Vec::new();
        list_spikes(&oracle::spikes::pack(&x, inputs), &mut listed);
        prop_assert_eq!(&listed, &events);
        let expected = oracle::spikes::spike_linear(&oracle::spikes::pack(&x, inputs), &w, None, (1, inputs, outputs));
        for with_ones in [None, Some(&ones[..])] {
            let mut sums = vec![0.0; table.sums_len()];
            let additions = table.add(&events, with_ones, &mut sums);
            same(&sums[..outputs], &expected);
            prop_assert_eq!(additions, (events.len() * outputs) as u64);
        }
        let graded: Vec<f32> = values(inputs, 3).iter().zip(&x).map(|(a, b)| a * b).collect();
        let (events, numbers) = events_of(&graded);
        let mut packed = vec![0.0; packed_len((inputs, outputs))];
        pack(&w, (inputs, outputs), &mut packed);
        let mut expected = vec![0.0; outputs];
        linear_packed(&graded, &packed, None, false, (1, inputs, outputs), &mut expected);
        let mut sums = vec![0.0; table.sums_len()];
        table.add(&events, Some(&numbers), &mut sums);
        same(&sums[..outputs], &expected);
    }

    #[test]
    fn sums_of_convolutions_are_those_of_the_clocked_ones(
        height in 4usize..9, width in 4usize..9, channels in 1usize..20, outputs in 1usize..70, groups in 1usize..4,
        kernel in 1usize..4, across in 2usize..4, stride in 1usize..4, padding in 0usize..3, dilation in 1usize..3, share in 0.0f64..1.0,
    ) {
        let shape = Convolution {
            batch: 1,
            height,
            width,
            channels: channels * groups,
            outputs: outputs * groups,
            kernel: [kernel, across],
            stride: [stride, 3 - stride.min(2)],
            padding: [padding, 1, 2, padding],
            dilation: [1, dilation],
            groups,
        };
        check_convolution(&shape, share);
    }

    #[test]
    fn sums_of_windows_that_slide_are_those_of_the_clocked_ones(
        height in 1usize..7, width in 1usize..20, channels in 1usize..20, outputs in 1usize..65,
        kernel in 1usize..6, stride in 1usize..3, padding in 0usize..4, behind in 2usize..4, share in 0.0f64..1.0,
    ) {
        let shape = Convolution {
            batch: 1,
            height,
            width,
            channels,
            outputs,
            kernel: [kernel, 3],
            stride: [stride, 1],
            padding: [kernel, 1, padding, behind],
            dilation: [1, 1],
            groups: 1,
        };
        // Mostly silent images have gaps between the windows.
        check_convolution(&shape, share * share * share);
    }
}
