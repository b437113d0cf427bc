//! Times the kernels of a decoder's training step at the sizes of the benchmark: `decoder_speed [THREADS]`.
use std::time::Instant;

use gyrus_kernels::matmul::{linear, linear_input_gradient, linear_weight_gradient};
use gyrus_kernels::oracle::values;

fn time(name: &str, operations: usize, mut work: impl FnMut()) {
    work();
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:<28} {:8.3} ms  {:6.1} GFLOP/s", best * 1e3, operations as f64 / best * 1e-9);
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(|_| gyrus_kernels::flush_denormals())
        .build()
        .expect("threads");
    pool.install(|| {
        for (m, k, n) in [
            (1024, 256, 768),
            (1024, 256, 256),
            (1024, 256, 1376),
            (1024, 688, 256),
            (2048, 512, 1536),
            (2048, 1376, 512),
            (2048, 512, 2752),
            (256, 256, 8192),
        ] {
            let (x, w, dy) = (values(m * k, 1), values(n * k, 2), values(m * n, 3));
            let (mut y, mut dx, mut dw) = (vec![0.0; m * n], vec![0.0; m * k], vec![0.0; n * k]);
            let ops = 2 * m * k * n;
            time(&format!("linear {m}x{k}x{n}"), ops, || linear(&x, &w, None, false, (m, k, n), &mut y));
            time("  dx", ops, || linear_input_gradient(&dy, &w, (m, k, n), &mut dx));
            time("  dw", ops, || linear_weight_gradient(&dy, &x, (m, k, n), &mut dw));
        }
    });
}
