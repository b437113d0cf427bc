//! Operations in time: linear layers and convolutions of packed spikes, compared with those of the same zeros and ones; and
//! operations that move spikes.

use gyrus_tensor::{
    Convolution, Neuron, NeuronKind, NeuronReset, Operation, Problem, Spiking, Surrogate, Tensor, TensorData,
    apply, coded_tensor, cpu, membranes, spike_words,
};

/// Repeatable numbers from −1 to 1.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn spikes(count: usize, seed: u64) -> Vec<f32> {
    numbers(count, seed).into_iter().map(|x| f32::from(x > 0.6)).collect()
}

fn matrix(values: &[f32], rows: usize) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, values.len() / rows]), &cpu())
}

fn leaf<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    Tensor::from_inner(tensor).require_grad()
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

fn run(operation: Spiking, x: Tensor<2>) -> Tensor<2> {
    apply(Operation::Spiking(operation), x, Vec::new(), None)
}

/// Output, and gradients of `x` and the parameters for a loss that weights the outputs by `weights`.
fn gradients(
    x: &[f32],
    rows: usize,
    parameters: &[Vec<f32>],
    forward: impl Fn(Tensor<2>, Vec<Tensor<1>>) -> Tensor<2>,
) -> Vec<Vec<f32>> {
    let x = leaf(matrix(x, rows));
    let vector = |values: &Vec<f32>| {
        leaf(Tensor::<1>::from_data(TensorData::new(values.clone(), [values.len()]), &cpu()))
    };
    let parameters: Vec<Tensor<1>> = parameters.iter().map(vector).collect();
    let y = forward(x.clone(), parameters.clone());
    let [rows, columns] = y.dims();
    let weights = Tensor::from_inner(matrix(&numbers(rows * columns, 9), rows));
    let found = (y.clone() * weights).sum().backward();
    let mut all = vec![floats(y), floats(x.grad(&found).unwrap())];
    all.extend(parameters.iter().map(|parameter| floats(parameter.grad(&found).unwrap())));
    all
}

#[track_caller]
fn close(what: &str, got: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.len(), expected.len(), "{what}: {index}");
        let scale = expected.iter().fold(0.0f32, |most, e| most.max(e.abs()));
        assert!(scale > 0.0, "{what}: {index} is nothing but zeros");
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= 2e-6 * scale, "{what}: {index}: {got}, not {expected}");
        }
    }
}

#[test]
fn linear_layers_of_packed_spikes_equal_dense_ones() {
    for (rows, inputs, outputs, bias) in [(7, 40, 9, true), (12, 64, 33, false), (3, 8, 2, true)] {
        let x = spikes(rows * inputs, 1);
        let mut parameters = vec![numbers(inputs * outputs, 2)];
        parameters.extend(bias.then(|| numbers(outputs, 3)));
        let dense = gradients(&x, rows, &parameters, |x, parameters| {
            apply(Operation::Linear { inputs, outputs, relu: false }, x, parameters, None)
        });
        let packed = gradients(&x, rows, &parameters, |x, parameters| {
            let bits = run(Spiking::Pack { elements: inputs }, x);
            apply(Operation::Spiking(Spiking::Linear { inputs, outputs }), bits, parameters, None)
        });
        close(&format!("{rows} rows of {inputs} to {outputs}"), &packed, &dense);
    }
}

#[test]
fn convolutions_of_packed_spikes_equal_dense_ones() {
    let plain = Convolution {
        batch: 1,
        height: 6,
        width: 7,
        channels: 4,
        outputs: 6,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
    };
    for shape in [
        plain,
        Convolution { stride: [2, 3], ..plain },
        Convolution { dilation: [2, 1], padding: [2, 2, 1, 1], ..plain },
        Convolution { groups: 2, ..plain },
        Convolution { channels: 32, outputs: 32, ..plain },
        Convolution { channels: 1, padding: [0; 4], ..plain },
    ] {
        let rows = 5;
        let elements = shape.height * shape.width * shape.channels;
        let x = spikes(rows * elements, 4);
        let parameters = [numbers(shape.weight_len(), 5), numbers(shape.outputs, 6)];
        let dense = gradients(&x, rows, &parameters, |x, parameters| {
            apply(Operation::Convolution { shape, activation: None, residual: false }, x, parameters, None)
        });
        let packed = gradients(&x, rows, &parameters, |x, parameters| {
            let bits = run(Spiking::Pack { elements }, x);
            apply(Operation::Spiking(Spiking::Convolution(shape)), bits, parameters, None)
        });
        close(&format!("{shape:?}"), &packed, &dense);
    }
}

