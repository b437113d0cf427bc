//! Training a spiking network on packed spikes, compared with the same network written by hand on zeros and ones.

use gyrus_blueprint::{Blueprint, Discretization, Integration, NodeKind, Padding, Reset};
use gyrus_nn::{Encoder, Network, Readout, SpikingSettings, floats};
use gyrus_tensor::{
    Convolution, Neuron, NeuronKind, NeuronReset, Operation, Pooling, Problem, Spiking, Surrogate, Tensor,
    apply, cpu, filled_tensor,
};

const STEPS: usize = 6;
const BATCH: usize = 3;
const HEIGHT: usize = 4;
const WIDTH: usize = 6;
const CHANNELS: usize = 5;
const CLASSES: usize = 3;
const THRESHOLD: f32 = 0.1;

/// Neurons that lose half their potential per step.
fn lif() -> NodeKind {
    let mut kind = NodeKind::lif(2.0);
    if let NodeKind::LIF { v_threshold, reset, .. } = &mut kind {
        (*v_threshold, *reset) = (f64::from(THRESHOLD), Reset::Subtract);
    }
    kind
}

/// Spikes of `elements` neurons by hand, as zeros and ones.
fn fire(x: Tensor<2>, elements: usize) -> Tensor<2> {
    let neuron = Neuron {
        kind: NeuronKind {
            synapse: false,
            fires: true,
            adaptive: false,
            reset: NeuronReset::Subtract,
            v_start: 0.0,
        },
        steps: STEPS,
        constant_input: false,
        starts: None,
        surrogate: Surrogate::FastSigmoid { slope: 10.0 },
        detach_reset: true,
        truncate: None,
        counted: false,
        problem: Problem::default(),
    };
    let constants = [0.5, 0.5, 0.0, THRESHOLD, 0.0, 1.0, 0.0, 0.0, 1.0];
    let constants = Tensor::from_inner(Tensor::<1>::from_floats(constants, &cpu()));
    let spikes = apply(Operation::Spiking(Spiking::Neuron(neuron)), x, vec![constants], None);
    apply(Operation::Spiking(Spiking::Unpack { elements }), spikes, Vec::new(), None)
}

#[test]
fn counting_and_pooling_on_packed_spikes_train_as_on_numbers() {
    let blueprint = Blueprint::builder("counts")
        .input([1, HEIGHT, WIDTH])
        .node("conv", NodeKind::conv2d(CHANNELS, 3).padding(Padding::Same))
        .node("lif1", lif())
        .node("pool", NodeKind::max_pool2d(2))
        .node("flatten", NodeKind::flatten())
        .node("answer", NodeKind::affine(CLASSES))
        .node("lif2", lif())
        .build()
        .unwrap();
    let settings = SpikingSettings {
        steps: STEPS,
        time: Discretization { dt_ms: 1.0, integration: Integration::Euler },
        encoder: Encoder::Frames { binary: true },
        readout: Readout::Counts,
        surrogate: "fast-sigmoid:10".to_owned(),
        ..SpikingSettings::default()
    };
    let mut network = Network::with(&blueprint, Some(&settings), 5, &cpu()).unwrap();
    let pixels = HEIGHT * WIDTH;
    let spike = |t: usize, b: usize, e: usize| f32::from((t * 31 + b * 17 + e * 7) % 5 < 2);
    let frames = filled_tensor(BATCH, STEPS * pixels, |x| {
        for (at, x) in x.iter_mut().enumerate() {
            *x = spike(at / pixels % STEPS, at / pixels / STEPS, at % pixels);
        }
    });
    let by_hand = filled_tensor(STEPS * BATCH, pixels, |x| {
        for (at, x) in x.iter_mut().enumerate() {
            *x = spike(at / pixels / BATCH, at / pixels % BATCH, at % pixels);
        }
    });
    let targets = (0..BATCH * CLASSES).map(|i| (i % 4) as f32).collect();
    let loss = Operation::MeanSquaredError { targets };
    let leaves: Vec<Tensor<1>> = network
        .parameters()
        .iter()
        .map(|parameter| Tensor::from_inner(parameter.value.clone()).require_grad())
        .collect();

    let convolution = Convolution {
        batch: 1,
        height: HEIGHT,
        width: WIDTH,
        channels: 1,
        outputs: CHANNELS,
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 4],
        dilation: [1; 2],
        groups: 1,
    };
    let pool = Pooling {
        batch: 1,
        height: HEIGHT,
        width: WIDTH,
        channels: CHANNELS,
        kernel: [2; 2],
        stride: [2; 2],
        padding: [0; 4],
    };
    let pooled = pixels / 4;
    let run = |operation, x, parameters: &[Tensor<1>]| apply(operation, x, parameters.to_vec(), None);
    let x = Tensor::from_inner(by_hand);
    let x = run(
        Operation::Convolution { shape: convolution, activation: None, residual: false },
        x,
        &leaves[..2],
    );
    let x = run(Operation::MaxPool(pool), fire(x, pixels * CHANNELS), &[]);
    let x = run(Operation::ChannelsFirst { pixels: pooled, channels: CHANNELS }, x, &[]);
    let operation = Operation::Linear { inputs: pooled * CHANNELS, outputs: CLASSES, relu: false };
    let x = fire(run(operation, x, &leaves[2..]), CLASSES);
    let counts = x.reshape([STEPS, BATCH * CLASSES]).sum_dim(0).reshape([BATCH, CLASSES]);
    let fired: f32 = floats(counts.clone().inner()).iter().sum();
    assert!(fired > 5.0, "a network that does not fire proves nothing: {fired} spikes");
    let answer = run(loss.clone(), counts.clone(), &[]);
    let mut gradients = answer.backward();

    let (value, own) = network.gradients(frames.clone(), 0, loss).unwrap();
    assert!((value - answer.inner().into_scalar::<f32>()).abs() < 1e-6);
    assert_eq!(floats(network.infer(frames)), floats(counts.inner()), "answers count the same");
    for ((leaf, own), parameter) in leaves.iter().zip(own).zip(network.parameters()) {
        let (own, expected) = (floats(own.unwrap()), floats(leaf.grad_remove(&mut gradients).unwrap()));
        assert!(expected.iter().any(|g| *g != 0.0), "{} has a gradient", parameter.name);
        for (own, expected) in own.iter().zip(&expected) {
            assert!((own - expected).abs() < 1e-5, "{}: {own} instead of {expected}", parameter.name);
        }
    }
}
