//! Prints how fast the kernels run on this machine: GFLOP/s per shape. `speed [THREADS [NAME]]` runs only lines that
//! contain NAME.
use std::time::Instant;

use gyrus_kernels::convolution::pooling::Pooling;
use gyrus_kernels::convolution::{
    Convolution, ConvolutionGradients, convolution, convolution_backward, convolution_packed, pack,
    packed_len,
};
use gyrus_kernels::dense::elementwise::Activation;
use gyrus_kernels::dense::linear::{linear, linear_input_gradient, linear_weight_gradient};
use gyrus_kernels::keep_awake;
use gyrus_kernels::neuron::{
    NeuronGradients, NeuronKind, NeuronOutput, NeuronShape, Reset, Surrogate, neuron_backward, neuron_forward,
};
use gyrus_kernels::oracle::{spike_values, values};
use gyrus_kernels::spikes::convolution::{spike_convolution, spike_convolution_weight_gradient};
use gyrus_kernels::spikes::linear::{spike_linear, spike_linear_weight_gradient};
use gyrus_kernels::spikes::packed;
use gyrus_kernels::spikes::pooling::{spike_max_pool, spike_max_pool_backward};

fn time(name: &str, operations: usize, mut work: impl FnMut()) {
    if std::env::args().nth(2).is_some_and(|part| !name.contains(&part)) {
        return;
    }
    work();
    let mut best = f64::MAX;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.4 {
        let t = Instant::now();
        work();
        best = best.min(t.elapsed().as_secs_f64());
    }
    println!("{name:40} {:8.1} us {:8.1} GFLOP/s", best * 1e6, operations as f64 / best / 1e9);
}

/// Products with spikes at several densities.
fn spike_products() {
    for (m, k, n) in [(1600, 512, 512), (3200, 784, 1000), (3200, 1000, 1000), (3200, 1000, 10)] {
        let (w, dy) = (values(n * k, 2), values(m * n, 3));
        let (mut y, mut dw) = (vec![0.0; m * n], vec![0.0; n * k]);
        for percent in [1, 5, 13, 20, 30, 50] {
            let mut bits = vec![0; m * packed::words(k)];
            packed::pack(&spike_values(m * k, f64::from(percent) / 100.0, 1), k, &mut bits);
            let ops = 2 * packed::count(&bits) as usize * n;
            time(&format!("spikes {percent} % {m}x{k}x{n}"), ops, || {
                spike_linear(&bits, &w, None, (m, k, n), &mut y)
            });
            time(&format!("dw of spikes {percent} % {m}x{k}x{n}"), ops, || {
                spike_linear_weight_gradient(&bits, &dy, (m, k, n), &mut dw)
            });
        }
    }
}

/// Convolutions of spikes at several densities; without spikes, the dense ones of the same shape.
fn spike_convolutions() {
    for (batch, size, c, o) in [(512, 28, 1, 16), (512, 14, 16, 32), (256, 14, 32, 32), (256, 8, 64, 64)] {
        let shape = Convolution {
            batch,
            height: size,
            width: size,
            channels: c,
            outputs: o,
            kernel: [3, 3],
            stride: [1; 2],
            padding: [1; 4],
            dilation: [1; 2],
            groups: 1,
        };
        let (w, dy) = (values(shape.weight_len(), 2), values(shape.output_len(), 3));
        let (mut y, mut dw) = (vec![0.0; dy.len()], vec![0.0; w.len()]);
        for percent in [1, 5, 13, 20, 30, 50] {
            let len = size * size * c;
            let mut bits = vec![0; batch * packed::words(len)];
            packed::pack(&spike_values(batch * len, f64::from(percent) / 100.0, 1), len, &mut bits);
            let ops = 2 * packed::count(&bits) as usize * 9 * o;
            time(&format!("spike conv {percent} % {batch}x{size}x{size} {c}->{o}"), ops, || {
                spike_convolution(&shape, &bits, &w, None, &mut y)
            });
            time(&format!("dw of spike conv {percent} % {size}x{size} {c}->{o}"), ops, || {
                spike_convolution_weight_gradient(&shape, &bits, &dy, &mut dw)
            });
        }
    }
}