#[test]
fn packing_and_unpacking_leave_spikes_and_gradients_unchanged() {
    for elements in [1, 31, 32, 33, 100] {
        let x = spikes(6 * elements, 7);
        let all = gradients(&x, 6, &[], |x, _| {
            run(Spiking::Unpack { elements }, run(Spiking::Pack { elements }, x))
        });
        assert_eq!(all, [x.clone(), numbers(6 * elements, 9)]);
        let made = coded_tensor(matrix(&x, 6), (6, elements), true, |x, row, to| {
            to.copy_from_slice(&x[row * elements..][..elements]);
        });
        let packed = run(Spiking::Pack { elements }, matrix(&x, 6));
        assert_eq!(spike_words(made), spike_words(packed));
    }
}

/// Rows move to later steps forward, and to earlier steps backward.
#[test]
fn a_delay_moves_rows_by_steps() {
    let (steps, batch, elements) = (5, 3, 4);
    let x = numbers(steps * batch * elements, 8);
    let weights = numbers(x.len(), 9);
    for by in [0, 1, 2, 5, 9] {
        let all = gradients(&x, steps * batch, &[], |x, _| run(Spiking::Delay { steps, by }, x));
        let late = (by * batch * elements).min(x.len());
        let forward = [vec![0.0; late], x[..x.len() - late].to_vec()].concat();
        let backward = [weights[late..].to_vec(), vec![0.0; late]].concat();
        assert_eq!(all, [forward, backward], "by {by}");
    }
}

/// −Σ_t Π_{r≤t} (1 − z_r), a polynomial: its gradient by finite differences, although the forward pass sees only zeros and ones.
#[test]
fn the_first_spike_has_the_gradient_of_its_polynomial() {
    let (steps, batch, neurons) = (6, 3, 5);
    let z = spikes(steps * batch * neurons, 11);
    let polynomial = |z: &[f64]| -> Vec<f64> {
        let mut free = vec![1.0; batch * neurons];
        let mut sums = vec![0.0; batch * neurons];
        for step in z.chunks(batch * neurons) {
            free.iter_mut().zip(step).for_each(|(free, z)| *free *= 1.0 - z);
            sums.iter_mut().zip(&free).for_each(|(sum, free)| *sum -= free);
        }
        sums
    };
    let all = gradients(&z, steps * batch, &[], |x, _| run(Spiking::FirstSpike { steps }, x));
    let wide: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
    assert_eq!(all[0], polynomial(&wide).iter().map(|y| *y as f32).collect::<Vec<_>>());
    let weights = numbers(batch * neurons, 9);
    let loss =
        |z: &[f64]| -> f64 { polynomial(z).iter().zip(&weights).map(|(y, w)| y * f64::from(*w)).sum() };
    for (index, got) in all[1].iter().enumerate() {
        let moved = |by: f64| {
            let mut z = wide.clone();
            z[index] += by;
            loss(&z)
        };
        let expected = (moved(1e-4) - moved(-1e-4)) / 2e-4;
        assert!((f64::from(*got) - expected).abs() < 1e-5, "{index}: {got}, not {expected}");
    }
}

fn neuron(steps: usize, fires: bool, constant_input: bool) -> Neuron {
    Neuron {
        counted: false,
        kind: NeuronKind {
            synapse: false,
            fires,
            adaptive: false,
            reset: NeuronReset::Subtract,
            v_start: 0.25,
        },
        steps,
        constant_input,
        starts: None,
        surrogate: Surrogate::Atan { alpha: 2.0 },
        detach_reset: true,
        truncate: None,
        problem: Problem::default(),
    }
}

/// Stepped by hand: u = ½ v + x, a spike above 1, which takes 1 away.
#[test]
fn membranes_follow_their_equation() {
    let (steps, batch, neurons) = (7, 2, 3);
    let constants = [0.5, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    let constants = Tensor::<1>::from_data(TensorData::new(constants.to_vec(), [9]), &cpu());
    for (fires, constant) in [(true, false), (true, true), (false, false)] {
        let rows = if constant { batch } else { steps * batch };
        let x: Vec<f32> = numbers(rows * neurons, 13).iter().map(|x| 2.0 * x + 0.4).collect();
        let neuron = neuron(steps, fires, constant);
        let got = membranes(&neuron, matrix(&x, rows), std::slice::from_ref(&constants));
        let operation = Operation::Spiking(Spiking::Neuron(neuron));
        let output = apply(operation, matrix(&x, rows), vec![constants.clone()], None);
        let output = floats(if fires { run(Spiking::Unpack { elements: neurons }, output) } else { output });
        let mut v = vec![0.25f32; batch * neurons];
        let mut fired = 0;
        for step in 0..steps {
            for (index, v) in v.iter_mut().enumerate() {
                let place = step * batch * neurons + index;
                let u = v.mul_add(0.5, if constant { x[index] } else { x[place] });
                let spike = fires && u > 1.0;
                fired += u32::from(spike);
                *v = if spike { u - 1.0 } else { u };
                assert_eq!(got[place], *v, "step {step}, {index}");
                assert_eq!(output[place], if fires { f32::from(spike) } else { u });
            }
        }
        assert_eq!(fires, fired > 3);
    }
}
