//! Products with quantized weights, alone: decode (one row) as a share of the machine's read bandwidth, and prefill.
//!
//! `cargo run --release -p gyrus-kernels --example weights_speed [threads]`

use std::hint::black_box;
use std::time::Instant;

use gyrus_kernels::oracle::values;
use gyrus_kernels::stored::{Format, Matrix, matmul, quantize};
use rayon::prelude::*;

/// Rows and columns of the matrices: those of a feed-forward layer of a model with 1 billion weights.
const ROWS: usize = 8192;
const COLUMNS: usize = 2048;

/// The time that a tenth of the runs stay below, in seconds: other programs disturb the rest.
fn typical(runs: usize, mut work: impl FnMut(usize)) -> f64 {
    let time = |run| {
        let start = Instant::now();
        work(run);
        start.elapsed().as_secs_f64()
    };
    let mut times: Vec<f64> = (0..runs).map(time).collect();
    times.sort_by(f64::total_cmp);
    times[runs / 10]
}

/// Sums words as wide as the machine reads.
fn sum(words: &[u64]) -> u64 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut lanes = [0u64; 32];
            for line in words.as_chunks::<32>().0 {
                for (lane, word) in lanes.iter_mut().zip(line) {
                    *lane ^= word;
                }
            }
            lanes.iter().fold(0, |a, b| a ^ b)
        },
    )
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(|| gyrus_kernels::keep_awake(|| measure(threads)));
}

fn measure(threads: usize) {
    let only: Option<String> = std::env::args().nth(2);
    let buffer = vec![1u64; 1 << 27];
    let part = 1 << 20;
    let mut sums = 0;
    let read = |run: usize| {
        let words = &buffer[run * part % buffer.len()..][..part];
        sums ^= words.par_chunks(1 << 13).map(sum).reduce(|| 0, |a, b| a ^ b);
    };
    let bandwidth = (part * 8) as f64 / typical(3 * buffer.len() / part, read) / 1e9;
    black_box(sums);
    println!("{threads} threads read {bandwidth:.1} GB/s");
    for format in Format::ALL {
        if only.as_ref().is_some_and(|only| only != format.name()) {
            continue;
        }
        let bytes = quantize(format, &values(ROWS * COLUMNS, 1), COLUMNS).expect("whole blocks");
        // Enough copies to fill memory well beyond the caches.
        let copies = ((1usize << 29) / bytes.len()).max(1);
        let all: Vec<Vec<u8>> = (0..copies).map(|_| bytes.clone()).collect();
        let matrices: Vec<Matrix<'_>> =
            all.iter().map(|b| Matrix::new(format, ROWS, COLUMNS, b).expect("whole rows")).collect();
        let x = values(COLUMNS, 2);
        let mut y = vec![0.0; ROWS];
        let seconds = typical(3 * copies, |run| matmul(&matrices[run % copies], &x, &mut y));
        let speed = bytes.len() as f64 / seconds / 1e9;
        print!("{:5} {speed:6.1} GB/s, {:.2} of reading", format.name(), speed / bandwidth);
        for batch in [4, 32, 512] {
            let x = values(batch * COLUMNS, 3);
            let mut y = vec![0.0; batch * ROWS];
            let seconds = typical(10, |_| matmul(&matrices[0], &x, &mut y));
            print!("; batch {batch} {:.0} Gop/s", 2.0 * (batch * ROWS * COLUMNS) as f64 / seconds / 1e9);
        }
        println!();
    }
}
