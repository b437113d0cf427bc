//! Prints how fast the kernels run on this machine: GFLOP/s per shape. `speed [THREADS [NAME]]` runs only lines that
//! contain NAME.
use std::time::Instant;

use gyrus_kernels::convolution::{Convolution, convolution};
use gyrus_kernels::convolution_backward::{ConvolutionGradients, convolution_backward};
use gyrus_kernels::matmul::{linear, linear_input_gradient, linear_weight_gradient};
use gyrus_kernels::oracle::values;

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
                convolution(&shape, &x, &w, Some(&bias), None, true, &mut y)
            });
            time(&format!("dx and dw of {size}x{size} {c}->{o} /{stride}"), 2 * ops, || {
                let g = ConvolutionGradients { input: Some(&mut dx), weight: Some(&mut dw), bias: None };
                convolution_backward(&shape, &x, &w, &dy, None, g)
            });
        }
    });
}