/// Linear and LIF, forward and backward (the gradient of the weight): the neurons alone, then all.
fn spiking_layers() {
    let kind =
        NeuronKind { synapse: false, fires: true, adaptive: false, reset: Reset::Subtract, v_start: 0.0 };
    let constants = [0.9, 0.1, 0.0, 0.02, 0.0, 0.0, 0.0, 0.0, 0.0];
    let surrogate = Surrogate::Atan { alpha: 2.0 };
    for (steps, batch, neurons, percent) in [(100, 16, 512, 100), (100, 16, 512, 5), (25, 128, 1000, 5)] {
        let shape = NeuronShape { steps, batch, neurons, constant_input: false };
        let (rows, len) = (steps * batch, shape.output_len());
        let (w, dz) = (values(neurons * neurons, 2), values(len, 3));
        let x =
            if percent == 100 { values(len, 1) } else { spike_values(len, f64::from(percent) / 100.0, 1) };
        let mut bits = vec![0; shape.output_words()];
        packed::pack(&x, neurons, &mut bits);
        let mut z = vec![0; shape.output_words()];
        let (mut y, mut dy, mut dw) = (vec![0.0; len], vec![0.0; len], vec![0.0; w.len()]);
        let size = (rows, neurons, neurons);
        let name = format!("T={steps} B={batch} N={neurons} {percent} %");
        linear(&x, &w, None, false, size, &mut y);
        let forward = |y: &[f32], z: &mut [u32]| {
            neuron_forward(kind, shape, &constants, y, None, NeuronOutput::Spikes(z));
        };
        let backward = |y: &[f32], dy: &mut [f32]| {
            let gradients = NeuronGradients { x: dy, constants: None };
            neuron_backward(kind, shape, &constants, y, surrogate, &dz, Default::default(), gradients);
        };
        time(&format!("LIF {name}"), 4 * len, || forward(&y, &mut z));
        time(&format!("LIF backward {name}"), 20 * len, || backward(&y, &mut dy));
        time(&format!("layer {name}"), 0, || {
            keep_awake(|| {
                if percent == 100 {
                    linear(&x, &w, None, false, size, &mut y);
                } else {
                    spike_linear(&bits, &w, None, size, &mut y);
                }
                forward(&y, &mut z);
                backward(&y, &mut dy);
                if percent == 100 {
                    linear_weight_gradient(&dy, &x, size, &mut dw);
                } else {
                    spike_linear_weight_gradient(&bits, &dy, size, &mut dw);
                }
            });
        });
    }
}

/// Neurons of pictures over time, whose rows do not stay in the cache.
fn picture_neurons() {
    let kind =
        NeuronKind { synapse: false, fires: true, adaptive: false, reset: Reset::Subtract, v_start: 0.0 };
    let constants = [0.5, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0];
    let surrogate = Surrogate::FastSigmoid { slope: 10.0 };
    for neurons in [28 * 28 * 16, 14 * 14 * 32] {
        let shape = NeuronShape { steps: 8, batch: 64, neurons, constant_input: false };
        let len = shape.output_len();
        let (x, dz, mut dx) = (values(len, 1), values(len, 2), vec![0.0; len]);
        let mut z = vec![0; shape.output_words()];
        time(&format!("neurons T=8 B=64 N={neurons}"), 4 * len, || {
            neuron_forward(kind, shape, &constants, &x, None, NeuronOutput::Spikes(&mut z));
        });
        time(&format!("neurons backward T=8 B=64 N={neurons}"), 20 * len, || {
            let gradients = NeuronGradients { x: &mut dx, constants: None };
            neuron_backward(kind, shape, &constants, &x, surrogate, &dz, Default::default(), gradients);
        });
    }
}

/// Maximum pooling of spikes and its gradient, in operations an input.
fn spike_pools() {
    for (batch, size, channels) in [(512, 28, 16), (512, 14, 32)] {
        let shape = Pooling {
            batch,
            height: size,
            width: size,
            channels,
            kernel: [2; 2],
            stride: [2; 2],
            padding: [0; 4],
        };
        let (len, out) = (size * size * channels, size * size * channels / 4);
        let mut bits = vec![0; batch * packed::words(len)];
        packed::pack(&spike_values(batch * len, 0.13, 1), len, &mut bits);
        let (mut y, dy) = (vec![0; batch * packed::words(out)], values(batch * out, 2));
        let mut dx = vec![0.0; batch * len];
        time(&format!("spike pool {size}x{size}x{channels}"), batch * len, || {
            spike_max_pool(&shape, &bits, &mut y);
        });
        time("  dx of it", batch * len, || spike_max_pool_backward(&shape, &bits, &dy, &mut dx));
    }
}

/// The convolutions of ResNet-50 at 224 x 224, one picture, weights packed beforehand.
fn picture_convolutions() {
    let stages = [(56, 64), (28, 128), (14, 256), (7, 512)];
    let mut layers = vec![(224, 3, 64, 7, 2)];
    for (size, width) in stages {
        layers.extend([
            (size, 4 * width, width, 1, 1),
            (size, width, width, 3, 1),
            (size, width, 4 * width, 1, 1),
        ]);
        if size > 7 {
            layers.extend([(size, 2 * width, 2 * width, 3, 2), (size, 4 * width, 8 * width, 1, 2)]);
        }
    }
    for (size, c, o, kernel, stride) in layers {
        let shape = Convolution {
            batch: 1,
            height: size,
            width: size,
            channels: c,
            outputs: o,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 4],
            dilation: [1; 2],
            groups: 1,
        };
        let (x, w, bias) = (values(shape.input_len(), 1), values(shape.weight_len(), 2), vec![0.0; o]);
        let (mut packed, mut y) = (vec![0.0; packed_len(&shape)], vec![0.0; shape.output_len()]);
        pack(&shape, &w, &mut packed);
        let ops = 2 * y.len() * kernel * kernel * c;
        time(&format!("picture {size}x{size} {c}->{o} {kernel}x{kernel}/{stride}"), ops, || {
            convolution_packed(&shape, &x, &packed, Some(&bias), None, Some(Activation::Relu), &mut y)
        });
    }
}

fn main() {
    gyrus_kernels::flush_denormals();
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(|_| gyrus_kernels::flush_denormals())
        .build()
        .expect("threads");
    pool.install(|| {
        for (m, k, n) in [(128, 784, 512), (128, 512, 256), (128, 256, 10), (64, 3136, 128), (1, 784, 512)] {
            let (x, w, dy) = (values(m * k, 1), values(n * k, 2), values(m * n, 3));
            let (mut y, mut dx, mut dw) = (vec![0.0; m * n], vec![0.0; m * k], vec![0.0; n * k]);
            let ops = 2 * m * k * n;
            time(&format!("linear {m}x{k}x{n}"), ops, || linear(&x, &w, None, true, (m, k, n), &mut y));
            time("  dx", ops, || linear_input_gradient(&dy, &w, (m, k, n), &mut dx));
            time("  dw", ops, || linear_weight_gradient(&dy, &x, (m, k, n), &mut dw));
        }
        spike_products();
        spiking_layers();
        picture_neurons();
        spike_convolutions();
        spike_pools();
        picture_convolutions();
        for (batch, size, c, o, stride) in [
            (64, 28, 1, 32, 1),
            (64, 28, 16, 16, 1),
            (64, 28, 32, 32, 1),
            (64, 14, 16, 32, 1),
            (64, 14, 32, 32, 1),
            (64, 14, 32, 64, 1),
            (64, 14, 64, 64, 1),
            (64, 32, 3, 16, 1),
            (64, 32, 16, 16, 1),
            (64, 32, 16, 32, 2),
            (64, 16, 32, 32, 1),
            (64, 8, 64, 64, 1),
            (1, 32, 16, 16, 1),
        ] {
            let shape = Convolution {
                batch,
                height: size,
                width: size,
                channels: c,
                outputs: o,
                kernel: [3, 3],
                stride: [stride; 2],
                padding: [1; 4],
                dilation: [1; 2],
                groups: 1,
            };
            let (x, w, dy) =
                (values(shape.input_len(), 1), values(shape.weight_len(), 2), values(shape.output_len(), 3));
            let bias = vec![0.0; o];
            let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
            let ops = 2 * shape.output_len() * 9 * c;
            time(&format!("conv {batch}x{size}x{size} {c}->{o} /{stride}"), ops, || {
                convolution(&shape, &x, &w, Some(&bias), None, Some(Activation::Relu), &mut y)
            });
            time(&format!("dx and dw of {size}x{size} {c}->{o} /{stride}"), 2 * ops, || {
                let g = ConvolutionGradients { input: Some(&mut dx), weight: Some(&mut dw), bias: None };
                convolution_backward(&shape, &x, &w, &dy, None, g)
            });
        }
    });
}
